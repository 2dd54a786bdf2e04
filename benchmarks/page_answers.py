"""How far an answer of the page's engine lies from the server's: for tests, and for page_engine.py.

In: an answer of gpt2/server/answers, with tensors; the same question's answer from a browser or from Node, in which an
array is {"data", "shape", "whole"}. Out: the largest difference, as a share of max(1, RMS); `Unlike` for what must be
equal and is not: words, whole numbers, shapes, names.
"""

import math
from typing import Any

import torch
from torch import Tensor


class Unlike(Exception):
    """Two answers differ in what must be equal."""


def apart(expected: Any, found: Any, where: str = "answer") -> float:
    """The largest difference of two numbers that stand at the same place."""
    if isinstance(expected, Tensor):
        return _tensors(expected, found, where)
    if isinstance(expected, dict):
        _equal(sorted(map(str, expected)), sorted(found), where)
        return max((apart(value, found[str(key)], f"{where}.{key}") for key, value in expected.items()), default=0.0)
    if isinstance(expected, (list, tuple)):
        _equal(len(expected), len(found), where)
        pairs = enumerate(zip(expected, found))
        return max((apart(one, other, f"{where}[{i}]") for i, (one, other) in pairs), default=0.0)
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return abs(expected - found) / max(1.0, abs(expected))
    _equal(expected, found, where)
    return 0.0


def forget_ties(ours: dict[str, Tensor], theirs: dict[str, Any]) -> None:
    """Of a picture's arcs: sources of equal weight, or of none, may be listed in any order, so they are left out."""
    weight = ours["weight"].double()
    clear = weight > 1e-5  # [L, T, K]
    if weight.size(-1) > 1:
        differ = weight.diff(dim=-1).abs() > 1e-5
        end = torch.ones_like(differ[..., :1])
        clear &= torch.cat([end, differ], -1) & torch.cat([differ, ~end], -1)
    ours["from"] = ours["from"] * clear
    theirs["from"]["data"] = (torch.tensor(theirs["from"]["data"]) * clear.flatten()).tolist()


def _tensors(expected: Tensor, found: dict[str, Any], where: str) -> float:
    _equal(list(expected.shape), found["shape"], where)
    wanted = expected.double().flatten()
    numbers = torch.tensor([math.nan if x is None else x for x in found["data"]], dtype=torch.float64)
    if not expected.is_floating_point():
        _equal((True, wanted.tolist()), (found["whole"], numbers.tolist()), where)
        return 0.0
    _equal(wanted.isnan().tolist(), numbers.isnan().tolist(), where)
    if not wanted.numel():
        return 0.0
    size = max(1.0, wanted.nan_to_num().square().mean().sqrt().item())
    return (wanted - numbers).nan_to_num().abs().max().item() / size


def _equal(expected: Any, found: Any, where: str) -> None:
    if expected != found:
        raise Unlike(f"{where}: {str(found)[:200]} instead of {str(expected)[:200]}")
