"""Edits: each kind against an independent computation, and that cached decoding gives what a full pass gives."""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from gpt2.base.errors import UsageError
from gpt2.cache import KVCache
from gpt2.config import GPT2Config
from gpt2.explain import (
    Reference,
    Run,
    freeze,
    keep_constant,
    mean,
    mean_by_position,
    reference,
    resample,
    scale,
    take,
    to_first,
    trace,
    zero,
)
from gpt2.explain.run.reference import STORIES
from gpt2.inference.generate import generate
from gpt2.inference.sampling import Sampling
from gpt2.model import GPT2
from gpt2.probe import Edit, Probe
from tests.explained import TEXT, in_numpy, small, storyteller
from tests.twins import SMALL

H, D, C = 3, 8, 24
DOCUMENTS = [[5, 9, 9, 31, 2, 77, 14, 3, 60, 8, 41, 12, 13], [1, 2, 3, 50, 4, 4, 90], list(range(13, 33))]
tight = {"rtol": 1e-10, "atol": 1e-10}


@cache
def documents() -> Reference:
    return reference(small().model, DOCUMENTS)


@cache
def other() -> Run:
    """Another text of two rows and 13 positions, everything kept."""
    ids = torch.randint(SMALL.vocab_size, (2, 13), generator=torch.Generator().manual_seed(99))
    points = ["*.attn.z", "*.attn.pattern", "*.attn.scores", "*.mlp.post", "*.mlp.out", "*.attn.k", "*.ln_1.scale"]
    return trace(small().model, ids, read=points)


def value(address: str, edit: Edit) -> Tensor:
    """What stands at an address of the shared text after an edit there."""
    return trace(small().model, small().ids, read=address, edit={address: edit})[address]


def numpy_means(address: str, axis: int) -> np.ndarray:
    """The mean over the documents' positions 1, 2, ... by numpy's GPT-2."""
    rows = []
    for ids in DOCUMENTS:
        x = in_numpy(small().model, torch.tensor(ids)).values[address]
        rows.append(np.delete(x, 0, axis=axis))
    return np.concatenate(rows, axis=axis).mean(axis)


@pytest.mark.parametrize(
    ("address", "axis"),
    [("1.attn.z", 1), ("1.attn.k", 1), ("2.mlp.out", 0), ("0.attn.out", 0), ("1.mlp.post", 0), ("1.ln_2.scale", 0),
     ("embed.pos", 0), ("1.resid_mid", 0), ("final.scale", 0)],
)  # fmt: skip
def test_the_mean_is_over_documents_and_positions_from_1(address: str, axis: int) -> None:
    expected = numpy_means(address, axis)
    found = value(address, mean(documents()))
    spread = np.broadcast_to(np.expand_dims(expected, axis), found[0].shape)
    np.testing.assert_allclose(found[0].numpy(), spread, **tight)
    np.testing.assert_allclose(found[1].numpy(), spread, **tight)


def test_the_mean_of_a_head_and_of_a_neuron() -> None:
    expected = numpy_means("1.attn.z", 1)[2]
    np.testing.assert_allclose(value("1.head.2", mean(documents()))[1, 4].numpy(), expected, **tight)
    neuron = numpy_means("1.mlp.post", 0)[17]
    np.testing.assert_allclose(value("1.mlp.post@3:5#17", mean(documents())).numpy(), np.full((2, 2), neuron), **tight)


@pytest.mark.parametrize(("address", "axis"), [("1.attn.z", 1), ("2.mlp.out", 0), ("0.ln_1.scale", 0)])
def test_the_mean_by_position_counts_the_documents_that_reach_it(address: str, axis: int) -> None:
    found = value(address, mean_by_position(documents()))[1].movedim(axis, 0)
    for t in range(13):
        long_enough = [ids for ids in DOCUMENTS if len(ids) > t]
        values = [in_numpy(small().model, torch.tensor(ids)).values[address].take(t, axis) for ids in long_enough]
        np.testing.assert_allclose(found[t].numpy(), np.mean(values, axis=0), **tight)
    assert len(long_enough) == 2  # one of the three is shorter


def test_the_constant_of_a_head_is_its_value_bias() -> None:
    bias = small().numpy.w["transformer.h.1.attn.c_attn.bias"][2 * C :].reshape(H, D)
    np.testing.assert_allclose(value("1.head.2", keep_constant())[1, 5].numpy(), bias[2], **tight)
    np.testing.assert_allclose(value("1.attn.z", keep_constant())[1, :, 5].numpy(), bias, **tight)


