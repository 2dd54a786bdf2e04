"""What the statements on structure come to, computed: sums that must be equal, shapes, counts, worked examples.

In: a `Subject`. Out: plain numbers for docs/guide/measured.json. A difference that must be 0 is given as the largest
one found, relative to the spread of what was compared. Read next: measure.py.
"""

import math
import tomllib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.ablation.models import VARIANTS
from gpt2.block import Block
from gpt2.config import GPT2Config
from gpt2.explain import trace
from gpt2.model import GPT2
from gpt2.probe import Probe
from gpt2.text.words import label
from scripts.guides.subject import RECIPE, Subject

DRAWS = 2000


def apart(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the spread of b."""
    return float((a - b).abs().max() / b.std())


def measure_facts(s: Subject) -> dict[str, Any]:
    """All of them."""
    return {**_vectors(s), **_identities(s), **_mlp_and_norms(s), **_head(s), **_examples(s), **_counts(s)}


def _vectors(s: Subject) -> dict[str, Any]:
    """Tables of vectors: rows, sums, what has no vector."""
    wte, wpe = (table.weight.detach() for table in (s.model.transformer.wte, s.model.transformer.wpe))
    probe = Probe(["embed.tok", "embed.pos", "embed.out"])
    with torch.no_grad():
        s.model(s.ids, probe=probe)
    n = s.model.config.n_positions
    try:
        s.model(torch.zeros(1, n + 1, dtype=torch.long))
        refused = False
    except ValueError:
        refused = True
    sinusoidal = GPT2(GPT2Config(n_layer=1, n_head=2, n_embd=32, vocab_size=64, n_positions=16))
    VARIANTS["sinusoidal-positions"](sinusoidal)
    vectors = sinusoidal.transformer.wpe(torch.arange(10_000))
    cat = s.token(" cat")
    return {
        "wte_shape": list(wte.shape),
        "rows_are_looked_up": torch.equal(probe["embed.tok"][0], wte[s.ids[0]]),
        "cat": wte[cat][:3] if cat is not None else None,
        "embedded_shape": list(probe["embed.out"][0].shape),
        "sum_apart": apart(probe["embed.out"], probe["embed.tok"] + probe["embed.pos"]),
        "learned_positions": sum(p.numel() for p in s.model.transformer.wpe.parameters() if p.requires_grad),
        "learned_sinusoidal": sum(p.numel() for p in sinusoidal.transformer.wpe.parameters()),
        "sinusoidal_far": bool(torch.isfinite(vectors).all()),
        "past_the_end_refused": refused,
        "wpe_rows": len(wpe),
        "pizza_shared": len(set("I ate the pizza".split()) & set("The pizza ate me".split())),
        "chased_shared": len(set("the cat chased the dog".split()) & set("the dog chased the cat".split())),
    }


def _identities(s: Subject) -> dict[str, Any]:
    """Attention and blocks, computed from their parts once more."""
    c = s.model.config
    names = [f"{l}.{p}" for l in range(c.n_layer) for p in (
        "resid_pre", "resid_mid", "resid_post", "ln_1.out", "ln_2.out", "attn.q", "attn.k", "attn.scores",
        "attn.pattern", "attn.z", "attn.out", "mlp.out")]  # fmt: skip
    probe = Probe(names)
    with torch.no_grad():
        s.model(s.ids, probe=probe)
    T, seen = s.ids.size(1), torch.ones(s.ids.size(1), s.ids.size(1), dtype=torch.bool).tril()
    added, branch, scores, sums = [], [], [], []
    for l, block in enumerate(s.model.transformer.h):
        v = {p.partition(".")[2]: probe[p].detach() for p in names if p.startswith(f"{l}.")}
        with torch.no_grad():
            normed = F.layer_norm(v["resid_pre"], (c.n_embd,), block.ln_1.weight, block.ln_1.bias, c.layer_norm_epsilon)
        branch.append(apart(v["ln_1.out"], normed))
        added.append(max(apart(v["resid_mid"], v["resid_pre"] + v["attn.out"]),
                         apart(v["resid_post"], v["resid_pre"] + v["attn.out"] + v["mlp.out"])))  # fmt: skip
        products = v["attn.q"] @ v["attn.k"].transpose(-2, -1) / math.sqrt(c.head_dim)
        scores.append(apart(v["attn.scores"][..., seen], products[..., seen]))
        sums.append(float((v["attn.pattern"].sum(-1) - 1).abs().max()))
    sentence = trace(s.checkpoint, "The cat sat on the mat", read="0.attn.pattern")
    first = sentence["0.attn.pattern"][0, :, -1]  # (H, T)
    writes = probe["0.attn.z"][0, :, -1]
    with torch.no_grad():
        length = s.model.transformer.h[0].attn.head_writes(probe["0.attn.z"])[0, :, -1].norm(dim=-1)
    strongest = int(length.argmax())
    return {
        "added_apart": max(added), "normed_apart": max(branch), "scores_apart": max(scores), "sums_apart": max(sums),
        "attention_shape": [list(probe["0.ln_1.out"][0].shape), list(probe["0.attn.out"][0].shape)],
        "mat_reads": {"tokens": list(sentence.tokens[0]), "weights": first.mean(0)},
        "strongest": {"head": f"0.head.{strongest}", "weights": probe["0.attn.pattern"][0, strongest, -1, :T]},
        "head_numbers": writes.size(-1),
        "blocks_are_plain": all(type(block) is Block for block in s.model.transformer.h),
    }  # fmt: skip


def _mlp_and_norms(s: Subject) -> dict[str, Any]:
    """Shapes through the MLP, how smooth activations are at 0, norms by number, dropouts by place."""
    probe = Probe([f"0.mlp.{p}" for p in ("pre", "post", "out")])
    with torch.no_grad():
        s.model(s.ids, probe=probe)
    x = torch.tensor([-1e-3, 1e-3], dtype=torch.float64, requires_grad=True)
    slopes = {}
    for name, f in (("gelu", lambda x: F.gelu(x, approximate="tanh")), ("relu", F.relu)):
        (slope,) = torch.autograd.grad(f(x).sum(), x)
        slopes[name] = float(slope[1] - slope[0])
    norms = [m for m in s.model.modules() if isinstance(m, nn.LayerNorm)]
    modules = [n.split(".")[-1] for n, m in s.model.transformer.named_modules() if isinstance(m, nn.Dropout)]
    attention = [m for m in s.model.modules() if hasattr(m, "attn_pdrop")]
    blocks = s.model.config.n_layer
    return {
        "mlp_shape": [probe[f"0.mlp.{p}"].size(-1) for p in ("pre", "post", "out")],
        "slope_step": slopes,
        "norm_vectors": 2 * len(norms),
        "norm_sizes": sorted({p.numel() for m in norms for p in m.parameters()}),
        "dropouts": {"after embeddings": modules.count("drop"), "on weights": len(attention),
                     "after attention": modules.count("resid_dropout"), "after the MLP": modules.count("dropout"),
                     "blocks": blocks},
        "neurons": blocks * s.model.config.inner_dim,
    }  # fmt: skip


def _head(s: Subject) -> dict[str, Any]:
    """Probabilities, the gradient of the loss, what is drawn, where the answer appears."""
    with torch.no_grad():
        logits = s.model(s.ids)[0, -1].double()
    by_block = _last_logits(s)
    p = logits.softmax(-1)
    target = s.token(" floor") or 0
    z = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(z[None], torch.tensor([target])), z)
    drawn = torch.multinomial(p, DRAWS, replacement=True, generator=torch.Generator().manual_seed(0))
    top = int(p.argmax())
    best = [int(row.argmax()) for row in by_block]
    agreeing = [l for l in range(len(best)) if all(b == best[-1] for b in best[l:])]
    others = torch.ones(len(p), dtype=torch.bool)
    others[target] = False
    return {
        "probabilities_sum": float(p.sum()),
        "head_shape": list(s.model.lm_head.weight.shape), "head_bias": s.model.lm_head.bias is not None,
        "final_apart": apart(by_block[-1].double(), logits),
        "gradient_apart": float((gradient - (p - F.one_hot(torch.tensor(target), len(p)))).abs().max()),
        "gradient_right": float(gradient[target]), "gradient_others_positive": bool((gradient[others] > 0).all()),
        "drawn_top": float((drawn == top).double().mean()), "draws": DRAWS, "drawn_kinds": len(drawn.unique()),
        "answer_from": agreeing[0],
        "by_block": [label(s.tokenizer, b) for b in best],
    }  # fmt: skip


def _last_logits(s: Subject) -> list[Tensor]:
    """What the model would say after each block at the last position: logits [V] each."""
    layers = range(s.model.config.n_layer)
    probe = Probe([f"{l}.resid_post" for l in layers])
    with torch.no_grad():
        s.model(s.ids, probe=probe)
        return [s.model.lm_head(s.model.transformer.ln_f(probe[f"{l}.resid_post"]))[0, -1] for l in layers]


def _examples(s: Subject) -> dict[str, Any]:
    """The worked examples of the original guide, computed."""
    position = [(0.023 + 0.012, -0.145 + 0.234, 0.891 - 0.123), (0.234 - 0.456, -0.891 + 0.789, 0.445 + 0.456),
                (-0.123 + 0.234, 0.456 - 0.123, 0.789 + 0.567)]  # fmt: skip
    return {
        "position_sums": position,
        "normalised": [(x - 2.1) / 4.3 for x in (5.2, -3.1, 8.4)],
        "residual_sum": [0.5 + 0.1, -0.3 + 0.05, 0.8 - 0.2],
        "dropped": [0.345 / 0.9, -0.123 / 0.9, 0.234 / 0.9, -0.089 / 0.9],
        "walk_sums": [-0.100 + 0.383, 0.311 - 0.137, 0.283 + 0.260, 0.174 - 0.099],
    }


def _counts(s: Subject) -> dict[str, Any]:
    """What the model was trained on, counted; sentences in the bundled stories."""
    recipe = tomllib.loads(RECIPE.read_text("utf-8"))
    train, c = recipe["train"], s.model.config
    text = "\n".join(s.tokenizer.decode(list(row)) for row in s.stories.rows)
    return {
        "tokens_read": train["steps"] * train["batch_size"] * train.get("context", c.n_positions),
        "sentence_in_stories": text.count("The cat sat on the mat"),
        "additions": sum(2 for _ in s.model.transformer.h),
    }
