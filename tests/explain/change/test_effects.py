"""Direct, indirect and total effects: against plain passes, and the identities between them."""

import json

import pytest
import torch

from gpt2.base.errors import UsageError
from gpt2.explain import keep_constant, mean, reference, scale, take, to_first, trace, zero
from gpt2.explain.change.effects import effects
from tests.explained import BLOCKS, HEADS, TEXT, small, storyteller

TARGET, FOIL = 17, 60
DOCUMENTS = [[5, 9, 9, 31, 2, 77, 14, 3], [1, 2, 3, 50, 4, 4, 90], list(range(13, 33))]
KINDS = ["zero", "mean", "take", "first", "constant"]


def replacement(kind: str):
    if kind == "take":
        ids = small().ids.flip(1)
        return take(trace(small().model, ids[:1], read=["*.attn.z", "*.mlp.out", "*.attn.out"]))
    documents = reference(small().model, DOCUMENTS)
    return {"zero": zero, "mean": mean(documents), "first": to_first(), "constant": keep_constant()}[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("foil", [None, FOIL])
def test_the_total_is_that_of_a_plain_edited_pass_and_the_three_sum_to_it(kind: str, foil: int | None) -> None:
    run, edit = trace(small().model, small().ids), replacement(kind)
    components = ["*.head.*"] if kind in ("first", "constant") else ["*.head.*", "*.mlp", "*.attn"]
    found = effects(run, edit, components, TARGET, "mean" if foil is None else foil, at=8)

    def lead(logits: torch.Tensor) -> float:
        z = logits[0, 8]
        return float(z[TARGET] - (z.mean() if foil is None else z[foil]))

    for i, name in enumerate(found.names):
        edited = trace(small().model, small().ids[:1], edit={name: edit})
        assert float(found.total[i]) == pytest.approx(lead(run.logits) - lead(edited.logits), abs=1e-9), name
    total = found.direct + found.indirect + found.scale
    torch.testing.assert_close(total, found.total, rtol=0, atol=1e-10)
    assert found.error < 1e-10
    assert found.total.abs().max() > 0.1
    assert min(x.abs().max() for x in (found.direct, found.indirect, found.scale)) > 0.01


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_direct_and_indirect_are_changes_of_contributions_with_sigma_held(kind: str) -> None:
    """From two attributions: the component's own part, and all the others'; sigma_edited / sigma undoes the scale."""
    run, edit = trace(small().model, small().ids), replacement(kind)
    found = effects(run, edit, ["1.head.2", "1.mlp", "0.attn"], TARGET, FOIL, at=8)
    full = run.attribution(TARGET, vs=FOIL, at=8)
    for i, (name, mine) in enumerate({"1.head.2": ("1.head.2", "1.attn.b_V"), "1.mlp": ("1.mlp",)}.items()):
        edited = trace(small().model, small().ids, read="final.scale", edit={name: edit})
        held = float(edited["final.scale"][0, 8] / run.read("final.scale")["final.scale"][0, 8])
        parts = edited.attribution(TARGET, vs=FOIL, at=8)
        before = sum(full[n] for n in full.names if n != "final.beta")
        after = sum(parts[n] for n in parts.names if n != "final.beta") * held
        direct = sum(full[n] - parts[n] * held for n in mine)
        assert float(found.direct[i]) == pytest.approx(direct, abs=1e-9), name
        assert float(found.indirect[i]) == pytest.approx(before - after - direct, abs=1e-9), name


def test_the_last_mlp_has_no_indirect_effect_and_others_have() -> None:
    found = effects(trace(small().model, small().ids), zero, "*.mlp", TARGET, FOIL)
    assert abs(float(found.indirect[-1])) < 1e-12
    assert abs(float(found.direct[-1])) > 0.01
    assert found.indirect[:-1].abs().min() > 1e-3


def test_a_run_with_edits_is_the_full_run() -> None:
    """The edits of the run stand in both passes, also those behind the component."""
    edits = {"2.mlp": scale(0.5), "0.resid_post@4": scale(2)}
    found = effects(trace(small().model, small().ids, edit=edits), zero, ["1.head.0"], TARGET, FOIL)
    with_, without = (
        trace(small().model, small().ids, edit=e).logits[0, -1] for e in (edits, {**edits, "1.head.0": zero})
    )
    expected = (with_[TARGET] - with_[FOIL]) - (without[TARGET] - without[FOIL])
    assert float(found.total[0]) == pytest.approx(float(expected), abs=1e-10)
    assert found.error < 1e-10


def test_every_row_of_a_run_is_a_text() -> None:
    run = trace(small().model, small().ids)
    second = effects(run, zero, "1.mlp", TARGET, FOIL, row=1)
    alone = effects(trace(small().model, small().ids[1:]), zero, "1.mlp", TARGET, FOIL)
    torch.testing.assert_close(second.total, alone.total, rtol=1e-10, atol=0)


def test_storyteller() -> None:
    found = effects(trace(storyteller(), TEXT), zero, target=" loved", vs=" was")
    heads, mlps = [f"{l}.head.{h}" for l in range(BLOCKS) for h in range(HEADS)], [f"{l}.mlp" for l in range(BLOCKS)]
    assert found.names == (*heads, *mlps)
    assert found.error < 1e-4
    assert abs(float(found.indirect[-1])) < 1e-5
    lines = str(found).splitlines()
    assert lines[0] == "·loved after 12 ·She: what its lead over ·was owes to each component"
    assert lines[2].split()[0] == found.names[int(found.total.abs().argmax())]
    record = json.loads(json.dumps(found.to_dict()))
    assert record["components"][3]["total"] == float(found.total[3])
    dots = found.plot().axes[0].collections
    assert [len(d.get_offsets()) for d in dots] == [len(heads), len(mlps)]
    third = len(heads) + 2
    assert dots[1].get_offsets()[2].tolist() == [float(found.direct[third]), float(found.total[third])]


def test_refusals() -> None:
    run = trace(small().model, small().ids)
    for component in ("1.attn.z", "1.resid_pre", "1.mlp@3", "1.mlp.post#3", "embed.pos"):
        with pytest.raises(UsageError, match=r"choose heads \(0\.head\.1\), 0\.attn or 0\.mlp"):
            effects(run, zero, component, TARGET)
    with pytest.raises(UsageError, match="edits block 1 already"):
        effects(trace(small().model, small().ids, edit={"1.head.0": zero}), zero, "1.head.1", TARGET)
    with pytest.raises(UsageError, match="only heads have a constant part"):
        effects(run, keep_constant(), "1.mlp", TARGET)
    with pytest.raises(ValueError, match="there is no head 3"):
        effects(run, zero, "1.head.3", TARGET)
