"""Perplexity and bits per byte against transformers: one token at a time, and its documentation's sliding window."""

import math
from dataclasses import replace

import pytest
import torch

from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.evaluation.bits_per_byte import loss_of_each, loss_of_joined
from gpt2.evaluation.windows import windows
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from tests.twins import twins

CONFIG = GPT2Config(vocab_size=257, n_positions=16, n_embd=32, n_layer=2, n_head=2)
TEXTS = ["Once upon a time there was a very small dog.", "Hi.", "Naïve café, 12:30!", "exactly fifteen"]


@pytest.mark.parametrize("length", [2, 3, 8, 9, 15, 16, 17, 18, 24, 25, 40, 101])
@pytest.mark.parametrize("context, stride", [(1, 1), (2, 1), (7, 3), (16, 8), (16, 16), (16, 1)])
def test_windows_score_each_token_once_with_enough_before_it(length: int, context: int, stride: int) -> None:
    ids = list(range(length))
    scored = []
    for window in windows(ids, context, stride):
        assert len(window.inputs()) == len(window.targets()) == len(window) <= context
        for place, (given, target) in enumerate(zip(window.inputs(), window.targets())):
            if target != -100:
                assert target == given + 1
                assert place + 1 >= min(target, context - stride + 1)  # tokens that it is predicted from
                scored.append(target)
    assert scored == ids[1:]


def test_a_stride_beyond_the_window_leaves_tokens_out() -> None:
    targets = [t for window in windows(range(12), 3, 4) for t in window.targets()]
    assert targets == [1, 2, 3, 5, 6, 7, 9, 10, 11]


def test_score_is_the_sum_over_single_predictions() -> None:
    tokenizer = Tokenizer.bytes()
    ours, hf = twins(CONFIG, 1, torch.randint(257, (1, 16), generator=torch.Generator().manual_seed(0)))
    expected, count = 0.0, 0
    for text in TEXTS:
        ids = [256, *tokenizer.encode(text)]
        for window in windows(ids, 16, 8):
            with torch.no_grad():
                log_p = hf(torch.tensor([window.inputs()])).logits[0].log_softmax(-1)
            for place, target in enumerate(window.targets()):
                if target != -100:
                    expected, count = expected - log_p[place, target].item(), count + 1
    for batch_tokens in (1, 40, 4096):
        result = loss_of_each(ours, tokenizer, TEXTS, batch_tokens)
        assert result.loss == pytest.approx(expected, rel=1e-9)
    size = sum(len(text.encode()) for text in TEXTS)
    assert (result.documents, result.tokens, result.bytes) == (4, count, size)
    assert result.bits_per_byte == pytest.approx(expected / math.log(2) / size)
    assert result.perplexity == pytest.approx(math.exp(expected / count))
    assert result.words == 10 + 1 + 3 + 2
    assert result.word_perplexity == pytest.approx(math.exp(expected / 16))
    assert (result.context, result.stride) == (16, 8)


@pytest.mark.parametrize("stride", [5, 8, 15, 16])
def test_joined_is_the_perplexity_of_the_hugging_face_documentation(stride: int) -> None:
    """Windows of ids with labels, of which those seen before are -100; transformers shifts them by one itself."""
    tokenizer = Tokenizer.bytes()
    ours, hf = twins(CONFIG, 2, torch.randint(257, (1, 16), generator=torch.Generator().manual_seed(0)))
    ids = torch.tensor([tokenizer.encode("\n\n".join(TEXTS))])
    total, count, end = 0.0, 0, 0
    for begin in range(0, ids.size(1), stride):
        new, end = min(begin + 16, ids.size(1)) - end, min(begin + 16, ids.size(1))
        labels = ids[:, begin:end].clone()
        labels[:, :-new] = -100
        n = (labels[:, 1:] != -100).sum().item()
        with torch.no_grad():
            total, count = total + hf(ids[:, begin:end], labels=labels).loss.item() * n, count + n
        if end == ids.size(1):
            break
    result = loss_of_joined(ours, tokenizer, TEXTS, stride=stride)
    assert result.tokens == count
    assert result.perplexity == pytest.approx(math.exp(total / count), rel=1e-5)  # its loss is in float32
    assert result.bytes == len("\n\n".join(TEXTS).encode())


def test_a_narrower_context_is_that_of_a_model_cut_short() -> None:
    ours, _ = twins(CONFIG, 3, torch.randint(257, (1, 16), generator=torch.Generator().manual_seed(0)))
    short = GPT2(replace(CONFIG, n_positions=6)).double().eval()
    state = ours.state_dict()
    state["transformer.wpe.weight"] = state["transformer.wpe.weight"][:6]
    short.load_state_dict(state)
    expected = loss_of_each(short, Tokenizer.bytes(), TEXTS)
    result = loss_of_each(ours, Tokenizer.bytes(), TEXTS, context=6)
    assert result.loss == pytest.approx(expected.loss, rel=1e-12)
    assert (result.context, result.stride) == (expected.context, expected.stride) == (6, 3)


@pytest.mark.parametrize("measure", [loss_of_each, loss_of_joined])
@pytest.mark.parametrize(
    ("window", "sentence"),
    [({"context": 17}, "context is 17: this model takes"), ({"context": 0}, "context is 0"),
     ({"stride": 0}, "stride is 0: it must be 1 to the context, 16"), ({"context": 8, "stride": 9}, "stride is 9")],
)  # fmt: skip
def test_windows_that_cannot_be(measure, window, sentence) -> None:
    ours, _ = twins(CONFIG, 1, torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(UsageError, match=sentence):
        measure(ours, Tokenizer.bytes(), TEXTS, **window)


def test_progress_ends_at_all_of_it() -> None:
    ours, _ = twins(CONFIG, 1, torch.zeros(1, 4, dtype=torch.long))
    told: list[tuple[int, int]] = []
    loss_of_each(ours, Tokenizer.bytes(), TEXTS, batch_tokens=16, progress=lambda *now: told.append(now))
    assert len(told) > 3
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == told[0][1]


def test_no_text_is_an_error() -> None:
    ours, _ = twins(CONFIG, 1, torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="no text"):
        loss_of_each(ours, Tokenizer.bytes(), [])
