"""`gpt2 walk`: the whole way from a text to its next token, with the real numbers of the model at hand.

In: a text and options. Out: a page of steps in the terminal, or the same numbers as JSON.
What is computed stands in explain/walk/ (walk.py, dropout.py), how it is printed in view.py.
"""

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gpt2.base.errors import UsageError
from gpt2.base.plain import plain
from gpt2.cli.common import Flag, ModelOptions, print_json, read_text, variant_of
from gpt2.cli.console import progress
from gpt2.cli.hints import tell_file

if TYPE_CHECKING:
    from gpt2.text.tokenizer import Tokenizer

EXAMPLE = "The cat sat on the"
PLAIN = (None, "unscaled-init")  # only its first weights are others: its steps are those of a plain GPT-2


@dataclass
class Command(ModelOptions):
    """Every step from a text to the prediction of its next token, with the model's real numbers.

    Prints tokens, embeddings, LayerNorm, attention, MLP, residual stream, logits and probabilities for one position.
    Blocks, heads and positions are counted from 0. Each step names its tensor by the address that gpt2.probe reads.
    """

    text: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TEXT]", help_behavior_hint="")] = None
    """The text, in quotes; `-`: standard input. Without one, and nothing piped in: "The cat sat on the"."""
    target: Annotated[str | None, tyro.conf.arg(metavar="TOKEN", help_behavior_hint="")] = None
    """One token, such as " mat", to score: its loss, and what the gradient of the loss asks of the logits."""
    train: Flag = False
    """Show the four dropouts of training at work: masks, scaling, and passes that differ."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Seed of the dropout masks that --train shows."""
    block: Annotated[tuple[str, ...], tyro.conf.arg(metavar="N ...")] = ("0",)
    """Blocks to show in full, such as `3 4`, or `all`; the others take one line each."""
    position: Annotated[int, tyro.conf.arg(metavar="N", aliases=("--at",))] = -1
    """The position to follow, from 0; negative ones count from the end, and the last predicts the next token."""
    heads: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N ...", help_behavior_hint="")] = ()
    """Heads to show, each with its sums written out. Default: all, with the sums of the one that writes most."""
    values: Annotated[int, tyro.conf.arg(metavar="N")] = 4
    """How many numbers of each vector to show."""
    top: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """How many candidates, neurons and gradient entries to show."""
    json: Flag = False
    """Print JSON instead."""

    def run(self) -> None:
        """Load, trace, print."""
        for name in ("values", "top"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} is {getattr(self, name)}: show at least 1.")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}: it must be at least 0.")
        check_blocks(self.block)
        nothing_given = self.text is None and (sys.stdin is None or sys.stdin.isatty())
        text = EXAMPLE if nothing_given else read_text(self.text)
        tell_file(text)
        self.dtype = self.dtype or "float32"  # of a quantised model too
        checkpoint = self.load()
        if (variant := variant_of(checkpoint)) not in PLAIN:
            raise UsageError(
                f"the walk tells the steps of a plain GPT-2, and this model is the variant {variant!r}: "
                "use gpt2 explain trace, whose --read gives any value inside it."
            )
        model, tokenizer = checkpoint.model, checkpoint.tokenizer

        from gpt2.explain.walk.dropout import walk_dropout
        from gpt2.explain.walk.walk import walk

        ids = tokenizer.encode(text)
        show = shower(tokenizer)
        blocks = block_numbers(self.block, model.config.n_layer)
        target = None if self.target is None else one_token(tokenizer, self.target, show)
        dropout = None
        with progress("walking"):
            result = walk(
                model, ids, position=self.position, blocks=blocks, heads=self.heads or None, target=target, top=self.top
            )
            if self.train:
                dropout = walk_dropout(
                    model, ids, seed=self.seed, position=self.position, block=blocks[0],
                    head=self.heads[0] if self.heads else None,
                )  # fmt: skip
        if self.json:
            record = {"model": checkpoint.name, "prompt_ids": list(ids), "tokens": [show(i) for i in ids]}
            record |= as_json(result, self.values, show)
            record["dropout"] = as_json(dropout, self.values, show)
            print_json(record)
            return

        from gpt2.cli.walk.view import print_walk
        from gpt2.cli.walk.view_dropout import print_dropout

        page = print_walk(result, checkpoint.name, show, self.values)
        if dropout is not None:
            print_dropout(page, dropout, result, show)


def shower(tokenizer: "Tokenizer") -> Callable[[int], str]:
    """A function from an id to the token's text with its space made visible."""
    return tokenizer.label


def check_blocks(words: tuple[str, ...]) -> None:
    """UsageError for a word after --block that is no number: it may be the text, which comes before the option."""
    for word in words:
        if not word.isdecimal() and word != "all":
            raise UsageError(f"--block is {word!r}: give numbers from 0 on, or all; the text stands before --block.")
    if not words:
        raise UsageError("--block is empty: give numbers from 0 on, or all.")


def block_numbers(words: tuple[str, ...], n_layer: int) -> list[int]:
    """The blocks that --block names, in order; `walk` checks their range."""
    return list(range(n_layer)) if "all" in words else sorted({int(word) for word in words})


def one_token(tokenizer: "Tokenizer", text: str, show: Callable[[int], str]) -> int:
    """The id of a text that is a single token for this tokenizer."""
    ids = tokenizer.encode(text)
    if not ids:
        raise UsageError('--target is empty: give one token, such as " mat".')
    if len(ids) > 1:
        pieces = " ".join(f"'{show(i)}'" for i in ids)
        raise UsageError(f"--target {text!r} is {len(ids)} tokens of this model ({pieces}): give one of them.")
    return ids[0]


def as_json(value: Any, n: int, show: Callable[[int], str]) -> Any:
    """A record as plain JSON values: a vector becomes its norm and first n numbers, a candidate gets its token."""
    from gpt2.explain.walk.record import Candidate, Target, Vector

    def shorten(one: Any) -> Any:
        if isinstance(one, Vector):
            return {"norm": one.norm, "values": one.values[:n]}
        if isinstance(one, Candidate):
            return {**vars(one), "token": show(one.id)}
        if isinstance(one, Target):
            asks = [{"id": i, "token": show(i), "gradient": g} for i, g in one.pushed_down]
            return {
                "id": one.id, "token": show(one.id), "rank": one.rank, "probability": one.probability,
                "loss": one.loss, "gradient": float(one.gradient[one.id]), "pushed_down": asks,
            }  # fmt: skip
        if dataclasses.is_dataclass(one) and not isinstance(one, type):
            fields = dataclasses.fields(one)
            return {f.name: getattr(one, f.name) for f in fields if f.metadata.get("json", True)}
        return one

    return plain(value, shorten)
