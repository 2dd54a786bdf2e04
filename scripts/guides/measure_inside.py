"""What can be read off the stream, what is linear in attention, what heads read and write: with intervals over stories.

In: a `Subject`. Out: plain numbers for docs/guide/measured.json. Read next: measure_facts.py.
"""

import random
import re
from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2.ablation.models import VARIANTS
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.probe import Probe
from scripts.guides.measure_embeddings import KINDS
from scripts.guides.subject import LENGTH, Subject
from scripts.guides.verdicts import mean_of
from scripts.guides.watched import positions_alike

TRAINED_ON = 20  # of the 30 stories: what is fitted is fitted on these, and tested on the others
RIDGE = 1e-3  # of the inputs' mean square: what the fits add to the diagonal
POINTS = (0, 2, 4, 6)  # blocks after which the token is read off the stream, beside the last one
DEEP = GPT2Config(n_positions=64, vocab_size=1024, n_embd=768, n_layer=12, n_head=12)


def interval(values: list[float]) -> list[float]:
    """Mean and ends of the 95% t interval over stories."""
    found = mean_of(values)
    return [found.mean, found.low, found.high]


def solved(x: Tensor, y: Tensor) -> Tensor:
    """The ridge solution of x w = y: x [N, C], y [N, D] -> [C, D], in float64."""
    square = x.T @ x
    return torch.linalg.solve(square + RIDGE * square.diagonal().mean() * torch.eye(len(square)).double(), x.T @ y)


def measure_read(s: Subject) -> dict[str, Any]:
    """How often a linear map reads a position's own token off the stream, in stories that it was not fitted on.

    The map goes from the stream [C] to token vectors [C], by least squares; the answer is the token whose vector has
    the largest cosine, among all. So it can name tokens that it never saw. Position 0 is left out.

    prior      the share that the commonest token of the stories fitted on has in the others
    shuffled   the same fit at the end of the model with the tokens of the stories fitted on shuffled
    unseen     the share right among the tokens that the stories fitted on do not contain
    """
    last = s.model.config.n_layer - 1
    names = {"start": "embed.out", **{str(l): f"{l}.resid_post" for l in POINTS}, "end": f"{last}.resid_post"}
    rows = [torch.tensor([row[: s.model.config.n_positions]]) for row in s.stories.rows]
    streams: dict[str, list[Tensor]] = {name: [] for name in names}
    for row in rows:
        probe = Probe(names.values())
        with torch.no_grad():
            s.model.hidden(row, probe=probe)
        for name, point in names.items():
            streams[name].append(probe[point][0, 1:].double())
    tokens = [row[0, 1:] for row in rows]
    table = s.model.transformer.wte.weight.detach().double()
    unit = F.normalize(table, dim=1).float()
    fitted, tested = torch.cat(tokens[:TRAINED_ON]), tokens[TRAINED_ON:]
    known = torch.zeros(len(table), dtype=torch.bool)
    known[fitted] = True
    common = fitted.bincount().argmax()

    def right(name: str, answers: Tensor) -> list[Tensor]:
        """Of each story that is tested, which positions are read right."""
        x = torch.cat(streams[name][:TRAINED_ON])
        mean, offset = x.mean(0), table[answers].mean(0)
        w = solved(x - mean, table[answers] - offset)
        said = [((y - mean) @ w + offset).float() for y in streams[name][TRAINED_ON:]]
        return [(v @ unit.T).argmax(1) == t for v, t in zip(said, tested)]

    found = {name: right(name, fitted) for name in names}
    shuffled = fitted[torch.randperm(len(fitted), generator=torch.Generator().manual_seed(0))]
    new = [~known[t] for t in tested]
    return {
        "stories": [TRAINED_ON, len(rows) - TRAINED_ON],
        "positions": [len(fitted), sum(map(len, tested))],
        "right": {name: interval([float(r.double().mean()) for r in rs]) for name, rs in found.items()},
        "unseen": {name: float(torch.cat(rs)[torch.cat(new)].double().mean()) for name, rs in found.items()},
        "unseen_types": len(set(torch.cat(tested).tolist()) - set(fitted.tolist())),
        "unseen_positions": int(torch.cat(new).sum()),
        "prior": float((torch.cat(tested) == common).double().mean()),
        "shuffled": float(torch.cat(right("end", shuffled)).double().mean()),
    }