def test_attention_to_the_first_key_gives_its_value() -> None:
    run = trace(small().model, small().ids, read=["1.attn.z", "1.attn.v"], edit={"1.head.2": to_first()})
    torch.testing.assert_close(run["1.head.2"], run["1.attn.v"][:, 2, :1].expand(2, 13, D), **tight)
    untouched = trace(small().model, small().ids, read="1.attn.z")
    torch.testing.assert_close(run["1.head.1"], untouched["1.head.1"], **tight)
    whole = trace(small().model, small().ids, read=["1.attn.z", "1.attn.v"], edit={"1.attn": to_first()})
    torch.testing.assert_close(whole["1.attn.z"], whole["1.attn.v"][:, :, :1].expand(2, H, 13, D), **tight)


@pytest.mark.parametrize(
    "address",
    ["1.head.2", "1.attn.z", "2.mlp", "1.mlp.post#9", "0.attn.pattern", "0.attn.scores", "1.resid_pre@4:7", "1.attn.k",
     "1.block", "embed.out", "2.ln_1.scale"],
)  # fmt: skip
def test_what_is_taken_is_the_other_runs_value(address: str) -> None:
    assert torch.equal(value(address, take(other())), other()[address])


def test_taking_from_itself_changes_no_bit() -> None:
    plain = trace(small().model, small().ids, read=["*.attn.z", "*.mlp.out"])
    for address in ("1.resid_pre", "1.head.0", "2.mlp", "embed.out", "1.resid_mid@3"):
        assert torch.equal(trace(small().model, small().ids, edit={address: take(plain)}).logits, plain.logits), address


@pytest.mark.parametrize("address", ["embed.out", "0.resid_post", "2.resid_mid", "2.resid_post"])
def test_patching_everything_is_the_source_run(address: str) -> None:
    source = trace(small().model, other().ids)
    assert torch.equal(trace(small().model, small().ids, edit={address: take(source)}).logits, source.logits)


def test_resampling_wraps_around_a_shorter_text_and_keeps_position_0() -> None:
    ids = torch.tensor([[4, 8, 15, 16, 23]])
    short = trace(small().model, ids, read=["*.attn.z", "*.mlp.out"])
    order = [0, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]
    assert torch.equal(value("2.mlp", resample(short)), short["2.mlp"][:, order].expand(2, -1, -1))
    assert torch.equal(value("1.head.1", resample(short)), short["1.head.1"][:, order].expand(2, -1, -1))


def test_zero_scale_and_freeze() -> None:
    assert value("1.mlp", zero).abs().max() == 0
    plain = trace(small().model, small().ids, read="1.mlp.out")
    assert torch.equal(value("1.mlp@2:4", scale(-2.5)), -2.5 * plain["1.mlp@2:4"])
    frozen = value("1.ln_1.scale", freeze(documents()))
    np.testing.assert_allclose(frozen.numpy(), np.full((2, 13), numpy_means("1.ln_1.scale", 0)), **tight)


def folded(model: GPT2, norms: bool = True) -> GPT2:
    """The same function with b_V moved into b_O, and every norm's weight and bias into the matrices behind them."""
    twin = GPT2(model.config).double().eval()
    twin.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())  # the head is its own matrix now
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        for block in twin.transformer.h:
            pairs = ((block.ln_1, block.attn.c_attn), (block.ln_2, block.mlp.c_fc))
            for norm, linear in pairs if norms else ():
                linear.bias += linear.weight @ norm.bias
                linear.weight *= norm.weight
                norm.reset_parameters()
            value_bias = block.attn.c_attn.bias[2 * C :]
            block.attn.c_proj.bias += block.attn.c_proj.weight @ value_bias
            value_bias.zero_()
        twin.lm_head.weight *= twin.transformer.ln_f.weight
        twin.transformer.ln_f.weight.fill_(1)
        twin.transformer.ln_f.bias /= model.transformer.ln_f.weight
    return twin


@pytest.mark.parametrize("address", ["1.head.2", "0.attn", "2.mlp", "1.block", "1.ln_1.scale"])
def test_mean_ablation_is_the_same_on_raw_and_folded_weights_and_zero_is_not(address: str) -> None:
    model, twin, ids = small().model, folded(small().model), small().ids
    torch.testing.assert_close(trace(twin, ids).logits, trace(model, ids).logits, **tight)
    logits = [trace(m, ids, edit={address: mean(reference(m, DOCUMENTS))}).logits for m in (model, twin)]
    torch.testing.assert_close(*logits, **tight)
    assert (logits[0] - trace(model, ids).logits).abs().max() > 1e-3


def test_zero_where_b_v_is_folded_is_the_constant_on_raw_weights() -> None:
    model, twin, ids = small().model, folded(small().model, norms=False), small().ids
    off = trace(twin, ids, edit={"1.head.2": zero}).logits
    torch.testing.assert_close(trace(model, ids, edit={"1.head.2": keep_constant()}).logits, off, **tight)
    assert (trace(model, ids, edit={"1.head.2": zero}).logits - off).abs().max() > 1e-3


