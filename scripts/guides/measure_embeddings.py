"""Token and position vectors: who is like whom before and after training, and what order is worth to a model.

In: a `Subject`. Out: plain numbers for docs/guide/measured.json. Read next: measure_blocks.py.
"""

from typing import Any

import torch
from torch import Tensor

from gpt2.ablation.models import build
from gpt2.config import GPT2Config
from gpt2.explain import position_similarity
from gpt2.forward_pass import Pass
from scripts.guides.subject import Subject
from scripts.guides.verdicts import mean_of

KINDS = {
    "animals": "cat dog bird mouse bear fox rabbit fish frog horse cow pig duck lion wolf",
    "family": "mother father brother sister girl boy man woman king queen mom dad",
    "colours": "red blue green white black brown yellow pink",
    "motion": "ran walked jumped went came flew climbed",
    "speech": "said asked cried shouted answered replied whispered",
    "numbers": "two three four five six seven ten",
    "places": "house garden forest river park room kitchen school",
}
TURNS = 5  # random bases that the coordinates are compared with
ORDERS = ("The cat chased the dog.", "The dog chased the cat.")  # the same tokens, and the same last one
SHOWN = "cat dog bird mother father boy red blue said asked two three".split()


def measure_tokens(s: Subject) -> dict[str, Any]:
    """Cosines between token vectors, trained and untrained; kinds of words, by neighbours, coordinates, a direction."""
    words = {word: kind for kind, group in KINDS.items() for word in group.split() if s.token(f" {word}") is not None}
    ids = torch.tensor([s.token(f" {word}") for word in words])
    kinds = list(words.values())
    trained = s.model.transformer.wte.weight.detach()
    untrained = s.untrained.transformer.wte.weight.detach()
    x = trained[ids]
    same = torch.tensor([[a == b for b in kinds] for a in kinds])
    chance = (same.sum(1) - 1).double() / (len(kinds) - 1)
    return {
        "words": len(words),
        "kinds": len(KINDS),
        "same_kind": _nearest_is_same(x, same),
        "same_kind_untrained": _nearest_is_same(untrained[ids], same),
        "same_kind_chance": float(chance.mean()),
        "trained": _cosines(s, trained),
        "untrained": _cosines(s, untrained),
        "length": float(trained.norm(dim=1).mean()),
        "length_untrained": float(untrained.norm(dim=1).mean()),
        **_told_apart(x, kinds),
    }


def _told_apart(x: Tensor, kinds: list[str]) -> dict[str, Any]:
    """How well one coordinate, one of a randomly turned basis, and a direction tell each kind from the rest: means.

    `coordinate_gain` is what a coordinate is ahead of an axis of a turned basis, `coordinate_short` what it is behind a
    direction, with intervals over the kinds.
    """
    generator = torch.Generator().manual_seed(0)
    turned = [torch.linalg.qr(torch.randn(x.size(1), x.size(1), generator=generator))[0] for _ in range(TURNS)]
    labels = [torch.tensor([kind == name for kind in kinds]) for name in KINDS]
    n = len(labels)
    own = [balanced(y, best_coordinate(x, y)) for y in labels]
    others = [sum(balanced(y, best_coordinate(x @ q, y)) for q in turned) / TURNS for y in labels]
    best = [balanced(y, direction(x, y)) for y in labels]
    gain, short = (mean_of([a - b for a, b in zip(one, two)]) for one, two in ((own, others), (best, own)))
    return {
        "one_coordinate": sum(own) / n,
        "one_turned": sum(others) / n,
        "coordinate_gain": [gain.mean, gain.low, gain.high],
        "coordinate_short": [short.mean, short.low, short.high],
        "one_direction": sum(best) / n,
    }


def _nearest_is_same(x: Tensor, same: Tensor) -> float:
    unit = x / x.norm(dim=1, keepdim=True)
    cosines = (unit @ unit.T).fill_diagonal_(-torch.inf)
    return float(same[torch.arange(len(x)), cosines.argmax(1)].double().mean())


def _cosines(s: Subject, table: Tensor) -> dict[str, float]:
    """cat with dog, cat with the, The with the; and cat with every other token, mean and standard deviation."""
    cat, dog, the, upper = (s.checkpoint.tokenizer.encode(word)[0] for word in (" cat", " dog", " the", "The"))
    unit = table / table.norm(dim=1, keepdim=True)
    others = torch.cat([unit[:cat], unit[cat + 1 :]]) @ unit[cat]
    return {
        "cat_dog": float(unit[cat] @ unit[dog]), "cat_the": float(unit[cat] @ unit[the]),
        "the_the": float(unit[upper] @ unit[the]), "mean": float(others.mean()), "sd": float(others.std()),
    }  # fmt: skip


def best_coordinate(x: Tensor, label: Tensor) -> Tensor:
    """Each row classed by the single coordinate that parts all other rows best: x [N, C], label [N] -> guesses [N]."""
    guesses = []
    for i in range(len(x)):
        rest = torch.arange(len(x)) != i
        a, b = x[rest & label].mean(0), x[rest & ~label].mean(0)
        said = (x[rest] - (a + b) / 2) * (a - b) > 0  # [N - 1, C]
        right = label[rest]
        accuracy = (said[right].double().mean(0) + (~said[~right]).double().mean(0)) / 2
        c = int(accuracy.argmax())
        guesses.append((x[i, c] - (a + b)[c] / 2) * (a - b)[c] > 0)
    return torch.stack(guesses)


