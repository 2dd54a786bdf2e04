"""The logit lens against numpy and transformers, in float64."""

import json

import numpy as np
import pytest
import torch

from gpt2.base.errors import UsageError
from gpt2.explain import scale, trace
from gpt2.explain.see.lens import lens
from tests.explained import BLOCKS, TEXT, small, storyteller

POINTS = ("0.resid_pre", *(f"{l}.{p}" for l in range(3) for p in ("resid_mid", "resid_post")))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_every_number_of_the_lens() -> None:
    """Norm with each point's own statistics, head, softmax: in numpy; then rank, entropy, KL(final || lens)."""
    n, found = small().numpy, trace(small().model, small().ids).lens()
    assert found.points == POINTS
    final = softmax(n.values["logits"])
    following = np.array(n.ids[1:])
    for r, point in enumerate(POINTS):
        p = softmax(n.norm(n.values[point], "transformer.ln_f")[1] @ n.w["lm_head.weight"].T)  # (T, V)
        tight = {"rtol": 1e-9, "atol": 1e-12}
        np.testing.assert_array_equal(found.top_ids[r].numpy(), np.argsort(-p, axis=-1)[:, :5])
        np.testing.assert_allclose(found.top_probabilities[r].numpy(), -np.sort(-p, axis=-1)[:, :5], **tight)
        of_next = p[np.arange(12), following]
        np.testing.assert_allclose(found.next_probability[r, :-1].numpy(), of_next, **tight)
        np.testing.assert_array_equal(found.next_rank[r, :-1].numpy(), 1 + (p[:-1] > of_next[:, None]).sum(-1))
        np.testing.assert_allclose(found.entropy[r].numpy(), -(p * np.log(p)).sum(-1), **tight)
        np.testing.assert_allclose(found.kl[r].numpy(), (final * np.log(final / p)).sum(-1), **tight)
    assert found.next_probability[:, -1].isnan().all()
    assert (found.next_rank[:, -1] == 0).all()


def test_the_last_row_is_the_models_own_prediction() -> None:
    for model, ids in ((small().model, small().ids), (storyteller(), TEXT)):
        run = trace(model, ids)
        found, p = run.lens(), run.logits[0].softmax(-1)
        assert torch.equal(found.top_ids[-1, :, 0], p.argmax(-1))
        torch.testing.assert_close(found.probability[-1], p.max(-1).values)
        assert found.kl[-1].abs().max() < 1e-6
        assert (found.kl[:-1] > 1e-6).any()


def test_the_streams_of_transformers_through_its_own_norm_and_head() -> None:
    with torch.no_grad():
        streams = small().hf(small().ids, output_hidden_states=True).hidden_states[:-1]
        expected = [small().hf.lm_head(small().hf.transformer.ln_f(x))[1].softmax(-1) for x in streams]
    found = lens(trace(small().model, small().ids), "*.resid_pre", row=1)
    for l, p in enumerate(expected):
        torch.testing.assert_close(found.top_probabilities[l], p.topk(5).values, rtol=1e-10, atol=1e-12)


def test_an_edit_behind_the_stream_shows_in_the_last_row_alone() -> None:
    plain = trace(small().model, small().ids).lens()
    edited = trace(small().model, small().ids, edit={"final.scale": scale(2)})
    torch.testing.assert_close(edited.lens().probability[:-1], plain.probability[:-1], rtol=1e-12, atol=0)
    torch.testing.assert_close(edited.lens().probability[-1], edited.logits[0].softmax(-1).max(-1).values)


def test_it_shows_itself() -> None:
    found = trace(storyteller(), TEXT).lens()
    lines = str(found).splitlines()
    assert lines[0].split()[:3] == ["after", "7", "·little"]
    assert [line.split()[0] for line in lines[1:3]] == [f"{BLOCKS - 1}.resid_post", f"{BLOCKS - 1}.resid_mid"]
    last = f"{found.top_labels[-1][-1]} {found.probability[-1, -1]:.0%}"
    assert lines[1].endswith(last)
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["next_probability"][0][-1] is None
    assert record["entropy"][3][2] == pytest.approx(float(found.entropy[3, 2]))
    for colour in ("probability", "next_rank", "kl"):
        axes = found.plot(colour).axes[0]
        assert axes.images[0].get_array().shape == (2 * BLOCKS + 1, 13)
        assert axes.get_yticklabels()[0].get_text() == f"{BLOCKS - 1}.resid_post"
        assert axes.texts[0].get_text() == found.top_labels[-1][0]


def test_refusals() -> None:
    run = trace(small().model, small().ids)
    with pytest.raises(UsageError, match="there is no row 2: this run has rows 0 to 1"):
        run.lens(row=2)
    with pytest.raises(UsageError, match=r"1\.attn\.z is not a vector of the stream .*such as 2\.resid_post"):
        lens(run, "1.attn.z")
    with pytest.raises(ValueError, match=r"did you mean 1\.resid_post"):
        lens(run, "1.resid")
    with pytest.raises(UsageError, match="choose probability, next_probability"):
        run.lens().plot("colour")


@pytest.mark.parametrize(("first", "stop"), [(0, 1), (2, 9), (12, None), (5, 100)])
def test_a_window_of_the_lens_is_that_part_of_the_whole(first: int, stop: int | None) -> None:
    run = trace(small().model, small().ids)
    whole, told = run.lens(), list[float]()
    found = lens(run, first=first, stop=stop, progress=told.append)
    assert found.tokens == whole.tokens[first:stop]
    for name in ("top_ids", "top_probabilities", "next_probability", "next_rank", "entropy", "kl"):
        part = getattr(whole, name)[:, first:stop]
        torch.testing.assert_close(getattr(found, name), part, rtol=1e-9, atol=1e-12, equal_nan=True)
    assert told == sorted(told)
    assert told[0] == 0
    assert str(found.table().columns[1].header).startswith(f"{max(first, len(whole.tokens[:stop]) - 6)} ")


def test_answers_are_followed_through_the_points() -> None:
    run = trace(small().model, small().ids)
    final = run.logits[0].softmax(-1)
    torch.testing.assert_close(run.lens().answer_probability[-1], final.max(-1).values)
    answers = torch.arange(4)
    found = lens(run, first=3, stop=7, answers=answers).answer_probability
    torch.testing.assert_close(found[-1], final[3:7].gather(1, answers[:, None])[:, 0])
    stream = run["0.resid_mid"][0, 3:7]
    p = small().model.head(small().model.transformer.ln_f(stream)).softmax(-1)
    torch.testing.assert_close(found[1], p.gather(1, answers[:, None])[:, 0])


def test_a_window_outside_the_text_is_refused() -> None:
    for first, stop in ((13, None), (4, 4), (-1, 3)):
        with pytest.raises(UsageError, match="outside the text: it has 13 tokens"):
            lens(trace(small().model, small().ids), first=first, stop=stop)