# Cached decoding

KINDS: dict[str, Callable[[], Mapping[str, Edit]]] = {
    "zero": lambda: {"1.head.2": zero, "0.mlp": zero},
    "zero position vectors": lambda: {"embed.pos": zero},
    "block off": lambda: {"1.block": zero},
    "constant": lambda: {"1.attn.z": keep_constant(), "2.head.0": keep_constant()},
    "mean": lambda: {"*.head.1": mean(documents()), "1.mlp": mean(documents()), "embed.pos": mean(documents())},
    "mean by position": lambda: dict.fromkeys(("1.head.0", "2.mlp.post#4"), mean_by_position(documents())),
    "freeze": lambda: {"*.ln_2.scale": freeze(documents()), "final.scale@5": freeze(documents())},
    "take": lambda: {"1.resid_pre@3": take(other()), "2.head.1": take(other())},
    "take a pattern": lambda: {"1.attn.pattern": take(other())},
    "take keys": lambda: {"0.attn.k@2:6": take(other())},
    "resample": lambda: {"1.head.1": resample(other()), "0.mlp": resample(other())},
    "scale": lambda: {"0.attn": scale(0.5), "1.attn.scores": scale(2)},
    "to first": lambda: {"1.head.2": to_first(), "2.attn": to_first()},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_cached_is_uncached(kind: str) -> None:
    """Prefill of unequal rows (5 and 3 tokens), then token by token, against a full pass over both rows."""
    model, ids, edit, T = small().model, small().ids, KINDS[kind](), 13
    full = trace(model, ids, edit=edit).logits
    assert not torch.allclose(full, trace(model, ids).logits)
    lengths, cache, probe = [5, 3], KVCache(SMALL, 2, T + 2, dtype=torch.float64), Probe(edit=edit)
    with torch.no_grad():
        prefill = model(ids[:, :5], cache=cache, lengths=lengths, probe=probe)
        torch.testing.assert_close(prefill[0], full[0, :5], **tight)
        torch.testing.assert_close(prefill[1, :3], full[1, :3], **tight)
        while max(lengths) < T:
            step = model(torch.stack([ids[b, n : n + 1] for b, n in enumerate(lengths)]), cache=cache, probe=probe)
            for b, n in enumerate(lengths):
                torch.testing.assert_close(step[b, 0], full[b, n], **tight)
            lengths = [n + 1 for n in lengths]


@cache
def stories() -> Reference:
    return reference(storyteller(), STORIES.read_text("utf-8").split("<|endoftext|>")[:3])


@pytest.mark.parametrize("kind", ["zero", "mean", "take", "resample", "to first", "freeze"])
def test_generation_with_edits_is_full_passes_with_edits(kind: str) -> None:
    """Greedy, two prompts of unequal length in one batch; each text again, one full pass with the edit a token."""
    model, tokenizer = storyteller()[:2]
    source = trace(storyteller(), TEXT * 2, read=["*.attn.z", "*.mlp.out"])
    edit: dict[str, Edit] = {
        "zero": {"3.head.2": zero, "4.block": zero},
        "mean": {"*.head.1": mean(stories())},
        "take": {"2.head.0": take(source), "3.resid_pre@2": take(source)},
        "resample": {"4.mlp": resample(source)},
        "to first": {"*.head.3": to_first()},
        "freeze": {"*.ln_1.scale": freeze(stories())},
    }[kind]
    prompts = ["Once upon a time there was a", "Tom saw a"]
    for prompt, (completion,) in zip(
        prompts, generate(model, tokenizer, prompts, Sampling(temperature=0, max_tokens=5), edit=edit)
    ):
        ids = tokenizer.encode(prompt)
        for chosen in completion.ids:
            logits = trace(model, ids, edit=edit).logits[0, -1]
            assert logits[chosen] >= logits.max() - 1e-4
            ids.append(chosen)
        assert completion.ids


# What a reference is


def test_the_bundled_reference_says_what_it_is() -> None:
    record = reference(storyteller()).to_dict()
    assert record["text"] == "stories.txt"
    assert record["documents"] == 30
    assert record["endoftext_first"] is True
    assert len(record["sha256"]) == 64
    assert reference(storyteller()).sha256 == record["sha256"] != stories().sha256
    assert reference(storyteller()).rows[0][0] == storyteller().tokenizer.eot_id
    assert record["sha256"] in str(reference(storyteller()))


def test_a_document_is_cut_at_the_context() -> None:
    long = reference(small().model, [list(range(60))])
    assert long.rows == (tuple(range(40)),)


def test_a_reference_in_training_mode_is_the_same() -> None:
    model = GPT2(SMALL).double()
    model.load_state_dict(small().model.state_dict())
    found = reference(model.train(), DOCUMENTS).mean(1, "mlp.out")
    assert model.training
    torch.testing.assert_close(found, documents().mean(1, "mlp.out"), **tight)


def test_labels_tell_edits_apart() -> None:
    digest = documents().sha256[:8]
    labels = [e.label for e in (zero, keep_constant(), mean(documents()), scale(0.5), to_first(), take(other()))]
    assert labels == ["zero", "keep_constant", f"mean(documents given {digest})", "scale(0.5)", "to_first", "take"]


def refusal(address: str, edit: Edit, ids: object = None) -> str:
    with pytest.raises(UsageError) as caught:
        trace(small().model, small().ids if ids is None else ids, edit={address: edit})
    return str(caught.value)


def test_what_edits_refuse() -> None:
    longer = torch.zeros(1, 14, dtype=torch.long)
    assert "freeze(reference) holds it" in refusal("1.ln_1.scale", zero)
    assert "only heads have a constant part, 1.mlp has none: edit 1.head.0" in refusal("1.mlp", keep_constant())
    assert "use the mean of the head, 1.head.0" in refusal("1.attn.pattern", mean(documents()))
    assert "belongs to another model" in refusal("1.mlp", mean(reference(folded(small().model), DOCUMENTS)))
    assert "is not a norm's scale: freeze one such as 1.ln_1.scale" in refusal("1.mlp", freeze(documents()))
    assert "to_first works on a head, such as 1.head.0" in refusal("1.mlp", to_first())
    assert "position 13 lies beyond the run to take from, which has 0 to 12" in refusal("1.mlp", take(other()), longer)
    assert "resample the head instead" in refusal("1.attn.pattern", resample(other()))
    assert "take(run.read('1.attn.q'))" in refusal("1.attn.q", take(other()))
    assert "there is no row 2: the run has 2 rows" in refusal("1.mlp", take(other()), small().ids[[0, 1, 1]])
    with pytest.raises(UsageError, match="position 20 lies beyond documents given"):
        trace(small().model, [1] * 21, edit={"1.mlp": mean_by_position(documents())})
    with pytest.raises(UsageError, match="no document of two tokens"):
        reference(small().model, [[1]])
    with pytest.raises(UsageError, match=r"one token at a time .* use a model with a longer context"):
        reference(GPT2(GPT2Config(vocab_size=5, n_positions=1, n_embd=4, n_layer=1, n_head=1)), [[1, 2]])
    with pytest.raises(UsageError, match="no tokenizer"):
        reference(small().model)


def test_a_derived_value_is_taken_as_well() -> None:
    """A head's write follows from its z, and a block's from the stream: they need not have been kept."""
    patched = trace(small().model, small().ids, edit={"1.head.2.out": take(other())})
    same = trace(small().model, small().ids, edit={"1.head.2": take(other())})
    torch.testing.assert_close(patched.logits, same.logits, **tight)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (to_first, r"the edit of 1.head.2, to_first, makes an edit and is none itself: write to_first\(\)"),
        (keep_constant, r"write keep_constant\(\) in its place"),
        (mean, r"mean makes an edit and is none itself: write edit=\{address: mean\(reference\)\}"),
        (mean_by_position, r"write edit=\{address: mean_by_position\(reference\)\}"),
        (freeze, r"write edit=\{address: freeze\(reference\)\}"),
        (take, r"write edit=\{address: take\(run\)\}"),
        (resample, r"write edit=\{address: resample\(run\)\}"),
        (scale, r"write edit=\{address: scale\(k\)\}"),
        (lambda: zero, r"the edit of 1.head.2, <lambda>, makes an edit and is none itself"),
        (lambda x, at, more: x, r"takes other arguments: an edit is a function f\(x\) or f\(x, at\)"),
        (0.0, "the edit of 1.head.2 is a float: give a function of the value"),
    ],
)
def test_what_is_no_edit_is_refused_wherever_edits_are_taken(edit: Edit, says: str) -> None:
    """`to_first` in place of `to_first()` was a bare TypeError, and `mean` an AttributeError."""
    model, ids = small().model, DOCUMENTS[0]
    with pytest.raises(UsageError, match=says):
        trace(model, ids, edit={"1.head.2": edit})
    with pytest.raises(UsageError, match=says):
        generate(storyteller().model, storyteller().tokenizer, "a", edit={"1.head.2": edit})


def test_edits_that_are_no_dict_are_refused() -> None:
    with pytest.raises(UsageError, match="edit is of type function: give a dict"):
        trace(small().model, DOCUMENTS[0], edit=zero)  # type: ignore[arg-type]
    assert scale(torch.tensor(2.0)).label == "scale(2)"  # type: ignore[arg-type, attr-defined]
