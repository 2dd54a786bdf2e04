"""Leave one out: against one plain edited pass for each component, with and without edits of the run's own."""

import json
import math

import pytest
import torch

from gpt2.base.errors import UsageError
from gpt2.explain import leave_one_out, mean, reference, scale, trace, zero
from gpt2.probe import Edit
from tests.explained import TEXT, small, storyteller

DOCUMENTS = [[5, 9, 9, 31, 2, 77, 14, 3], [1, 2, 3, 50, 4, 4, 90], list(range(13, 33))]
SETS = [("*.attn", "*.mlp", "embed.pos"), ("*.head.*",), ("*.block",), ("1.head.0, 2.mlp", "0.head.2")]
EDITS: list[dict[str, Edit]] = [
    {}, {"1.mlp": zero, "0.head.1": scale(2), "2.resid_mid@4": scale(0.5)}, {"*.attn": zero},
]  # fmt: skip


def losses_and_p(logits: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    log_p = logits.log_softmax(-1)
    return -log_p[:-1].gather(-1, ids[1:, None])[:, 0], log_p.exp()


@pytest.mark.parametrize("components", SETS, ids=lambda names: names[0])
@pytest.mark.parametrize("edits", EDITS, ids=["plain", "edited", "attention off"])
@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_each_component_is_as_one_plain_pass_without_it(
    components: tuple[str, ...], edits: dict[str, Edit], kind: str
) -> None:
    model, ids = small().model, small().ids
    replacement = zero if kind == "zero" else mean(reference(model, DOCUMENTS))
    run, told = trace(model, ids, edit=edits), list[tuple[int, int]]()
    found = leave_one_out(run, replacement, components, row=1, progress=lambda *done: told.append(done))
    losses, p = losses_and_p(run.logits[1], ids[1])
    first = p.argmax(-1)
    assert found.loss == pytest.approx(float(losses.mean()), abs=1e-10)
    assert torch.equal(found.first, first)
    torch.testing.assert_close(found.p, p.gather(-1, first[:, None])[:, 0], rtol=0, atol=1e-12)
    assert told[-1] == (len(found.names), len(found.names))
    for k, name in enumerate(found.names):
        without = {**edits, **dict.fromkeys(name.replace(" ", "").split(","), replacement)}
        losses_then, p_then = losses_and_p(trace(model, ids[1:], edit=without).logits[0], ids[1])
        assert float(found.change[k]) == pytest.approx(float(losses_then.mean() - losses.mean()), abs=1e-10), name
        assert torch.equal(found.first_without[k], p_then.argmax(-1)), name
        torch.testing.assert_close(found.p_without[k], p_then.gather(-1, first[:, None])[:, 0], rtol=0, atol=1e-12)
    if edits.keys() != {"*.attn"}:
        assert found.change.abs().max() > 0.01
    elif components == ("*.head.*",):  # what is off already is not missed
        assert found.change.abs().max() < 1e-12


def test_what_is_missed_most_comes_first_and_of_one_token_there_is_no_loss() -> None:
    run = trace(storyteller(), TEXT)
    found = leave_one_out(run, zero, "*.block", at=3)
    changes = [float(found.change[k]) for k in found.order]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 1
    shown = str(found)
    assert "the loss on this text, and ·time after 2 ·a" in str(leave_one_out(run, zero, "0.block", at=2))
    assert shown.index(found.names[found.order[0]]) < shown.index(found.names[found.order[1]])
    assert len(found.table(3).rows) == 3

    one = leave_one_out(trace(storyteller(), "The"), zero, "*.block")
    assert math.isnan(one.loss)
    assert one.change.isnan().all()
    lost = [float(one.p[0] - one.p_without[k, 0]) for k in one.order]
    assert lost == sorted(lost, reverse=True)
    assert "loss" not in str(one)
    record = json.loads(json.dumps(one.to_dict(), allow_nan=False))
    assert record["loss"] is record["components"][0]["loss_change"] is None
    assert record["components"][2]["probability"] == one.p_without[2].tolist()


@pytest.mark.parametrize(
    ("components", "at", "says"),
    [((), -1, "nothing to switch off"), ("final.scale", -1, "cannot be 0"), ("*.mlp", 13, "positions 0 to 12")],
)
def test_mistakes_are_refused(components: str, at: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        leave_one_out(trace(small().model, small().ids), zero, components, at=at)
