"""Documents to token ids, on several processes: the same ids in the same order whatever their number.

In: files of documents and a tokenizer. Out: for every batch of about a megabyte of text its ids, with
`<|endoftext|>` after each document. `gpt2/data/prepare.py` writes them down. Files are read once, by one process,
and only a few batches are held at a time, so that memory does not grow with the files.
"""

import itertools
import os
from array import array
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from gpt2.data.documents import Piece, pieces
from gpt2.data.files import Source
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
    """

    start: Place
    pieces: list[tuple[int, str, bool]]
    read: int


@dataclass(frozen=True)
class Encoded:
    """What a batch becomes.

    Attributes:
        ids: uint16 [n], `<|endoftext|>` after each document.
        starts: uint64 [documents], where in `ids` one begins.
        documents: for each file in the batch, the documents that end in it.
        sizes: for each file in the batch, its bytes of UTF-8.
    """

    ids: np.ndarray
    starts: np.ndarray
    documents: dict[int, int]
    sizes: dict[int, int]


def batches(sources: Sequence[Source], field: str, may_cut: bool, start: Place) -> Iterator[Batch]:
    """The text of the files from a place on; unless `may_cut`, in whole documents."""
    before = [0, *itertools.accumulate(source.path.stat().st_size for source in sources)]
    texts: list[tuple[int, str, bool]] = []
    size = read = 0
    for number in range(start.source, len(sources)):

        def note(position: int, number: int = number) -> None:
            nonlocal read
            read = before[number] + position

        stream = pieces(sources[number].path, field, note)
        skipped = start.pieces if number == start.source else 0
        for count, (text, ends) in enumerate(stream if may_cut else _whole(stream), start=1):
            if count > skipped:
                texts.append((number, text, ends))
            size += len(text) + PIECE_OVERHEAD
            if size >= BATCH_CHARACTERS:  # without texts while text is skipped: what is read shows all the same
                yield Batch(start, texts, read)
                start = Place(number, count, not ends) if texts else start
                texts, size = [], 0
    if texts:
        yield Batch(start, texts, before[-1])


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
    for source, text, ends in batch.pieces:
        if not inside:
            starts.append(len(ids))
        ids.fromlist(tokenizer.encode(text))
        if ends:
            ids.append(tokenizer.eot_id or 0)
        inside = not ends
        documents[source] = documents.get(source, 0) + ends
        sizes[source] = sizes.get(source, 0) + len(well_formed(text).encode())
    return Encoded(np.frombuffer(ids, np.uint16), np.array(starts, "<u8"), documents, sizes)


def encode_all(
    stream: Iterable[Batch], tokenizer: Tokenizer, processes: int | None = None
) -> Generator[tuple[Batch, Encoded], None, None]:
    """Each batch of a stream with its ids, in order, computed by `processes` (as many as there are cores when None).

    This process is one of them: it encodes whenever the others have enough to do, so from the first moment on.
    """
    from gpt2.data.workers import Workers

    stream = iter(stream)
    head = list(itertools.islice(stream, 2))
    others = (processes or cores()) - 1 if len(head) == 2 else 0
    waiting: deque[tuple[Batch, Future[Encoded]]] = deque()  # in order, and never many
    with Workers(tokenizer, others) as workers:
        for batch in itertools.chain(head, stream):
            if sum(not answer.done() for _, answer in waiting) < 2 * others:
                answer = workers.submit(batch)
            else:
                answer = Future()
                answer.set_result(encode(tokenizer, batch))
            waiting.append((batch, answer))
            while waiting and (waiting[0][1].done() or len(waiting) > 4 * others + 4):
                batch, answer = waiting.popleft()
                yield batch, answer.result()
        for batch, answer in waiting:
            yield batch, answer.result()


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
