"""Context use: what a model gains from all that it reads, over the last few tokens alone.

In: a model, its tokenizer, documents; or rows of token ids. Out: a `ContextUse`. Read next: cli/eval.py.

The same target tokens are predicted twice: with the full context before them, and with the last tokens alone, as a text
of their own. The mean of the second loss minus that of the first is the context use, in nats per token. A model that
does not read far has 0 there. The in-context score (gpt2/ablation/measure.py) compares the losses of different tokens,
those late in a row with those early in it, so that texts whose ends are easier than their beginnings raise it too.

The last tokens are read as a text of their own, with positions from 0, and not behind a mask: a mask in each block
would let older tokens through from block to block, and a model whose first positions are hidden reads something that
it has never seen. A row of training begins anywhere in a text, so that a short text that begins in a sentence is not
new to a model.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gpt2.base.errors import Failure, UsageError
from gpt2.evaluation.bits_per_byte import Progress, losses_of
from gpt2.evaluation.windows import Window, batches, window_sizes, windows
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer, well_formed

VISIBLE = 8  # tokens that are left visible
FIRST = 64  # a target counts from this position on, or from half the context where that is less
Z = 1.959964  # 95% of a normal distribution lies within this many standard deviations of its mean


@dataclass(frozen=True)
class ContextUse:
    """documents  that hold a target which counts
    tokens     targets
    full       their mean loss with the full context, in nats
    short      their mean loss with the last `visible` tokens alone
    low, high  the 95% interval of the difference over documents; infinite with one document
    visible    tokens that were left visible
    first      the position in a window from which targets count: each has more than `first` tokens before it
    context    tokens of a window
    """

    documents: int
    tokens: int
    full: float
    short: float
    low: float
    high: float
    visible: int
    first: int
    context: int

    @property
    def use(self) -> float:
        """What the full context is worth, in nats per token."""
        return self.short - self.full


def context_use(
    model: GPT2,
    tokenizer: Tokenizer,
    documents: Iterable[str],
    visible: int = VISIBLE,
    first: int | None = None,
    context: int | None = None,
    allow_special: bool = False,
    batch_tokens: int = 4096,
    progress: Progress = lambda done, total: None,
) -> ContextUse:
    """The context use over documents, each alone, with the token that opens a text before it.

    visible        how many of the last tokens are left visible
    first          the position in a window from which targets count (default: 64, at most half the context)
    context        tokens of a window (default: the model's); windows begin half a context after one another
    allow_special  read a special token that a text spells as the token, as `Tokenizer.encode` does

    Raises UsageError for numbers out of range; Failure for a tokenizer without a token that opens a text, and where no
    document is long enough to hold a target.
    """
    context, stride = window_sizes(model, context, None, least=2)
    first = min(FIRST, context - stride) if first is None else first
    check_visible(visible, first)
    if not first <= context - stride:
        raise UsageError(argument="first", value=first, mend=f"it must be at most half the context, {context}.")
    if tokenizer.bos_id is None:
        what = "the tokenizer has no <|endoftext|>, which stands before each document as its context"
        raise Failure(what, "name a model whose tokenizer has one.")
    texts = [well_formed(document) for document in documents]
    encoded = [[tokenizer.bos_id, *ids] for ids in tokenizer.encode_batch(texts, allow_special, threads=1)]
    plans = [[w for w in (_late(w, first) for w in windows(ids, context, stride)) if w] for ids in encoded]
    if not any(plans):
        raise Failure(f"no document has more than {first} tokens", "name longer texts, or a smaller first position.")
    return _measured(model, plans, (visible, first, context), batch_tokens, progress)


def context_use_of_rows(model: GPT2, ids: Tensor, targets: Tensor, visible: int = VISIBLE) -> ContextUse:
    """The same over rows of packed text: ids, targets [R, T] without ignored targets. A row counts as a document."""
    T = ids.size(1)
    first = min(FIRST, T // 2)
    check_visible(visible, first)
    rows = torch.cat([ids, targets[:, -1:]], dim=1).tolist()
    plans = [[Window(row, 0, T, first)] for row in rows]
    return _measured(model, plans, (visible, first, T), 4096, lambda done, total: None)


def check_visible(visible: int, first: int) -> None:
    """Raise UsageError where the last tokens would be as many as all."""
    if not 1 <= visible <= first:
        mend = f"it must be 1 to {first}, the position from which targets count."
        raise UsageError(argument="visible", value=visible, mend=mend)


def _late(w: Window, first: int) -> Window | None:
    """A window whose targets count from position `first` on; None for one without such targets."""
    return Window(w.ids, w.start, w.stop, max(w.skip, first)) if len(w) > max(w.skip, first) else None


def _last(w: Window, visible: int) -> Iterable[Window]:
    """For each target of a window, in order, the tokens that are left visible before it."""
    return (Window(w.ids, t - visible, t, visible - 1) for t in range(w.start + w.skip + 1, w.stop + 1))


@torch.inference_mode()
def _measured(
    model: GPT2, plans: Sequence[Sequence[Window]], sizes: tuple[int, int, int], batch_tokens: int, progress: Progress
) -> ContextUse:
    visible, first, context = sizes
    whole = [(w, number) for number, plan in enumerate(plans) for w in plan]
    short = [(part, number) for w, number in whole for part in _last(w, visible)]
    total = sum(len(w) for w, _ in whole + short)
    done, sums = 0, torch.zeros(2, len(plans), dtype=torch.float64)
    for kind, plan in enumerate((whole, short)):
        owner = {id(w): number for w, number in plan}
        for batch in batches([w for w, _ in plan], batch_tokens):
            for w, losses in zip(batch, losses_of(model, batch), strict=True):
                sums[kind, owner[id(w)]] += losses.sum()
            done += sum(map(len, batch))
            progress(done, total)
    counts = torch.tensor([sum(len(w) - w.skip for w in plan) for plan in plans], dtype=torch.float64)
    full, left = (sums.sum(dim=1) / counts.sum()).tolist()
    counted = counts > 0
    half = ratio_error(((sums[1] - sums[0])[counted]).tolist(), counts[counted].tolist()) * Z
    use = left - full
    return ContextUse(
        int(counted.sum()), int(counts.sum()), full, left, use - half, use + half, visible, first, context
    )


def ratio_error(sums: Sequence[float], counts: Sequence[float]) -> float:
    """The standard error of sum(sums) / sum(counts) over documents that were drawn one by one, infinite for one.

    sqrt(n / (n - 1) sum_i (s_i - r c_i)^2) / sum_i c_i, r the ratio (Cochran 1977, "Sampling Techniques", section 6.4).
    """
    n, of_all = len(sums), math.fsum(counts)
    if n < 2:
        return math.inf
    ratio = math.fsum(sums) / of_all
    squares = math.fsum((s - ratio * c) ** 2 for s, c in zip(sums, counts, strict=True))
    return math.sqrt(n / (n - 1) * squares) / of_all
