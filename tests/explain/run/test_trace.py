"""trace: a run's values against transformers and numpy, that it never changes, and what it refuses."""

import json
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor

from gpt2 import load
from gpt2.addresses import LAYER_POINTS, MODEL_POINTS
from gpt2.base.errors import UsageError
from gpt2.base.presets import PRESETS
from gpt2.explain import Run, scale, take, trace, zero
from gpt2.explain.run.values import ALL, size
from gpt2.model import GPT2
from gpt2.probe import Probe
from tests.explained import HEADS, TEXT, WIDTH, small, storyteller
from tests.twins import SMALL

L, H, T = 3, 3, 13
EVERYTHING = [*MODEL_POINTS, *(f"{l}.{p}" for l in range(L) for p in LAYER_POINTS if p not in ("head.out", "block"))]
tight = {"rtol": 1e-10, "atol": 1e-10}


@pytest.mark.parametrize("address", EVERYTHING)
def test_every_point_is_what_numpy_computes(address: str) -> None:
    run = trace(small().model, small().ids, read=address)
    np.testing.assert_allclose(run[address][0].detach().numpy(), small().numpy.values[address], **tight)


def test_streams_and_patterns_are_those_of_transformers() -> None:
    run = trace(small().model, small().ids, read="*.attn.pattern")
    with torch.no_grad():
        theirs = small().hf(small().ids, output_hidden_states=True, output_attentions=True)
    torch.testing.assert_close(run.logits, theirs.logits, **tight)
    for l in range(L):
        torch.testing.assert_close(run[f"{l}.resid_pre"], theirs.hidden_states[l], **tight)
        torch.testing.assert_close(run[f"{l}.attn.pattern"], theirs.attentions[l], **tight)


def test_editing_nothing_and_reading_all_but_patterns_is_the_plain_pass_bit_for_bit() -> None:
    model, ids = small().model, small().ids
    with torch.no_grad():
        plain = model(ids)
    read = [a for a in EVERYTHING if "scores" not in a and "pattern" not in a]
    for run in (trace(model, ids), trace(model, ids, read=read), trace(model, ids, edit={"1.mlp": lambda x: x})):
        assert torch.equal(run.logits, plain)


def test_attention_step_by_step_is_fused_attention() -> None:
    """Twice the difference that transformers' own two ways show, in fp32; 1e-10 relative in float64."""
    with torch.no_grad():
        for dtype in (torch.float64, torch.float32):
            model, hf, ids = GPT2(SMALL).to(dtype).eval(), deepcopy(small().hf).to(dtype), small().ids
            model.load_state_dict(small().model.state_dict())
            difference = (trace(model, ids, read="*.attn.pattern").logits - trace(model, ids).logits).abs().max()
            eager = hf(ids).logits
            hf.set_attn_implementation("sdpa")
            theirs = (hf(ids).logits - eager).abs().max()
            assert difference <= (1e-10 * eager.std() if dtype == torch.float64 else 2 * theirs)


def test_head_writes_and_blocks_are_computed_when_read() -> None:
    run = trace(small().model, small().ids, read=["2.attn.z", "2.attn.out"])
    for h in range(H):
        expected = small().numpy.values["2.head.out"][h]
        np.testing.assert_allclose(run[f"2.head.{h}.out"][0].numpy(), expected, **tight)
    heads = sum(run[f"2.head.{h}.out"] for h in range(H))
    torch.testing.assert_close(heads + small().model.transformer.h[2].attn.c_proj.bias, run["2.attn.out"], **tight)
    torch.testing.assert_close(run["1.block"], run["1.resid_post"] - run["1.resid_pre"], **tight)
    edited = trace(small().model, small().ids, read="2.head.1.out", edit={"2.head.1.out": zero})
    assert edited["2.head.1.out"].abs().max() == 0  # z W_O is not what an edited head writes


def test_a_run_never_changes() -> None:
    model, ids = small().model, small().ids.clone()
    weights = {name: p.clone() for name, p in model.named_parameters()}
    run = trace(model, ids, read=["embed.pos", "0.attn.q"])
    before = {a: run[a] for a in ("1.resid_pre", "embed.pos", "0.attn.q", "logits")}
    for address in before:
        run[address].zero_()
    run.logits.fill_(7)
    ids.zero_()
    trace(model, run.ids, edit={"1.resid_pre": lambda x, at: take(run)(x, at).zero_()})
    assert all(torch.equal(run[a], value) for a, value in before.items())
    assert all(torch.equal(p, weights[name]) for name, p in model.named_parameters())
    with pytest.raises(AttributeError):
        run.ids = ids  # type: ignore[misc]


