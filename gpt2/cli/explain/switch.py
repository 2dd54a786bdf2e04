"""The analyses that change something and look what follows: off, patch, behaviours.

Read next: explain.py, which finds them by name.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gpt2.base.errors import UsageError
from gpt2.base.pictures import save_picture
from gpt2.cli.common import Count, File, Flag, print_json, read_text
from gpt2.cli.console import progress
from gpt2.cli.explain.options import Foil, Options, Token, reference_text, show_table, take_means

Kind = Literal["mean", "zero", "constant", "position-mean", "resample", "first"]


@dataclass
class Off(Options):
    """Switch components off: the loss on a text without each, with its interval over documents.

    Named components that are few also get a generation before and after, with the same noise. Components joined by a
    comma go off together.

    examples:
      gpt2 explain off
      gpt2 explain off "3.head.1,4.mlp" --text stories.txt
      gpt2 explain off "2.head.*" --kind zero
      gpt2 explain off --pairs pronoun
    """

    components: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[ADDRESSES]", help_behavior_hint="")
    ] = ()
    """Components to switch off, such as 3.head.1, 4.mlp, embed.pos (default: every head, attention and MLP)."""
    kind: Kind = "mean"
    """What stands in the place of a component."""
    text: File = None
    """Documents to read (default: 16 beginnings of the bundled stories)."""
    means: File = None
    """Documents that the means are taken over (default: the bundled stories)."""
    pairs: File = None
    """Read pairs of prompts instead: a .jsonl file, or pronoun, name, verb, quote."""
    prompt: Annotated[str, tyro.conf.arg(metavar="TEXT")] = "Once upon a time"
    """What the generation before and after continues."""
    seed: int = 0
    """Seed of the generation before and after."""
    top: Count = None
    """Components to show (default: all)."""

    def run(self) -> None:
        """Print the table, and the two texts."""
        from gpt2 import Sampling
        from gpt2.explain import reference
        from gpt2.explain.change.before_after import before_after
        from gpt2.explain.change.off import excerpt, off
        from gpt2.explain.change.switch import expand, switch

        if self.pairs is not None and self.text is not None:
            raise UsageError("give --text or --pairs, not both.")
        checkpoint = self.load()
        chosen = self.components or ("*.head.*", "*.attn", "*.mlp")
        kind = "position mean" if self.kind == "position-mean" else self.kind
        names = expand(checkpoint.model, chosen)  # refuses unknown addresses before anything is computed
        means = reference_text(checkpoint, self.means, "--means") or reference(checkpoint)
        if self.pairs is not None:
            from gpt2.explain.change.pair_effects import off_over_pairs
            from gpt2.explain.change.pairs import read_pairs

            pairs = read_pairs(checkpoint, self.pairs)
            if kind == "mean":
                take_means(means)
            with progress("switching off") as tell:
                over = off_over_pairs(checkpoint, pairs, chosen, kind, means, tell)
            self.show(checkpoint, over, over.table(self.top))
            return
        text = reference_text(checkpoint, self.text)
        text = excerpt(checkpoint, text) if text is not None else None
        if kind == "mean":
            take_means(means)
        with progress("switching off") as tell:
            result = off(checkpoint, chosen, kind, text, means, tell)
        written = None
        if self.components and len(names) <= 4 and kind != "resample":
            edits = {a: f for name in names for a, f in switch(checkpoint.model, name, kind, means).items()}
            with progress("writing both texts") as tell:
                how = Sampling(max_tokens=60, seed=self.seed)
                written = before_after(checkpoint, self.prompt, edits, how, lambda share: tell(share, 1))
        if self.png:
            save_picture(result.plot(), self.png)
        if self.json:
            generation = written.to_dict() if written else None
            print_json({"model": checkpoint.name, **result.to_dict(), "generation": generation})
            return
        show_table(result.table(self.top))
        if written is not None:
            print()
            show_table(written)


@dataclass
class Patch(Options):
    """Put what one prompt computes into the other, place by place, and see how much of the answer moves.

    The answer is m = logit(target) - logit(foil). 0 means that nothing moved, 1 that all of it did. The prompts must
    have equally many tokens.

    examples:
      gpt2 explain patch "Tom cried. Mom hugged" "Amy cried. Mom hugged" --target " him" --foil " her"
      gpt2 explain patch CLEAN CORRUPT --grid head --png heads.png
      gpt2 explain patch --pairs name
    """

    clean: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[CLEAN]", help_behavior_hint="")] = None
    """The prompt with the right answer."""
    corrupt: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[CORRUPT]", help_behavior_hint="")] = (
        None
    )
    """The prompt that differs."""
    target: Token = None
    """The answer after the clean prompt (default: what the model says)."""
    foil: Foil = None
    """The answer after the corrupt one (default: what the model says)."""
    direction: Literal["denoise", "noise"] = "denoise"
    """denoise: clean values into the corrupt run; noise: the reverse."""
    grid: Literal["resid", "attn", "mlp", "head"] = "resid"
    """What is patched: layer x position for the first three, layer x head."""
    gradient: Flag = False
    """Estimate the grid by gradients (attribution patching), and correlate it with the exact one."""
    pairs: File = None
    """Read pairs of prompts instead: a .jsonl file, or pronoun, name, verb, quote."""

    def run(self) -> None:
        """Print the grid."""
        if self.pairs is not None:
            from gpt2.explain.change.pair_effects import patch_over_pairs
            from gpt2.explain.change.pairs import read_pairs

            if self.clean is not None:
                raise UsageError("give two prompts or --pairs, not both.")
            checkpoint = self.load()
            pairs = read_pairs(checkpoint, self.pairs)
            with progress("patching") as tell:
                over = patch_over_pairs(checkpoint, pairs, self.direction, tell)
            self.show(checkpoint, over)
            return
        if self.clean is None or self.corrupt is None:
            raise UsageError(
                "patching takes two prompts of equally many tokens, such as "
                '`gpt2 explain patch "The cat sat on the" "The dog ran into the"`.'
            )
        from gpt2.explain.change.patching import Patching

        checkpoint = self.load()
        clean, corrupt = read_text(self.clean), read_text(self.corrupt)
        with progress("patching") as tell:
            patching = Patching(checkpoint, clean, corrupt, self.target, self.foil, self.direction)
            exact = patching.grid(self.grid, tell)
        if not self.gradient:
            self.show(checkpoint, exact)
            return
        from gpt2.explain.change.gradient_patching import gradient_grids

        with progress("taking gradients"):
            estimate = gradient_grids(patching, (self.grid,))[self.grid]
        if self.json:
            both = {"exact": exact.to_dict(), "estimate": estimate.to_dict()}
            print_json({"model": checkpoint.name, **both, "correlation": exact.correlation(estimate)})
            return
        self.show(checkpoint, estimate)
        alike = exact.correlation(estimate)
        none = "none, since one of the two is the same everywhere"
        print(f"correlation with the exact grid: {none if alike != alike else f'{alike:.3f}'}")


@dataclass
class Behaviours(Options):
    """How often the model is right on sets of 100 pairs of prompts, and which components carry it.

    A behaviour that the model does not have is not explained.
    """

    sets: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[SETS]", help_behavior_hint="")] = ()
    """pronoun, name, verb, quote, or .jsonl files (default: these four)."""

    def run(self) -> None:
        """Print accuracies and components."""
        from gpt2.explain.change.behaviours import behaviours
        from gpt2.explain.change.pairs import BEHAVIOURS

        checkpoint = self.load()
        for name in self.sets:
            if name not in BEHAVIOURS and not Path(name).is_file():
                raise UsageError(f"there is no set {name!r}: choose {', '.join(BEHAVIOURS)}, or a .jsonl file.")
        sets = self.sets or tuple(BEHAVIOURS)

        def told(name: str, done: int, total: int) -> None:
            tell(sets.index(name) + done / total, len(sets))

        with progress("behaviours") as tell:
            result = behaviours(checkpoint, sets, progress=told)
        self.show(checkpoint, result)
