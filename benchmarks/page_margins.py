"""How near a tie was where the page's engine and the server differ in a whole number: a rank, an order, a count.

In: a question, both answers, the session. Out: for each place at which whole numbers differ, the margin between the two
values that decide it, as PyTorch has them, as a share of what they are part of. Read next: page_engine.py, which counts
a margin above rounding as a failure.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gpt2.server.session import Session

ROUNDING = 1e-4  # of the values' range; float32 keeps 1e-7, and a pass adds thousands of products
Margin = tuple[str, float]  # where, and how much


def margins(
    session: Session, name: str, parameters: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
) -> list[Margin]:
    """Every place at which whole numbers differ. Of a kind that is not known here the margin is infinite."""
    ids = session.encode(parameters["text"])
    flow = session.look(ids, parameters.get("switches", {}))
    plain = session.look(ids, {})
    logits = (flow.run.logits[0].double(), plain.run.logits[0].double())
    of = {
        "picture": _picture, "lens": _lens, "neurons": _neurons, "calculation": _calculation,
        "leave_one_out": _leave_one_out,
    }.get(name)  # fmt: skip
    if of is None:
        return [(name, float("inf"))]
    return list(of(session, parameters, ours, theirs, logits)) or [(name, float("inf"))]


def _data(x: dict[str, Any]) -> Tensor:
    return torch.tensor(x["data"], dtype=torch.float64).view(x["shape"])


def _differ(ours: Tensor, theirs: dict[str, Any]) -> list[tuple[int, ...]]:
    """The places at which two whole numbers differ."""
    return [tuple(place) for place in (ours.double() != _data(theirs)).nonzero().tolist()]


def _gap(logits: Tensor, a: int, b: int) -> float:
    return float((logits[a] - logits[b]).abs() / (logits.max() - logits.min()))


def _picture(session: Session, parameters: Any, ours: Any, theirs: Any, logits: Any) -> Iterator[Margin]:
    """Likeliest tokens, by their logits; tokens that are listed, by the larger probability of the two runs; arcs."""
    for field, x in (("top", logits[0]), ("top_before", logits[1])):
        for (t,) in _differ(ours[field], theirs[field]):
            yield f"{field}[{t}]", _gap(x[t], int(ours[field][t]), int(_data(theirs[field])[t]))
    shares = torch.maximum(*(x.softmax(-1) for x in logits))
    for t, k in _differ(ours["next"]["ids"], theirs["next"]["ids"]):
        a, b = int(ours["next"]["ids"][t, k]), int(_data(theirs["next"]["ids"])[t, k])
        yield f"next.ids[{t}, {k}]", float((shares[t, a] - shares[t, b]).abs())
    for kind in ("mean", "written"):
        arcs, others = ours["arcs"][kind], theirs["arcs"][kind]
        weights = _data(others["weight"])
        for place in _differ(arcs["from"], others["from"]):
            yield f"arcs.{kind}{list(place)}", float((arcs["weight"][place].double() - weights[place]).abs())


def _lens(session: Session, parameters: Any, ours: Any, theirs: Any, logits: Any) -> Iterator[Margin]:
    """Likeliest tokens and ranks at each point, by the logits there; the answers, by those of the whole model."""
    model, ids = session.model, session.encode(parameters["text"])
    for (r,) in _differ(ours["final"], theirs["final"]):
        a, b = int(ours["final"][r]), int(_data(theirs["final"])[r])
        yield f"final[{r}]", _gap(logits[1][ours["first"] + r], a, b)
    run = session.look(ids, parameters.get("switches", {})).run
    for field, of in (("top", run), ("rank", run), ("top_before", session.look(ids, {}).run)):
        for p, r in _differ(ours[field], theirs[field]) if field in ours else ():
            t = ours["first"] + r
            with torch.no_grad():
                x = model.head(model.transformer.ln_f(of.read(ours["points"][p])[ours["points"][p]][:, t]))[0].double()
            a, b = int(ours[field][p, r]), int(_data(theirs[field])[p, r])
            if field == "rank":  # as many tokens as the ranks differ by lie nearer than this
                near = (x - x[ids[t + 1]]).abs().sort().values[abs(a - b)]
                yield f"rank[{p}, {r}]", float(near / (x.max() - x.min()))
            else:
                yield f"{field}[{p}, {r}]", _gap(x, a, b)


def _leave_one_out(session: Session, parameters: Any, ours: Any, theirs: Any, logits: Any) -> Iterator[Margin]:
    """Likeliest tokens, by their logits: those of the run, and those of the run without a component."""
    for (t,) in _differ(ours["first"], theirs["first"]):
        yield f"first[{t}]", _gap(logits[0][t], int(ours["first"][t]), int(_data(theirs["first"])[t]))
    state = "off" if parameters["kind"] == "zero" else "mean"
    for k, t in _differ(ours["first_without"], theirs["first_without"]):
        switches = {**parameters["switches"], ours["rows"][k]["address"]: state}
        x = session.look(session.encode(parameters["text"]), switches).run.logits[0, t].double()
        a, b = int(ours["first_without"][k, t]), int(_data(theirs["first_without"])[k, t])
        yield f"first_without[{k}, {t}]", _gap(x, a, b)


def _neurons(session: Session, parameters: Any, ours: Any, theirs: Any, logits: Any) -> Iterator[Margin]:
    """The order of the strongest, by what they write; how many are active, by those nearest to 0."""
    largest = ours["neurons"][0]["size"]
    for k, (one, other) in enumerate(zip(ours["neurons"], theirs["neurons"], strict=True)):
        if one["n"] != other["n"]:
            yield f"neurons[{k}]", abs(one["size"] - other["size"]) / largest
    if apart := abs(ours["active"] - theirs["active"]):
        ids = session.encode(parameters["text"])
        address = f"{parameters['block']}.mlp.post"
        post = session.trace(ids, parameters["switches"], (address,))[address][0, parameters["row"]].double()
        yield "active", float(post.abs().sort().values[apart - 1] / post.abs().max())


def _calculation(session: Session, parameters: Any, ours: Any, theirs: Any, logits: Any) -> Iterator[Margin]:
    """Which terms are the largest: of those that only one side lists, by their sizes."""
    at, others = ours["at"].tolist(), [int(i) for i in theirs["at"]["data"]]
    if at == others:
        return

    def sizes(answer: Any, places: list[int]) -> dict[int, float]:
        left, right = (x.double() if isinstance(x, Tensor) else _data(x) for x in (answer["left"], answer["right"]))
        mean = answer["numbers"].get("mean", 0.0)
        each = right if answer["kind"] == "softmax" else left * right if len(right) else left - mean
        return dict(zip(places, each.abs().tolist(), strict=True))

    mine, his = sizes(ours, at), sizes(theirs, others)
    only = [[of[i] for i in sorted(of.keys() - other.keys())] for of, other in ((mine, his), (his, mine))]
    yield "at", max(abs(a - b) for a in only[0] for b in only[1]) / max(mine.values())
