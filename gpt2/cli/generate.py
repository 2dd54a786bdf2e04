"""`gpt2 generate`: continue a text, in the terminal as it is computed, or as JSON.

In: a text and the sampling options. Out: the text and its continuations.
"""

import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.cli.common import Flag, ModelOptions, print_json, read_text, wide_console
from gpt2.cli.console import progress
from gpt2.cli.hints import tell_backslashes, tell_file, tell_same, tell_space_at_the_end
from gpt2.cli.terminal import beneath

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint
    from gpt2.inference.generate import Completion
    from gpt2.inference.sampling import Sampling
    from gpt2.text.tokenizer import Tokenizer

T = TypeVar("T")
OFF = "(default: off)"


@dataclass(kw_only=True)
class SamplingOptions(ModelOptions):
    """The options that say how a text is continued, of `gpt2 generate` and `gpt2 chat`."""

    max_tokens: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 200)")] = None
    """The most tokens that are added."""
    repetition_penalty: Annotated[float | None, tyro.conf.arg(metavar="X", help_behavior_hint="(default: 1, off)")] = (
        None
    )
    """Above 1, tokens that are in the text already become less likely."""
    presence_penalty: Annotated[float | None, tyro.conf.arg(metavar="X", help_behavior_hint="(default: 0, off)")] = None
    """From -2 to 2: above 0, tokens that were added already become less likely."""
    frequency_penalty: Annotated[float | None, tyro.conf.arg(metavar="X", help_behavior_hint="(default: 0, off)")] = (
        None
    )
    """From -2 to 2: the same, the more often a token was added the stronger."""
    no_repeat_ngram_size: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 0, off)")] = (
        None
    )
    """No N tokens in a row that are in the text already come again."""
    temperature: Annotated[float | None, tyro.conf.arg(metavar="X", help_behavior_hint="(default: 0.8)")] = None
    """Below 1 the text is safer, above 1 wilder; 0 always takes the likeliest token."""
    top_k: Annotated[int | None, tyro.conf.arg(metavar="K", help_behavior_hint=OFF)] = None
    """Choose among the K likeliest tokens only; 0: among all."""
    top_p: Annotated[float | None, tyro.conf.arg(metavar="P", help_behavior_hint="(default: 0.95; 1 is off)")] = None
    """Choose among the likeliest tokens that together reach probability P."""
    min_p: Annotated[float | None, tyro.conf.arg(metavar="P", help_behavior_hint="(default: 0, off)")] = None
    """Choose among tokens that are at least P times as likely as the likeliest."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Number that decides the random choices: another seed gives another text."""
    stop: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="TEXT")] = ()
    """End before this text appears. A new line is typed $'\\n'."""
    own_defaults: Flag = False
    """Take the defaults that this help shows, whatever the model's generation_config.json says."""

    def typed(self) -> dict[str, Any]:
        """The fields of `Sampling` that were typed. UsageError for a wrong one, before the model is loaded."""
        if "" in self.stop:
            raise UsageError("--stop is empty: give a text of at least one character.")
        tell_backslashes(self.stop)
        from gpt2.inference.sampling import Sampling

        given = {field.name: getattr(self, field.name, None) for field in fields(Sampling)}
        typed = {name: value for name, value in given.items() if value not in (None, ())}
        if self.top_k == 0:
            typed["top_k"] = None
        Sampling(**typed)
        return typed

    def sampling(self, checkpoint: "Checkpoint", typed: dict[str, Any]) -> "Sampling":
        """What the model's files say, under what was typed; a refusal says how to leave the files aside."""
        from gpt2.inference.defaults import sampling_for
        from gpt2.inference.sampling import Sampling

        if self.own_defaults:
            return Sampling(**typed)
        try:
            return sampling_for(checkpoint.model, **typed)
        except UsageError:
            raise
        except ValueError as error:
            raise ValueError(f"{str(error).rstrip('.')}; --own-defaults leaves the file aside.") from None


@dataclass
class Command(SamplingOptions):
    """Continue a text.

    The same options give the same text: take another --seed for another text. The options from
    --repetition-penalty to --min-p apply in this order. The model sees the text's own tokens,
    with no <|endoftext|> before them.

    The defaults below hold where the model's generation_config.json says nothing else: its limits,
    stop strings, repetition_penalty and no_repeat_ngram_size count, and its temperature, top_k,
    top_p and min_p if it says do_sample: true. Where there is no such file, its fields in
    config.json count. An option always wins, and --own-defaults leaves the files aside, but for the
    tokens at which a text ends.

    examples:
      gpt2 generate "Once upon a time" --temperature 0.6 --seed 3
      gpt2 generate "<|endoftext|>" --allow-special
      gpt2 generate "Q: What is red?" --stop $'\\n'
      gpt2 generate --truncate left < long.txt
    """

    text: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TEXT]", help_behavior_hint="")] = None
    """The text to continue, in quotes; `-` or none: standard input."""
    allow_special: Flag = False
    """Read <|endoftext|> in the text as the special token; otherwise it is ordinary text."""
    n: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 1)")] = None
    """How many continuations to write."""
    ignore_eos: Flag = False
    """Go on past a token that ends a text, up to --max-tokens; the text then shows that token."""
    slide: Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: --slide)")] = True
    """When the context is full, go on from its last half; with --no-slide, stop."""
    truncate: Annotated[str | None, tyro.conf.arg(metavar="left", help_behavior_hint="(default: refuse it)")] = None
    """Read only the last tokens of a text that is longer than the context, with room for --max-tokens."""
    logprobs: Annotated[int | None, tyro.conf.arg(metavar="K", help_behavior_hint=OFF)] = None
    """Show the log probability of each token and of the K likeliest, before any of the options above."""
    json: Flag = False
    """Print one JSON document at the end instead of the text as it comes."""

    def run(self) -> None:
        """Generate and print."""
        text = read_text(self.text)
        typed = self.typed()

        from gpt2.inference.generate import ends_of
        from gpt2.inference.prompts import encode_prompts
        from gpt2.text.ids import encode_told

        checkpoint = self.load()
        sampling = self.sampling(checkpoint, typed)
        context = checkpoint.model.config.n_positions
        whole = encode_told(checkpoint.tokenizer, text, self.allow_special)
        (ids,) = encode_prompts(checkpoint.tokenizer, [whole], checkpoint.model.config, sampling)
        tell_space_at_the_end(checkpoint.tokenizer, text)
        tell_file(text)
        tell_same(sampling.temperature, sampling.n)
        ends_of(checkpoint.model, checkpoint.tokenizer)  # what it has to say comes before the text
        notes: list[str] = []

        def on_slide() -> None:
            notes.append(f"the context of {context} tokens was full: the text went on from its last half.")

        if self.json:
            found = [as_json(c) for c in completions(checkpoint, ids, sampling, on_slide)]
            print_json({"model": checkpoint.name, "prompt_ids": ids, "completions": found})
        else:
            show(checkpoint, text, ids, sampling, on_slide)
        for note in notes:
            print(f"gpt2: {note}", file=sys.stderr)


