"""The passes of one group of requests: those of `Decoder`, over rows of a slab.

In: the ids that each row has ahead. Out: hidden states, and the logits of the next token. Read next: batch.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gpt2.cache import KVCache
from gpt2.forward_pass import Pass
from gpt2.inference.decoder import Decoder
from gpt2.model import GPT2
from gpt2.probe import Edit


class Passes(Decoder):
    """A model, from `gpt2.kernels.fast`, with the edits of a group of requests: `at.rows` is 0 for every row, as for a
    prompt alone."""

    def __init__(self, model: GPT2, edit: Mapping[str, Edit] | None) -> None:
        super().__init__(model, edit)
        self._fast = model

    def read(self, ids: Sequence[Sequence[int]], cache: KVCache) -> Tensor:
        """The hidden states [B, T, C] of the next tokens of each row, padded on the right; they are in `cache` then."""
        lengths = [len(row) for row in ids]
        T = max(lengths)
        with self._inference():
            padded = self._tensor([[*row, *[0] * (T - len(row))] for row in ids])
            return self._hidden(padded, [0] * len(ids), cache, lengths)

    def last_logits(self, hidden: Tensor, lengths: list[int]) -> Tensor:
        """The logits [B, V] behind the last token of each row."""
        with self._inference():
            return self._logits(hidden, lengths)

    def all_logits(self, hidden: Tensor) -> Tensor:
        """The logits [T, V] behind each token of one row: hidden [1, T, C]."""
        with self._inference():
            logits = self.model.head(hidden, Pass(probe=self.probe))[0]
            return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def memory(self) -> dict[str, Any]:
        """The type and device of keys and values."""
        keys = self._new_cache(1, 1).keys[0]
        return {"dtype": keys.dtype, "device": keys.device}

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """No gradients, in the kind that tensors of this group have."""
        with torch.inference_mode() if self.probe is None else torch.no_grad():
            yield
