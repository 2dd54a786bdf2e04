"""The forward passes of generation: prefill of unequal prompts, one token per step, the slide past the context.

In: token ids of each row. Out: the logits of each row's next token, [R, V] in float32 or wider.
Read next: generate.py, which decides what becomes of them.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import WRAPPER_ASSIGNMENTS, wraps

import torch
from torch import Tensor

from gpt2.cache import KVCache
from gpt2.forward_pass import Pass
from gpt2.kernels.fast import fast
from gpt2.model import GPT2
from gpt2.probe import At, Edit, Probe


class Decoder:
    """A model, the keys and values of the rows that it continues, and the edits that every pass applies.

    `slid` tells whether any row has outgrown the context. Edits, and probes, are those of `generate.stream`.
    """

    def __init__(self, model: GPT2, edit: Mapping[str, Edit] | None = None, probe: Probe | None = None) -> None:
        self.model = model
        edited = {a: self._by_prompt(f) for a, f in (edit or {}).items()}
        self.probe = Probe(edit=edited) if edit else probe
        self.slid = False
        self._fast = model  # `prefill` chooses how its linear maps are computed
        self._prompts: list[int] = []  # which prompt each row continues
        self._in_pass: list[int] = []  # the same for the rows of the current pass

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> Tensor:
        """Compute all prompts, padded on the right, and keep their keys and values: logits [P, V].

        `room` more positions will be wanted for each; past the context none are of use.
        """
        lengths = [len(ids) for ids in prompts]
        longest = max(lengths)
        self._prompts = list(range(len(prompts)))
        self._fast = fast(self.model, steps=room, rows=len(prompts))
        with self._inference():
            self.cache = self._new_cache(len(prompts), min(longest + room, self.model.config.n_positions))
            ids = self._tensor([[*ids, *[0] * (longest - len(ids))] for ids in prompts])
            return self._logits(self._hidden(ids, self._prompts, self.cache, lengths), lengths)

    def step(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Extend each row by the last token of its text: logits [R, V]. A row without room slides first."""
        with self._inference():
            full = [r for r, n in enumerate(self.cache.lengths) if n == self.model.config.n_positions]
            if full:
                self._slide(full, [texts[r] for r in full])
            ids = self._tensor([[text[-1]] for text in texts])
            return self._logits(self._hidden(ids, self._prompts, self.cache), [1] * len(texts))

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order, repeats allowed."""
        with self._inference():
            self.cache = self.cache.select(rows)
        self._prompts = [self._prompts[r] for r in rows]

    def _slide(self, full: list[int], texts: Sequence[Sequence[int]]) -> None:
        """Hold, of these rows, the last half of the window; the step that follows computes its newest token.

        Keys and values contain their positions, so they are computed anew: rolled, they would be wrong. Each
        row slides when it is full itself, as it would alone.
        """
        kept = max(1, self.model.config.n_positions // 2) - 1
        if kept:
            fresh = self._new_cache(len(full), kept)
            ids = self._tensor([text[-kept - 1 : -1] for text in texts])
            self._hidden(ids, [self._prompts[r] for r in full], fresh)
            for old, new in zip(self.cache.keys + self.cache.values, fresh.keys + fresh.values):
                old[full, :, :kept] = new
        for r in full:
            self.cache.lengths[r] = kept
        self.slid = True

    def _hidden(self, ids: Tensor, prompts: list[int], cache: KVCache, lengths: list[int] | None = None) -> Tensor:
        self._in_pass = prompts
        return self._fast.hidden(ids, cache=cache, lengths=lengths, probe=self.probe)

    def _logits(self, hidden: Tensor, lengths: list[int]) -> Tensor:
        """Logits of each row's last real position: hidden [R, T, C] -> [R, V]."""
        if hidden.size(1) == 1 and self.probe is None:
            logits = self._fast.head(hidden[:, 0])
            return logits.to(torch.promote_types(logits.dtype, torch.float32))
        rows, last = range(len(lengths)), [n - 1 for n in lengths]
        if self.probe is not None and self.probe.wants(None, "logits"):  # it has a say at every position
            logits = self._fast.head(hidden, Pass(probe=self.probe))[rows, last]
        else:
            logits = self._fast.head(hidden[rows, last])
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def _new_cache(self, rows: int, capacity: int) -> KVCache:
        weight = next(self.model.parameters())
        return KVCache(self.model.config, rows, capacity, dtype=weight.dtype, device=weight.device)

    def _tensor(self, ids: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(ids, device=next(self.model.parameters()).device)

    def _inference(self) -> AbstractContextManager[None]:
        """No gradients; with a probe, tensors that its owner may still use in autograd later."""
        return torch.inference_mode() if self.probe is None else torch.no_grad()

    def _by_prompt(self, function: Edit) -> Edit:
        """The same edit with prompts' numbers in `at.rows`: rows leave the batch, samples share a prompt."""

        # its signature tells the probe whether it wants `at`, and `point`, where it has one, at which point it works
        @wraps(function, assigned=(*WRAPPER_ASSIGNMENTS, "point"), updated=())
        def edit(x: Tensor, at: At | None = None) -> Tensor:
            if at is None:
                return function(x)
            prompts = torch.tensor(self._in_pass, device=at.rows.device)
            return function(x, replace(at, rows=prompts[at.rows]))

        return edit
