"""Documents to token ids: batches of text, and what a batch becomes.

In: files of documents and a tokenizer. Out: for every batch of about a megabyte of text its ids, with
`<|endoftext|>` after each document. Files are read once. Read next: workers.py, which has batches encoded by several
processes; prepare.py, which writes the ids down.
"""

import itertools
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gpt2.data.documents import Piece, pieces
from gpt2.data.files import Source
from gpt2.text.spelled import Spelled
from gpt2.text.tokenizer import Tokenizer, well_formed

BATCH_CHARACTERS = 1 << 20
PIECE_OVERHEAD = 64
"""Characters that a piece counts for beside its own: a million empty lines fill a batch too."""


@dataclass(frozen=True)
class Place:
    """Where in the files a batch begins: file, pieces of it that lie before, whether a document goes on there."""

    source: int = 0
    pieces: int = 0
    inside: bool = False


@dataclass(frozen=True)
class Batch:
    """Text to encode: (number of the file, text, whether the document ends with it), in order.

    Attributes:
        start: where its first piece stands.
        read: how many bytes of all files are read when the batch is.
        allow_special: whether a special token that the text spells is the token.
    """

    start: Place
    pieces: list[tuple[int, str, bool]]
    read: int
    allow_special: bool = False


@dataclass(frozen=True)
class Encoded:
    """What a batch becomes.

    Attributes:
        ids: uint16 [n], `<|endoftext|>` after each document.
        starts: uint64 [documents], where in `ids` one begins.
        documents: for each file in the batch, the documents that end in it.
        sizes: for each file in the batch, its bytes of UTF-8.
        spelled: how often each special token stands in the text and was read as ordinary text.
    """

    ids: np.ndarray
    starts: np.ndarray
    documents: dict[int, int]
    sizes: dict[int, int]
    spelled: dict[str, int]


def batches(
    sources: Sequence[Source],
    field: str,
    may_cut: bool,
    start: Place,
    allow_special: bool = False,
    split_inline: bool = False,
) -> Iterator[Batch]:
    """The text of the files from a place on; unless `may_cut`, in whole documents."""
    before = [0, *itertools.accumulate(source.path.stat().st_size for source in sources)]
    texts: list[tuple[int, str, bool]] = []
    size = read = 0
    for number in range(start.source, len(sources)):

        def note(position: int, number: int = number) -> None:
            nonlocal read
            read = before[number] + position

        stream = pieces(sources[number].path, field, note, split_inline)
        skipped = start.pieces if number == start.source else 0
        for count, (text, ends) in enumerate(stream if may_cut else _whole(stream), start=1):
            if count > skipped:
                texts.append((number, text, ends))
            size += len(text) + PIECE_OVERHEAD
            if size >= BATCH_CHARACTERS:  # without texts while text is skipped: what is read shows all the same
                yield Batch(start, texts, read, allow_special)
                start = Place(number, count, not ends) if texts else start
                texts, size = [], 0
    if texts:
        yield Batch(start, texts, before[-1], allow_special)


def _whole(stream: Iterable[Piece]) -> Iterator[Piece]:
    """Documents instead of pieces, for a tokenizer that may not be cut anywhere."""
    parts: list[str] = []
    for text, ends in stream:
        parts.append(text)
        if ends:
            yield "".join(parts), True
            parts = []


def encode(tokenizer: Tokenizer, batch: Batch) -> Encoded:
    """Encode one batch; the tokenizer has an `<|endoftext|>` and ids below 65,536."""
    ids, starts = array("H"), []
    documents: dict[int, int] = {}
    sizes: dict[int, int] = {}
    inside = batch.start.inside
    spelled, counts = Spelled(tokenizer), Counter[str]()
    for source, text, ends in batch.pieces:
        if not inside:
            starts.append(len(ids))
        if not batch.allow_special:
            counts += spelled.count(text)
        ids.fromlist(tokenizer.encode(text, batch.allow_special))
        if ends:
            ids.append(tokenizer.eot_id or 0)
        inside = not ends
        documents[source] = documents.get(source, 0) + ends
        sizes[source] = sizes.get(source, 0) + len(well_formed(text).encode())
    return Encoded(np.frombuffer(ids, np.uint16), np.array(starts, "<u8"), documents, sizes, dict(counts))
