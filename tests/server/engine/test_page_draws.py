"""The page's own draws, in JavaScript, are those of Python: same rules, same noise, same token."""

import math

import torch

from benchmarks.page_tokenizer import RULES, Draws, ask, recorded
from gpt2.inference.generate import generate
from gpt2.inference.noise import MANY
from gpt2.inference.sampling import Sampling
from tests.generating import TOKENIZER, make

KINDS = ("plain", "ties", "equal", "holes", "many", "few")
SEEDS = [0, 1, 2**31, 2**53 + 1, 2**64 - 1]


def draws(rules, logits):
    """One draw for each row of logits, each with a text, a seed and a sample of its own."""
    rows = range(len(logits))
    texts = [[(7 * row * i) % logits.size(-1) for i in range(1 + 13 * row)] for row in rows]
    return Draws(logits, texts, [Sampling(**rules, seed=SEEDS[row % 5]) for row in rows], [row % 3 for row in rows])


def logits_of(kind):
    """[R, V] as a model gives them, with many ties, all equal, with tokens that nothing may draw, of few tokens."""
    x = 3 * torch.randn(10, 300, generator=torch.Generator().manual_seed(1))
    if kind == "ties":
        return x.round()
    if kind == "equal":
        return torch.full((5, 50), -33.0)
    if kind == "holes":
        return x.index_fill(1, torch.arange(250, 300), -math.inf)
    if kind == "many":
        return 2 * torch.randn(5, MANY + 100, generator=torch.Generator().manual_seed(2)) - 40
    return x[:, :2] if kind == "few" else x


def test_draws_and_shares_are_those_of_python(node):
    asked = [draws(rules, logits_of(kind)) for kind in KINDS for rules in RULES]
    found = ask(draws=asked, shares=True, node=node)["draws"]
    for one, answer in zip(asked, found, strict=True):
        assert answer["tokens"] == one.tokens()
        shares, expected = torch.tensor(answer["shares"], dtype=torch.float32), one.shares()
        assert torch.equal(shares > 0, expected > 0)
        assert torch.allclose(shares, expected, atol=1e-6)


def test_extreme_settings_are_those_of_python(node):
    extremes = (
        {"temperature": 1e-300}, {"temperature": 1e-6}, {"temperature": 1e30}, {"top_p": 1e-9}, {"top_p": 1 - 1e-12},
        {"min_p": 1.0}, {"min_p": 1e-320}, {"top_k": 1}, {"top_k": 10**9}, {"repetition_penalty": 1e-30},
        {"repetition_penalty": 1e30},
    )  # fmt: skip
    asked = [draws(rules, logits_of("plain")) for rules in extremes]
    found = ask(draws=asked, node=node)["draws"]
    assert [answer["tokens"] for answer in found] == [one.tokens() for one in asked]


def test_a_generated_text_is_drawn_again(node):
    """Past the context too, where the position goes on while the window starts afresh."""
    model = make(context=16, dtype=torch.float32)
    with recorded() as held:
        how = Sampling(**RULES[0], seed=5, n=2, max_tokens=30, ignore_eos=True)
        [completions] = generate(model, TOKENIZER, [[1, 2, 3]], how, on_slide=lambda: None)
    found = ask(draws=[held], node=node)["draws"][0]["tokens"]
    assert [found[0::2], found[1::2]] == [completion.ids for completion in completions]
