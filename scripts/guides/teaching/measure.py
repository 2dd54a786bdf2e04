"""The numbers of the teaching guide: one sentence carried through the bundled model, and what it costs to do without.

In: a `Subject`. Out: plain numbers for docs/guide/teaching.json. Read next: gallery.py, which draws them.
"""

import copy
import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2 import Sampling
from gpt2.ablation.models import VARIANTS
from gpt2.config import GPT2Config
from gpt2.explain import off, trace
from gpt2.explain.run.trace import Run
from gpt2.inference.sampling import distribution
from gpt2.model import GPT2
from gpt2.probe import Probe
from gpt2.text.words import label
from scripts.guides.measure_blocks import DEPTH, HEADS, WIDTH
from scripts.guides.subject import EXAMPLE, Subject, rounded

SPOON = "The cat had a blue spoon. One day, the cat lost the blue"
PRONOUN = "Lily was a little girl. One day,"
BROKEN = "unbelievable"  # several tokens
KINDS = {
    "animals": ("cat", "dog", "bird", "mouse", "horse", "cow"),
    "family": ("mother", "father", "sister", "brother", "aunt", "uncle"),
    "colours": ("red", "blue", "green", "yellow", "white", "black"),
    "numbers": ("two", "three", "four", "five", "six", "seven"),
}
NEAR = ("dog", "kitten", "mouse", "mother", "red", "the")  # beside " cat"
READ = ("*.attn.q", "*.attn.k", "*.attn.v", "*.attn.pattern", "*.attn.out", "*.mlp.pre", "*.mlp.post", "*.mlp.out",
        "*.ln_1.out", "*.ln_1.scale", "embed.out", "*.resid_mid", "*.resid_post")  # fmt: skip
TARGET = " mat"
RATE = 1e-4  # of the one step


def numbers() -> dict[str, Any]:
    """All of them, by section of the guide."""
    s = Subject.load()
    run = trace(s.checkpoint, EXAMPLE, read=READ)
    found = {
        "pieces": merges(s),
        "vectors": vectors(s, run),
        "order": order(s),
        "attention": whole_head(run, 0, 6),
        "heads": four_heads(s),
        "neuron": neurons(s, run),
        "stream": stream(s, run),
        "alike": alike(s),
        "next": choices(s),
        "step": step(s),
        "positions_loss": position_losses(s),
        "off": costs(s),
    }
    return rounded(found)


def merges(s: Subject) -> dict[str, Any]:
    """How one word is put together: the pieces after each merge, and the merge's number in the learned list."""
    rank = {tuple(pair): i for i, pair in enumerate(_merge_list(s))}
    found = {}
    for word in (BROKEN, " cat"):
        pieces = list(word.replace(" ", "Ġ"))
        steps = [{"pieces": [p.replace("Ġ", "·") for p in pieces], "rank": None}]
        while pairs := [(rank[p], i) for i, p in enumerate(pairwise(pieces)) if p in rank]:
            best, i = min(pairs)
            pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
            steps.append({"pieces": [p.replace("Ġ", "·") for p in pieces], "rank": best + 1})
        ids = s.tokenizer.encode(word)
        assert [s.tokenizer.decode([i]).replace(" ", "·") for i in ids] == steps[-1]["pieces"], word
        found[word.strip()] = {"steps": steps, "ids": ids}
    return {"words": found, "merges": len(rank)}


def _merge_list(s: Subject) -> list[list[str]]:
    pairs = s.tokenizer._content["model"]["merges"]
    return [pair.split(" ") if isinstance(pair, str) else list(pair) for pair in pairs]


