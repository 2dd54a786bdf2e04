"""A component by the name that another library gives it is answered with our address."""

import pytest

from gpt2.base.errors import UsageError
from gpt2.explain.run.places import ours, parse

NAMES = {
    "blocks.3.attn.hook_z": "3.attn.z",
    "blocks.3.hook_resid_pre@2": "3.resid_pre@2",
    "blocks.3.hook_mlp_out": "3.mlp",
    "blocks.3.attn.hook_pattern": "3.attn.pattern",
    "blocks.3.attn.hook_attn_scores": "3.attn.scores",
    "blocks.3.attn.hook_result": "3.head.*.out",
    "blocks.*.attn": "*.attn",
    "hook_embed": "embed.tok",
    "ln_final.hook_normalized": "final.out",
    "transformer.h.3.mlp": "3.mlp",
    "transformer.h[3].mlp.c_fc": "3.mlp.pre",
    "model.layers.3.self_attn": "3.attn",
    "transformer.wpe": "embed.pos",
    "head.3.1": "3.head.1",
    "3.attn.head.1": "3.head.1",
    "L3H1": "3.head.1",
    "a3.h1": "3.head.1",
    "3.1": "3.head.1",
    "mlp3": "3.mlp",
    "L3N100": "3.mlp.post#100",
    "layer3.mlp": "3.mlp",
}


@pytest.mark.parametrize("name", NAMES)
def test_ours_is_named_and_is_an_address(name: str) -> None:
    assert ours(name) == [NAMES[name]]
    assert parse(NAMES[name], 8, 8)
    with pytest.raises(UsageError, match="is no address here: did you mean ") as raised:
        parse(name, 8, 8)
    assert str(raised.value).endswith(f"did you mean {NAMES[name]}?")


def test_two_are_offered_where_two_may_be_meant() -> None:
    with pytest.raises(UsageError, match=r"did you mean 3\.head\.1 or 3\.attn\.pattern\?"):
        parse("3.head.1.pattern", 8, 8)


def test_a_block_that_the_model_lacks_is_said_by_our_name() -> None:
    with pytest.raises(ValueError, match=r"'9\.head\.1': there is no layer 9, this model has 0 to 7"):
        parse("L9H1", 8, 8)


@pytest.mark.parametrize("name", ["3.mpl", "xyz", "1 x"])
def test_what_nobody_calls_so_is_answered_as_before(name: str) -> None:
    assert ours(name) == []
    with pytest.raises(ValueError, match=r"nearest|no address"):
        parse(name, 8, 8)
