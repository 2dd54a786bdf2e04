"""Edits while a text is generated: those of a full forward, row by row; and what a probe holds there."""

import string

import pytest
import torch

from gpt2.base.errors import UsageError
from gpt2.inference.generate import generate, stream
from gpt2.inference.sampling import Sampling
from gpt2.probe import Probe
from tests.generating import GREEDY, TOKENIZER, loop, make, prompts_of


def zero(x):
    return torch.zeros_like(x)


def by_position(x, at):
    shape = [1] * x.dim()
    shape[0], shape[-2] = at.positions.shape[0], at.positions.shape[1]
    return x * (1 + 0.1 * at.positions.view(shape).to(x))


def to_first(x, at):
    """Every query looks at key 0; on a pattern, or resolved to one head's row of it."""
    return (at.keys == 0).to(x).expand(x.shape)


class ToFirst:
    """An edit that is an object and works on another point than its address says."""

    point = "attn.pattern"

    def __call__(self, x, at):
        return to_first(x, at)


def far_keys(x, at):
    return x - 0.2 * (at.positions[:, None, :, None] - at.keys).to(x)


EDITS = {
    "a head off": {"1.head.0": zero},
    "one position": {"0.resid_mid@3": lambda x: x.flip(-1)},
    "a span": {"1.mlp.out@2:6": zero},
    "a neuron": {"0.mlp.post#5": lambda x, at: x + at.positions.to(x)},
    "by position": {"0.resid_post": by_position},
    "values": {"0.attn.v": by_position},
    "keys": {"1.attn.k": by_position},
    "scores": {"0.attn.scores": far_keys},
    "a pattern": {"0.attn.pattern": lambda x, at: to_first(x, at)},
    "a head's pattern": {"0.head.1": ToFirst()},
    "a head's write": {"0.head.2.out": by_position},
    "a block": {"1.block": lambda x: 0.5 * x},
    "positions": {"embed.pos": zero},
    "a norm's scale": {"1.ln_1.scale": lambda x: torch.full_like(x, 2.0)},
    "logits": {"logits": by_position},
    "logits at one position": {"logits@5": lambda x: -x},
    "several": {"1.head.0": zero, "0.mlp": by_position, "final.out": lambda x: x.flip(-1)},
}


@pytest.mark.parametrize("name", EDITS)
def test_edits_in_cached_decoding_are_those_of_a_full_forward(name):
    """Unequal prompts, two samples, past the context: against a loop that edits every whole window."""
    model, edit = make(14, seed=2), EDITS[name]
    prompts = prompts_of([2, 9, 5])
    sampling = Sampling(max_tokens=12, n=2, temperature=0.7, seed=1, logprobs=0)
    found = generate(model, TOKENIZER, prompts, sampling, edit=edit, on_slide=lambda: None)
    for prompt, completions in zip(prompts, found):
        for sample, completion in enumerate(completions):
            ids, logits = loop(model, prompt, sampling, sample, edit)
            assert completion.ids == ids
            logprobs = logits.log_softmax(dim=-1)
            for entry, row in zip(completion.logprobs, logprobs, strict=True):
                assert entry.logprob == pytest.approx(row[entry.id].item(), abs=1e-4)
    assert found != generate(model, TOKENIZER, prompts, sampling, on_slide=lambda: None)


def test_an_edit_that_differs_by_prompt():
    """`at.rows` stays the number of the prompt while rows leave, slide and stand for samples."""
    model, prompts = make(14, seed=8), prompts_of([3, 8, 5, 12])
    factors = torch.tensor([0.2, 1.0, 1.7, -1.0], dtype=torch.float64)
    sampling = Sampling(max_tokens=20, n=2, temperature=2.0, top_p=1.0, stop=tuple(string.ascii_lowercase))
    found = generate(
        model, TOKENIZER, prompts, sampling,
        edit={"0.mlp.out": lambda x, at: x * factors[at.rows][:, None, None]}, on_slide=lambda: None,
    )  # fmt: skip
    assert len({len(c.ids) for completions in found for c in completions}) > 2
    for prompt, factor, completions in zip(prompts, factors, found):
        edit = {"0.mlp.out": lambda x, f=factor: x * f}
        assert generate(model, TOKENIZER, [prompt], sampling, edit=edit, on_slide=lambda: None) == [completions]


def test_a_probe_holds_the_values_of_the_pass_that_scored_the_token():
    model = make()
    probe = Probe(read=["logits", "1.attn.pattern"])
    (prompt,) = prompts_of([5])
    ids = list(prompt)
    for step, piece in enumerate(stream(model, TOKENIZER, [prompt], Sampling(max_tokens=4, **GREEDY), probe=probe)):
        reference = Probe(read="1.attn.pattern")
        logits = model(torch.tensor([ids]), probe=reference)
        assert torch.allclose(probe["logits"][:, -1], logits[:, -1], rtol=0, atol=1e-9)
        assert probe["1.attn.pattern"].shape == (1, 4, 1 if step else 5, 5 + step)
        assert torch.allclose(probe["1.attn.pattern"][:, :, -1], reference["1.attn.pattern"][:, :, -1])
        assert piece.token == logits[0, -1].argmax()
        ids.append(piece.token)
    assert probe["1.attn.pattern"].clone().mul_(2).shape  # no inference tensor: its owner may go on with it


def test_edits_and_a_probe_together_are_refused():
    with pytest.raises(UsageError, match="edit or probe, not both"):
        stream(make(), TOKENIZER, "a", edit={"0.mlp": zero}, probe=Probe())


def test_an_unknown_address_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="there is no point"):
        generate(make(), TOKENIZER, "a", edit={"0.mlpp": zero})
