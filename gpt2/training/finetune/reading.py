"""What a fine-tune learns from: a user's files to examples, and the part of them that is held out.

In: files of text, of prompts and completions, or of conversations. Out: `Read`: the examples to train on and to
validate on. Read next: finetune.py.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gpt2.base.errors import Failure, UsageError
from gpt2.data.completions import CALLED, Kind, completions, kind_of_rows
from gpt2.data.conversations import conversations
from gpt2.data.documents import pieces
from gpt2.data.examples import Example, Examples, cut, draw, windows
from gpt2.data.files import tell_empty
from gpt2.data.meant import tell_unread
from gpt2.text.chat import Chat
from gpt2.text.spelled import Spelled, tell_spelled
from gpt2.text.tokenizer import Tokenizer

HELD_OUT = 0.1  # share of the tokens that validate
MOST_HELD_OUT = 32_768  # tokens
FEWEST_TOKENS = 32
LONGER = "shorten them, or use a model with a longer context."


@dataclass(frozen=True)
class Read:
    """kind     what the files hold
    cut      examples that ran past the context
    chat     what conversations were encoded with
    skipped  rows that were left out, since their answers would begin past the context
    """

    train: Examples
    val: Examples
    kind: Kind
    cut: int = 0
    chat: Chat | None = None
    skipped: int = 0


@dataclass(frozen=True)
class Reader:
    """How files are read; what follows the `context` is as in `Settings` (settings.py).

    called  what notes name the data; empty: its files
    """

    tokenizer: Tokenizer
    context: int
    field: str = "text"
    allow_special: bool = False
    split_inline: bool = False
    seed: int = 0
    skip_long: bool = False
    called: str = ""

    def read(self, paths: Sequence[Path], val_paths: Sequence[Path]) -> Read:
        """The examples of `paths`; validated is on those of `val_paths`, or on a tenth that is held out.

        Raises UsageError for files of two kinds, ValueError for what they do not hold as they should, and for too few.
        """
        kind = kind_of_files([*paths, *val_paths], self.field)
        called = self.called or ", ".join(map(str, paths[:3]))
        spelled: Counter[str] = Counter()
        chat = Chat(self.tokenizer, allow_special=self.allow_special) if kind == "conversations" else None
        if kind == "text":
            read = Read(*self._texts(paths, val_paths, spelled), kind)
        else:
            skipped: list[str] = []
            unread: Counter[str] = Counter()
            train, val = (self._rows(some, chat, spelled, skipped, unread) for some in (paths, val_paths))
            tell_unread(called, unread)
            read = replace(self._held_out(train, val, paths, val_paths, kind, chat), skipped=len(skipped))
        tell_spelled(spelled, called, split=kind == "text" and not self.split_inline)
        return read

    def _texts(
        self, paths: Sequence[Path], val_paths: Sequence[Path], spelled: Counter[str]
    ) -> tuple[Examples, Examples]:
        texts = self._encoded(paths, spelled)
        size = sum(map(len, texts))
        if size < FEWEST_TOKENS:
            raise ValueError(f"{paths[0]} has {size} tokens, too few to learn from: give at least {FEWEST_TOKENS}.")
        if val_paths:
            val = np.concatenate(self._encoded(val_paths, spelled))[: MOST_HELD_OUT + 1]
            train = np.concatenate(texts)
        else:
            limit = min(MOST_HELD_OUT, round(HELD_OUT * size))
            if len(texts) < 10:
                ids = np.concatenate(texts)
                train, val = ids[:-limit], ids[-limit - 1 :]  # the token before is read, not predicted
            else:
                aside = draw([len(text) for text in texts], limit, self.seed)
                train = np.concatenate([text for number, text in enumerate(texts) if number not in aside])
                val = np.concatenate([texts[number] for number in sorted(aside)])
        return windows(train, self.context), windows(val, self.context)

    def _encoded(self, paths: Sequence[Path], spelled: Counter[str]) -> list[np.ndarray]:
        """The ids of every document, `<|endoftext|>` after each: int32 [n] each."""
        counter, found, empty = Spelled(self.tokenizer), [], []
        for path in paths:
            texts = list(_whole(pieces(path, self.field, split_inline=self.split_inline)))
            if not texts:
                empty.append(str(path))
            if not self.allow_special:
                spelled.update(sum(map(counter.count, texts), Counter()))
            rows = self.tokenizer.encode_batch(texts, self.allow_special)
            found += [np.array([*ids, self.tokenizer.eot_id], dtype=np.int32) for ids in rows]
        if not found:
            raise ValueError(f"{paths[0]} holds no document: it is empty.")
        tell_empty(empty)
        return found

    def _rows(
        self,
        paths: Sequence[Path],
        chat: Chat | None,
        spelled: Counter[str],
        skipped: list[str],
        unread: Counter[str],
    ) -> list[Example]:
        found: list[Example] = []
        empty = []
        long, others = skipped if self.skip_long else None, len(skipped)
        for path in paths:
            before = len(found) + len(skipped)
            try:
                found += self._examples(path, chat, spelled, long, unread)
            except Failure as error:
                if "skip_long" in error.named:
                    self._count_long(error, path, chat)
                raise
            if len(found) + len(skipped) == before:
                empty.append(str(path))
        if len(skipped) > others and not found:
            what = f"the answer of every row begins past the context of {self.context:,} tokens"
            raise ValueError(f"{what}: {LONGER}")
        if paths and not found:
            raise ValueError(f"{paths[0]} holds no row: it is empty.")
        tell_empty(empty)
        return found

    def _examples(
        self,
        path: Path,
        chat: Chat | None,
        spelled: Counter[str] | None,
        skipped: list[str] | None,
        unread: Counter[str] | None,
    ) -> Iterable[Example]:
        if chat is not None:
            return conversations(path, chat, self.context, spelled, skipped, unread)
        return completions(path, self.tokenizer, self.context, self.allow_special, spelled, skipped, unread)

    def _count_long(self, error: Failure, path: Path, chat: Chat | None) -> None:
        """Add to the error about a row that is too long how many of the file are. ValueError for another bad row."""
        long: list[str] = []
        fit = sum(1 for _ in self._examples(path, chat, None, long, None))
        if not fit:
            error.problem += f", and all {len(long):,} rows are so long" if len(long) > 1 else ""
            error.mend = LONGER
        elif len(long) > 1:
            error.problem += f", and {len(long):,} of the {fit + len(long):,} rows are so long"

    def _held_out(
        self,
        train: list[Example],
        val: list[Example],
        paths: Sequence[Path],
        val_paths: Sequence[Path],
        kind: Kind,
        chat: Chat | None,
    ) -> Read:
        past = sum(len(example.ids) > self.context + 1 for example in (*train, *val))
        train, val = ([cut(example, self.context) for example in some] for some in (train, val))
        if not val_paths:
            if len(train) < 2:
                what = f"{paths[0]} has one example, and none to validate on"
                raise Failure(what, "add some, or name a file of others with {val}.", val=None)
            sizes = [example.counted for example in train]
            aside = draw(sizes, min(MOST_HELD_OUT, round(HELD_OUT * sum(sizes))), self.seed)
            val = [train[number] for number in sorted(aside)]
            train = [example for number, example in enumerate(train) if number not in aside]
        return Read(Examples(train), Examples(val), kind, past, chat)


def kind_of_files(paths: Sequence[Path], field: str) -> Kind:
    """What they all hold. UsageError for two kinds."""
    first: tuple[Path, Kind] | None = None
    for path in paths:
        kind = kind_of_rows(path, field)
        if kind is None:
            continue
        first = first or (path, kind)
        if kind != first[1]:
            raise UsageError(
                f"{path} does not hold {CALLED[first[1]]}, as {first[0]} does: fine-tune on one kind at a time."
            )
    return first[1] if first else "text"


def _whole(parts: Iterable[tuple[str, bool]]) -> Iterable[str]:
    """Documents of their pieces."""
    held: list[str] = []
    for text, ends in parts:
        held.append(text)
        if ends:
            yield "".join(held)
            held = []
