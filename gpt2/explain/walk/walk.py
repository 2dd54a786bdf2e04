"""One prediction, step by step: every number between the text's tokens and the next token's probability.

In: a model, token ids, a position. Out: a `Walk` (record.py), that position's way through the model.
Read next: dropout.py, the same steps as training takes them; cli/walk/view.py prints both.

Only positions up to the chosen one are computed: causal attention lets nothing later reach it. Those before it fill
the key/value cache, and the chosen one is then traced alone, so that memory grows with T and not with its square.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gpt2.base.errors import UsageError
from gpt2.base.twin import twin
from gpt2.block import LayerNorm
from gpt2.cache import KVCache
from gpt2.config import GPT2Config
from gpt2.explain.run.weights import write_lengths
from gpt2.explain.walk.record import (
    Array,
    AttentionStep,
    BlockDetail,
    BlockStep,
    Candidate,
    HeadStep,
    MLPStep,
    Neuron,
    NormStep,
    Target,
    Vector,
    Walk,
)
from gpt2.model import GPT2
from gpt2.probe import Probe
from gpt2.text.ids import check_id, check_ids

STREAM = ("resid_pre", "attn.out", "resid_mid", "mlp.out", "resid_post")
DETAIL = (
    "ln_1.scale", "ln_1.out", "attn.q", "attn.scores", "attn.pattern", "attn.z", "head.*.out",
    "ln_2.scale", "ln_2.out", "mlp.pre", "mlp.post",
)  # fmt: skip


def walk(
    model: GPT2,
    ids: Sequence[int],
    *,
    position: int | None = None,
    blocks: Sequence[int] = (0,),
    heads: Sequence[int] | None = None,
    target: int | None = None,
    top: int = 5,
) -> Walk:
    """Trace one position (default: the last; negative ones count from the end) of a text in evaluation mode.

    blocks   layers to keep in detail, the others keep their stream alone; heads: those to keep (default: all)
    target   a token id to score; top: how many candidates, neurons and gradient entries to keep

    The model is left as it was. Raises UsageError, with the valid range, for a text that is empty or over the context
    and for an unknown position, block, head or token.
    """
    config = model.config
    position = check(config, ids, position, blocks, heads, target, top)
    seen = torch.tensor([list(ids[: position + 1])], device=model.lm_head.weight.device)
    with torch.no_grad():
        return _trace(twin(model).eval(), tuple(ids), seen, position, blocks, heads, target, top)


def check(
    config: GPT2Config,
    ids: Sequence[int],
    position: int | None,
    blocks: Sequence[int],
    heads: Sequence[int] | None,
    target: int | None = None,
    top: int = 1,
) -> int:
    """The position that is meant, once everything asked for exists."""
    check_ids(ids, config)
    if target is not None:
        check_id(target, config)
    position = -1 if position is None else position
    position += len(ids) if -len(ids) <= position < 0 else 0
    asked: list[tuple[str, Sequence[int], int, str]] = [
        ("position", [position], len(ids), "this text has positions"),
        ("block", blocks, config.n_layer, "this model has blocks"),
        ("head", heads or [], config.n_head, "each block has heads"),
    ]
    for what, numbers, n, has in asked:
        for number in numbers:
            if not 0 <= number < n:
                raise UsageError(f"there is no {what} {number}: {has} 0 to {n - 1}.")
    if top < 1:
        raise UsageError(argument="top", value=top, mend="show at least 1.")
    return position


def _trace(
    model: GPT2,
    ids: tuple[int, ...],
    seen: Tensor,
    position: int,
    blocks: Sequence[int],
    heads: Sequence[int] | None,
    target: int | None,
    top: int,
) -> Walk:
    config, weight = model.config, model.lm_head.weight
    embeddings = ["embed.tok", "embed.pos", "embed.out"]
    cache = KVCache(config, 1, position + 1, dtype=weight.dtype, device=weight.device)
    earlier = Probe(read=embeddings)
    if position:
        model.hidden(seen[:, :-1], cache=cache, probe=earlier)
    read = [*embeddings, *(f"*.{p}" for p in STREAM), *(f"{l}.{p}" for l in blocks for p in DETAIL)]
    probe = Probe(read=[*read, "final.scale", "final.out"])
    logits = model.head(model.hidden(seen[:, -1:], cache=cache, probe=probe))[0, 0]
    tok, pos, out = (vectors(torch.cat([*([earlier[a][0]] if position else []), probe[a][0]])) for a in embeddings)
    guesses = [candidates(row, 1)[0] for row in _read_out(model, probe)]
    best = candidates(logits, top)
    return Walk(
        config=config,
        dtype=str(weight.dtype).removeprefix("torch."),
        ids=ids,
        position=position,
        embed_tok=tok,
        embed_pos=pos,
        embed_out=out,
        blocks=tuple(
            BlockStep(
                layer=l,
                resid_pre=vector(probe[f"{l}.resid_pre"]),
                attn_out=vector(probe[f"{l}.attn.out"]),
                resid_mid=vector(probe[f"{l}.resid_mid"]),
                mlp_out=vector(probe[f"{l}.mlp.out"]),
                resid_post=vector(probe[f"{l}.resid_post"]),
                guess=guess,
                detail=_detail(model, probe, cache, l, heads, top) if l in blocks else None,
            )
            for l, guess in enumerate(guesses)
        ),
        final=_norm(model.transformer.ln_f, probe, "final", probe[f"{config.n_layer - 1}.resid_post"]),
        logits=array(logits),
        logsumexp=float(logits.double().logsumexp(dim=0)),
        best_row=vector(weight[best[0].id]),
        next=best,
        following=candidate(logits, ids[position + 1]) if position + 1 < len(ids) else None,
        target=None if target is None else score(logits, target, top),
    )


def _detail(model: GPT2, probe: Probe, cache: KVCache, l: int, heads: Sequence[int] | None, top: int) -> BlockDetail:
    block = model.transformer.h[l]
    return BlockDetail(
        ln_1=_norm(block.ln_1, probe, f"{l}.ln_1", probe[f"{l}.resid_pre"]),
        attn=_attention(model, probe, cache, l, heads),
        ln_2=_norm(block.ln_2, probe, f"{l}.ln_2", probe[f"{l}.resid_mid"]),
        mlp=_mlp(model, probe, l, top),
    )


def _norm(module: LayerNorm, probe: Probe, name: str, x: Tensor) -> NormStep:
    """x [1, 1, C]."""
    x = x[0, 0].double()
    mean, sigma = float(x.mean()), float(probe[f"{name}.scale"])
    weight, bias = vector(module.weight), vector(module.bias)
    return NormStep(mean, sigma, vector((x - mean) / sigma), weight, bias, vector(probe[f"{name}.out"]))


def _attention(model: GPT2, probe: Probe, cache: KVCache, l: int, heads: Sequence[int] | None) -> AttentionStep:
    every = torch.stack([probe[f"{l}.head.{h}.out"][0, 0] for h in range(model.config.n_head)]).double()  # (H, C)
    T = max(cache.lengths)
    steps = tuple(
        HeadStep(
            head=h,
            q=vector(probe[f"{l}.attn.q"][0, h]),
            k=vectors(cache.keys[l][0, h, :T]),
            v=vectors(cache.values[l][0, h, :T]),
            scores=array(probe[f"{l}.attn.scores"][0, h, 0]),
            pattern=array(probe[f"{l}.attn.pattern"][0, h, 0]),
            z=vector(probe[f"{l}.attn.z"][0, h]),
            write=vector(every[h]),
        )
        for h in (range(model.config.n_head) if heads is None else sorted(set(heads)))
    )
    bias = vector(model.transformer.h[l].attn.c_proj.bias)
    followed = (int(every.norm(dim=1).argmax()),) if heads is None else tuple(s.head for s in steps)
    divisor = float(model.transformer.h[l].attn.divisor)
    return AttentionStep(divisor, steps, followed, tuple(every.norm(dim=1).tolist()), vector(every.sum(dim=0)), bias)


def _mlp(model: GPT2, probe: Probe, l: int, top: int) -> MLPStep:
    pre, post = probe[f"{l}.mlp.pre"][0, 0].double(), probe[f"{l}.mlp.post"][0, 0].double()  # (F)
    project = model.transformer.h[l].mlp.c_proj
    norms = write_lengths(model, l, post)
    largest = norms.topk(min(top, len(norms))).indices.tolist()
    neurons = tuple(Neuron(n, float(pre[n]), float(post[n]), float(norms[n])) for n in largest)
    total = vector(project.weight.double() @ post)
    return MLPStep(vector(pre), vector(post), int((pre > 0).sum()), neurons, total, vector(project.bias))


def _read_out(model: GPT2, probe: Probe) -> Tensor:
    """Logits [L, V] of each block's resid_post, through the final norm and the head."""
    streams = torch.stack([probe[f"{l}.resid_post"][0, 0] for l in range(model.config.n_layer)])
    return model.head(model.transformer.ln_f(streams))