def vectors(s: Subject, run: Run) -> dict[str, Any]:
    """First numbers of token, position and sum; cosines of " cat"; a map of words of four kinds in two dimensions."""
    wte = s.model.transformer.wte.weight.detach()
    ids = s.ids[0].tolist()
    with torch.no_grad():
        tok, pos = wte[s.ids[0]], s.model.transformer.wpe.weight[: len(ids)]
    cat = wte[s.token(" cat") or 0]
    words = [(kind, word) for kind, members in KINDS.items() for word in members]
    rows = torch.stack([F.normalize(wte[s.token(f" {word}") or 0], dim=0) for _, word in words])
    centred = (rows - rows.mean(0)).double()
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    axes *= torch.sign(axes.gather(1, axes.abs().argmax(1, keepdim=True)))  # a sign that does not depend on the library
    flat = centred @ axes.T
    return {
        "tokens": [label(s.tokenizer, i) for i in ids],
        "ids": ids,
        "tok": tok[:, :3],
        "pos": pos[:, :3],
        "sum": (tok + pos)[:, :3],
        "norms": {"tok": tok.norm(dim=1), "pos": pos.norm(dim=1)},
        "beside_cat": {w: float(F.cosine_similarity(cat, wte[s.token(f" {w}") or 0], dim=0)) for w in NEAR},
        "map": [{"kind": kind, "word": word, "at": at} for (kind, word), at in zip(words, flat.tolist())],
        "map_share": float(flat.square().sum() / centred.square().sum()),
        "position_cosines": F.cosine_similarity(s.model.transformer.wpe.weight.detach()[100:101],
                                                s.model.transformer.wpe.weight.detach())[::8],
    }  # fmt: skip


def order(s: Subject) -> dict[str, Any]:
    """What position vectors change in three predictions: the likeliest token and its probability, on and off."""
    found = {}
    for text in (EXAMPLE, "The dog chased the cat. The cat", "The cat chased the dog. The dog"):
        ids = torch.tensor([s.tokenizer.encode(text)])
        sides = {}
        for name, edit in (("on", {}), ("off", {"embed.pos": torch.zeros_like})):
            p = s.model(ids, probe=Probe(edit=edit)).detach()[0, -1].softmax(-1)
            sides[name] = {"token": label(s.tokenizer, int(p.argmax())), "p": float(p.max())}
        found[text] = sides
    return found


def whole_head(run: Run, layer: int, head: int) -> dict[str, Any]:
    """One head over the example: every score and every weight, a row for each reader."""
    q, k = (run[f"{layer}.attn.{name}"][0, head] for name in ("q", "k"))
    scores = q @ k.t() / q.size(-1) ** 0.5
    return {"address": f"{layer}.head.{head}", "scores": scores, "weights": run[f"{layer}.attn.pattern"][0, head]}


def four_heads(s: Subject) -> dict[str, Any]:
    """Four heads, each in a sentence that shows what it does, with the score that says how often it does so."""
    shown = {"previous": (EXAMPLE, 4, 3), "first": ("Once upon a time there was a", 2, 4),
             "repeat": (SPOON, 6, 5), "pronoun": (PRONOUN, 7, 1)}  # fmt: skip
    found = {}
    for name, (text, layer, head) in shown.items():
        run = trace(s.checkpoint, text, read=f"{layer}.attn.pattern")
        found[name] = {
            "address": f"{layer}.head.{head}", "text": text, "tokens": list(run.tokens[0]),
            "row": run[f"{layer}.attn.pattern"][0, head, -1], "pattern": run[f"{layer}.attn.pattern"][0, head],
        }  # fmt: skip
    answer, other = (s.token(w) or 0 for w in (" she", " he"))
    ids = torch.tensor([s.tokenizer.encode(PRONOUN)])
    lead = s.model(ids).detach()[0, -1]
    found["pronoun"]["lead"] = float(lead[answer] - lead[other])
    parts = trace(s.checkpoint, PRONOUN).attribution(" she", " he", of="7.head.1")
    found["pronoun"]["adds"] = parts.values[: len(found["pronoun"]["tokens"])]
    spoon = torch.tensor([s.tokenizer.encode(SPOON)])
    zero = {"6.head.5": torch.zeros_like}
    sides = [s.model(spoon, probe=Probe(edit=edit)).detach()[0, -1].softmax(-1) for edit in ({}, zero)]
    found["repeat"]["p"] = [float(p[s.token(" spoon") or 0]) for p in sides]
    return found


