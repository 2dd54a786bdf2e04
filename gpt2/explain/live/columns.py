"""The answers of a still page in little room: numbers that hundreds of switches have in common stand side by side.

In: answers by their names, and for each answer with a switch the name of the same one without. Out: an index, families,
words, and the bytes of all columns. Read next: server/web/columns.js, which reads them.

A family is all answers that are the same but for the numbers in their tensors. A tensor of a family is one column: the
numbers of all its answers, each as the difference from the plain answer's, where that has such a tensor; what lies
before a switch is 0 then, and gzip makes little of it. Numbers have half precision (single where that is too narrow);
what a switch changes is told in steps of 2 or 4 of its units, so that a number is right within 0.3 %, and the page
shows three digits. Numbers that stand in the JSON have five. An arc's weight is told in thousandths, and one that is
too thin to be drawn is 0.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gpt2.base.plain import plain

DIGITS = 5
THIN = 0.02  # as LEAST in server/web/arcs.js
STEPS = 1000  # of an arc's weight
COARSE = 4  # steps of half precision, in which a switch's change is told; for chances 2, which are read more closely
CHANCES = ("next.p", "next.logit", "p", "p_final")
WIDEST = 60_000.0  # of half precision, about
WORDS = {"picture": ("next.ids",), "lens": ("top", "top_before", "final")}  # whose texts an answer names

Numbers = npt.NDArray[np.int64]


class Column(NamedTuple):
    """One tensor of an answer: whole numbers, how many bytes each has, and how they are read."""

    kind: str  # "i", "f2", "f4", "arc"
    width: int
    shape: tuple[int, ...]
    numbers: Numbers


def columns(answers: Mapping[str, Any], plain_of: Mapping[str, str]) -> tuple[Any, Any, dict[int, str], bytes]:
    """See the module's docstring. index: name -> [family, place in it]; a family: {json, base, columns: [[offset, kind,
    width, shape, which of the plain answer's columns it differs from, step], ...], n}."""
    words: dict[int, str] = {}
    made = {name: _taken_apart(name, answer, words) for name, answer in answers.items()}
    groups: dict[Any, list[str]] = {}
    for name, (skeleton, found) in made.items():
        shapes = tuple((path, c.kind, c.width, c.shape) for path, c in found.items())
        groups.setdefault((skeleton, shapes, plain_of.get(name)), []).append(name)
    index: dict[str, list[int]] = {}
    families, tail = [], bytearray()
    for number, ((skeleton, _, base), names) in enumerate(groups.items()):
        index |= {name: [number, i] for i, name in enumerate(names)}
        listed = []
        below = made[base][1] if base is not None else {}
        for path, column in made[names[0]][1].items():
            other = next((p for p in (path, path.removesuffix("_before")) if _alike(column, below.get(p))), None)
            rows = np.stack([made[name][1][path].numbers.reshape(-1) for name in names])
            step = 1 if base is None or column.kind != "f2" else 2 if path in CHANCES else COARSE
            if other:
                rows = rows - below[other].numbers.reshape(-1)
            which = list(below).index(other) if other else None
            listed.append([len(tail), column.kind, column.width, column.shape, which, step])
            tail += _planes(np.rint(rows / step).astype(np.int64), column.width)
        families.append({"json": json.loads(skeleton), "base": base, "columns": listed, "n": len(names)})
    return index, families, words, bytes(tail)


def _alike(column: Column, other: Column | None) -> bool:
    return other is not None and column[:3] == other[:3]


def _taken_apart(name: str, answer: Any, words: dict[int, str]) -> tuple[str, dict[str, Column]]:
    """An answer's JSON, {"$": k} in the place of its k-th tensor, and the tensors by their paths."""
    found: dict[str, Column] = {}

    def walk(value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            found[path] = _column(value)
            return {"$": len(found) - 1}
        if isinstance(value, Mapping):
            if {"from", "weight"} == set(value):
                return dict(zip(value, (walk_column(c, f"{path}.{k}") for k, c in _arcs(value).items())))
            return {str(k): walk(item, f"{path}.{k}".strip(".")) for k, item in value.items()}
        if isinstance(value, list | tuple):
            return [walk(item, f"{path}.{i}") for i, item in enumerate(value)]
        value = plain(value)
        return _rounded(value) if isinstance(value, float) else value

    def walk_column(column: Column, path: str) -> dict[str, int]:
        found[path] = column
        return {"$": len(found) - 1}

    question = name.partition("{")[0]
    if question in WORDS:
        words |= answer["words"]
        answer = {**answer, "words": {"$words": WORDS[question]}}
    return json.dumps(walk(answer, ""), ensure_ascii=False), found


def _rounded(value: float) -> float | int:
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def _column(x: Tensor) -> Column:
    shape = tuple(x.shape)
    if not x.is_floating_point():
        numbers = x.cpu().numpy().astype(np.int64)
        short = not numbers.size or (numbers.min() >= 0 and numbers.max() < 2**16)
        return Column("i", 2 if short else 4, shape, numbers)
    x = x.detach().float().cpu()
    if not x.numel() or bool((x.nan_to_num(0, math.inf, -math.inf).abs() < WIDEST).all()):
        return Column("f2", 2, shape, _ordered(x.half().numpy().view(np.uint16).astype(np.int64), 16))
    return Column("f4", 4, shape, _ordered(x.numpy().view(np.uint32).astype(np.int64), 32))


def _ordered(bits: Numbers, width: int) -> Numbers:
    """The bits of floats as whole numbers in the floats' own order, so that near numbers have small differences."""
    sign = 1 << (width - 1)
    return np.where(bits & sign, 2 * sign - 1 - bits, bits + sign)


def _arcs(arcs: Mapping[str, Tensor]) -> dict[str, Column]:
    """The arcs of each row by their source, so that rows with the same sources differ in their weights alone; those
    that are too thin to be drawn have no weight. The first token's share is a number on the page: it is kept."""
    source, weight = arcs["from"].cpu().numpy().astype(np.int64), arcs["weight"].float().cpu().numpy()
    steps = np.rint(weight * STEPS).astype(np.int64)
    steps[(weight < THIN) & (source != 0)] = 0
    source = np.where((steps == 0) & (source != 0), source.shape[-2] - 1, source)  # the last row: they lie together
    order = np.argsort(source, axis=-1, kind="stable")
    take = np.take_along_axis
    shape = tuple(weight.shape)
    return {
        "from": Column("arc", 2, shape, take(source, order, -1)),
        "weight": Column("share", 2, shape, take(steps, order, -1)),
    }


def _planes(rows: Numbers, width: int) -> bytes:
    """Differences as unsigned numbers with the sign in the lowest bit, the lowest bytes of all first."""
    size = 1 << (8 * width)
    signed = (rows + size // 2) % size - size // 2
    folded = np.where(signed < 0, -2 * signed - 1, 2 * signed)
    return b"".join(((folded >> (8 * k)) & 255).astype(np.uint8).tobytes() for k in range(width))
