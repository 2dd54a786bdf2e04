"""Dropout, head and prediction: expected values, tied vectors, likely words, the loss at every position.

In: a `Subject`. Out: plain numbers for docs/guide/measured.json. Read next: render.py.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F

from gpt2.explain import excerpt, off, switch
from gpt2.model import GPT2
from gpt2.probe import Probe
from gpt2.text.words import label
from scripts.guides.subject import LENGTH, Subject

WORDS = ("mat", "rug", "floor", "table", "bed", "tree", "sky", "quickly")
DRAWS = 2000


def measure_dropout(s: Subject) -> dict[str, Any]:
    """A vector dropped many times: the share dropped, and the mean beside the vector itself."""
    x = torch.tensor([0.5, -0.3, 0.8, 0.2, -0.1, 0.6, 0.4, -0.2, 0.9, 0.1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = F.dropout(x.expand(DRAWS, -1), 0.1)
    unscaled = dropped * 0.9
    at_least_three = sum(math.comb(10, k) * 0.1**k * 0.9 ** (10 - k) for k in range(3, 11))
    return {
        "x": x, "mean": dropped.mean(0), "mean_unscaled": unscaled.mean(0), "draws": DRAWS,
        "share": float((dropped == 0).double().mean()), "first": dropped[0], "second": dropped[1],
        "three_of_ten": at_least_three, "rate": s.model.config.resid_pdrop,
    }  # fmt: skip


def measure_off(s: Subject) -> dict[str, Any]:
    """Loss change in nats per token, with its interval over documents, where all of one kind is switched off at once.

    Attention, MLPs and the norms' divisors are held at their means over eight stories; position vectors are 0.
    """
    layers = range(s.model.config.n_layer)
    means = {name: ",".join(f"{l}.{name}" for l in layers) for name in ("attn", "mlp")}
    means["norms"] = ",".join([*(f"{l}.ln_{k}.scale" for l in layers for k in (1, 2)), "final.scale"])
    text = excerpt(s.checkpoint, s.stories, 8, LENGTH)
    one = off(s.checkpoint, list(means.values()), "mean", text, text).change
    two = off(s.checkpoint, "embed.pos", "zero", text, text).change
    at = f"{layers[-1]}.resid_post"
    probe = Probe(at, edit=switch(s.model, means["norms"], "mean", text))
    with torch.no_grad():
        s.model.hidden(s.rows[0], probe=probe)
    named = [*((name, one, k) for k, name in enumerate(means)), ("positions", two, 0)]
    found = {name: [float(e.value[k]), float(e.low[k]), float(e.high[k])] for name, e, k in named}
    return {**found, "stream_with_norms_held": float(probe[at][:, 1:].square().mean().sqrt())}


def measure_head(s: Subject) -> dict[str, Any]:
    """The prediction after the example, tying, and what cosine, sampling rules and positions make of it."""
    with torch.no_grad():
        logits = s.model(s.ids)[0, -1].double()
        hidden = s.model.hidden(s.rows[0]).flatten(0, 1)
        losses = s.model(*s.rows, reduction="none")
    p = logits.softmax(-1)
    order = p.argsort(descending=True)
    head = s.model.lm_head.weight.detach()
    by_logit = (hidden @ head.T).argmax(-1)
    by_cosine = (hidden @ (head / head.norm(dim=1, keepdim=True)).T).argmax(-1)
    top50 = p[order[:50]] / p[order[:50]].sum()
    trained = GPT2(s.model.config, s.seed)
    trained(*(x[:2] for x in s.rows)).backward()
    moved = [float(x.grad.abs().max()) > 0 for x in trained.parameters() if x.grad is not None]
    first_losses = losses.double().mean(0)
    return {
        "text": s.tokenizer.decode(s.ids[0].tolist()),
        "ids": s.ids[0],
        "tokens": [label(s.tokenizer, i) for i in s.ids[0].tolist()],
        "vocabulary": len(p),
        "top": [{"token": label(s.tokenizer, i), "p": float(p[i])} for i in order[:8].tolist()],
        "words": {w: _word(s, w, p) for w in WORDS},
        "entropy": float(torch.special.entr(p).sum()),
        "entropy_top50": float(torch.special.entr(top50).sum()),
        "mass_top50": float(p[order[:50]].sum()),
        "tied": s.model.lm_head.weight is s.model.transformer.wte.weight,
        "cosine_agrees": float((by_logit == by_cosine).double().mean()),
        "row_lengths": [float(v) for v in head.norm(dim=1).quantile(torch.tensor([0.01, 0.5, 0.99]))],
        "loss": float(losses.mean()),
        "uniform": math.log(len(p)),
        "untrained_loss": float(s.untrained(*(x[:3] for x in s.rows)).detach()),
        "scored": losses.numel(),
        "rows": list(losses.shape),
        "loss_early": float(first_losses[1:9].mean()),
        "loss_late": float(first_losses[-32:].mean()),
        "with_gradient": sum(moved),
        "tensors": len(moved),
        "loss_of_042": -math.log(0.42),
        "ratio": math.exp(4.8 - 2.3),
    }


def _word(s: Subject, word: str, p: torch.Tensor) -> dict[str, Any]:
    """Probability and rank of ` word`, or the pieces that it takes."""
    i = s.token(f" {word}")
    if i is None:
        return {"pieces": [label(s.tokenizer, k) for k in s.tokenizer.encode(f" {word}")], "p": None, "rank": None}
    return {"pieces": [label(s.tokenizer, i)], "p": float(p[i]), "rank": 1 + int((p > p[i]).sum())}


def position_losses_figure(s: Subject) -> dict[str, Any]:
    """The probabilities after the example, and the mean loss by position."""
    with torch.no_grad():
        p = s.model(s.ids)[0, -1].double().softmax(-1)
        losses = s.model(*s.rows, reduction="none").double().mean(0)
    order = p.argsort(descending=True)[:10].tolist()
    return {"words": [label(s.tokenizer, i) for i in order], "p": p[order], "loss": losses.view(-1, 8).mean(1)}
