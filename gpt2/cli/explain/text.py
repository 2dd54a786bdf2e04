"""The analyses of one text: trace, lens, attribution, effects, leave-one-out, attention, stream.

Read next: command.py, which finds them by name.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from gpt2.base.errors import UsageError
from gpt2.cli.common import Count, File, Flag, print_json, read_text
from gpt2.cli.console import progress
from gpt2.cli.explain.options import Foil, Options, Position, Text, Token, take_means, widest
from gpt2.cli.hints import tell_file


@dataclass
class OneText(Options):
    """Options of an analysis of one text."""

    text: Text = None
    """The text, in quotes; `-` or none: standard input."""

    def trace(self) -> tuple[Any, Any]:
        """The checkpoint, and the text's run."""
        from gpt2.explain import trace

        text, checkpoint = read_text(self.text), self.load()
        tell_file(text)
        with progress("reading the text"):
            return checkpoint, trace(checkpoint, text)


@dataclass
class Trace(OneText):
    """What the model predicts at each position of a text; with --read, any value inside it.

    examples:
      gpt2 explain trace "The cat sat on the"
      gpt2 explain trace "The cat sat on the" --read 3.head.1 5.resid_pre@2
    """

    read: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ADDRESSES", help_behavior_hint="")] = ()
    """Values to print, by address (gpt2 explain points lists them)."""

    def run(self) -> None:
        """Print predictions, or values."""
        checkpoint, run = self.trace()
        if not self.read:
            self.show(checkpoint, run)
            return
        with progress("reading the values"):
            run = run.read(*self.read)
        values = {address: run[address][0] for address in self.read}
        if self.json:
            shown = {a: {"shape": list(v.shape), "values": v.tolist()} for a, v in values.items()}
            print_json({"model": checkpoint.name, **run.to_dict(), "values": shown})
            return
        import torch

        for address, value in values.items():
            size = value.float().norm(dim=-1).mean() if value.dim() > 1 else value.float().abs().mean()
            print(f"{address}  {list(value.shape)}  mean length {size:.4g}")
            with torch._tensor_str.printoptions(precision=4, sci_mode=False, linewidth=79, threshold=60):
                print(str(value).removeprefix("tensor(").removesuffix(")"), end="\n\n")


@dataclass
class Lens(OneText):
    """What the model would predict if it ended after each block (logit lens).

    The stream is normed with statistics of its own, then meets the head; the last row is the model's own prediction.
    """

    colour: Annotated[str, tyro.conf.arg(metavar="WHAT")] = "probability"
    """What the colour of the picture shows: probability, next_probability, next_rank, entropy or kl."""
    points: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ADDRESSES", help_behavior_hint="")] = ()
    """Points to read (default: what enters block 0, and every resid_mid and resid_post)."""

    def run(self) -> None:
        """Print the grid."""
        from gpt2.explain.see.lens import lens

        checkpoint, run = self.trace()
        with progress("looking after each block") as tell:
            result = lens(run, self.points or None, progress=lambda share: tell(share, 1))
        self.show(checkpoint, result, widest(result.table, 12), lambda: result.plot(self.colour))


@dataclass
class Attribution(OneText):
    """What each component adds to the lead of a prediction over another: exact parts that sum to it.

    examples:
      gpt2 explain attribution "The cat sat on the" --target " mat" --foil " floor"
      gpt2 explain attribution "The cat sat on the" --of 4.mlp
      gpt2 explain attribution --pairs pairs.jsonl
    """

    target: Token = None
    """The token to explain (default: the likeliest)."""
    foil: Foil = None
    """The token to compare with (default: the runner-up, the likeliest other token); "mean": all tokens' mean logit."""
    position: Position = -1
    """The position, from 0; negative ones count from the end."""
    of: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="")] = None
    """Divide further: a head by source positions (3.head.1), an MLP by neurons (4.mlp), or several (*.mlp)."""
    top: int = 12
    """Parts to show."""
    pairs: File = None
    """Read pairs of prompts instead: a .jsonl file, or pronoun, name, verb, quote."""

    def run(self) -> None:
        """Print the parts."""
        if self.pairs is not None:
            if self.text is not None:
                raise UsageError("give a text or --pairs, not both.")
            from gpt2.explain.change.pair_effects import attribution_over_pairs
            from gpt2.explain.change.pairs import read_pairs

            checkpoint = self.load()
            with progress("adding up"):
                over = attribution_over_pairs(checkpoint, read_pairs(checkpoint, self.pairs))
            self.show(checkpoint, over, over.table(self.top), lambda: over.plot(self.top))
            return
        checkpoint, run = self.trace()
        with progress("adding up"):
            result = run.attribution(self.target, self.foil, self.position, of=self.of)
        self.show(checkpoint, result, result.table(self.top), lambda: result.plot(self.top))


