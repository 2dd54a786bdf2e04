"""The thread that owns the model, and the queue before it.

In: requests, from any thread. Out: tickets. Requests are taken in the order in which they came, each as soon as there
is a row and memory for it; one that could never have the memory is refused. Read next: batch.py.
"""

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from gpt2.base.errors import UsageError
from gpt2.base.memory import memory
from gpt2.base.stopping import Stopped
from gpt2.inference.engine.batch import Batch, Shared
from gpt2.inference.engine.passes import Passes
from gpt2.inference.engine.prefixes import Prefixes
from gpt2.inference.engine.request import Limits, Request
from gpt2.inference.engine.running import Running
from gpt2.inference.engine.slab import Slab, position_bytes
from gpt2.inference.engine.ticket import Closed, Full, Ticket
from gpt2.inference.generate import ends_of
from gpt2.inference.row import Row, longest
from gpt2.kernels.fast import fast, way_of
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

SHARE = 4  # of the machine's memory a quarter is for keys and values
UNKNOWN = 2**32  # bytes of memory where the system does not tell
FOR_LONG = 10**6  # passes for which weights are prepared: an engine runs on
DRAIN = 0.9  # seconds that `stop` waits for the thread


@dataclass(eq=False)
class _Waiting:
    """A request in the queue, and its samples that have no row yet."""

    request: Request
    ticket: Ticket
    samples: deque[int] = field(default_factory=deque)


