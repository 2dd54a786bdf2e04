"""Processes that work for this one and end with it, however it ends.

In: a function and what to give it. Out: futures of what it returns. Read next: ablation/conduct.py, which trains in
such processes.

Each process is a fresh Python that reads tasks from its standard input and writes answers to its standard output; a
thread of the parent waits for it. A fork would copy locks and threads in any state; `multiprocessing` would run a
user's script again in each process, and its processes live on when the parent is killed. These watch their input: when
it ends, because the parent closed it or died, they end at once, in the middle of a task too.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import gpt2
from gpt2.base.errors import Failure


class Processes:
    """Up to `n` processes that do one kind of work; each starts when there is work for it. For a `with` block.

    work          a function at the top level of a module, or a `functools.partial` of one
    lost          what is raised when a process is killed
    environment   variables that the processes have beside those of this one
    """

    def __init__(
        self, work: Callable[..., Any], n: int, lost: Failure, environment: Mapping[str, str] | None = None
    ) -> None:
        self._work = pickle.dumps(work) if n else b""
        self._lost, self._environment = lost, environment or {}
        self._threads = ThreadPoolExecutor(max(n, 1))
        self._of_thread = threading.local()
        self._starting, self._over = threading.Lock(), False
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *exc: object) -> None:
        """End the processes, whatever they are doing."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._starting:  # one that starts just now is among the children, or never starts
            self._over = True
        for child in self._children:
            child.kill()
        self._threads.shutdown()
        for child in self._children:
            child.communicate()

    def submit(self, *task: Any) -> "Future[Any]":
        """Have `work(*task)` computed; the future raises what it raises, and `lost` when its process is killed."""
        return self._threads.submit(self._ask, pickle.dumps(task))

    def _ask(self, task: bytes) -> Any:
        try:
            child = getattr(self._of_thread, "child", None) or self._start()
            _send(child.stdin, task)
            answer = pickle.loads(_receive(child.stdout))
        except (EOFError, OSError, ValueError):
            raise self._lost from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _start(self) -> Any:
        with self._starting:
            if self._over:
                raise EOFError
            child: Any = self._launch()
            self._children.append(child)
        self._of_thread.child = child
        _send(child.stdin, self._work)
        return child

    def _launch(self) -> "subprocess.Popen[bytes]":
        code = "from gpt2.base.processes import serve; serve()"
        here = str(Path(gpt2.__file__).parents[1])  # the same package as here, wherever Python would look for one
        paths = os.pathsep.join([here, *map(os.path.abspath, sys.path)])
        return subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths, **self._environment},
            start_new_session=True,  # Ctrl-C is for the parent
        )


def serve() -> None:
    """A process's whole life: what work it does, then tasks, until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the work prints must not stand among the answers
    parts: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_watch, args=(source, parts), daemon=True).start()
    work = pickle.loads(parts.get())
    while True:
        task = pickle.loads(parts.get())
        try:
            answer = work(*task)
        except Exception as error:
            if os.environ.get("GPT2_TRACEBACK"):
                traceback.print_exc()
            answer = error
        try:
            _send(target, _pickled(answer))
        except OSError:  # the parent was killed
            os._exit(0)


def _watch(source: IO[bytes], parts: "queue.SimpleQueue[bytes]") -> None:
    try:
        while True:
            parts.put(_receive(source))
    except (EOFError, OSError, ValueError):
        os._exit(0)  # at once, and without flushing what nobody reads


def _pickled(answer: Any) -> bytes:
    """An answer as bytes; an error that only this process knows becomes one that every process knows."""
    try:
        packed = pickle.dumps(answer)
        if isinstance(answer, Exception):
            pickle.loads(packed)
    except Exception:
        said = "".join(traceback.format_exception_only(answer)) if isinstance(answer, Exception) else repr(answer)
        return pickle.dumps(RuntimeError(said.strip()))
    return packed


def _send(target: IO[bytes], part: bytes) -> None:
    target.write(len(part).to_bytes(8, "little"))
    target.write(part)
    target.flush()


def _receive(source: IO[bytes]) -> bytes:
    """The next part of a stream. EOFError where it ends, in the middle of a part too."""
    size = int.from_bytes(_exactly(source, 8), "little")
    return _exactly(source, size)


def _exactly(source: IO[bytes], size: int) -> bytes:
    found = source.read(size)
    if len(found) < size:
        raise EOFError
    return found