def test_a_model_in_training_mode_is_traced_without_dropout_and_stays_in_it() -> None:
    model = GPT2(SMALL).double()
    model.load_state_dict(small().model.state_dict())
    model.train()
    run = trace(model, small().ids)
    assert torch.equal(run.logits, trace(small().model, small().ids).logits)
    assert model.training
    assert model.transformer.h[0].mlp.dropout.training


def test_the_default_keeps_streams_and_logits_and_read_adds_the_rest() -> None:
    run = trace(small().model, small().ids)
    assert {p for _, p in run.values.points} == {"embed.out", "resid_pre", "resid_mid", "resid_post", "logits"}
    with pytest.raises(UsageError, match=r"run\.read\('1\.attn\.pattern'\) computes it"):
        run["1.attn.pattern"]
    more = run.read("1.attn.pattern", "1.head.2.out")
    assert more["1.attn.pattern"].shape == (2, H, T, T)
    assert more.read("1.attn.pattern") is more
    assert "1.head.2.out" in more.values
    assert "0.head.2.out" not in more.values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_reading_more_allows_for_the_formats_rounding(dtype: torch.dtype) -> None:
    """A pattern that is kept is computed in other steps than fused attention: 3% of the spread in bfloat16."""
    model = load("storyteller", dtype=dtype)
    run = trace(model, "Once upon a time there was a little girl named Lily. She")
    assert run.read("*.attn.pattern")["3.attn.pattern"].shape == (1, HEADS, 13, 13)
    model.model.transformer.ln_f.weight.data *= 1.2
    with pytest.raises(ValueError, match="another pass gave other logits"):
        run.read("*.attn.pattern")


def test_a_second_pass_that_gives_other_logits_is_refused() -> None:
    generator = torch.Generator().manual_seed(0)
    run = trace(small().model, small().ids, edit={"1.mlp": lambda x: torch.rand(x.shape, generator=generator).double()})
    with pytest.raises(ValueError, match="another pass gave other logits"):
        run.read("1.mlp.post")


