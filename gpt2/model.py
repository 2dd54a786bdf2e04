"""GPT-2: embeddings -> blocks -> final norm -> head. Parameter names are Hugging Face's.

In: token ids [B, T]. Out: logits [B, T, V], the score of every possible next token at every position; or a loss.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from gpt2.block import Block, LayerNorm
from gpt2.config import GPT2Config
from gpt2.forward_pass import Pass
from gpt2.loss import linear_cross_entropy, token_losses

PLAIN = Pass()  # no companions
WPE_STD = 0.01  # OpenAI's code; Hugging Face's and most reproductions use 0.02


class Transformer(nn.Module):
    """The tables of token and position vectors, the blocks and the final norm."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = cast(Sequence[Block], nn.ModuleList(Block(config, layer) for layer in range(config.n_layer)))
        self.ln_f = LayerNorm(config, "final")


class GPT2(nn.Module):
    """GPT-2 (Radford et al. 2019, section 2.3) of the sizes in `config`. `seed` decides the fresh weights."""

    settings: Any = None  # what the files of its checkpoint say beside the sizes

    def __init__(self, config: GPT2Config, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.tie_weights()
        self.init_weights(seed)

    def tie_weights(self) -> None:
        """The head scores a token by the same vector that stands for it at the input, unless it has its own."""
        if self.config.tie_word_embeddings:
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

    def forward(self, ids: Tensor, targets: Tensor | None = None, *, reduction: str = "mean", **along: Any) -> Tensor:
        """Logits [B, T, V] of ids [B, T]; with `targets` [B, T] the cross-entropy in nats, in fp32, instead.

        targets    the token that should follow each position; -100 counts for nothing
        reduction  "mean" over counted targets, "sum", or "none" [B, T]
        along      what the pass takes along, such as `cache` and `probe`: see `gpt2.forward_pass.Pass`

        Raises ValueError for ids of another shape or outside the vocabulary, and past the context.
        """
        here = Pass(**along).begin(self, ids)
        x = self.embed(ids, here)
        x = self.blocks(x, here)
        x = self.norm(x, here)
        return self.head(x, here) if targets is None else self.loss(x, targets, reduction, here)

    def hidden(self, ids: Tensor, **along: Any) -> Tensor:
        """The final normed hidden states [B, T, C]: `forward` without the head."""
        here = Pass(**along).begin(self, ids)
        return self.norm(self.blocks(self.embed(ids, here), here), here)

    def embed(self, ids: Tensor, here: Pass) -> Tensor:
        """Token vector plus position vector, then dropout: ids [B, T] -> [B, T, C]."""
        tok = here.tap("embed.tok", self.transformer.wte(ids))
        pos = here.tap("embed.pos", self.transformer.wpe(here.positions).expand(tok.shape))
        return here.tap("embed.out", self.transformer.drop(tok + pos))

    def blocks(self, x: Tensor, here: Pass, start: int = 0, stop: int | None = None) -> Tensor:
        """The stream [B, T, C] through the blocks from `start` up to, not including, `stop` (default: all)."""
        stop = self.config.n_layer if stop is None else stop
        if not 0 <= start <= stop <= self.config.n_layer:
            raise ValueError(f"blocks {start} to {stop}: this model has blocks 0 to {self.config.n_layer}.")
        for layer in range(start, stop):
            x = here.at(layer).through(self.transformer.h[layer], x)
        return x

    def norm(self, x: Tensor, here: Pass) -> Tensor:
        """The stream that leaves the last block through the final norm; here the pass ends."""
        here.end()
        return here.norm(self.transformer.ln_f, x)

    def head(self, hidden: Tensor, here: Pass = PLAIN) -> Tensor:
        """Logits of final hidden states: [..., C] -> [..., V]."""
        return here.tap("logits", self.lm_head(hidden))

    def loss(self, hidden: Tensor, targets: Tensor, reduction: str, here: Pass) -> Tensor:
        """The cross-entropy of hidden states [B, T, C]; where nobody asks for logits, they never exist all at once."""
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction is {reduction!r}: it must be mean, sum or none.")
        if reduction == "none" or here.wants("logits"):
            losses = token_losses(self.head(hidden, here).flatten(0, 1), targets.flatten())
            if reduction == "none":
                return losses.view(targets.shape)
            total = losses.sum()
        else:
            total = linear_cross_entropy(hidden.flatten(0, 1), self.lm_head.weight, targets.flatten())
        return total if reduction == "sum" else total / (targets >= 0).sum().clamp(min=1)
