"""Folding: the weights alone give what the edits give, here and in transformers, and config.json says what is off."""

import json
from copy import deepcopy

import pytest
import torch
from transformers import GPT2LMHeadModel

import gpt2
from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import load_model
from gpt2.checkpoint.off_note import off_sentence
from gpt2.explain.change.folded import fold
from gpt2.explain.change.switch import switch
from gpt2.explain.run.reference import reference
from gpt2.explain.run.trace import trace
from gpt2.probe import Probe
from tests.explained import small

MODEL, IDS = small().model, small().ids
MEANS = reference(MODEL, [[5, 9, 2, 44, 17], [61, 3, 3, 8]])
COMPONENTS = (
    "1.head.2", "0.head.*", "2.attn", "0.mlp", "1.block", "embed.pos", "1.mlp.post#7", "2.mlp.post", "0.attn.z",
    "1.head.1#3", "2.mlp#4", "embed.pos#2", "1.head.2,1.attn, 2.mlp,1.head.2", "*.mlp",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["mean", "zero"])
@pytest.mark.parametrize("component", COMPONENTS)
def test_the_folded_model_computes_what_the_edit_computes(component, kind):
    folded = fold(MODEL, component, kind, MEANS)
    with torch.no_grad():
        plain, edited = MODEL(IDS), MODEL(IDS, probe=Probe(edit=switch(MODEL, component, kind, MEANS)))
        assert (edited - plain).abs().max() > 1e-3
        torch.testing.assert_close(folded(IDS), edited, rtol=0, atol=1e-10)


def test_the_saved_model_computes_it_in_transformers(tmp_path):
    for kind in ("mean", "zero"):
        edit = switch(MODEL, "1.head.2,0.mlp", kind, MEANS)
        gpt2.save(fold(MODEL, "1.head.2,0.mlp", kind, MEANS), None, tmp_path / kind)
        there = GPT2LMHeadModel.from_pretrained(tmp_path / kind, dtype=torch.float64).eval()
        with torch.no_grad():
            edited = MODEL(IDS, probe=Probe(edit=edit))
            torch.testing.assert_close(there(IDS).logits, edited, rtol=0, atol=1e-10)


def test_the_first_model_stays_as_it_was():
    before = {name: value.clone() for name, value in MODEL.state_dict().items()}
    fold(MODEL, "0.head.1,1.mlp,embed.pos", "mean", MEANS)
    assert all(torch.equal(before[name], value) for name, value in MODEL.state_dict().items())
    assert not hasattr(MODEL, "switched_off")


def test_what_is_off_is_written_carried_and_added_to(tmp_path):
    gpt2.save(fold(MODEL, "0.head.1, 1.mlp", "mean", MEANS), None, tmp_path / "one")
    again = load_model(tmp_path / "one", torch.float64)
    gpt2.save(again, None, tmp_path / "two")
    gpt2.save(fold(again, "2.attn", "zero"), None, tmp_path / "three")
    for name, n in (("one", 1), ("two", 1), ("three", 2)):
        entries = json.loads((tmp_path / name / "config.json").read_text())["glassbox_off"]
        assert len(entries) == n
        assert entries[0]["means"] == MEANS.to_dict()
    assert off_sentence(entries) == "0.head.1, 1.mlp (mean over documents given); 2.attn (zero)"


@pytest.mark.parametrize(
    "component, sentence",
    [
        ("0.head.1@3", "leave out the @"),
        ("1.attn.pattern", "cannot be folded"),
        ("embed.tok", "cannot be folded"),
        ("0.ln_1.scale", "cannot be folded"),
        ("1.resid_pre", "cannot be folded"),
        ("0.head.9", "there is no head 9"),
        ("0.mlp.post#999", "there is no #999"),
        ("0.hed.1", "nearest"),
        ([], "nothing to switch off"),
    ],
)
def test_what_cannot_be_folded_is_refused_by_name(component, sentence):
    with pytest.raises(ValueError, match=sentence):
        fold(MODEL, component, "zero")


def test_kinds_and_references_that_do_not_fit():
    with pytest.raises(UsageError, match="choose mean or zero"):
        fold(MODEL, "0.mlp", "resample", MEANS)
    with pytest.raises(UsageError, match="another model"):
        fold(deepcopy(MODEL), "0.mlp", "mean", MEANS)
    with pytest.raises(ValueError, match="glassbox_off is"):
        off_sentence([{"kind": "zero"}])


def test_a_folded_component_is_seen_to_be_off():
    run = trace(fold(MODEL, "1.head.2", "zero"), [4, 7, 9], read=["1.head.2.out"])
    assert not run["1.head.2.out"].any()