def candidates(logits: Tensor, n: int) -> tuple[Candidate, ...]:
    """The n tokens with the highest logits [V], best first."""
    p = logits.double().softmax(dim=0)
    best = logits.double().topk(min(n, len(logits))).indices.tolist()
    return tuple(Candidate(rank, i, float(p[i]), float(logits[i])) for rank, i in enumerate(best, 1))


def candidate(logits: Tensor, token: int) -> Candidate:
    """Where one token stands among logits [V]; tokens of the same logit share the better rank."""
    p = logits.double().softmax(dim=0)
    return Candidate(1 + int((logits > logits[token]).sum()), token, float(p[token]), float(logits[token]))


def score(logits: Tensor, token: int, top: int) -> Target:
    """The cross-entropy of one token under logits [V] and its gradient, softmax(logits) - onehot(token)."""
    log_p = logits.double().log_softmax(dim=0)
    gradient = log_p.exp()
    gradient[token] -= 1.0
    down = [i for i in gradient.topk(min(top + 1, len(gradient))).indices.tolist() if i != token][:top]
    stands = candidate(logits, token)
    pushed = tuple((i, float(gradient[i])) for i in down)
    return Target(token, stands.rank, stands.probability, -float(log_p[token]), array(gradient), pushed)


def array(x: Tensor) -> Array:
    """A read-only copy in float64."""
    copy = np.array(x.detach().cpu().double().numpy())
    copy.setflags(write=False)
    return copy


def vector(x: Tensor) -> Vector:
    """[..., n] with one row -> a Vector of n numbers."""
    return Vector(array(x.reshape(-1)))


def vectors(x: Tensor) -> tuple[Vector, ...]:
    """[m, n] -> m Vectors."""
    return tuple(vector(row) for row in x)
