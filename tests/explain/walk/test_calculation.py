"""One number and the calculation that made it: equal to what `gpt2 walk` records, and to what its operands give."""

import math

import pytest
import torch

from gpt2.base.errors import UsageError
from gpt2.explain import trace
from gpt2.explain.run.edits import zero
from gpt2.explain.run.trace import Run
from gpt2.explain.walk.calculation import Calculation, calculation, to_read
from gpt2.explain.walk.walk import walk
from tests.explained import storyteller

TEXT = "Once there was a cat. The cat"
ROW, BLOCK, HEAD = 6, 3, 4


@pytest.fixture(scope="module")
def run() -> Run:
    return trace(storyteller(), TEXT, read=to_read(f"{BLOCK}.mlp.out", storyteller().model.config.n_layer))


def test_every_step_is_what_the_walk_records(run: Run) -> None:
    """The walk reads this row alone, behind cached keys and values; here the whole text is read at once."""
    checkpoint = storyteller()
    found = walk(checkpoint.model, checkpoint.tokenizer.encode(TEXT), position=ROW, blocks=(BLOCK,))
    detail = found.blocks[BLOCK].detail
    assert detail is not None
    head = detail.attn.heads[HEAD]
    recorded = {
        "embed.tok": found.embed_tok[ROW].values, "embed.pos": found.embed_pos[ROW].values,
        "embed.out": found.embed_out[ROW].values, "resid_pre": found.blocks[BLOCK].resid_pre.values,
        "ln_1.scale": [detail.ln_1.sigma], "ln_1.out": detail.ln_1.out.values,
        "attn.q": head.q.values, "attn.k": head.k[ROW].values, "attn.v": head.v[ROW].values,
        "attn.scores": head.scores, "attn.pattern": head.pattern, "attn.z": head.z.values,
        "attn.out": found.blocks[BLOCK].attn_out.values, "resid_mid": found.blocks[BLOCK].resid_mid.values,
        "ln_2.scale": [detail.ln_2.sigma], "ln_2.out": detail.ln_2.out.values,
        "mlp.pre": detail.mlp.pre.values, "mlp.post": detail.mlp.post.values,
        "mlp.out": found.blocks[BLOCK].mlp_out.values, "resid_post": found.blocks[BLOCK].resid_post.values,
        "final.scale": [found.final.sigma], "final.out": found.final.out.values, "logits": found.logits,
    }  # fmt: skip
    for point, values in recorded.items():
        address = point if point.split(".")[0] in ("embed", "final", "logits") else f"{BLOCK}.{point}"
        for index in {0, len(values) // 2, len(values) - 1}:
            head_of = HEAD if point.startswith("attn.") and point != "attn.out" else None
            one = calculation(run, address, ROW, index, head_of)
            assert one.value == pytest.approx(values[index], rel=1e-4, abs=1e-4), (point, index)
            assert one.computed == pytest.approx(one.value, rel=1e-5, abs=1e-5), (point, index)
    best = found.next[0]
    one = calculation(run, "probability", ROW, best.id)
    assert one.value == pytest.approx(best.probability, abs=1e-5)
    assert one.numbers["score"] - one.numbers["highest"] - math.log(one.numbers["total"]) == pytest.approx(
        math.log(best.probability), abs=1e-4
    )


def test_terms_that_are_shown_and_the_others_make_the_whole(run: Run) -> None:
    for address, head in ((f"{BLOCK}.mlp.out", None), (f"{BLOCK}.attn.out", None), (f"{BLOCK}.attn.z", HEAD)):
        one = calculation(run, address, ROW, 5, head)
        terms = one.terms(9)
        shown = float((terms.left * terms.right).sum())
        assert len(terms.at) == min(9, terms.of)
        assert shown + terms.rest + one.numbers["bias"] == pytest.approx(one.value, abs=1e-5)
        smallest = (terms.left * terms.right).abs().min()
        others = torch.ones(terms.of, dtype=torch.bool).index_fill(0, terms.at, False)
        assert (one.left * one.right).abs()[others].le(smallest).all()


def test_a_switched_component_shows_both_numbers() -> None:
    run = trace(storyteller(), TEXT, edit={f"{BLOCK}.mlp.out": zero})
    one = calculation(run, f"{BLOCK}.mlp.out", ROW, 5)
    assert one.value == 0
    assert abs(one.computed) > 1e-3
    assert (
        calculation(run, f"{BLOCK}.resid_post", ROW, 5).computed == calculation(run, f"{BLOCK}.resid_mid", ROW, 5).value
    )


def test_a_later_position_is_masked(run: Run) -> None:
    assert calculation(run, f"{BLOCK}.attn.pattern", 2, 5, HEAD) == Calculation("masked", 0.0, 0.0)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (("9.mlp.out", 0, 0), "there is no block 9"),
        (("3.mlp.out", 99, 0), "there is no position 99"),
        (("3.mlp.out", 0, 352), "has the numbers 0 to 351"),
        (("3.attn.q", 0, 0), "3.attn.q needs a head"),
        (("3.mlp.out", 0, 0, 1), "3.mlp.out has no head"),
        (("3.attn.q", 0, 0, 11), "there is no head 11"),
        (("3.block", 0, 0), "no step of the model"),
    ],
)
def test_what_is_not_there_is_refused(run: Run, where: tuple[object, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        calculation(run, *where)  # type: ignore[arg-type]
