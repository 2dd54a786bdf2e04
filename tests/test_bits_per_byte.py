"""Bits per byte against a computation one token at a time, with transformers' model."""

import math

import pytest
import torch

from gpt2.config import GPT2Config
from gpt2.evaluation.bits_per_byte import score, windows
from gpt2.tokenizer import Tokenizer
from tests.twins import twins

CONFIG = GPT2Config(vocab_size=257, n_positions=16, n_embd=32, n_layer=2, n_head=2)
TEXTS = ["Once upon a time there was a very small dog.", "Hi.", "Naïve café, 12:30!", "exactly fifteen"]


@pytest.mark.parametrize("length", [2, 3, 8, 9, 15, 16, 17, 18, 24, 25, 40, 101])
@pytest.mark.parametrize("context", [1, 2, 7, 16])
def test_windows_score_each_token_once_with_half_a_window_before_it(length: int, context: int) -> None:
    ids = list(range(length))
    scored = []
    for inputs, targets in windows(ids, context):
        assert len(inputs) == len(targets) <= context
        for place, (given, target) in enumerate(zip(inputs, targets)):
            if target != -100:
                assert target == given + 1
                assert place + 1 >= min(target, context - context // 2)  # tokens that it is predicted from
                scored.append(target)
    assert scored == ids[1:]


def test_score_is_the_sum_over_single_predictions() -> None:
    tokenizer = Tokenizer.bytes()
    ours, hf = twins(CONFIG, 1, torch.randint(257, (1, 16), generator=torch.Generator().manual_seed(0)))
    expected, count = 0.0, 0
    for text in TEXTS:
        ids = [256, *tokenizer.encode(text)]
        for inputs, targets in windows(ids, 16):
            with torch.no_grad():
                log_p = hf(torch.tensor([inputs])).logits[0].log_softmax(-1)
            for place, target in enumerate(targets):
                if target != -100:
                    expected, count = expected - log_p[place, target].item(), count + 1
    for batch_tokens in (1, 40, 4096):
        result = score(ours, tokenizer, TEXTS, batch_tokens)
        assert result.loss == pytest.approx(expected, rel=1e-9)
    size = sum(len(text.encode()) for text in TEXTS)
    assert (result.documents, result.tokens, result.bytes) == (4, count, size)
    assert result.bits_per_byte == pytest.approx(expected / math.log(2) / size)
    assert result.perplexity == pytest.approx(math.exp(expected / count))


def test_no_text_is_an_error() -> None:
    ours, _ = twins(CONFIG, 1, torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="no text"):
        score(ours, Tokenizer.bytes(), [])
