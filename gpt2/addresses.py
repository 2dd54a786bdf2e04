"""Names for every intermediate tensor of a forward pass: the one table of points, and the grammar of addresses.

In: text such as `3.attn.pattern`, `5.resid_pre@3`, `2.mlp.post#1234`, `*.head.7`. Out: addresses. Read next: probe.py.

    address   [layer | *] . point [@ position | @ first:stop] [# unit]
    heads     l.head.h is one head's z [B, T, D]; l.head.h.out is its write z W_O [B, T, C]
    writes    l.attn and l.mlp are short for l.attn.out and l.mlp.out; l.block is resid_post - resid_pre
    readers   l.head.h.q.in (k.in, v.in), l.mlp.in and final.in are the stream that each of them reads
    edges     writer>reader, such as 0.head.1>2.mlp.in: named here, not yet read or edited

Shapes have a leading batch axis; `@3` keeps a time axis of one row; a head or a `#unit` drops its own axis.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple


class Point(NamedTuple):
    """One place of the model: its axes for one text (T positions, C, H, D, F, V sizes), and what stands there."""

    name: str
    axes: str
    meaning: str


LAYER = (
    Point("resid_pre", "T C", "the residual stream that enters block l, a running sum"),
    Point("ln_1.scale", "T", "sigma: the norm divides what attention reads by it, so that only direction counts"),
    Point("ln_1.out", "T C", "the normed stream that attention reads"),
    Point("attn.q", "H T D", "the queries: what each position looks for"),
    Point("attn.k", "H T D", "the keys: what each position offers"),
    Point("attn.v", "H T D", "the values: what a position gives when it is read"),
    Point("attn.scores", "H T T", "q k / sqrt(D), before mask and softmax"),
    Point("attn.pattern", "H T T", "the attention weights: row i sums to 1 over the positions 0 to i"),
    Point("attn.z", "H T D", "the weighted sums of the values, before the output projection"),
    Point("head.out", "H T C", "each head's write z W_O, without the bias"),
    Point("attn.out", "T C", "the whole write of attention, fetched from earlier positions (l.attn for short)"),
    Point("resid_mid", "T C", "the stream once attention has added to it"),
    Point("ln_2.scale", "T", "sigma: the norm divides what the MLP reads by it, so that only direction counts"),
    Point("ln_2.out", "T C", "the normed stream that the MLP reads"),
    Point("mlp.pre", "T F", "the neurons before the activation function"),
    Point("mlp.post", "T F", "the neurons after the activation function; l.mlp.post#n is one of them"),
    Point("mlp.out", "T C", "the whole write of the MLP, from this position alone (l.mlp for short)"),
    Point("block", "T C", "what the block adds: resid_post - resid_pre"),
    Point("resid_post", "T C", "the stream once the MLP has added to it: it leaves block l"),
)
MODEL = (
    Point("embed.tok", "T C", "the token vectors: each token is looked up in a table of learned numbers"),
    Point("embed.pos", "T C", "the position vectors, learned and added so that order matters"),
    Point("embed.out", "T C", "the sum of both: what enters block 0"),
    Point("final.scale", "T", "sigma: the final norm divides the finished stream by it"),
    Point("final.out", "T C", "the normed stream that the head reads"),
    Point("logits", "T V", "the score of every possible next token"),
)
POINTS = {point.name: point for point in (*MODEL[:3], *LAYER, *MODEL[3:])}  # in the order of the model
LAYER_POINTS, MODEL_POINTS = [point.name for point in LAYER], [point.name for point in MODEL]
PER_HEAD = [name for name, point in POINTS.items() if point.axes.startswith("H")]  # [B, H, T, ...]
DERIVED = ("head.out", "block")  # computed from other points where they are read
SHORT = {"mlp": "mlp.out", "attn": "attn.out"}
READERS = {"q.in": "resid_pre", "k.in": "resid_pre", "v.in": "resid_pre", "mlp.in": "resid_mid"}
Key = tuple[int | None, str]  # layer, point
ADDRESS = re.compile(
    r"((?P<layer>\d+|\*)\.)?(head\.(?P<head>\d+|\*)(\.(?P<part>out|[qkv]\.in))?|(?P<point>[a-z_0-9]+(\.[a-z_0-9]+)?))"
    r"(@(?P<first>\d+)(:(?P<stop>\d+))?)?(#(?P<unit>\d+))?"
)


@dataclass(frozen=True)
class Address:
    """One point, and the part of its tensor that is meant; `layer` is None for points outside the blocks."""

    text: str
    layer: int | None
    point: str
    head: int | None
    span: tuple[int, int] | None  # positions [first, stop)
    unit: int | None
    reader: str | None  # whose input this is; an edit of it alone is not built yet


def parse(text: str, n_layer: int, n_head: int) -> list[Address]:
    """Every concrete address that `text` names (several where it holds a `*`).

    Raises ValueError with the nearest valid names when it names none, and for an edge.
    """
    if ">" in text:
        ends = [parse(end, n_layer, n_head)[0].text for end in text.split(">")]
        raise ValueError(f"{text!r} is an edge, which cannot be read or edited yet: name one of {', '.join(ends)}.")
    match = ADDRESS.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no address: write layer.point, such as 0.attn.pattern or 5.resid_pre@3.")
    layer, head, unit, point = match["layer"], match["head"], match["unit"], match["point"]
    if point is None:
        point = {None: "attn.z", "out": "head.out"}.get(match["part"], match["part"])
    reader = point if point in (READERS if layer else ("final.in",)) else None
    if reader == "final.in":
        layer, point = str(n_layer - 1), "resid_post"
    point = SHORT.get(point, READERS.get(point, point)) if layer else point
    if point not in (LAYER_POINTS if layer else MODEL_POINTS) or match["point"] in ("head.out", "q.in", "k.in", "v.in"):
        near = ", ".join(_nearest(text, layer or "0", head, match["point"] or ""))
        raise ValueError(f"there is no point {text!r}: the nearest are {near}; `gpt2 explain points` lists all.")
    if unit and POINTS[point].axes == "T":
        raise ValueError(f"{text!r}: {point} has one number per position, so it has no #unit.")
    first = match["first"]
    span = (int(first), int(match["stop"] or int(first) + 1)) if first else None
    found = []
    for l, h in product(_numbers(layer, n_layer, "layer", text), _numbers(head, n_head, "head", text)):
        name = re.sub(r"^\*", str(l), text).replace("head.*", f"head.{h}")
        found.append(Address(name, l, point, None if reader else h, span, int(unit) if unit else None, reader))
    return found


def _numbers(word: str | None, n: int, what: str, text: str) -> Sequence[int | None]:
    """The layers or heads that one word of an address means."""
    if word is None:
        return [None]
    if word == "*":
        return range(n)
    if int(word) >= n:
        raise ValueError(f"{text!r}: there is no {what} {word}, this model has 0 to {n - 1}.")
    return [int(word)]


def _nearest(text: str, layer: str, head: str | None, point: str) -> list[str]:
    """The valid names nearest to a text that is none. A misspelt head (`6.hed.6`, `3.1`) is found by its number."""
    numbers = re.findall(r"\d+", point)
    head = head or (numbers[-1] if numbers else "0")
    names = [f"{layer}.{name.replace('head', f'head.{head}')}" for name in ("head", *LAYER_POINTS)]
    wanted = re.split("[@#]", text)[0]
    return difflib.get_close_matches(wanted, names + MODEL_POINTS, n=3, cutoff=0.3) or names[:3]
