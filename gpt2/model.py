"""GPT-2: embeddings -> blocks -> final norm -> head. Parameter names are Hugging Face's.

In: token ids [B, T]. Out: logits [B, T, V], the score of every possible next token at every position; or a loss.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from gpt2.block import Block, LayerNorm
from gpt2.cache import KVCache
from gpt2.config import GPT2Config
from gpt2.loss import linear_cross_entropy, token_losses
from gpt2.probe import NO_PROBE, AnyProbe, Probe

WPE_STD = 0.01  # OpenAI's code; Hugging Face's and most reproductions use 0.02


class Transformer(nn.Module):
    """The tables of token and position vectors, the blocks and the final norm."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.h = cast(Sequence[Block], blocks)
        self.ln_f = LayerNorm(config, None, "final")


class GPT2(nn.Module):
    """The model of Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3."""

    def __init__(self, config: GPT2Config, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.tie_weights()
        self.init_weights(seed)

    def tie_weights(self) -> None:
        """The head scores a token by the same vector that stands for it at the input."""
        self.lm_head.weight = self.transformer.wte.weight

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Draw every parameter afresh: a function of (seed, parameter name) alone, whatever else the model holds.

        Weights normal with std `initializer_range`, residual projections divided by sqrt(2 n_layer) (Radford et al.
        2019, section 2.3), position vectors 0.01, biases 0, norms 1 and 0.
        """
        for name, parameter in self.named_parameters():
            if parameter.is_meta:
                continue
            if parameter.dim() < 2:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
                continue
            std = WPE_STD if name.endswith("wpe.weight") else self.config.initializer_range
            if name.endswith("c_proj.weight"):
                std = self.config.initializer_range / math.sqrt(2 * self.config.n_layer)
            digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

    def forward(
        self,
        ids: Tensor | None = None,
        targets: Tensor | None = None,
        *,
        reduction: str = "mean",
        residual: Tensor | None = None,
        start: int = 0,
        cache: KVCache | None = None,
        lengths: Sequence[int] | None = None,
        probe: Probe | None = None,
    ) -> Tensor:
        """Logits [B, T, V]; with `targets` [B, T] the cross-entropy in fp32 instead.

        targets    the token that should follow each position; -100 counts for nothing
        reduction  "mean" over counted targets, "sum", or "none" [B, T]

        The other arguments are those of `hidden`.
        """
        x = self.hidden(ids, residual=residual, start=start, cache=cache, lengths=lengths, probe=probe)
        if targets is not None and reduction != "none" and (probe is None or not probe.wants(None, "logits")):
            total = linear_cross_entropy(x.flatten(0, 1), self.lm_head.weight, targets.flatten())
        else:
            logits = self.head(x, probe)
            if targets is None:
                return logits
            losses = token_losses(logits.flatten(0, 1), targets.flatten())
            if reduction == "none":
                return losses.view(targets.shape)
            total = losses.sum()
        return total if reduction == "sum" else total / (targets >= 0).sum().clamp(min=1)

    def hidden(
        self,
        ids: Tensor | None = None,
        *,
        residual: Tensor | None = None,
        start: int = 0,
        cache: KVCache | None = None,
        lengths: Sequence[int] | None = None,
        probe: Probe | None = None,
    ) -> Tensor:
        """The final normed hidden states [B, T, C].

        ids       [B, T]; or `residual` [B, T, C], the stream that enters block `start`, and the pass begins there
        cache     keys and values of the earlier positions of each row: only the new ones are computed, and kept
        lengths   real tokens of each row of `ids`, where rows are padded on the right (default: all)
        probe     reads and edits, see `gpt2.probe`

        Raises ValueError past the context: position vectors end there.
        """
        tap = NO_PROBE if probe is None else probe
        given = ids if residual is None else residual
        last = 0 if residual is None else self.config.n_layer
        if given is None or (ids is not None and residual is not None) or not 0 <= start <= last:
            raise ValueError(f"give ids, or a residual and the block to start at, 0 to {self.config.n_layer}.")
        B, T = given.shape[:2]
        done = max(cache.lengths) if cache is not None else 0
        if T == 0 or done + T > self.config.n_positions:
            raise ValueError(f"{done + T} positions: this model takes 1 to {self.config.n_positions}.")
        positions = torch.arange(T, device=given.device) if cache is None else cache.positions(T, given.device)
        mask = None if cache is None else cache.mask(T, given.device)
        if probe is not None:
            probe.begin(self, positions.expand(B, T), lengths, done + T)
        x = self.embed(ids, positions, tap) if ids is not None else residual
        for block in self.transformer.h[start:]:
            x = block(x, cache, mask, tap)
        if cache is not None:
            cache.advance([T] * B if lengths is None else lengths)
        return self.transformer.ln_f(x, tap)

    def embed(self, ids: Tensor, positions: Tensor, tap: AnyProbe = NO_PROBE) -> Tensor:
        """Token vector plus position vector, then dropout: ids [B, T], positions [T] or [B, T] -> [B, T, C]."""
        tok = tap.tap(None, "embed.tok", self.transformer.wte(ids))
        pos = tap.tap(None, "embed.pos", self.transformer.wpe(positions).expand(tok.shape))
        return tap.tap(None, "embed.out", self.transformer.drop(tok + pos))

    def head(self, hidden: Tensor, probe: Probe | None = None) -> Tensor:
        """Logits of final hidden states: [..., C] -> [..., V]."""
        return (NO_PROBE if probe is None else probe).tap(None, "logits", self.lm_head(hidden))