def neurons(s: Subject, run: Run) -> dict[str, Any]:
    """Block 0's MLP at the last token: how many neurons are on, the strongest three, and the lengths around it."""
    pre, post = run["0.mlp.pre"][0, -1], run["0.mlp.post"][0, -1]
    top = post.argsort(descending=True)[:3].tolist()
    x = torch.tensor([-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0])
    return {
        "on": int((pre > 0).sum()), "of": pre.numel(),
        "strongest": [{"neuron": n, "pre": float(pre[n]), "post": float(post[n])} for n in top],
        "before": float(run["0.resid_mid"][0, -1].norm()), "write": float(run["0.mlp.out"][0, -1].norm()),
        "after": float(run["0.resid_post"][0, -1].norm()),
        "table": {f"{a:g}": b for a, b in zip(x.tolist(), F.gelu(x, approximate="tanh").tolist())},
    }  # fmt: skip


def stream(s: Subject, run: Run) -> dict[str, Any]:
    """The last token's stream through the blocks: first three numbers, lengths, and what the lens says there."""
    layers = range(s.model.config.n_layer)
    points = ["embed.out", *(f"{l}.resid_post" for l in layers)]
    x = torch.stack([run[p][0, -1] for p in points])
    with torch.no_grad():
        p = s.model.head(s.model.transformer.ln_f(x)).softmax(-1)
    first = run["0.resid_mid"][0, -1]
    ln = run["0.ln_1.out"][0, -1]
    return {
        "points": points, "first": x[:, :3], "norms": x.norm(dim=1),
        "attn": [float(run[f"{l}.attn.out"][0, -1].norm()) for l in layers],
        "mlp": [float(run[f"{l}.mlp.out"][0, -1].norm()) for l in layers],
        "says": [{"token": label(s.tokenizer, int(row.argmax())), "p": float(row.max())} for row in p],
        "one": {"before": x[0, :3], "attn": run["0.attn.out"][0, -1, :3], "mid": first[:3],
                "mlp": run["0.mlp.out"][0, -1, :3], "after": x[1, :3]},
        "norm": {"x": x[0, :3], "mean": float(x[0].mean()), "sigma": float(run["0.ln_1.scale"][0, -1]), "out": ln[:3]},
    }  # fmt: skip


def alike(s: Subject) -> dict[str, Any]:
    """How alike the streams of a text's positions are after each block before training: the mean cosine of pairs."""
    ids = s.rows[0][:4, :32]
    found = {}
    for name, changes in {"with residuals": (), "without": ("no-residuals",)}.items():
        model = GPT2(GPT2Config(s.model.config.vocab_size, 64, WIDTH, DEPTH, HEADS))
        for change in changes:
            VARIANTS[change](model)
        model.init_weights(0)
        probe = Probe(["embed.out", "*.resid_post"])
        with torch.no_grad():
            model.eval().hidden(ids, probe=probe)
        found[name] = [_mean_cosine(probe[p]) for p in ("embed.out", *(f"{l}.resid_post" for l in range(DEPTH)))]
    return found


def _mean_cosine(x: Tensor) -> float:
    """Over pairs of positions of a text: x [B, T, C]."""
    unit = F.normalize(x.double(), dim=-1)
    T = x.size(1)
    return float(((unit @ unit.transpose(1, 2)).sum((1, 2)) - T).mean() / (T * (T - 1)))


