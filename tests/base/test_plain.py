"""Plain values: what JSON can hold of tensors, arrays, dataclasses and numbers that are not finite."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from gpt2.base.plain import plain


@dataclass(frozen=True)
class Pair:
    left: object
    right: object


def test_numbers_that_json_cannot_hold_become_null() -> None:
    assert plain({"a": [1.0, math.inf], "b": {"c": math.nan}, "d": 2}) == {"a": [1.0, None], "b": {"c": None}, "d": 2}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_tensors_become_lists(dtype: torch.dtype) -> None:
    assert plain(torch.tensor([[1.0, -2.0], [0.5, 0.0]], dtype=dtype)) == [[1.0, -2.0], [0.5, 0.0]]
    assert plain(torch.tensor([[1.0, math.nan], [-math.inf, 0.0]], dtype=dtype)) == [[1.0, None], [None, 0.0]]
    assert plain(torch.tensor(math.inf, dtype=dtype)) is None
    assert plain(torch.zeros(0, 2, dtype=dtype)) == []
    most = torch.finfo(dtype).max
    assert plain(torch.full((4,), most, dtype=dtype)) == [most] * 4  # their sum is infinite, they are not


def test_a_tensor_in_a_graph_and_tensors_of_other_types() -> None:
    assert plain(torch.ones(2, requires_grad=True) * 2) == [2.0, 2.0]
    assert plain(torch.tensor([3, -1])) == [3, -1]
    assert plain(torch.tensor([True, False])) == [True, False]
    assert plain(np.array([[1.5, np.inf]])) == [[1.5, None]]
    assert [type(plain(x)) for x in (np.float64(2.5), np.int64(3), np.float32(0.5))] == [float, int, float]


def test_all_that_holds_something_is_entered() -> None:
    value = {1: (Pair(torch.tensor([1.0]), Path("a/b")), None), "x": [True, "é", Pair]}
    assert plain(value) == {"1": [{"left": [1.0], "right": "a/b"}, None], "x": [True, "é", Pair]}
    assert json.loads(json.dumps(plain(value["x"][:2]))) == [True, "é"]


def test_a_replacement_is_asked_first_and_is_made_plain_itself() -> None:
    def double(x: object) -> object:
        return 2 * x if isinstance(x, float) else (x.left,) if isinstance(x, Pair) else x

    assert plain([1.0, Pair(3.0, 4), math.inf], double) == [2.0, [6.0], None]
