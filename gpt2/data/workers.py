"""Processes that encode text, fed by the one that reads it: the same ids in the same order whatever their number.

In: batches of text. Out: their ids. Only a few batches are held at a time, so that memory does not grow with the files.
Read next: prepare.py; base/processes.py, which starts and ends the processes.
"""

import itertools
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from functools import partial

from gpt2.base.cores import cores
from gpt2.base.errors import Failure
from gpt2.base.processes import Processes
from gpt2.data.encode import Batch, Encoded, encode
from gpt2.text.tokenizer import Tokenizer


def encode_all(
    stream: Iterable[Batch], tokenizer: Tokenizer, processes: int | None = None
) -> Generator[tuple[Batch, Encoded], None, None]:
    """Each batch of a stream with its ids, in order, computed by `processes` (as many as there are cores when None).

    This process is one of them: it encodes whenever the others have enough to do, so from the first moment on.
    """
    stream = iter(stream)
    head = list(itertools.islice(stream, 2))
    others = (processes or cores()) - 1 if len(head) == 2 else 0
    waiting: deque[tuple[Batch, Future[Encoded]]] = deque()  # in order, and never many
    with encoders(tokenizer, others) as workers:
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


def encoders(tokenizer: Tokenizer, n: int) -> Processes:
    """Up to `n` processes that encode batches with `tokenizer`."""
    what = "a process that encodes has ended, perhaps for lack of memory"
    lost = Failure(what, "try again with fewer {processes}.", processes=None)
    return Processes(partial(encode, tokenizer), n, lost, {"TOKENIZERS_PARALLELISM": "false"})
