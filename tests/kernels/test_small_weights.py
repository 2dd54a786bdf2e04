"""Weights of 8 and 4 bits: the numbers that are kept, and those that come back."""

import pytest
import torch

from gpt2.kernels.quantised import quantise


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_int8_by_hand() -> None:
    found = quantise(torch.tensor([[127.0, -63.4, 0.0], [0.0, 0.0, 0.0], [-2.0, 1.0, 0.5]]), "int8")
    assert found.values.tolist() == [[127, -63, 0], [0, 0, 0], [-127, 64, 32]]
    assert found.values.dtype == torch.int8
    torch.testing.assert_close(found.scale, torch.tensor([1.0, 1.0, 2 / 127]))
    assert found.dequantise().tolist()[:2] == [[127, -63, 0], [0, 0, 0]]


def test_int4_by_hand() -> None:
    """The number of largest magnitude is met exactly, whatever its sign; the lower four bits come first."""
    weight = torch.zeros(2, 64)
    weight[0, :4] = torch.tensor([-8.0, 7.0, 1.2, -0.4])
    weight[1, 32:35] = torch.tensor([4.0, -3.0, -4.0])  # the first of the two that are largest decides
    found = quantise(weight, "int4")
    assert found.values.shape == (2, 32)
    assert found.values[0, :3].tolist() == [0 | 15 << 4, 9 | 8 << 4, 8 | 8 << 4]
    assert found.values[1, 15:18].tolist() == [8 | 8 << 4, 0 | 14 << 4, 15 | 8 << 4]
    assert found.scale.tolist() == [[1.0, 1.0], [1.0, -0.5]]
    assert found.dequantise()[0, :4].tolist() == [-8, 7, 1, 0]
    assert found.dequantise()[1, 32:35].tolist() == [4, -3, -3.5]


@pytest.mark.parametrize(("kind", "steps"), [("int8", 254), ("int4", 16)])
def test_no_number_is_further_off_than_its_step(kind: str, steps: int) -> None:
    weight = random(12, 96)
    found = quantise(weight, kind)
    assert (found.kind, found.shape) == (kind, (12, 96))
    step = found.scale.abs()[:, None] if kind == "int8" else found.scale.abs().repeat_interleave(32, dim=1)
    assert ((found.dequantise() - weight).abs() <= step * (0.5001 if kind == "int8" else 1.0)).all()
    assert len(found.dequantise()[0].unique()) > steps // 8
    again = quantise(found.dequantise(), kind)  # what came back is met again
    torch.testing.assert_close(again.dequantise(), found.dequantise())


def test_int4_stays_int8_where_groups_do_not_fit() -> None:
    assert quantise(random(4, 40), "int4").kind == "int8"


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_rows_are_those_of_the_weight(kind: str) -> None:
    found, ids = quantise(random(12, 64), kind), torch.tensor([[3, 0], [11, 3]])
    assert torch.equal(found.rows(ids), found.dequantise()[ids])
    assert found.rows(ids, torch.bfloat16).dtype == torch.bfloat16


def test_what_no_small_number_stands_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not all finite"):
        quantise(torch.tensor([[1.0, float("nan")]]), "int8")
    with pytest.raises(ValueError, match=r"give \[out, in\], and int8 or int4"):
        quantise(random(4), "int8")
    with pytest.raises(ValueError, match="'int3'"):
        quantise(random(4, 4), "int3")
