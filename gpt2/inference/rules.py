"""The rules on which tokens may follow: each is a function from scores [R, V] to scores [R, V].

In: the scores of the next token of R texts. Out: the same scores, with -inf for each token that the rule forbids.
sampling.py applies them in their order: read it next.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Rule = Callable[[Tensor, Sequence[Sequence[int]]], Tensor]
"""f(scores [R, V], the ids of each of R texts so far) -> scores [R, V]: what a caller lets be chosen."""


def penalise_repeats(scores: Tensor, texts: Sequence[Sequence[int]], penalty: float) -> Tensor:
    """Scores [R, V] with the tokens of each row's text made less likely, however often they occur.

    A positive score is divided by the penalty (Keskar et al. 2019, "CTRL", section 4.1). A negative one is
    multiplied, as everyone does since: dividing would make it likelier.
    """
    rows, ids = _places(texts, scores.device)
    score = scores[rows, ids]
    return scores.index_put((rows, ids), torch.where(score > 0, score / penalty, score * penalty))


def penalise_output(scores: Tensor, output: Sequence[Sequence[int]], presence: float, frequency: float) -> Tensor:
    """Scores [R, V] less `presence` for each token of the row's output, and less `frequency` for each time it is there.

    Source: OpenAI's reference of its completions, "Frequency and presence penalties". The prompt does not count.
    """
    places, counts = torch.stack(_places(output, scores.device)).unique(dim=1, return_counts=True)
    rows, ids = places
    return scores.index_put((rows, ids), scores[rows, ids] - presence - frequency * counts.to(scores.dtype))


def add_bias(scores: Tensor, bias: Mapping[int, float]) -> Tensor:
    """Scores [R, V] with a number added to each of these tokens."""
    ids = torch.tensor(list(bias), device=scores.device)
    return scores.index_add(1, ids, scores.new_tensor(list(bias.values())).expand(len(scores), -1))


def _places(texts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """The row and the id of each token of R texts, [N] both."""
    lengths = torch.tensor([len(text) for text in texts], device=device)
    ids = torch.tensor([token for text in texts for token in text], dtype=torch.long, device=device)
    return torch.arange(len(texts), device=device).repeat_interleave(lengths), ids


def forbid_repeats(scores: Tensor, texts: Sequence[Sequence[int]], size: int) -> Tensor:
    """Scores [R, V], -inf for each token that would end a sequence of `size` tokens which the row's text has already.

    Source: Paulus et al. 2018, "A deep reinforced model for abstractive summarization", section 2.5.
    """
    scores = scores.clone()
    for row, text in zip(scores, texts, strict=True):
        row[list(_continuations(text, size))] = -math.inf
    return scores


def _continuations(text: Sequence[int], size: int) -> set[int]:
    """The tokens that follow the text's last `size` - 1 tokens where these stand further to the left.

    It looks for the last token alone, and compares the others only where that one stands.
    """
    if size == 1:
        return set(text)
    ending, place = list(text[1 - size :]), size - 2
    found: set[int] = set()
    while True:
        try:
            place = text.index(ending[-1], place, len(text) - 1) + 1
        except ValueError:
            return found
        if list(text[place - size + 1 : place]) == ending:
            found.add(text[place])


def keep_top_k(scores: Tensor, k: int) -> Tensor:
    """Scores [R, V] of the k likeliest tokens of each row, and of ties with the last of them; else -inf.

    Source: Fan et al. 2018, section 5.1; Radford et al. 2019 use k = 40.
    """
    if k >= scores.size(-1):
        return scores
    least = scores.topk(k).values[:, -1:]  # (R, 1)
    return scores.masked_fill(scores < least, -math.inf)


def keep_top_p(scores: Tensor, p: float) -> Tensor:
    """Scores [R, V] of the fewest likeliest tokens that together have probability p, and of ties; else -inf.

    Source: Holtzman et al. 2020, section 3.1.
    """
    if p >= 1:
        return scores
    total = scores.logsumexp(dim=-1, keepdim=True)
    # A few hundred tokens nearly always hold the mass.
    ordered = scores.topk(min(512, scores.size(-1))).values  # (R, 512), descending
    mass = (ordered - total).exp().cumsum(dim=-1)
    least = ordered.gather(-1, (mass < p).sum(dim=-1, keepdim=True).clamp(max=ordered.size(-1) - 1))  # (R, 1)
    for row in (mass[:, -1] < p).nonzero()[:, 0].tolist():
        least[row] = _last_of_top_p(scores[row], total[row], p)
    return scores.masked_fill(scores < least, -math.inf)


def _last_of_top_p(scores: Tensor, total: Tensor, p: float) -> Tensor:
    """The least score [] that is kept, of scores [V] whose logsumexp is `total` [1].

    All tokens less probable than (1 - p) / V have together less than 1 - p, so none of them is kept.
    """
    some = scores[scores >= total + math.log((1 - p) / scores.numel()) - 1]
    ordered = some.sort(descending=True).values
    last = ((ordered - total).exp().cumsum(dim=0) < p).sum()
    return ordered[last.clamp(max=len(ordered) - 1)]  # rounding may keep the sum of all below p


def keep_min_p(scores: Tensor, p: float) -> Tensor:
    """Scores [R, V] of tokens at least p times as probable as the likeliest; else -inf.

    Source: Nguyen et al. 2024, section 3.
    """
    if p <= 0:
        return scores
    return scores.masked_fill(scores < scores.amax(dim=-1, keepdim=True) + math.log(p), -math.inf)


def by_rule(scores: Tensor, texts: Sequence[Sequence[int]], rule: Rule) -> Tensor:
    """Scores [R, V] as a caller's rule changes them; it gets a copy. ValueError for another shape."""
    changed = rule(scores.clone(), texts)
    if not isinstance(changed, Tensor) or changed.shape != scores.shape:
        what = list(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
        raise ValueError(f"the rule returned {what}: it must return the scores, a tensor {list(scores.shape)}.")
    return changed