def measure_linear(s: Subject) -> dict[str, Any]:
    """What the non-linear parts are worth: the loss rises by so much when they are replaced by what is linear.

    attention   every pattern held at its mean over the stories fitted on, position by position: attention is then a
                linear map of its normed input
    mlp         every MLP replaced by the affine map that fits its writes best on those stories
    """
    layers = range(s.model.config.n_layer)
    chunks = [torch.tensor(row[k : k + LENGTH + 1]) for row in s.stories.rows for k in (0, LENGTH, 2 * LENGTH)
              if len(row) > k + LENGTH]  # fmt: skip
    story = [n for n, row in enumerate(s.stories.rows) for k in (0, LENGTH, 2 * LENGTH) if len(row) > k + LENGTH]
    ids = torch.stack(chunks)
    train = torch.tensor([n < TRAINED_ON for n in story])
    T, C, H = LENGTH, s.model.config.n_embd, s.model.config.n_head
    mean = torch.zeros(len(layers), H, T, T)
    square = torch.zeros(len(layers), C + 1, C + 1, dtype=torch.float64)
    cross = torch.zeros(len(layers), C + 1, C, dtype=torch.float64)
    for part in ids[train][:, :-1].split(8):
        probe = Probe([f"{l}.{p}" for l in layers for p in ("attn.pattern", "ln_2.out", "mlp.out")])
        with torch.no_grad():
            s.model.hidden(part, probe=probe)
        for l in layers:
            mean[l] += probe[f"{l}.attn.pattern"].sum(0) / int(train.sum())
            x = probe[f"{l}.ln_2.out"][:, 1:].flatten(0, 1).double()
            x = torch.cat([x, torch.ones(len(x), 1).double()], 1)
            square[l] += x.T @ x
            cross[l] += x.T @ probe[f"{l}.mlp.out"][:, 1:].flatten(0, 1).double()
    eye = torch.eye(C + 1).double()
    maps = [torch.linalg.solve(square[l] + RIDGE * square[l].diagonal().mean() * eye, cross[l]).float() for l in layers]
    held = {f"{l}.attn.pattern": (lambda x, m=mean[l]: m.expand_as(x)) for l in layers}

    def losses(edit: dict[str, Any] | None) -> Tensor:
        """Of each chunk that is tested."""
        found = []
        for part in ids[~train].split(8):
            with torch.no_grad():
                probe = Probe(edit=edit) if edit else None
                found.append(s.model(part[:, :-1], part[:, 1:], reduction="none", probe=probe)[:, 1:].mean(1))
        return torch.cat(found).double()

    plain, attention = losses(None), losses(held)
    mlp = losses_with_maps(s.model, ids[~train], maps)
    of = torch.tensor(story)[~train]
    by_story = [[float((new - plain)[of == n].mean()) for n in of.unique()] for new in (attention, mlp)]
    return {"attention": interval(by_story[0]), "mlp": interval(by_story[1]), "stories": len(by_story[0])}


def losses_with_maps(model: GPT2, ids: Tensor, maps: list[Tensor]) -> Tensor:
    """The mean loss of each row [T + 1] where every MLP is the affine map [C + 1, C]."""
    kept = [block.mlp for block in model.transformer.h]
    for block, w in zip(model.transformer.h, maps):
        block.mlp = Affine(w)
    try:
        with torch.no_grad():
            return torch.cat(
                [model(p[:, :-1], p[:, 1:], reduction="none")[:, 1:].mean(1) for p in ids.split(8)]
            ).double()
    finally:
        for block, mlp in zip(model.transformer.h, kept):
            block.mlp = mlp


class Affine(torch.nn.Module):
    """In the place of an MLP: the input with a 1 behind it, times a matrix [C + 1, C]."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = w

    def forward(self, x: Tensor, here: Any) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        return here.tap("mlp.out", x @ self.w[:-1] + self.w[-1])


def measure_heads(s: Subject) -> dict[str, Any]:
    """How often the token with the largest weight is the one that most is written from; how often the largest logit has
    the largest cosine: intervals over the stories' beginnings."""
    layers = range(s.model.config.n_layer)
    probe = Probe([f"{l}.attn.{p}" for l in layers for p in ("pattern", "v")])
    with torch.no_grad():
        hidden = s.model.hidden(s.rows[0], probe=probe)
    same = []
    for l in layers:
        pattern, attn = probe[f"{l}.attn.pattern"], s.model.transformer.h[l].attn
        with torch.no_grad():
            size = attn.head_writes(probe[f"{l}.attn.v"]).norm(dim=-1)  # (B, H, T)
        same.append(pattern.argmax(-1) == (pattern * size.unsqueeze(-2)).argmax(-1))
    written = torch.stack(same)[..., 1:].double().mean((0, 2, 3))  # (B,)
    head = s.model.lm_head.weight.detach()
    unit = F.normalize(head, dim=1)
    agrees = ((hidden @ head.T).argmax(-1) == (hidden @ unit.T).argmax(-1)).double().mean(1)
    return {"read_is_written": interval(written.tolist()), "cosine_agrees": interval(agrees.tolist())}


