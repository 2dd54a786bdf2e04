"""The rows of one group of requests, and one step of them: some tokens of new prompts, then one token of every text.

In: rows that join. Out: pieces and ends, through their tickets. Rows that read their prompts stand behind those that
are being continued: so both are neighbours in memory, and nothing is copied for a pass. Read next: engine.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from gpt2.inference.engine.passes import Passes
from gpt2.inference.engine.prefixes import LEAST, Kept, Prefixes, shared
from gpt2.inference.engine.running import Drawn, Running, draw, each_apart
from gpt2.inference.engine.slab import STEP, Slab
from gpt2.inference.sampling import log_probabilities


@dataclass
class Shared:
    """What all batches of an engine have in common.

    holes     ids that no token has
    room      says how many bytes `prefixes` may have now
    prefixes  beginnings that are known, of all groups
    tokens, prefix_hits, prefix_tokens  tokens made, rows that began with what was known, how many tokens of theirs
    """

    holes: Sequence[int]
    room: Callable[[], int]
    prefixes: Prefixes
    tokens: int = 0
    prefix_hits: int = 0
    prefix_tokens: int = 0


class Batch:
    """Rows with the same edits: those of `group`, None where there are none."""

    def __init__(self, group: object, passes: Passes, slab: Slab, common: Shared) -> None:
        self.group, self.passes, self.slab, self.common = group, passes, slab, common
        self.keeps = group is None or isinstance(group, str)
        self.context = passes.model.config.n_positions
        self.rows: list[Running] = []
        self.decoding = 0  # so many of them, the first ones, are being continued

    # Memory

    def promised(self, *more: Running) -> int:
        """Bytes that the rows, and `more`, may come to hold: each row is as long as the longest."""
        rows = [*self.rows, *more]
        return len(rows) * max((row.reserved for row in rows), default=0) * self.slab.position_bytes

    @property
    def held(self) -> int:
        """Bytes that count for this batch."""
        return max(self.promised(), self.slab.bytes)

    def admit(self, running: Running) -> None:
        """Take a row in; it begins with the next step. Where the system has no memory for it, its request ends so."""
        self.rows.append(running)
        self.slab.lengths.append(0)
        try:
            self.fit()
        except Exception as error:
            self.rows.pop()
            self.slab.lengths.pop()
            running.ticket.push(error)

    def fit(self, exactly: bool = False) -> None:
        """Have memory for all rows as they are, and give back what is more than twice, or once, as much as they may
        come to hold."""
        slab = self.slab
        if len(self.rows) > slab.rows:
            self._resize(max(len(self.rows), slab.rows * 3 // 2), slab.capacity)
        elif slab.bytes > self.promised() * (1 if exactly else 2):
            self._resize(len(self.rows), max(slab.lengths, default=0))

    def _resize(self, rows: int, length: int) -> None:
        """Room for so many rows of such a length; for no more than there must be where the limit allows no more."""
        longest, each = max((row.reserved for row in self.rows), default=0), self.slab.position_bytes
        capacity = min(-(-length // STEP) * STEP, longest)
        if rows * capacity * each > self.held + self.common.room() - self.common.prefixes.bytes:
            rows = len(self.rows)
        with self.passes.quiet():
            self.slab.resize(rows, capacity)

    def _lengthen(self, length: int) -> None:
        """Have memory for rows of this length."""
        if length > self.slab.capacity:
            self._resize(self.slab.rows, max(length, self.slab.capacity * 3 // 2))

    # A step

    def step(self, chunk: int) -> None:
        """Read at most `chunk` tokens of prompts, then continue every text by a token; whoever is done leaves."""
        with self.passes.quiet():
            self._leave([b for b, row in enumerate(self.rows) if row.ticket.cancelled or row.ticket.ended])
            ahead = self._ahead(chunk)
            if ahead:
                self._pass(self.decoding, ahead)
            if self.decoding:
                self._pass(0, [row.ids[-1:] for row in self.rows[: self.decoding]])

    def _ahead(self, chunk: int) -> list[list[int]]:
        """What the first rows that read their prompts read now: several where, padded, they are within the chunk."""
        ahead: list[list[int]] = []
        end = longest = 0
        most = max((row.reserved for row in self.rows), default=0)
        for b in range(self.decoding, len(self.rows)):
            row = self.rows[b]
            if ahead and (row.scored is not None or self._gains(b)):
                break
            self._begin(b)
            length = self.slab.lengths[b]
            pending = row.window[length:]
            longest, end = max(longest, min(len(pending), chunk)), max(end, length)
            if ahead and (len(pending) > chunk or (len(ahead) + 1) * longest > chunk or end + longest > most):
                break
            ahead.append(pending[:chunk])
            if len(pending) > chunk or row.scored is not None:
                break
        return ahead

    def _pass(self, first: int, ids: list[list[int]]) -> None:
        """Compute these tokens of neighbouring rows and choose what follows; then some rows leave, and some slide."""
        found = each_apart(
            lambda rows: self._some(rows, [ids[b - first] for b in rows]), [*range(first, first + len(ids))]
        )
        if first == self.decoding:
            last = first + len(ids) - 1
            goes_on = isinstance(found[-1], Drawn) and self.slab.lengths[last] < self.rows[last].length
            self.decoding += len(ids) - goes_on
            found = found[: len(ids) - goes_on]
        gone, ended = [], []
        for b, one in enumerate(found, first):
            row = self.rows[b]
            error = one if isinstance(one, Exception) else one.error
            if error is not None:
                row.ticket.push(error)
            elif row.row is not None and isinstance(one, Drawn) and not row.ticket.ended:
                self.common.tokens += 1
                piece = row.row.push(one.token, one.logprob)
                row.ticket.push(piece)
                row.ticket.open -= piece.completion is not None
            if row.row is None or row.ticket.open == 0:
                ended.append(row.ticket)
            if row.ticket.ended or row.row is None or row.row.is_done or row.length > self.context:
                gone.append(b)
        self._leave(gone)
        for ticket in ended:
            ticket.push(None)

    def _some(self, chosen: list[int], ids: list[list[int]]) -> list[Drawn]:
        """What follows these tokens of these rows, nothing where a prompt goes on. All is as before where it raises."""
        slab, start, stop = self.slab, chosen[0], chosen[-1] + 1
        rows, before = self.rows[start:stop], slab.lengths[start:stop]
        try:
            T = max(map(len, ids))
            self._lengthen(max(before) + T)
            hidden = self.passes.read(ids, slab.view(start, stop, T))
            self._score(rows[0], slab.lengths[start], hidden)
            ready = [row for n, row in zip(slab.lengths[start:stop], rows) if n == row.length]
            if not ready or ready[0].row is None:
                return [Drawn()] * len(rows)
            logits = self.passes.last_logits(hidden, [len(one) for one in ids])
            return draw(logits[: len(ready)], ready, self.common.holes) + [Drawn()] * (len(rows) - len(ready))
        except BaseException:
            slab.lengths[start:stop] = before
            raise

    def _score(self, row: Running, end: int, hidden: Tensor) -> None:
        """Note the log probabilities of a prompt's tokens, where they are asked for: hidden [1, T, C] of its row."""
        if row.scored is None or len(row.scored) == len(row.ticket.ids):
            return
        scored = row.scored or [None]
        following = row.ticket.ids[len(scored) : end + 1]
        if following:
            logits = self.passes.all_logits(hidden)[: len(following)]
            scored = [*scored, *log_probabilities(logits, following, row.request.prompt_logprobs or 0)]
        row.scored = scored
        if len(scored) == len(row.ticket.ids):
            row.ticket.prompt_logprobs = scored

    # Who leaves

    def _leave(self, gone: list[int]) -> None:
        """Rows whose texts have ended go; those whose window is full begin again with its last half."""
        kept = [self._kept(b) for b in gone]
        leaving = [self.rows[b] for b in gone]
        for b, row in zip(reversed(gone), reversed(leaving)):
            self._remove(b)
            if row.row is not None and not (row.row.is_done or row.ticket.ended or row.ticket.cancelled):
                row.start, row.looked = len(row.ids) - max(1, self.context // 2), False
                self.rows.append(row)
                self.slab.lengths.append(0)
        if gone:
            self.fit()
        for one in kept:
            if one is not None and one.bytes <= self.common.room():
                self.common.prefixes.shrink(self.common.room() - one.bytes)
                self.common.prefixes.keep(one)
        for row in leaving:
            if row.ticket.cancelled:
                row.ticket.push(None)

    def _remove(self, b: int) -> None:
        """Close the gap: the last row that is continued takes its place, and the rows behind come nearer."""
        if b < self.decoding:
            self.decoding -= 1
            self._put(self.decoding, b)
            b = self.decoding
        for later in range(b + 1, len(self.rows)):
            self._put(later, later - 1)
        self.rows.pop()
        self.slab.lengths.pop()

    def _put(self, source: int, target: int) -> None:
        if source != target:
            self.rows[target] = self.rows[source]
            self.slab.move(source, target)

    # Beginnings that are known

    def _begin(self, b: int) -> None:
        """Have a row begin with what is known of its window; prompts that are scored are read whole."""
        row = self.rows[b]
        if row.looked:
            return
        row.looked = True
        if row.scored is not None:
            return
        n, source = self._known(b)
        if n:
            self.common.prefix_hits += 1
            self.common.prefix_tokens += n
            self._lengthen(n)
        if isinstance(source, Kept):
            self.slab.write(b, source.tensors, n)
        elif source is not None:
            self.slab.share(source, b, n)

    def _known(self, b: int) -> "tuple[int, Kept | int | None]":
        """How much of a row's window is known, but for its last token, and which row or text has it."""
        ids, lengths = self.rows[b].window, self.slab.lengths
        best: tuple[int, Kept | int | None] = self.common.prefixes.find(self.group, ids) if self.keeps else (0, None)
        for other, row in enumerate(self.rows):
            n = 0 if other == b else min(shared(row.window, ids), lengths[other])
            if n > best[0]:
                best = n, other
        n = min(best[0], len(ids) - 1)
        return n, best[1] if n else None

    def _gains(self, b: int) -> bool:
        """Whether a row should wait for those before it, which read the same beginning now."""
        row = self.rows[b]
        if row.looked:
            return False
        coming = max(shared(other.window, row.window) for other in self.rows[self.decoding : b])
        return coming >= self._known(b)[0] + LEAST

    def _kept(self, b: int) -> Kept | None:
        """What a row that leaves has read, where it is worth keeping."""
        row, n = self.rows[b], self.slab.lengths[b]
        ids = tuple(row.window[:n])
        ends = row.row is None or row.row.is_done or row.ticket.cancelled
        if not (self.keeps and ends) or row.sample or n * self.slab.position_bytes > self.common.room():
            return None
        return Kept(self.group, ids, self.slab.read(b, n)) if self.common.prefixes.wants(self.group, ids) else None
