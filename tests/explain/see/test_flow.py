"""One pass as a picture draws it, against a run that keeps everything; and the strongest neurons."""

import pytest
import torch

from gpt2.base.errors import UsageError
from gpt2.explain import trace, zero
from gpt2.explain.see.attention import attention
from gpt2.explain.see.flow import beside, flow, heads_on
from gpt2.explain.see.neurons import active_neurons
from tests.explained import small

EDIT = {"1.head.0": zero, "2.attn": zero}


@pytest.mark.parametrize("edit", [{}, EDIT])
def test_lengths_and_arcs_are_those_of_a_run_that_keeps_everything(edit: dict) -> None:
    model, ids = small().model, small().ids[0].tolist()
    found, run = flow(model, ids, edit), trace(model, ids, "all", edit)
    assert found.points == ("embed.out", *(f"{l}.resid_{p}" for l in range(3) for p in ("mid", "post")))
    for r, point in enumerate(found.points):
        torch.testing.assert_close(found.norms[r], run[point][0].float().norm(dim=-1))
    for k in range(6):
        out = run[f"{k // 2}.{('attn', 'mlp')[k % 2]}.out"][0]
        torch.testing.assert_close(found.writes[k], out.float().norm(dim=-1))
    torch.testing.assert_close(found.scales[3], run["1.ln_2.scale"][0].float())
    for l in range(3):
        on = heads_on(model, l, edit)
        every = attention(run, f"{l}.head.*")
        weights = every.pattern[on].double().sum(0) / max(1, len(on))
        torch.testing.assert_close(found.mean.weight[l], weights.topk(8).values.float())
        torch.testing.assert_close(found.mean.weight[l], weights.gather(-1, found.mean.source[l]).float())
        sizes = every.written[on].double().sum(0)
        shares = sizes / sizes.sum(-1, keepdim=True).clamp(min=1e-30)
        torch.testing.assert_close(found.written.weight[l], shares.topk(8).values.float())
    assert dict(found.run.edits) == edit  # what only watches is no edit


def test_heads_that_bring_nothing() -> None:
    model = small().model
    assert [heads_on(model, l, EDIT) for l in range(3)] == [[0, 1, 2], [1, 2], []]
    assert [heads_on(model, l, {"0.block": zero, "1.mlp": zero}) for l in (0, 1)] == [[], [0, 1, 2]]


def test_two_runs_beside_each_other() -> None:
    model, ids = small().model, small().ids[0].tolist()
    before, now = flow(model, ids), flow(model, ids, EDIT)
    found = beside(now, before)
    p, q = before.logits.softmax(-1), now.logits.softmax(-1)
    torch.testing.assert_close(found.kl, (p * (p / q).log()).sum(-1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.losses, -q[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0].log())
    torch.testing.assert_close(found.p, q.gather(-1, found.ids))
    assert torch.equal(found.top_before, p.argmax(-1))
    assert found.moved[0].max() == 0  # the embeddings
    assert (found.moved[3:].max(-1).values > 0).all()
    assert (beside(before, before).kl.abs() < 1e-6).all()


def test_a_point_cannot_be_watched_and_edited_by_one_address() -> None:
    with pytest.raises(UsageError, match="is edited and watched"):
        trace(small().model, [1, 2], edit={"*.attn.v": zero}, watch={"*.attn.v": lambda x, at: None})


def test_the_strongest_neurons_write_most_and_promote_what_one_unit_more_raises() -> None:
    model, run = small().model, trace(small().model, small().ids[0].tolist(), "1.mlp.post")
    found = active_neurons(run, 1, at=4, n=3, tokens=2)
    post, w = run["1.mlp.post"][0, 4], model.transformer.h[1].mlp.c_proj.weight.detach()  # (F), (C, F)
    sizes = (post[:, None] * w.t()).norm(dim=-1)
    assert [one.unit for one in found.strongest] == sizes.topk(3).indices.tolist()
    assert (found.active, found.of) == (int((post > 0).sum()), len(post))
    for one in found.strongest:
        assert one.size == pytest.approx(float(sizes[one.unit]), rel=1e-5)
        gamma, write = model.transformer.ln_f.weight.detach(), w[:, one.unit]
        scores = model.lm_head.weight.detach() @ (gamma * (write - write.mean()))
        assert list(one.promotes) == scores.topk(2).indices.tolist()
        assert list(one.suppresses) == scores.topk(2, largest=False).indices.tolist()
