"""`gpt2 prepare`: text files to token shards, and whether such shards are still as they were written."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.cli.common import Flag, print_json
from gpt2.cli.console import progress
from gpt2.cli.terminal import Ended, outlasting

if TYPE_CHECKING:
    from gpt2.data.files import Source
    from gpt2.text.tokenizer import Tokenizer

CHARACTERS = "char chars character characters char-level byte byte-level utf-8 utf8 ascii none".split()
"""What people call a tokenizer of single characters or bytes."""


@dataclass
class Command:
    """Turn text files into token shards for training.

    A .txt or .md file holds one document, or several with a line <|endoftext|> between them. Each line of a .jsonl
    file (.ndjson), each item of a list in a .json file and each row of a .csv, .tsv or .parquet file has one
    document in its field "text". All but .parquet may be compressed (.gz, .zst). A directory stands for all such
    files in it and below it.

    What comes out is a directory with the shards, the tokenizer and a manifest. A run that was cut short goes on with
    the same command.

    examples:
      gpt2 prepare train.txt.gz --vocab-size 8192 --out data/train
      gpt2 prepare books/ more.jsonl.zst --tokenizer gpt2 --out data/books
      gpt2 prepare --verify data/train
    """

    files: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE|DIR ...", help_behavior_hint="")
    ]
    """Files of text: .txt, .md, .jsonl, .json, .csv, .tsv (also .gz, .zst), .parquet; or directories of them."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(required)")] = None
    """The directory to write."""
    tokenizer: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None
    """A model or directory whose tokenizer to use, or "bytes" (default: storyteller)."""
    vocab_size: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Train a new byte-level BPE with N entries on these files instead."""
    field: Annotated[str, tyro.conf.arg(metavar="NAME", aliases=("--column",))] = "text"
    """The field of a row, or the column, that holds the text."""
    allow_special: Flag = False
    """Read a special token that the text spells, such as <|endoftext|>, as the token; else it is ordinary text."""
    split_inline: Flag = False
    """End a document at every <|endoftext|>, also within a line."""
    shard_tokens: Annotated[int, tyro.conf.arg(metavar="N")] = 100_000_000
    """Tokens per shard."""
    processes: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Processes that encode (default: one per core)."""
    overwrite: Flag = False
    """Replace the data set in --out."""
    verify: Flag = False
    """Read prepared data sets instead, and say what is not as it was written."""
    json: Flag = False
    """Print the manifest as JSON."""

    SPELLED: ClassVar[dict[str, str]] = {"model": "--tokenizer"}  # a model is named for its tokenizer alone

    @outlasting()
    def run(self) -> None:
        """Check what can be checked, then train the tokenizer if asked to, then encode."""
        if self.verify:
            self._verify()
            return
        from gpt2.data.files import sources
        from gpt2.data.prepare import check_numbers, check_out, is_complete, prepare
        from gpt2.data.unfinished import kept

        if self.out is None:
            raise UsageError("--out is missing: name the directory to write, for example --out data/train.")
        check_numbers(self.shard_tokens, self.processes)
        texts, _ = sources(self.files)
        check_out(self.out, [text.path for text in texts], self.overwrite)
        tokenizer = self._tokenizer(texts)
        try:
            with _bar("encoding", _size(texts)) as update:
                manifest = prepare(
                    self.files,
                    self.out,
                    tokenizer,
                    field=self.field,
                    allow_special=self.allow_special,
                    split_inline=self.split_inline,
                    shard_tokens=self.shard_tokens,
                    processes=self.processes,
                    overwrite=self.overwrite,
                    progress=update,
                    tell=lambda note: print(f"gpt2: {note}", file=sys.stderr),
                )
        except BaseException as error:
            if n := kept(self.out):
                kept_ones = f"{n} complete shard{'s are' if n > 1 else ' is'} kept"
                said = f"{kept_ones}: the same command goes on from there."
                if isinstance(error, KeyboardInterrupt | Ended):
                    error.add_note(said)
                else:
                    print(f"gpt2: {said}", file=sys.stderr)
            elif isinstance(error, KeyboardInterrupt | Ended) and not self.overwrite and is_complete(self.out):
                error.add_note(f"{self.out} is a complete data set: nothing is left to do.")
            raise
        if self.json:
            print_json(manifest)
            return
        tokens, size = manifest["tokens"], manifest["bytes"]
        print(f"{self.out}: {counted(manifest['documents'], 'document')}, {counted(size, 'byte')} of text")
        print(f"{counted(tokens, 'token')}, {size / tokens:.2f} bytes per token, vocabulary {manifest['vocab_size']:,}")

    def _tokenizer(self, texts: "list[Source]") -> "Tokenizer":
        from gpt2.cli.tokenize import load_tokenizer
        from gpt2.data.prepare import check_tokenizer, train_tokenizer
        from gpt2.data.shards import MAX_VOCABULARY
        from gpt2.text.tokenizer import Tokenizer

        if self.vocab_size is None:
            name = self.tokenizer or "storyteller"
            if name.lower() in CHARACTERS and not Path(name).exists():
                raise UsageError(
                    f"--tokenizer is {name!r}: write --tokenizer bytes, which makes a token of each byte, as each "
                    "letter of an English text is one."
                )
            tokenizer = Tokenizer.bytes() if name == "bytes" else load_tokenizer(name, self.tokenizer)
            check_tokenizer(tokenizer)
            return tokenizer
        if self.tokenizer is not None:
            raise UsageError("--tokenizer and --vocab-size exclude each other: give one of them.")
        if not 257 <= self.vocab_size <= MAX_VOCABULARY:
            raise UsageError(f"--vocab-size {self.vocab_size} is out of range: give 257 to {MAX_VOCABULARY:,}.")
        with _bar("learning", _size(texts)) as update:
            tokenizer = train_tokenizer(
                self.files, self.vocab_size, self.field, update, self.allow_special, self.split_inline
            )
        if tokenizer.vocab_size < self.vocab_size:
            print(
                f"gpt2: the text has no more pairs to merge, so the vocabulary has {tokenizer.vocab_size:,} entries",
                file=sys.stderr,
            )
        return tokenizer

    def _verify(self) -> None:
        """Report every file that differs; ValueError when one does."""
        from gpt2.data.shards import DTYPE, damage, read_manifest

        if not self.files:
            raise UsageError("no data set: name a directory that gpt2 prepare wrote.")
        found = {}
        for directory in self.files:
            manifest = read_manifest(directory)
            with _bar("reading", manifest["tokens"] * DTYPE.itemsize) as update:
                found[str(directory)] = list(damage(directory, lambda done: update(done, done)))
        if self.json:
            print_json(found)
        for name, problems in [] if self.json else found.items():
            print("\n".join(problems) or f"{name}: every file is as it was written")
        if wrong := [name for name, problems in found.items() if problems]:
            raise ValueError(f"{', '.join(wrong)}: not as it was written.")


def _size(texts: "list[Source]") -> int:
    return sum(text.path.stat().st_size for text in texts)


@contextmanager
def _bar(verb: str, size: int) -> Iterator[Callable[[int, int], None]]:
    """Progress by the share of the files that is read, with MB of text per second."""
    began = time.monotonic()
    with progress(verb) as tell:
        yield lambda read, text: tell(read, size, f"{text / 1e6 / max(time.monotonic() - began, 1e-3):.1f} MB/s")