@dataclass
class Effects(OneText):
    """Direct, indirect and total effect of replacing each component by its mean.

    direct: through the head alone. indirect: through what later components make of it. The rest is the final norm's
    change of scale. The three sum to the total.
    """

    target: Token = None
    """The token whose logit is watched (default: the likeliest)."""
    foil: Foil = None
    """The token to compare with (default: the runner-up, the likeliest other token); "mean": all tokens' mean logit."""
    zero: Flag = False
    """Replace by zero instead of the mean over the bundled stories."""
    top: int = 12
    """Components to show."""

    def run(self) -> None:
        """Print the effects."""
        from gpt2.explain import mean, reference, zero
        from gpt2.explain.change.effects import effects

        checkpoint, run = self.trace()
        replacement = zero if self.zero else mean(reference(checkpoint))
        with progress("replacing components") as tell:
            result = effects(run, replacement, target=self.target, vs=self.foil, progress=tell)
        self.show(checkpoint, result, result.table(self.top))


@dataclass
class LeaveOneOut(OneText):
    """Which parts matter for this text: its loss, and the likeliest token's probability, without each component.

    Each component is replaced by itself, at all positions. For many texts, with intervals: gpt2 explain off.

    examples:
      gpt2 explain leave-one-out "The cat sat on the mat"
      gpt2 explain leave-one-out "The cat sat on the mat" --components "*.head.*" --zero --top 10
    """

    components: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ADDRESSES", help_behavior_hint="")] = ()
    """Components (default: every attention and MLP, and the position table); "*.head.*": heads, "*.block": blocks."""
    zero: Flag = False
    """Replace by zero instead of the mean over the bundled stories."""
    position: Position = -1
    """The position whose prediction is shown, from 0; negative ones count from the end."""
    top: Count = None
    """Components to show (default: all)."""

    def run(self) -> None:
        """Print the table."""
        from gpt2.explain import mean, reference, zero
        from gpt2.explain.change.leave_one_out import PARTS, leave_one_out

        checkpoint, run = self.trace()
        means = reference(checkpoint)
        if not self.zero:
            take_means(means)
        with progress("replacing components") as tell:
            replacement = zero if self.zero else mean(means)
            result = leave_one_out(run, replacement, self.components or PARTS, self.position, progress=tell)
        self.show(checkpoint, result, result.table(self.top))


@dataclass
class Attention(OneText):
    """Where the heads look, and what they write most from. A weight is not an effect: see `explain off`."""

    head: Annotated[str, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="")] = "*.head.*"
    """One head (3.head.1) or those of a block (3.head.*) (default: all)."""
    position: Position = -1
    """The position that looks, from 0; negative ones count from the end."""

    def run(self) -> None:
        """Print what each head reads."""
        from gpt2.explain.see.attention import attention

        checkpoint, run = self.trace()
        at = run.position(self.position)
        with progress("reading the heads"):
            result = attention(run, self.head)
        self.show(checkpoint, result, result.table(at))


@dataclass
class Stream(OneText):
    """The residual stream through depth: norms, cosines, norm scales; with --gradients, of the loss at each layer."""

    gradients: Flag = False
    """Show the norms of the mean loss's gradient at each layer instead."""

    def run(self) -> None:
        """Print them."""
        from gpt2.explain.see.stream import gradient_norms, stream

        if self.gradients:
            text, checkpoint = read_text(self.text), self.load()
            tell_file(text)
            with progress("taking gradients"):
                norms = gradient_norms(checkpoint, text)
            self.show(checkpoint, norms)
            return
        checkpoint, run = self.trace()
        with progress("reading the stream"):
            result = stream(run)
        self.show(checkpoint, result)
