"""Norms, attention, MLP and residual stream of the bundled model, and of models before their first step.

In: a `Subject`. Out: plain numbers for docs/guide/measured.json. Read next: measure_head.py.
"""

from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2.ablation.measure import stream_scales
from gpt2.ablation.models import VARIANTS
from gpt2.config import GPT2Config
from gpt2.explain import accuracy, excerpt, heads, read_pairs, trace
from gpt2.explain.see.attention import attention
from gpt2.forward_pass import Pass
from gpt2.model import GPT2
from gpt2.probe import Probe
from scripts.guides.subject import LENGTH, Subject

AT_START = {"GPT-2": (), "post-norm": ("post-norm",), "no norm": ("no-norm",), "no residuals": ("no-residuals",),
            "neither": ("no-residuals", "no-norm")}  # fmt: skip
DEPTH, WIDTH, HEADS = 12, 192, 6  # of the models that are looked at before their first step
SENTENCE = "Tom was sad because he had lost his red ball."


def starts(s: Subject) -> dict[str, dict[str, Any]]:
    """Stream and gradient at each block of 12 before the first step, in float64: scale, gradient, and their product."""
    ids, targets = (x[:2, :32] for x in s.rows)
    config = GPT2Config(s.model.config.vocab_size, 64, WIDTH, DEPTH, HEADS)
    found = {}
    for name, changes in AT_START.items():
        model = GPT2(config)
        for change in changes:
            VARIANTS[change](model)
        model.init_weights(0)
        scales = stream_scales(model.double(), ids, targets)
        rms, gradient = scales["activation_rms"], scales["gradient_norm"]
        found[name] = {
            "rms": rms, "gradient": gradient, "relative": [a * b for a, b in zip(rms, gradient)],
            "growth": (rms[-1] / rms[1]) ** (1 / (DEPTH - 1)),  # a block, from the end of block 0 on
            "reaches_first": gradient[0] / gradient[-1],
            "relative_reaches_first": gradient[0] * rms[0] / (gradient[-1] * rms[-1]),
        }  # fmt: skip
    return found


def measure_norms(s: Subject) -> dict[str, Any]:
    """Scale of the stream and of what enters the branches; divisors, weights and biases of the norms."""
    layers = range(s.model.config.n_layer)
    probe = Probe(["embed.out", "*.resid_post", "*.ln_1.out", "*.ln_2.out", "*.ln_1.scale", "*.ln_2.scale"])
    with torch.no_grad():
        s.model.hidden(s.rows[0], probe=probe)
    stream = [probe[p][:, 1:].square().mean().sqrt() for p in ("embed.out", *(f"{l}.resid_post" for l in layers))]
    names = [f"{l}.{norm}" for l in layers for norm in ("ln_1", "ln_2")]
    sigma = torch.stack([probe[f"{name}.scale"][:, 1:].mean() for name in names])
    modules = [m for block in s.model.transformer.h for m in (block.ln_1, block.ln_2)]
    weight = torch.cat([m.weight.detach() for m in modules])
    bias = torch.cat([m.bias.detach() for m in modules])
    x = torch.tensor([10.0, 20.0, 30.0])
    return {
        "stream": [float(v) for v in stream],
        "entering": [float(probe[f"{name}.out"][:, 1:].square().mean().sqrt()) for name in names],
        "sigma": sigma,
        "growth": float(stream[-1] / stream[0]),
        "weight": [float(weight.min()), float(weight.max())],
        "bias": [float(bias.min()), float(bias.max())],
        "example": F.layer_norm(x, (3,)),
        "example_sigma": float(x.std(unbiased=False)),
    }


