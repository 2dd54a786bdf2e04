"""What accompanies the residual stream through one forward pass: positions, mask, cache, probe.

In: the companions that a caller gives. Out: a `Pass`, which every component asks for what it needs: `tap` names a
value so that the probe may read or edit it, `qkv` adds the earlier keys and values. Read next: model.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gpt2.cache import KVCache, Mask
from gpt2.probe import Probe

if TYPE_CHECKING:
    from gpt2.model import GPT2


@dataclass(frozen=True)
class Pass:
    """The companions of one forward pass; inside a block, `layer` says which block it is.

    cache      keys and values of the earlier positions of each row: only new ones are computed, and added to it
    lengths    how many real tokens each row has, where rows are padded on the right (default: all)
    probe      reads and edits values, see probe.py
    mask       True where a query may see a key; None: a query sees the keys up to its own position
    positions  the absolute position of each token, [T] or [B, T] (default: from 0, or from where the cache ends)
    in_steps   whether attention computes scores and weights one after the other, where nobody asks for them
    """

    cache: KVCache | None = None
    lengths: Sequence[int] | None = None
    probe: Probe | None = None
    mask: Mask = None
    positions: Tensor | None = None
    in_steps: bool = False
    layer: int | None = None

    def begin(self, model: "GPT2", given: Tensor) -> "Pass":
        """The pass over `given` [B, T, ...]: ids, or a residual stream that enters some block.

        Raises ValueError past the context, where position vectors end.
        """
        B, T = given.shape[:2]
        done = max(self.cache.lengths) if self.cache is not None else 0
        if T == 0 or done + T > model.config.n_positions:
            raise ValueError(f"{done + T} positions: this model takes 1 to {model.config.n_positions}.")
        positions, mask, device = self.positions, self.mask, given.device
        if positions is None:
            positions = torch.arange(T, device=device) if self.cache is None else self.cache.positions(T, device)
        if mask is None and self.cache is not None:
            mask = self.cache.mask(T, device)
        lengths = [T] * B if self.lengths is None else self.lengths
        if self.probe is not None:
            self.probe.begin(model, positions, lengths, done + T)
        return replace(self, positions=positions, mask=mask, lengths=lengths)

    def at(self, layer: int) -> "Pass":
        """The same pass, as it is inside one block."""
        return replace(self, layer=layer)

    def end(self) -> None:
        """The cache, where there is one, now holds the positions of this pass."""
        if self.cache is not None and self.lengths is not None:
            self.cache.advance(self.lengths)

    def wants(self, *points: str) -> bool:
        """Whether a probe reads or edits any of these points here."""
        return self.probe is not None and self.probe.wants(self.layer, *points)

    def steers(self, point: str) -> bool:
        """Whether the pass must go through the value at this point: it is edited, or its gradient is read."""
        return self.probe is not None and self.probe.steers(self.layer, point)

    def tap(self, point: str, x: Tensor) -> Tensor:
        """The value at a point: a probe may read it, and what it returns is what the pass goes on with."""
        return x if self.probe is None else self.probe.tap(self.layer, point, x)

    def qkv(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values of this pass [B, H, T, D] -> the same, earlier keys and values before the new ones."""
        q, k, v = self.tap("attn.q", q), self.tap("attn.k", k), self.tap("attn.v", v)
        if self.cache is not None and self.layer is not None:
            k, v = self.cache.update(self.layer, k, v)  # (B, H, T_key, D)
        return q, k, v

    def unseen(self, scores: Tensor) -> Tensor:
        """True where a query may not see a key; scores [B, H, T, T_key]."""
        if self.mask is not None:
            return ~self.mask
        T, T_key = scores.shape[2:]
        return ~torch.ones(T, T_key, dtype=torch.bool, device=scores.device).tril(T_key - T)

    def norm(self, norm: Any, x: Tensor) -> Tensor:
        """x through a norm; the points are its divisor `NAME.scale` [B, T] and its result `NAME.out`."""
        scale = f"{norm.name}.scale"
        sigma = norm.sigma(x) if self.wants(scale) else None  # a norm that does not divide has none
        if sigma is None:
            return self.tap(f"{norm.name}.out", norm(x))
        sigma = self.tap(scale, sigma)
        return self.tap(f"{norm.name}.out", norm.divided(x, sigma) if self.steers(scale) else norm(x))

    def heads(self, attention: Any, z: Tensor, out: Tensor) -> Tensor:
        """`out` = c_proj of all heads [B, T, C]; the point is each head's own write `head.out` [B, H, T, C]."""
        if not self.wants("head.out"):
            return out
        writes = self.tap("head.out", attention.head_writes(z))
        return writes.sum(dim=1) + attention.c_proj.bias if self.steers("head.out") else out

    def through(self, block: nn.Module, x: Tensor) -> Tensor:
        """The stream through one block; the points are what enters, what the block adds, and what leaves."""
        entered = self.tap("resid_pre", x)
        left: Tensor = block(entered, self)
        if self.wants("block"):
            write = self.tap("block", left - entered)
            left = entered + write if self.steers("block") else left
        return self.tap("resid_post", left)