def direction(x: Tensor, label: Tensor) -> Tensor:
    """Each row classed by the direction between the two means of all other rows: x [N, C] -> guesses [N]."""
    guesses = []
    for i in range(len(x)):
        rest = torch.arange(len(x)) != i
        a, b = x[rest & label].mean(0), x[rest & ~label].mean(0)
        guesses.append((x[i] - (a + b) / 2) @ (a - b) > 0)
    return torch.stack(guesses)


def balanced(label: Tensor, said: Tensor) -> float:
    """The mean of the two classes' accuracies: 0.5 is chance."""
    return float((said[label].double().mean() + (~said[~label]).double().mean()) / 2)


def token_figure(s: Subject) -> dict[str, Any]:
    """Cosines between some words, untrained and trained."""
    words = [w for w in SHOWN if s.token(f" {w}") is not None]
    ids = torch.tensor([s.token(f" {word}") for word in words])
    found = {}
    for name, model in (("untrained", s.untrained), ("trained", s.model)):
        x = model.transformer.wte.weight.detach()[ids]
        unit = x / x.norm(dim=1, keepdim=True)
        found[name] = unit @ unit.T
    return {"words": words, **found}


def measure_positions(s: Subject) -> dict[str, Any]:
    """Lengths, how far the cosine follows from distance, what can be read off the sum, and what two orders give."""
    tower = s.model.transformer
    similar = position_similarity(s.checkpoint)
    ids, _ = s.rows
    x = s.model.embed(ids, Pass().begin(s.model, ids)).detach().flatten(0, 1)
    token = nearest(x, tower.wte.weight.detach())
    place = nearest(x - x.mean(0), tower.wpe.weight.detach()[: ids.size(1)] - tower.wpe.weight.detach().mean(0))
    own = torch.arange(ids.size(1)).repeat(ids.size(0))
    return {
        "shape": list(tower.wpe.weight.shape),
        "length": float(similar.norms.mean()),
        "by_distance": explained_by_distance(similar.cosines[1:, 1:]),
        "by_distance_and_place": explained_by_distance_and_place(similar.cosines[1:, 1:]),
        "token_recovered": float((token == ids.flatten()).double().mean()),
        "position_recovered": float((place == own).double().mean()),
        "position_within_10": float(((place - own).abs() <= 10).double().mean()),
        "orders": {str(depth): two_orders(s, depth) for depth in (1, 2)},
    }


def nearest(x: Tensor, table: Tensor) -> Tensor:
    """The row of `table` [V, C] with the largest cosine to each row of x [N, C] -> [N]."""
    return (x @ (table / table.norm(dim=1, keepdim=True)).T).argmax(1)


def explained_by_distance(cosines: Tensor) -> float:
    """The share of the variance of cosines [P, P] that their mean at each distance explains."""
    P = len(cosines)
    i, j = torch.triu_indices(P, P, offset=1)
    values, distance = cosines[i, j].double(), j - i
    sums = torch.zeros(P, dtype=torch.float64).index_add_(0, distance, values)
    means = sums / distance.bincount(minlength=P).clamp(min=1)
    return float(1 - (values - means[distance]).square().mean() / values.var(unbiased=False))


def explained_by_distance_and_place(cosines: Tensor, part: int = 32) -> float:
    """The share of the variance that the mean at each distance explains within `part` positions of one another.

    The means are taken over pairs whose earlier position is even, and judged on the pairs where it is odd: so more
    means do not explain more by themselves. Pairs whose distance and part no mean is known of are left out.
    """
    P = len(cosines)
    i, j = torch.triu_indices(P, P, offset=1)
    values, cell = cosines[i, j].double(), (j - i) * P + i // part
    even = i % 2 == 0
    counts = cell[even].bincount(minlength=P * P)
    sums = torch.zeros(P * P, dtype=torch.float64).index_add_(0, cell[even], values[even])
    known = ~even & (counts[cell] > 0)
    wrong = values[known] - sums[cell[known]] / counts[cell[known]]
    return float(1 - wrong.square().mean() / values[known].var(unbiased=False))


def two_orders(s: Subject, depth: int) -> dict[str, float]:
    """Two orders of the same words, read by a random model of this depth: how far the last logits lie apart.

    Relative to the spread of the logits; without position vectors, and with them. In float64, weights ten times as
    large as GPT-2's, so that attention is far from uniform.
    """
    ids = torch.tensor([s.tokenizer.encode(text) for text in ORDERS])
    config = GPT2Config(s.model.config.vocab_size, 32, 64, depth, 4, initializer_range=0.2)
    found = {}
    for name, variant in (("without", {"name": "no-positions"}), ("with", None)):
        model = build(config, variant).double().eval()
        last = model(ids)[:, -1].detach()
        found[name] = float((last[0] - last[1]).abs().max() / last.std())
    return found


def position_figure(s: Subject) -> dict[str, Any]:
    """Cosines of four position vectors with all others."""
    cosines = position_similarity(s.checkpoint).cosines
    P = len(cosines)
    step = max(1, P // 128)
    anchors = [P // 16, P // 4, P // 2, 3 * P // 4]
    return {"step": step, "anchors": anchors, "cosines": cosines[anchors][:, ::step]}
