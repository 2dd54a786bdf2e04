"""Processes that encode text, fed by the one that reads it: the same ids in the same order whatever their number.

In: batches of text. Out: their ids. Only a few batches are held at a time, so that memory does not grow with the files.
Read next: prepare.py.

Each process is a fresh Python that reads batches from its standard input and writes ids to its standard output;
a thread of the parent waits for it. A fork would copy locks and threads in any state; `multiprocessing` would run a
user's script again in each process, and its processes live on when the parent is killed. These end with their input.
"""

import itertools
import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gpt2
from gpt2.base.cores import cores
from gpt2.base.errors import Failure
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


class Workers:
    """Up to `n` processes that encode with `tokenizer`; each starts when there is work for it. For a `with` block."""

    def __init__(self, tokenizer: Tokenizer, n: int) -> None:
        self._tokenizer = pickle.dumps(tokenizer) if n else b""
        self._threads = ThreadPoolExecutor(max(n, 1))
        self._of_thread = threading.local()
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exc: object) -> None:
        """End the processes, whatever they are doing."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.kill()
        self._threads.shutdown()
        for child in self._children:
            child.communicate()

    def submit(self, batch: Batch) -> "Future[Encoded]":
        """Have a batch encoded; the future raises ValueError when its process is killed."""
        return self._threads.submit(self._encode, batch)

    def _encode(self, batch: Batch) -> Encoded:
        try:
            child = getattr(self._of_thread, "child", None) or self._start()
            pickle.dump(batch, child.stdin)
            child.stdin.flush()
            answer = pickle.load(child.stdout)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            what = "a process that encodes has ended, perhaps for lack of memory"
            raise Failure(what, "try again with fewer {processes}.", processes=None) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _start(self) -> Any:
        code = "from gpt2.data.workers import serve; serve()"
        where = str(Path(gpt2.__file__).parents[1])  # the same package as here, wherever Python would look for one
        paths = os.pathsep.join(filter(None, [where, os.environ.get("PYTHONPATH")]))
        child: Any = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths, "TOKENIZERS_PARALLELISM": "false"},
            start_new_session=True,  # Ctrl-C is for the parent
        )
        self._children.append(child)
        self._of_thread.child = child
        child.stdin.write(self._tokenizer)
        return child


def serve() -> None:
    """A process's whole life: a tokenizer, then batches, until its input ends."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    try:
        tokenizer = pickle.load(source)
        while True:
            batch = pickle.load(source)
            try:
                answer: Encoded | Exception = encode(tokenizer, batch)
            except Exception as error:
                answer = error
            pickle.dump(answer, target)
            target.flush()
    except (EOFError, BrokenPipeError, pickle.UnpicklingError):  # the parent was killed, perhaps while it wrote
        os._exit(0)  # without flushing what nobody reads
