"""The analyses of the model itself: heads, neurons, neighbours, positions, points.

Read next: command.py, which finds them by name.
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from gpt2.base.errors import UsageError
from gpt2.cli.common import File, Flag, print_json
from gpt2.cli.console import progress
from gpt2.cli.explain.options import Options, reference_text, show_table


@dataclass
class Heads(Options):
    """What each head does, on repeated random tokens and on natural text, against two baselines.

    A label needs a score above 0.4 with its interval above a uniform pattern and the untrained model; it is called
    causal only where switching the head off costs loss on the repeats.
    """

    text: File = None
    """Natural text (default: the bundled stories)."""
    bos: Flag = False
    """Put <|endoftext|> before the random tokens: for models that saw it there."""
    no_causal: Flag = False
    """Leave out switching each head off: quicker, and no label is causal."""
    seed: int = 0
    """Seed of the random tokens."""

    def run(self) -> None:
        """Print the report."""
        from gpt2.explain.change.heads import heads

        checkpoint = self.load()
        text = reference_text(checkpoint, self.text)
        with progress("heads") as tell:
            result = heads(checkpoint, text, bos=self.bos, causal=not self.no_causal, seed=self.seed, progress=tell)
        self.show(checkpoint, result)


@dataclass
class Neurons(Options):
    """What excites a neuron in a text, how often it is on, what it promotes, and what it is worth.

    example: gpt2 explain neurons "2.mlp.post#123"
    """

    address: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="")] = None
    """The neuron, such as 2.mlp.post#123."""
    text: File = None
    """Where to look for contexts (default: the bundled stories)."""
    contexts: int = 8
    """How many contexts to show."""

    def run(self) -> None:
        """Print the report of one neuron."""
        if self.address is None:
            raise UsageError('name a neuron: gpt2 explain neurons "2.mlp.post#123".')
        if self.contexts < 1:
            raise UsageError(f"--contexts is {self.contexts}: it must be at least 1.")
        from gpt2.explain.change.neurons import neuron
        from gpt2.explain.run.reference import STORIES

        checkpoint = self.load()
        text = reference_text(checkpoint, self.text)
        with progress("reading") as tell:
            result = neuron(
                checkpoint, self.address, text if text is not None else STORIES, contexts=self.contexts,
                progress=lambda share: tell(share, 1),
            )  # fmt: skip
        self.show(checkpoint, result)


@dataclass
class Neighbours(Options):
    """The tokens whose vectors are most like a token's (cosine). What a single dimension means is not known.

    example: gpt2 explain neighbours " cat"
    """

    token: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="TOKEN", help_behavior_hint="")] = None
    """A token, with its leading space where it has one."""
    k: int = 10
    """How many neighbours to show."""

    def run(self) -> None:
        """Print the neighbours."""
        if self.token is None:
            raise UsageError('name a token: gpt2 explain neighbours " cat".')
        from gpt2.explain.see.embeddings import neighbours

        checkpoint = self.load()
        with progress("comparing tokens"):
            result = neighbours(checkpoint, self.token, self.k)
        self.show(checkpoint, result)


@dataclass
class Positions(Options):
    """How alike the vectors of positions are, by their distance."""

    def run(self) -> None:
        """Print the similarities."""
        from gpt2.explain.see.embeddings import position_similarity

        checkpoint = self.load()
        with progress("comparing positions"):
            result = position_similarity(checkpoint)
        self.show(checkpoint, result)


@dataclass
class Points(Options):
    """Every address of a model, with the shape of its value for a text of T tokens."""

    def run(self) -> None:
        """Print the list."""
        from gpt2.explain.show.points import points
        from gpt2.explain.show.result import table

        checkpoint = self.load()
        rows = points(checkpoint.model.config)
        if self.json:
            fields = [{"address": a, "shape": s, "what": w} for a, s, w in rows]
            print_json({"model": checkpoint.name, "points": fields})
            return
        made = table("address", "shape", "what it is", caption="l is a block, h a head; slices: @3, #1234, *")
        for address, shape, what in rows:
            made.add_row(address, shape, what)
        show_table(made)
