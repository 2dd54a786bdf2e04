"""`gpt2 prepare`: text files to token shards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gpt2.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Command:
    """Turn text files into token shards for training.

    A .txt or .txt.gz file holds one document, or several with a line <|endoftext|> between them. Each line of
    a .jsonl file is an object with one document in its field "text". What comes out is a directory with the
    shards, the tokenizer and a manifest.

    example: gpt2 prepare train.txt.gz --vocab-size 8192 --out data/train
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE ...", help_behavior_hint="")]
    """Text files: .txt, .txt.gz, .jsonl."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The directory to write."""
    tokenizer: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None
    """A model or directory whose tokenizer to use, or "bytes" (default: storyteller)."""
    vocab_size: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Instead: train a new byte-level BPE with N entries on these files."""
    field: Annotated[str, tyro.conf.arg(metavar="NAME")] = "text"
    """The field of a .jsonl line that holds the text."""
    shard_tokens: Annotated[int, tyro.conf.arg(metavar="N")] = 100_000_000
    """Tokens in a shard."""
    jobs: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Threads that encode (default: one a core)."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the data set in --out."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print the manifest as JSON."""

    def run(self) -> None:
        """Check what can be checked, then train the tokenizer if asked to, then encode."""
        from gpt2.cli.common import print_json
        from gpt2.cli.tokenize import load_tokenizer
        from gpt2.data.documents import check
        from gpt2.data.prepare import check_out, check_tokenizer, prepare, train_tokenizer
        from gpt2.data.shards import MAX_VOCABULARY
        from gpt2.tokenizer import Tokenizer

        paths = [check(path) for path in self.files]
        check_out(self.out, paths, self.overwrite)
        size = sum(path.stat().st_size for path in paths)
        if self.vocab_size is None:
            name = self.tokenizer or "storyteller"
            tokenizer = Tokenizer.bytes() if name == "bytes" else load_tokenizer(name)
        elif self.tokenizer is not None:
            raise UsageError("--tokenizer and --vocab-size exclude each other: give one of them.")
        elif self.vocab_size > MAX_VOCABULARY:
            raise UsageError(f"--vocab-size {self.vocab_size} is too large: give at most {MAX_VOCABULARY:,}.")
        else:
            with _progress("learning", size) as progress:
                tokenizer = train_tokenizer(paths, self.vocab_size, self.field, progress)
        check_tokenizer(tokenizer)
        with _progress("encoding", size) as progress:
            manifest = prepare(
                paths,
                self.out,
                tokenizer,
                field=self.field,
                shard_tokens=self.shard_tokens,
                jobs=self.jobs,
                overwrite=self.overwrite,
                progress=progress,
            )
        if self.json:
            print_json(manifest)
            return
        tokens, size = manifest["tokens"], manifest["bytes"]
        print(f"{self.out}: {manifest['documents']:,} documents, {size:,} bytes of text")
        print(f"{tokens:,} tokens, {size / tokens:.2f} bytes per token, vocabulary {manifest['vocab_size']:,}")


@contextmanager
def _progress(verb: str, size: int) -> "Iterator[Callable[[int], None]]":
    """A bar on standard error: share of the files read, MB/s, time left. Nothing when that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(verb), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(verb, total=size)
        yield lambda done: bar.update(task, completed=done)
