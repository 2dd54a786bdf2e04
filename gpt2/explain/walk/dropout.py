"""Dropout at work: what training does at four places of the model, and evaluation does not.

In: a model, token ids, a position, a seed. Out: a `DropoutWalk`: masks, numbers before and after, and passes compared.
Read next: cli/walk/view.py, which prints it.

The masks are those of a real pass in training mode: each is found by comparing the numbers before dropout with those
after it. The model given is never touched; a copy that shares its weights takes the passes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gpt2.explain.walk.record import OFF_THE_RECORD, Array, Candidate, Vector
from gpt2.explain.walk.walk import array, candidates, check, twin, vector
from gpt2.model import GPT2
from gpt2.probe import Probe

DEMONSTRATION_RATE = 0.1  # that of OpenAI's released configuration, for a model whose own rate is 0


@dataclass(frozen=True)
class DropoutStep:
    """One place: after = before * mask / (1 - rate) at the chosen position (for one head: its row of the pattern).

    `dropped` of `total` numbers were set to 0 at this place over the whole text. `configured` is the model's own rate.
    """

    place: str
    address: str
    head: int | None
    configured: float
    rate: float
    before: Vector
    mask: Array  # 1 kept, 0 dropped
    after: Vector
    dropped: int
    total: int


@dataclass(frozen=True)
class Pass:
    """One pass over the text: its mode, the seed of its masks, and the logits [V] at the chosen position."""

    mode: str
    seed: int
    best: Candidate
    logits: Array = field(metadata=OFF_THE_RECORD)


@dataclass(frozen=True)
class DropoutWalk:
    """The four places in one block, and two passes in each mode with the largest difference of their logits."""

    block: int
    seed: int
    steps: tuple[DropoutStep, ...]
    training: tuple[Pass, Pass]
    training_difference: float
    evaluation: tuple[Pass, Pass]
    evaluation_difference: float


def walk_dropout(
    model: GPT2,
    ids: Sequence[int],
    *,
    seed: int = 1,
    position: int | None = None,
    block: int = 0,
    head: int | None = None,
) -> DropoutWalk:
    """Take the passes of training and evaluation; the same seed gives the same masks.

    head    whose weights are shown: by default the first head that lost one at this position, else head 0

    Raises UsageError, with the valid range, as `gpt2.explain.walk.walk.walk` does.
    """
    position = check(model.config, ids, position, [block], None if head is None else [head])
    model = twin(model)
    tokens = torch.tensor([list(ids)], device=model.lm_head.weight.device)
    drop, b = model.transformer.drop, model.transformer.h[block]
    configured = (drop.p, b.attn.attn_pdrop, b.attn.resid_dropout.p, b.mlp.dropout.p)
    _use_rates(model)
    rates = (drop.p, b.attn.attn_pdrop, b.attn.resid_dropout.p, b.mlp.dropout.p)
    points = ("embed.tok", "embed.pos", "embed.out")
    of_block = ("attn.scores", "attn.pattern", "attn.z", "attn.out", "mlp.post", "mlp.out")
    read = [*points, *(f"{block}.{p}" for p in of_block)]
    probe = Probe(read=read)
    with torch.no_grad():
        first = _pass(model, tokens, position, "training", seed, probe)
        steps = _steps(model, probe, block, head, position, configured, rates)
        second = _pass(model, tokens, position, "training", seed + 1, Probe(read=read))  # the same path of attention
        calm = (
            _pass(model, tokens, position, "evaluation", seed),
            _pass(model, tokens, position, "evaluation", seed + 1),
        )
    difference = [float(abs(x.logits - y.logits).max()) for x, y in ((first, second), calm)]
    return DropoutWalk(block, seed, steps, (first, second), difference[0], calm, difference[1])


def _use_rates(model: GPT2) -> None:
    """A rate of 0 shows nothing: such places get the demonstration's rate."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = module.p or DEMONSTRATION_RATE
    for block in model.transformer.h:
        block.attn.attn_pdrop = block.attn.attn_pdrop or DEMONSTRATION_RATE


def _pass(model: GPT2, tokens: Tensor, position: int, mode: str, seed: int, probe: Probe | None = None) -> Pass:
    model.train(mode == "training")
    with torch.random.fork_rng(devices=[tokens.device] if tokens.is_cuda else []):
        torch.manual_seed(seed)
        logits = model.head(model.hidden(tokens, probe=probe))[0, position]
    return Pass(mode, seed, candidates(logits, 1)[0], array(logits))


def _steps(
    model: GPT2,
    probe: Probe,
    l: int,
    head: int | None,
    position: int,
    configured: tuple[float, ...],
    rates: tuple[float, ...],
) -> tuple[DropoutStep, ...]:
    """The four places; each pair of tensors before and after is [T, n], for the pattern the heads' rows [H T, T]."""
    block = model.transformer.h[l]
    scores = probe[f"{l}.attn.scores"][0]  # (H, T, T)
    H, T, _ = scores.shape
    masked = scores.masked_fill(~torch.ones(T, T, dtype=torch.bool, device=scores.device).tril(), -torch.inf)
    z = probe[f"{l}.attn.z"].transpose(1, 2).flatten(2)  # (1, T, C)
    before = (
        (probe["embed.tok"] + probe["embed.pos"])[0],
        masked.softmax(dim=-1),
        block.attn.c_proj(z)[0],
        block.mlp.c_proj(probe[f"{l}.mlp.post"])[0],
    )
    addresses = ("embed.out", f"{l}.attn.pattern", f"{l}.attn.out", f"{l}.mlp.out")
    places = ("embeddings", "attention weights", "attention write", "MLP write")
    steps = []
    for place, address, x, own, rate in zip(places, addresses, before, configured, rates):
        y = probe[address][0]
        kept = (y != 0) | (x == 0)  # a number that was 0 before tells nothing; the masked future is such
        of_head = None
        if place == "attention weights":
            rows = kept[:, position]  # (H, T)
            losers = (~rows).any(dim=-1).nonzero().flatten().tolist()
            of_head = head if head is not None else (losers or [0])[0]
            total = H * T * (T + 1) // 2
            x, y, mask = (a[of_head, position, : position + 1] for a in (x, y, kept))
        else:
            total = x.numel()
            x, y, mask = x[position], y[position], kept[position]
        dropped = int((~kept).sum())
        steps.append(DropoutStep(place, address, of_head, own, rate, vector(x), array(mask), vector(y), dropped, total))
    return tuple(steps)