def completions(
    checkpoint: "Checkpoint", ids: list[int], sampling: "Sampling", on_slide: Callable[[], None]
) -> "list[Completion]":
    """All continuations at their end, with a bar until then."""
    from gpt2.inference.generate import stream

    done: dict[int, Completion] = {}
    with progress("generating") as tell:
        pieces = stream(checkpoint.model, checkpoint.tokenizer, [ids], sampling, on_slide=on_slide)
        for n, piece in enumerate(pieces, start=1):
            tell(n, sampling.n * sampling.max_tokens)
            if piece.completion is not None:
                done[piece.sample] = piece.completion
    return [done[sample] for sample in range(sampling.n)]


def as_json(completion: "Completion") -> dict[str, Any]:
    """A completion as the JSON output has it."""
    logprobs = None
    if completion.logprobs is not None:
        logprobs = [
            {"id": t.id, "logprob": t.logprob, "top": [{"id": i, "logprob": p} for i, p in t.top]}
            for t in completion.logprobs
        ]
    return {
        "text": completion.text,
        "ids": completion.ids,
        "finish_reason": completion.finish_reason,
        "logprobs": logprobs,
    }


def show(
    checkpoint: "Checkpoint", prompt: str, ids: list[int], sampling: "Sampling", on_slide: Callable[[], None]
) -> None:
    """Print the prompt and its continuations: the first as it comes; the others, computed with it, after."""
    from gpt2.inference.generate import stream

    start = time.perf_counter()
    pieces = begun(stream(checkpoint.model, checkpoint.tokenizer, [ids], sampling, on_slide=on_slide))
    held: list[list[str]] = [[] for _ in range(sampling.n)]
    done: dict[int, Completion] = {}
    current, tokens = 0, 0
    open_sample(prompt, current, sampling.n)
    for piece in pieces:
        tokens += 1
        held[piece.sample].append(piece.text)
        if piece.completion is not None:
            done[piece.sample] = piece.completion
        write("".join(held[current]))
        held[current].clear()
        while current in done:
            write("\n")
            if sampling.logprobs is not None:
                show_logprobs(checkpoint.tokenizer, done[current])
            current += 1
            if current < sampling.n:
                open_sample(prompt, current, sampling.n)
                write("".join(held[current]))
                held[current].clear()
    if sys.stderr.isatty():
        rate = tokens / (time.perf_counter() - start)
        print(f"{counted(tokens, 'token')}, {rate:.1f} tokens/s", file=sys.stderr)


def begun(pieces: "Iterator[T]") -> "Iterator[T]":
    """The pieces of an answer, the first computed already: a long text is read before it, with a sign of that."""
    with progress("reading the text"):
        first = list(islice(pieces, 1))
    return chain(first, pieces)


def write(text: str) -> None:
    """Print at once; terminal.py makes visible what would steer a terminal."""
    sys.stdout.write(text)
    sys.stdout.flush()


def open_sample(prompt: str, sample: int, n: int) -> None:
    """Print what stands before a continuation: its number where there are several, and the prompt."""
    if n > 1:
        write(("\n" if sample else "") + f"[{sample + 1} of {n}]\n")
    bold = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    beneath(sys.stdout).write("\x1b[1m" if bold else "")
    write(prompt)
    beneath(sys.stdout).write("\x1b[0m" if bold else "")


def show_logprobs(tokenizer: "Tokenizer", completion: "Completion") -> None:
    """Print a table of each token's log probability and its likeliest alternatives."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    name = tokenizer.label

    out = wide_console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("token", no_wrap=True)
    table.add_column("logprob", justify="right", no_wrap=True)
    table.add_column("likeliest")
    entries = completion.logprobs or []
    room = max(20, out.width - max([5, *(cell_len(name(entry.id)) for entry in entries)]) - len("logprob") - 4)
    for entry in entries:
        pairs = "  ".join(f"{name(i)}\0{p:.3f}" for i, p in entry.top)  # a line never ends within a pair
        likeliest = textwrap.fill(pairs, room, break_on_hyphens=False).replace("\0", " ")
        table.add_row(Text(name(entry.id), style="bold"), f"{entry.logprob:.3f}", Text(likeliest))
    out.print(table)