def measure_attention(s: Subject) -> dict[str, Any]:
    """Scores with and without the scale, how heads differ, what they score, what is read and what is written."""
    c = s.model.config
    probe = Probe(["*.attn.scores", "*.attn.pattern"])
    with torch.no_grad():
        s.model.hidden(s.rows[0], probe=probe)
    scores = torch.stack([probe[f"{l}.attn.scores"] for l in range(c.n_layer)])  # (L, B, H, T, T)
    pattern = torch.stack([probe[f"{l}.attn.pattern"] for l in range(c.n_layer)])
    T = pattern.size(-1)
    allowed = torch.ones(T, T, dtype=torch.bool).tril()
    unscaled = (scores * c.head_dim**0.5).masked_fill(~allowed, -torch.inf).softmax(-1)
    run = trace(s.checkpoint, SENTENCE)
    seen = attention(run)
    most = seen.pattern.argmax(-1) == seen.written.argmax(-1)
    report = heads(s.checkpoint, excerpt(s.checkpoint, s.stories, 4, LENGTH), causal=False)
    best = {}
    for on, kind in (("random", report.random), ("text", report.natural)):
        for name, estimate in kind.found.items():
            l, h = divmod(int(estimate.value.argmax()), c.n_head)
            best[f"{name}_{on}"] = {"head": f"{l}.head.{h}", "score": float(estimate.value.max())}
    pronouns = accuracy(s.checkpoint, read_pairs(s.checkpoint, "pronoun"))
    changed = s.ids.clone()
    changed[0, -1] = s.token(" mat") or 0
    with torch.no_grad():
        same = torch.equal(s.model(s.ids)[0, :-1], s.model(changed)[0, :-1])
    weights = torch.tensor([0.05, 0.10, 0.15, 0.40, 0.25, 0.05])
    values = torch.tensor(
        [[0.1, -0.2, 0.3], [0.5, 0.8, -0.1], [-0.3, 0.4, 0.7], [0.9, -0.5, 0.2], [0.1, -0.2, 0.3], [0.6, 0.3, -0.4]]
    )
    return {
        "head_dim": c.head_dim,
        "scores_sd": float(scores[..., allowed].std()),
        "unscaled_sd": float(scores[..., allowed].std() * c.head_dim**0.5),
        "largest_weight": float(pattern[..., 1:, :].amax(-1).mean()),
        "largest_weight_unscaled": float(unscaled[..., 1:, :].amax(-1).mean()),
        "heads_apart": _apart(s.model, s.rows[0][:4]),
        "heads_apart_untrained": _apart(s.untrained, s.rows[0][:4]),
        "read_is_written": float(most[:, 1:].double().mean()),
        "heads": c.n_layer * c.n_head,
        "labelled": len({(label.layer, label.head) for label in report.labels}),
        "best": best,
        "pronouns": float(pronouns.both.value),
        "pronouns_interval": [float(pronouns.both.low), float(pronouns.both.high)],
        "first_sees_itself": float(pattern[..., 0, 0].min()),
        "causal": same,
        "softmax": torch.tensor([0.2, 0.5, 0.8, 2.1, 1.5, 1.0]).softmax(0),
        "weighted_sum": weights @ values,
    }


def _apart(model: GPT2, ids: Tensor) -> float:
    """How much of their attention two heads of a block place on different tokens: the mean over pairs of heads."""
    probe = Probe("*.attn.pattern")
    with torch.no_grad():
        model.hidden(ids, probe=probe)
    c = model.config
    x = torch.stack([probe[f"{l}.attn.pattern"] for l in range(c.n_layer)])  # (L, B, H, T, T)
    pairs = combinations(range(c.n_head), 2)
    return float(torch.stack([(x[:, :, a] - x[:, :, b]).abs().sum(-1).mean() / 2 for a, b in pairs]).mean())


def attention_figure(s: Subject) -> dict[str, Any]:
    """The patterns of four heads over a sentence: the ones that go furthest in four ways of looking."""
    run = trace(s.checkpoint, SENTENCE, read="*.attn.pattern")
    layers = s.model.config.n_layer
    pattern = torch.stack([run[f"{l}.attn.pattern"][0] for l in range(layers)])  # (L, H, T, T)
    entropy = torch.special.entr(pattern).sum(-1)[..., 1:].mean(-1)
    kinds = {
        "previous token": pattern.diagonal(-1, -2, -1).mean(-1),
        "itself": pattern.diagonal(0, -2, -1)[..., 1:].mean(-1),
        "first token": pattern[..., 1:, 0].mean(-1),
        "everywhere": entropy,
    }
    found: dict[str, Any] = {"tokens": list(run.tokens[0]), "heads": {}}
    for name, score in kinds.items():
        l, h = divmod(int(score.argmax()), pattern.size(1))
        found["heads"][f"{name}: {l}.head.{h}"] = pattern[l, h]
    return found


