"""The loss of a model on text: per token, per word and per byte.

In: a model, its tokenizer, documents. Out: the summed loss, with what it is divided by, also for each document.

Two protocols, never to be mixed in one table. `loss_of_each`: each document stands alone, the token that opens a text
(`<|endoftext|>`) before it as context; its own tokens are scored once each, the closing `<|endoftext|>` is not.
`loss_of_joined`: one text without any such token, its first token is context only (the Hugging Face documentation's
perplexity). Longer texts are read in windows: with a stride of half, every token after the first window is predicted
from at least half a window of text.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gpt2.base.errors import Failure
from gpt2.base.onednn import linear_by_onednn
from gpt2.evaluation.windows import Window, batches, padded, window_sizes, windows
from gpt2.loss import CACHE_ELEMENTS, SLICE_ELEMENTS, token_losses
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer, well_formed

Progress = Callable[[int, int], None]
"""Is told the tokens computed so far and all that there are to compute, context included."""


@dataclass(frozen=True)
class TextLoss:
    """Sums over a text: `loss` in nats over `tokens`, and the size of the text that they make up.

    bytes             of UTF-8, without separators
    words             pieces between white space, of the text as it is given
    context, stride   tokens of a window, and how far the next one moves on
    each              the same for each document alone, in order; empty for a single document and for joined ones
    """

    documents: int
    tokens: int
    words: int
    bytes: int
    loss: float
    context: int
    stride: int
    each: tuple["TextLoss", ...] = field(default=(), repr=False)

    @property
    def loss_per_token(self) -> float:
        """Mean cross-entropy in nats."""
        return self.loss / self.tokens

    @property
    def perplexity(self) -> float:
        """exp of the mean cross-entropy per token; depends on the tokenizer."""
        return _exp(self.loss_per_token)

    @property
    def word_perplexity(self) -> float:
        """exp of the loss divided by the number of words; does not depend on the tokenizer."""
        return _exp(self.loss / self.words) if self.words else math.inf

    @property
    def bits_per_byte(self) -> float:
        """Bits to encode one byte of text; does not depend on the tokenizer."""
        return self.loss / math.log(2) / self.bytes


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def loss_of_each(
    model: GPT2,
    tokenizer: Tokenizer,
    documents: Iterable[str],
    batch_tokens: int = 4096,
    progress: Progress = lambda done, total: None,
    context: int | None = None,
    stride: int | None = None,
    allow_special: bool = False,
) -> TextLoss:
    """The loss of `documents`, each alone: architecture.md's bits per byte with the default context and stride.

    context        tokens of a window (default: the model's)
    stride         1 to `context` (default: half of it)
    allow_special  read a special token that a text spells as the token, as `Tokenizer.encode` does

    Raises UsageError for a context or stride out of range; ValueError when there is no text, or no token to stand
    before a document.
    """
    context, stride = window_sizes(model, context, stride)
    if tokenizer.bos_id is None:
        what = "the tokenizer has no <|endoftext|>, which stands before each document as its context"
        raise Failure(what, "read all documents as one text, with {joined}.", joined=None)
    texts = [well_formed(document) for document in documents]
    encoded = [[tokenizer.bos_id, *ids] for ids in tokenizer.encode_batch(texts, allow_special, threads=1)]
    plans = [list(windows(ids, context, stride)) for ids in encoded]
    return _sum(model, texts, plans, (context, stride), batch_tokens, progress)


def loss_of_joined(
    model: GPT2,
    tokenizer: Tokenizer,
    documents: Iterable[str],
    batch_tokens: int = 4096,
    progress: Progress = lambda done, total: None,
    context: int | None = None,
    stride: int | None = None,
    allow_special: bool = False,
) -> TextLoss:
    r"""The loss of `documents` joined by an empty line into one text, without `<|endoftext|>`.

    As in the Hugging Face documentation ("Perplexity of fixed-length models"), where a window's first token is
    never scored: a window of `context` tokens predicts one fewer. With a stride of the whole context, the first
    token of each window is scored by none. Arguments and errors as `loss_of_each`.
    """
    context, stride = window_sizes(model, context, stride, least=2)
    texts = ["\n\n".join(map(well_formed, documents))]
    plans = [list(windows(tokenizer.encode(texts[0], allow_special), context - 1, stride))]
    return _sum(model, texts, plans, (context, stride), batch_tokens, progress)


@torch.inference_mode()
def _sum(
    model: GPT2,
    texts: list[str],
    plans: list[list[Window]],
    window: tuple[int, int],
    batch_tokens: int,
    progress: Progress,
) -> TextLoss:
    owner = {id(w): number for number, plan in enumerate(plans) for w in plan}
    losses, tokens = [0.0] * len(texts), [sum(len(w) - w.skip for w in plan) for plan in plans]
    if not sum(tokens):
        raise ValueError("there is no text to score: the file holds no document.")
    done, all_of_it = 0, sum(len(w) for plan in plans for w in plan)
    for batch in batches([w for plan in plans for w in plan], batch_tokens):
        for w, part in zip(batch, losses_of(model, batch), strict=True):
            losses[owner[id(w)]] += part.sum().item()
        done += sum(map(len, batch))
        progress(done, all_of_it)
    each = tuple(
        TextLoss(1, n, len(text.split()), len(text.encode()), loss, *window)
        for text, n, loss in zip(texts, tokens, losses, strict=True)
    )
    words, size = sum(one.words for one in each), sum(one.bytes for one in each)
    return TextLoss(len(each), sum(tokens), words, size, math.fsum(losses), *window, each if len(each) > 1 else ())


def losses_of(model: GPT2, batch: Sequence[Window]) -> Sequence[Tensor]:
    """The loss at each target of each window, in fp64 on the processor."""
    device = next(model.parameters()).device
    with linear_by_onednn(next(model.parameters())):
        hidden = model.hidden(padded([w.inputs() for w in batch], 0, device))  # (R, T, C)
        rows = torch.cat([hidden[n, w.skip : len(w)] for n, w in enumerate(batch)])  # (N, C)
        targets = torch.tensor([i for w in batch for i in w.targets()[w.skip :]], device=device)
        losses = torch.cat([x for part in _slices(model, rows, targets) for x in part])
    sizes = [len(w) - w.skip for w in batch]
    return losses.cpu().double().split(sizes)


def _slices(model: GPT2, hidden: Tensor, targets: Tensor) -> Iterator[list[Tensor]]:
    """The loss at each place: hidden [N, C], targets [N]. Logits exist a slice at a time, and are read in the cache."""
    size = model.config.vocab_size
    step, rows = max(1, SLICE_ELEMENTS // size), max(1, CACHE_ELEMENTS // size)
    for x, t in zip(hidden.split(step), targets.split(step), strict=True):
        parts = zip(model.head(x).split(rows), t.split(rows), strict=True)
        yield [token_losses(logits, of) for logits, of in parts]
