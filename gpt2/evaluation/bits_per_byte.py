"""Bits per byte: how well a model compresses text, comparable between tokenizers.

In: a model, its tokenizer, documents. Out: the summed loss, tokens and bytes, and what follows from them.

Each document stands alone, `<|endoftext|>` before it as context; its own tokens are scored once each, the closing
`<|endoftext|>` is not. A document longer than the context is read in windows of the full context with a stride of half:
every token after the first window is predicted from at least half a window of text.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gpt2.loss import IGNORED
from gpt2.model import GPT2
from gpt2.tokenizer import Tokenizer, well_formed

Window = tuple[list[int], list[int]]  # inputs and targets


@dataclass(frozen=True)
class TextLoss:
    """Sums over a text: `loss` in nats over `tokens`, which are `bytes` of UTF-8 in `documents`."""

    documents: int
    tokens: int
    bytes: int
    loss: float

    @property
    def loss_per_token(self) -> float:
        """Mean cross-entropy in nats."""
        return self.loss / self.tokens

    @property
    def perplexity(self) -> float:
        """exp of the mean cross-entropy per token; depends on the tokenizer."""
        return math.exp(self.loss_per_token)

    @property
    def bits_per_byte(self) -> float:
        """Bits to encode one byte of text; does not depend on the tokenizer."""
        return self.loss / math.log(2) / self.bytes


def windows(ids: list[int], context: int) -> Iterator[Window]:
    """Cut a sequence (its first id is context only) into inputs and targets of at most `context`.

    Windows start every half context; targets that an earlier window scored are -100.
    """
    stride, scored, start = max(1, context // 2), 0, 0  # scored: targets done so far, target j is ids[j + 1]
    while scored < len(ids) - 1:
        stop = min(start + context, len(ids) - 1)
        targets = ids[start + 1 : stop + 1]
        skip = scored - start
        yield ids[start:stop], [IGNORED] * skip + targets[skip:]
        scored, start = stop, start + stride


@torch.inference_mode()
def score(
    model: GPT2,
    tokenizer: Tokenizer,
    documents: Iterable[str],
    batch_tokens: int = 4096,
    progress: Callable[[int], None] = lambda done_bytes: None,
) -> TextLoss:
    """The loss of `documents`; `progress` is told the bytes of each document that has been read.

    Raises ValueError when there is no text, or the tokenizer has no `<|endoftext|>` to stand before a document.
    """
    if tokenizer.bos_id is None:
        raise ValueError("the tokenizer has no <|endoftext|>, which stands before each document as its context.")
    count = tokens = size = 0
    total = 0.0
    waiting: list[Window] = []
    for document in map(well_formed, documents):
        ids = [tokenizer.bos_id, *tokenizer.encode(document)]
        count, tokens, size = count + 1, tokens + len(ids) - 1, size + len(document.encode())
        waiting.extend(windows(ids, model.config.n_positions))
        while sum(len(x) for x, _ in waiting) >= batch_tokens:
            total += _loss(model, _take(waiting, batch_tokens))
        progress(len(document.encode()))
    while waiting:
        total += _loss(model, _take(waiting, batch_tokens))
    if not tokens:
        raise ValueError("there is no text to score: the file holds no document.")
    return TextLoss(count, tokens, size, total)


def _take(waiting: list[Window], batch_tokens: int) -> list[Window]:
    """Windows of similar length, so that little is padding: the longest ones that fit into a batch."""
    waiting.sort(key=lambda window: -len(window[0]))
    n = max(1, batch_tokens // len(waiting[0][0]))
    batch, waiting[:] = waiting[:n], waiting[n:]
    return batch


def _loss(model: GPT2, batch: list[Window]) -> float:
    device = model.lm_head.weight.device
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([x + [0] * (longest - len(x)) for x, _ in batch], device=device)
    targets: Tensor = torch.tensor([y + [IGNORED] * (longest - len(y)) for _, y in batch], device=device)
    return model(ids, targets, reduction="sum").item()