def choices(s: Subject) -> dict[str, Any]:
    """The next token's probabilities under four ways to choose, for the six likeliest, and how many tokens are left."""
    logits = s.model(s.ids).detach()[0, -1:]
    ways = {
        "as it is": Sampling(temperature=1.0, top_k=None, top_p=1.0),
        "temperature 0.5": Sampling(temperature=0.5, top_k=None, top_p=1.0),
        "temperature 1.5": Sampling(temperature=1.5, top_k=None, top_p=1.0),
        "top-k 3": Sampling(temperature=1.0, top_k=3, top_p=1.0),
        "top-p 0.5": Sampling(temperature=1.0, top_k=None, top_p=0.5),
    }
    order = logits[0].argsort(descending=True)[:6].tolist()
    shown = [label(s.tokenizer, i) for i in order]
    found: dict[str, Any] = {"tokens": shown, "logits": [float(logits[0, i]) for i in order], "ways": {}}
    for name, way in ways.items():
        p = distribution(logits, [s.ids[0].tolist()], way)[0]
        found["ways"][name] = {"p": p[order], "left": int((p > 0).sum())}
    return found


def step(s: Subject) -> dict[str, Any]:
    """One step of training on the example with " mat" as the answer: loss and probabilities before and after it."""
    model = copy.deepcopy(s.model).eval()
    target = torch.full_like(s.ids, -100)
    answer = s.token(TARGET) or 0
    target[0, -1] = answer
    before = model(s.ids).detach()[0, -1].softmax(-1)
    loss = model(s.ids, target)
    loss.backward()
    length = math.sqrt(sum(float(x.grad.square().sum()) for x in model.parameters() if x.grad is not None))
    with torch.no_grad():
        for x in model.parameters():
            if x.grad is not None:
                x -= RATE * x.grad
        after = model(s.ids)[0, -1].softmax(-1)
    shown = [answer, *(i for i in before.argsort(descending=True)[:4].tolist() if i != answer)]
    return {
        "rate": RATE, "loss": float(loss.detach()), "loss_after": float(-after[answer].log()),
        "gradient_length": length, "tokens": [label(s.tokenizer, i) for i in shown],
        "before": before[shown], "after": after[shown],
        "gradient": before[shown] - (torch.tensor(shown) == answer).float(),
    }  # fmt: skip


def position_losses(s: Subject) -> dict[str, Any]:
    """The mean loss of stories in bins of 8 positions, and by how much the last 32 cost less than the first 8.

    Each with a 95% interval over the stories.
    """
    with torch.no_grad():
        losses = s.model(*s.rows, reduction="none").double()
    bins = losses.view(len(losses), -1, 8).mean(2)  # (stories, bins)
    half = 1.96 * bins.std(0) / len(bins) ** 0.5
    each = bins[:, 0] - bins[:, -4:].mean(1)
    fall, around = float(each.mean()), float(1.96 * each.std() / len(each) ** 0.5)
    return {
        "stories": len(losses), "mean": bins.mean(0), "low": bins.mean(0) - half, "high": bins.mean(0) + half,
        "fall": [fall, fall - around, fall + around],
    }  # fmt: skip


def costs(s: Subject) -> dict[str, Any]:
    """The change of the loss, in nats per token, with parts of the finished model switched off, over 16 stories.

    Attention and MLPs are held at their means; position vectors and single heads' rows are 0; norms hold their divisor.
    """
    layers = range(s.model.config.n_layer)
    means = {name: ",".join(f"{l}.{name}" for l in layers) for name in ("attn", "mlp")}
    means["norms"] = ",".join([*(f"{l}.ln_{k}.scale" for l in layers for k in (1, 2)), "final.scale"])
    means |= {f"{l}.mlp": f"{l}.mlp" for l in layers}
    one = off(s.checkpoint, list(means.values()), "mean")
    two = off(s.checkpoint, "embed.pos", "zero")
    found = {name: _interval(one.change, k) for k, name in enumerate(means)} | {"positions": _interval(two.change, 0)}
    return {"loss": float(one.loss.value), **found}


def _interval(change: Any, k: int) -> list[float]:
    return [float(change.value[k]), float(change.low[k]), float(change.high[k])]