class Engine:
    """Continues many prompts in one batch, which requests join and leave between its steps.

    model, tokenizer  as `gpt2.load` returns them; while the engine runs, nobody else may change the model
    limits            how much it may take

    The text of a request is that which `gpt2.generate` gives for the prompt alone, with the same settings and seed. Its
    neighbours, the pieces in which its prompt is read, and beginnings that were known change its logits by rounding
    only; so texts differ where two tokens have all but the same score, and nowhere else.
    """

    def __init__(self, model: GPT2, tokenizer: Tokenizer, limits: Limits | None = None) -> None:
        self.model, self.tokenizer, self.limits = model, tokenizer, limits or Limits()
        self._ends = ends_of(model, tokenizer)
        self._common = Shared(tokenizer.holes(model.config.vocab_size), self._room, Prefixes())
        self._memory = Passes(model, None).memory()
        self._position_bytes = position_bytes(model.config, self._memory["dtype"])
        self.kv_bytes = self.limits.kv_bytes or (memory() or UNKNOWN) // SHARE
        self._fast: GPT2 | None = None
        self._batches: dict[object, Batch] = {}
        self._waiting: deque[_Waiting] = deque()
        self._tickets: set[Ticket] = set()
        self._wake = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpt2-engine", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End all requests with `Closed`, and the thread; it takes less than a second."""
        self._stop.set()
        with self._wake:
            self._wake.notify_all()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(DRAIN)
        self._close(Closed("the engine has stopped", "start another one."))

    def submit(self, request: Request) -> Ticket:
        """Queue a request, from any thread.

        Raises UsageError or ValueError for what `gpt2.generate` would refuse, UsageError for what needs more memory
        than there is for keys and values, `Full` where too many wait, `Closed` after `stop`.
        """
        ids = request.checked(self.tokenizer, self.model.config)
        sampling = request.sampling
        ticket = Ticket(ids, 1 if sampling is None else sampling.n)
        self._check_fits(request, ticket)
        with self._wake:
            if self._stop.is_set():
                raise Closed("the engine has stopped", "start another one.")
            waiting = sum(not one.ticket.cancelled for one in self._waiting)
            if waiting >= self.limits.waiting + max(0, self.limits.rows - self._rows):
                raise Full(f"{waiting} requests wait already", "send this one again later.")
            self._tickets.add(ticket)
            self._waiting.append(_Waiting(request, ticket, deque(range(ticket.open))))
            self._wake.notify_all()
        return ticket

    @property
    def state(self) -> dict[str, int]:
        """What it does now, and has done: rows that run, requests that wait, bytes of keys and values and their limit,
        tokens made, rows that began with what was known already and how many tokens of theirs."""
        common = self._common
        return {
            "rows": self._rows,
            "waiting": len(self._waiting),
            "kv_bytes": sum(b.slab.bytes for b in [*self._batches.values()]) + common.prefixes.bytes,
            "kv_limit": self.kv_bytes,
            "tokens": common.tokens,
            "prefix_hits": common.prefix_hits,
            "prefix_tokens": common.prefix_tokens,
        }

    @property
    def alive(self) -> bool:
        """Whether it answers: not before `start`, after `stop`, or once it has failed."""
        return self._thread.is_alive() and not self._stop.is_set()

    @property
    def way(self) -> str:
        """How linear maps are computed for one token, see `gpt2.kernels.fast.way_of`."""
        return way_of(self._fast or self.model)

    @property
    def _rows(self) -> int:
        return sum(len(batch.rows) for batch in [*self._batches.values()])

    def _room(self) -> int:
        """Bytes for beginnings that are known."""
        return self.kv_bytes - sum(batch.held for batch in self._batches.values())

    def _check_fits(self, request: Request, ticket: Ticket) -> None:
        needed = self._reserved(request, ticket) * self._position_bytes
        if needed <= self.kv_bytes:
            return
        mend = {"": "give a shorter prompt"} | ({"max_tokens": "fewer {max_tokens}"} if request.sampling else {})
        raise UsageError(
            f"a prompt of {len(ticket.ids)} tokens and what follows it need {needed:,} bytes for keys and values, and "
            f"the limit is {self.kv_bytes:,}",
            mend,
            max_tokens=None,
        )

    # In the thread

    def _run(self) -> None:
        why = Closed("the engine has stopped", "start another one.")
        try:
            self._fast = fast(self.model, steps=FOR_LONG, rows=self.limits.rows)
            while not self._stop.is_set():
                with self._wake:
                    while not (self._waiting or self._rows or self._stop.is_set()):
                        self._wake.wait()
                self._admit()
                for group, batch in [*self._batches.items()]:
                    batch.step(self.limits.prefill_chunk)
                    if not batch.rows:
                        del self._batches[group]
                with self._wake:
                    self._tickets = {ticket for ticket in self._tickets if not ticket.ended}
        except Stopped:
            pass
        except BaseException as error:
            why = Closed(f"the engine has failed: {type(error).__name__}: {error}")
            raise
        finally:
            self._stop.set()
            self._batches.clear()
            self._waiting.clear()
            self._close(why)

    def _close(self, why: Closed) -> None:
        with self._wake:
            tickets, self._tickets = self._tickets, set()
        for ticket in tickets:
            ticket.push(why)

    def _admit(self) -> None:
        """Give rows to the requests at the head of the queue, as many as there are rows and memory for."""
        while self._waiting:
            waiting = self._waiting[0]
            if waiting.ticket.cancelled or waiting.ticket.ended or not waiting.samples:
                if waiting.samples:
                    waiting.ticket.push(None)
                with self._wake:
                    self._waiting.popleft()
                continue
            if self._rows >= self.limits.rows:
                return
            try:
                running = self._running(waiting.request, waiting.ticket, waiting.samples[0])
            except Exception as error:
                waiting.ticket.push(error)
                continue
            batch = self._batch(waiting.request)
            others = [one for one in self._batches.values() if one is not batch]
            needed = sum(one.promised() for one in others) + batch.promised(running)
            if needed > self.kv_bytes:
                return
            waiting.samples.popleft()
            self._common.prefixes.shrink(self.kv_bytes - needed)
            if self._room() < self._common.prefixes.bytes + batch.promised(running) - batch.promised():
                for one in self._batches.values():
                    one.fit(exactly=True)
            batch.admit(running)

    def _running(self, request: Request, ticket: Ticket, sample: int) -> Running:
        context, sampling = self.model.config.n_positions, request.sampling
        scored: Any = [] if request.prompt_logprobs is not None and sample == 0 else None
        if sampling is None:
            return Running(request, ticket, None, ticket.ids, self._reserved(request, ticket), scored=scored)
        ends = () if sampling.ignore_eos else (*request.ends, *self._ends)
        row = Row(0, sample, ticket.ids, self.tokenizer, sampling, context, ends)
        return Running(request, ticket, row, row.ids, self._reserved(request, ticket), scored=scored)

    def _reserved(self, request: Request, ticket: Ticket) -> int:
        """Positions that a row of this request may come to hold: nobody reads its last token."""
        n, context = len(ticket.ids), self.model.config.n_positions
        return n if request.sampling is None else min(longest(n, request.sampling, context) - 1, context)

    def _batch(self, request: Request) -> Batch:
        group = request.group
        if group not in self._batches:
            passes = Passes(self._fast or self.model, request.edit)
            slab = Slab(self.model.config, stop=self._stop, **self._memory)
            self._batches[group] = Batch(group, passes, slab, self._common)
        return self._batches[group]