EDITS: list[dict[str, Callable[..., Tensor]]] = [
    {"1.head.2": zero}, {"2.mlp": zero, "1.attn.k": scale(2)}, {"embed.pos": zero}, {"final.scale": scale(3)},
    {"1.resid_pre": scale(2)}, {"logits": scale(2)}, {"2.block@4": zero}, {"1.attn.pattern": scale(0.5)},
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("earlier", [{}, {"0.mlp": scale(2), "2.mlp": scale(3)}, {"1.resid_pre": scale(-1)}])
def test_further_edits_give_what_a_pass_from_the_start_gives(edit: dict, earlier: dict) -> None:
    """Edits of the same address take the old one's place, also where the blocks before are not computed again."""
    run = trace(small().model, small().ids, read=["*.attn.z", "*.mlp.out"], edit=earlier).edited(edit)
    whole = trace(small().model, small().ids, read=["*.attn.z", "*.mlp.out"], edit={**earlier, **edit})
    assert set(run.values.points) == set(whole.values.points)
    for layer, point in whole.values.points:
        torch.testing.assert_close(run.values.stored(layer, point), whole.values.stored(layer, point), **tight)


def test_gradients_are_those_of_the_probe_and_leave_the_parameters_alone() -> None:
    model, ids = small().model, small().ids
    run = trace(model, ids, read=["1.attn.z", "0.mlp.pre", "1.attn.pattern"], grad=True)
    gradients = run.gradients(run.logits[:, -1, 4].sum())
    probe = Probe(read=["1.attn.z", "0.mlp.pre", "1.attn.pattern", "0.resid_post"], grad=True)
    frozen = GPT2(SMALL).double().eval()
    frozen.load_state_dict(model.state_dict())
    frozen(ids, probe=probe)[:, -1, 4].sum().backward()
    for address in ("1.head.2", "0.mlp.pre#7", "1.attn.pattern", "0.resid_post@3"):
        torch.testing.assert_close(gradients[address], probe.grad(address), **tight)
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(UsageError, match="grad=True"):
        trace(model, ids).gradients(torch.zeros(()))


def test_the_size_of_everything() -> None:
    """The blocks of GPT-2 small in fp32: 47 MB at T = 64, 245 MB at 256, 1.9 GB at 1024."""
    with torch.device("meta"):
        model = GPT2(PRESETS["gpt2"])
    read = [a for a in ALL if a.startswith("*")]
    assert [size(model, read, T) / 1e6 for T in (64, 256, 1024)] == pytest.approx([47, 245, 1900], rel=0.02)
    assert size(model, ["logits"], 10, B=2) == 2 * 10 * 50257 * 4
    values = trace(small().model, small().ids, read=EVERYTHING).values
    storages = [values.stored(*key).untyped_storage() for key in values.points]
    shared = {s.data_ptr(): s.nbytes() for s in storages}  # q, k and v lie in one, and so on
    position_rows_of_the_second_text = T * SMALL.n_embd * 8  # both texts share one tensor
    assert size(small().model, EVERYTHING, T, B=2) == sum(shared.values()) + position_rows_of_the_second_text


def test_everything_says_its_size_first(capsys: pytest.CaptureFixture[str]) -> None:
    run = trace(storyteller(), TEXT, read="all")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"trace: everything takes {size(run.model, ALL, 13) / 1e6:,.0f} MB, 13 tokens a text\n"
    assert run["4.head.3.out"].shape == (1, 13, WIDTH)
    assert run["2.attn.pattern"].shape == (1, HEADS, 13, 13)


def test_a_run_shows_itself() -> None:
    run = trace(storyteller(), TEXT, edit={"3.head.2": zero})
    lines = str(run).splitlines()
    assert lines[0].split() == ["position", "token", "prediction", "probability", "next's", "rank", "loss"]
    assert lines[2].split()[:4] == ["1", "·upon", "·a", f"{run.logits[0, 1].softmax(-1).max():.1%}"]
    assert lines[-1] == "3.head.2: zero"
    record = json.loads(json.dumps(run.to_dict()))
    losses = [one["loss"] for one in record["predictions"]]
    expected = torch.nn.functional.cross_entropy(run.logits[0, :-1], run.ids[0, 1:], reduction="none")
    assert losses[:-1] == pytest.approx(expected.tolist(), rel=1e-5)
    assert losses[-1] is None
    assert record["edits"] == {"3.head.2": "zero"}
    assert "·upon" in run._repr_html_()


def test_a_bare_model_shows_ids() -> None:
    assert trace(small().model, [5, 6, 7]).tokens == (("5", "6", "7"),)


def refuse(action: Callable[[], object]) -> str:
    with pytest.raises(ValueError) as caught:
        action()
    return str(caught.value)


def run() -> Run:
    return trace(storyteller(), TEXT)


REFUSALS: list[tuple[Callable[[], object], str]] = [
    (lambda: trace(small().model, "text"), "a bare GPT2 has no tokenizer: give token ids"),
    (lambda: trace("storyteller", "text"), "a str is not a model"),  # type: ignore[arg-type]
    (lambda: trace(storyteller(), ""), "the text is empty, it has no tokens"),
    (lambda: trace(small().model, []), "the text is empty, it has no tokens"),
    (lambda: trace(small().model, [[1, 2], [3]]), "the texts have 1 to 2 tokens: give texts of one length"),
    (lambda: trace(small().model, [1] * 41), "has 41 tokens and this model's context is 40: shorten it by 1"),
    (lambda: trace(small().model, [97]), "there is no token 97: this model has tokens 0 to 96"),
    (lambda: trace(small().model, [1], read="1.resid_pst"), "the nearest are 1.resid_post"),
    (lambda: trace(small().model, [1], edit={"1.head.3": zero}), "there is no head 3, this model has 0 to 2"),
    (lambda: trace(small().model, [1, 2], edit={"1.mlp@2": zero}), "outside this text: it has positions 0 to 1"),
    (lambda: trace(small().model, [1, 2], edit={"1.mlp": lambda x: x[:, 1:]}), "must keep the shape [1, 2, 24]"),
    (lambda: run()["*.resid_pre"], "names several values: write one of them, such as '0.resid_pre'"),
    (lambda: run()["1.resid_pre@13"], "outside this text: it has positions 0 to 12"),
    (lambda: run()[f"1.resid_pre#{WIDTH}"], f"this point has 0 to {WIDTH - 1}"),
    (lambda: run().token("floor"), "'floor' is 2 tokens (fl oor): choose a word of one token, such as ' floor'"),
    (lambda: run().token(8192), "there is no token 8192: this model has tokens 0 to 8191"),
    (lambda: run().position(13), "there is no position 13: this text has positions 0 to 12"),
    (lambda: trace(small().model, [1]).token("a"), "a bare GPT2 has no tokenizer: give the id of 'a'"),
]


@pytest.mark.parametrize(("action", "sentence"), REFUSALS)
def test_refusals_name_the_mend(action: Callable[[], object], sentence: str) -> None:
    assert sentence in refuse(action)