def measure_mlp(s: Subject) -> dict[str, Any]:
    """GELU's values, how many neurons are on, a neuron that is easy to read and how rare that is."""
    x = torch.tensor([1.2, -0.5, 0.3, 0.9, 1.234, -0.567, 0.890, 3.0, -3.0])
    gelu = F.gelu(x, approximate="tanh")
    layers = range(s.model.config.n_layer)
    pre, tokens = _neurons(s)
    mlp, ln = s.model.transformer.h[0].mlp, torch.randn(1, 6, s.model.config.n_embd, generator=torch.Generator())
    with torch.no_grad():
        whole, one = mlp(ln, Pass()), mlp(ln[:, 3:4], Pass())
        alone = (whole[:, 3] - one[:, 0]).abs().max() / whole.std()
    purity, active = zip(*(_purity(pre[l], tokens) for l in layers))
    all_purity, all_active = torch.stack(purity), torch.stack(active)
    rare = all_purity.masked_fill(all_active > 0.05, 0)
    rare[: len(layers) // 2] = 0  # early neurons that read the token itself are no news
    l, n = divmod(int(rare.argmax()), all_purity.size(1))
    return {
        "gelu": dict(zip(("1.2", "-0.5", "0.3", "0.9", "1.234", "-0.567", "0.890", "3", "-3"), gelu.tolist())),
        "positive": [float((pre[l] > 0).double().mean()) for l in layers],
        "alone": float(alone),
        "neuron": {"address": f"{l}.mlp.post#{n}", "purity": float(rare.max()), "active": float(all_active[l, n])},
        "median_purity": float(all_purity.median()),
        "inner": s.model.config.inner_dim,
    }


def _neurons(s: Subject) -> tuple[Tensor, Tensor]:
    """MLP inputs before GELU over the rows: [L, N, F], and the N tokens; position 0 left out."""
    probe = Probe("*.mlp.pre")
    with torch.no_grad():
        s.model.hidden(s.rows[0], probe=probe)
    pre = [probe[f"{l}.mlp.pre"][:, 1:].flatten(0, 1) for l in range(s.model.config.n_layer)]
    return torch.stack(pre), s.rows[0][:, 1:].flatten()


def _purity(pre: Tensor, tokens: Tensor, strongest: int = 20) -> tuple[Tensor, Tensor]:
    """Of each neuron's 20 strongest positions the share that one token has, and how often it is above 0: [F] each."""
    at = tokens[pre.topk(strongest, dim=0).indices]  # (20, F)
    share = torch.stack([(at == at[k]).sum(0) for k in range(strongest)]).amax(0) / strongest
    return share.double(), (pre > 0).double().mean(0)


def mlp_figure(s: Subject) -> dict[str, Any]:
    """GELU beside ReLU, and how the inputs of neurons are spread in the first, middle and last block."""
    pre, _ = _neurons(s)
    edges = torch.linspace(-5, 5, 51)
    shown = sorted({0, pre.size(0) // 2, pre.size(0) - 1})
    x = torch.linspace(-4, 4, 81)
    return {
        "x": x, "gelu": F.gelu(x, approximate="tanh"), "edges": edges,
        "spread": {f"block {l}": torch.histogram(pre[l].flatten(), edges).hist / pre[l].numel() / 0.2 for l in shown},
    }  # fmt: skip


def measure_residuals(s: Subject) -> dict[str, Any]:
    """How far the stream turns, how large the writes are, and the singular values of each block's Jacobian."""
    layers = range(s.model.config.n_layer)
    points = ["embed.out", *(f"{l}.{p}" for l in layers for p in ("resid_post", "attn.out", "mlp.out"))]
    probe = Probe(points)
    with torch.no_grad():
        s.model.hidden(s.rows[0], probe=probe)
    start, end = probe["embed.out"][:, 1:], probe[f"{layers[-1]}.resid_post"][:, 1:]
    after_first = probe["0.resid_post"][:, 1:]
    rms = {p: float(probe[p][:, 1:].square().mean().sqrt()) for p in points}
    values = [jacobian(s.model, s.ids, l) for l in layers]
    return {
        "additions": 2 * len(layers),
        "cosine_start_end": float(F.cosine_similarity(start, end, dim=-1).mean()),
        "cosine_first_end": float(F.cosine_similarity(after_first, end, dim=-1).mean()),
        "stream": [rms["embed.out"], *(rms[f"{l}.resid_post"] for l in layers)],
        "attn": [rms[f"{l}.attn.out"] for l in layers],
        "mlp": [rms[f"{l}.mlp.out"] for l in layers],
        "singular_low": [float(v.min()) for v in values],
        "singular_high": [float(v.max()) for v in values],
        "below_one": float(torch.cat(values).lt(1).double().mean()),
        "gradient": stream_scales(s.model, *(x[:3] for x in s.rows))["gradient_norm"],
    }


def jacobian(model: GPT2, ids: Tensor, layer: int) -> Tensor:
    """Singular values of d resid_post / d resid_pre of a block, at the last position of a text: [C]."""
    probe = Probe(f"{layer}.resid_pre")
    with torch.no_grad():
        model.hidden(ids, probe=probe)
    stream = probe[f"{layer}.resid_pre"]

    def last(x: Tensor) -> Tensor:
        whole = torch.cat([stream[0, :-1], x[None]])[None]
        return model.transformer.h[layer](whole, Pass())[0, -1]

    found = torch.autograd.functional.jacobian(last, stream[0, -1], vectorize=True)
    return torch.linalg.svdvals(found.detach())