def measure_words(s: Subject) -> dict[str, Any]:
    """Words in the stories: like contexts, like vectors, like hidden states; and sentences out of their order."""
    vectors, before = (m.transformer.wte.weight.detach() for m in (s.model, s.untrained))
    rows = [torch.tensor([row[: s.model.config.n_positions]]) for row in s.stories.rows]
    counts = Counter(t for row in rows for t in row[0].tolist())
    common = [t for t, n in counts.most_common(200) if n >= 20]
    contexts = context_vectors(rows, common, s.model.config.vocab_size)
    sums, seen = torch.zeros(s.model.config.vocab_size, s.model.config.n_embd), torch.zeros(s.model.config.vocab_size)
    for row in rows:
        with torch.no_grad():
            hidden = s.model.hidden(row)[0, :-1]
        sums.index_add_(0, row[0, 1:], hidden)
        seen.index_add_(0, row[0, 1:], torch.ones(row.size(1) - 1))
    kinds = {s.token(f" {word}"): kind for kind, group in KINDS.items() for word in group.split()}
    words = [t for t in kinds if t is not None and seen[t] >= 5]
    states = F.normalize(sums[words] - sums.sum(0) / seen.sum() * seen[words].unsqueeze(1), dim=1)
    near = (states @ states.T).fill_diagonal_(-torch.inf).argmax(1)
    alike = [kinds[words[int(n)]] == kinds[w] for w, n in zip(words, near)]
    group = [kinds[w] for w in words]
    return {
        "common": len(common),
        "contexts_vectors": spearman(contexts, vectors[common]),
        "contexts_vectors_untrained": spearman(contexts, before[common]),
        "predicted_words": len(words),
        "predicted_alike": wilson(sum(alike), len(alike)),
        "predicted_chance": sum(group.count(g) - 1 for g in group) / len(group) / (len(group) - 1),
        "order": interval(out_of_order(s)),
    }


def context_vectors(rows: list[Tensor], tokens: list[int], vocabulary: int) -> Tensor:
    """How often each token follows and precedes these, as the square roots of shares: [N, 2 V]."""
    at = {t: k for k, t in enumerate(tokens)}
    found = torch.zeros(len(tokens), 2 * vocabulary)
    for row in (r[0].tolist() for r in rows):
        for left, own, right in zip(row, row[1:], row[2:]):
            if own in at:
                found[at[own], left] += 1
                found[at[own], vocabulary + right] += 1
    return (found / found.sum(1, keepdim=True)).sqrt()


def spearman(a: Tensor, b: Tensor) -> float:
    """The rank correlation of the cosines between all pairs of rows of a with those of b."""
    i, j = torch.triu_indices(len(a), len(a), offset=1)
    ranks = []
    for x in (a, b):
        unit = F.normalize(x.double(), dim=1)
        ranks.append((unit @ unit.T)[i, j].argsort().argsort().double())
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def wilson(right: int, of: int) -> list[float]:
    """A share with Wilson's 95% interval (Wilson 1927)."""
    p, z = right / of, 1.959964
    middle, half = p + z * z / (2 * of), z * (p * (1 - p) / of + z * z / (4 * of * of)) ** 0.5
    return [p, (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)]


def out_of_order(s: Subject) -> list[float]:
    """By how much the loss of a story rises when its sentences, all but the first, stand in another order: of 12."""
    rises = []
    for row in s.stories.rows[:12]:
        text = s.tokenizer.decode([t for t in row if t != s.tokenizer.eot_id])
        sentences = re.findall(r"\s*\S[^.!?]*[.!?]+[”\"’']*", text)
        moved = sentences[1:]
        random.Random(0).shuffle(moved)
        found = []
        for order in (sentences, [sentences[0], *moved]):
            row_ids = [s.tokenizer.eot_id, *s.tokenizer.encode("".join(order))][: s.model.config.n_positions]
            with torch.no_grad():
                found.append(float(s.model(torch.tensor([row_ids[:-1]]), torch.tensor([row_ids[1:]]))))
        rises.append(found[1] - found[0])
    return rises


def measure_collapse(s: Subject) -> dict[str, Any]:
    """12 blocks of width 768 before the first step: how alike the positions are, and gradients of queries to values."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, DEEP.vocab_size, (2, 65), generator=generator)
    found = {}
    for name, variant in (("GPT-2", None), ("no residuals", "no-residuals")):
        model = GPT2(DEEP, 0)
        if variant is not None:
            VARIANTS[variant](model)
            model.init_weights(0)
        looked = positions_alike(model, ids[:, :-1], ids[:, 1:])
        found[name] = {
            **{key: looked[key] for key in ("cosine", "own")},
            "query_to_value": [q / v for q, v in zip(looked["q"], looked["v"])],
        }
    return found
