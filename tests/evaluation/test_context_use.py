"""Context use against transformers, one target at a time: the same tokens with all that stands before them, and 8."""

import math

import pytest
import torch

from gpt2.ablation.measure import context_use as of_study
from gpt2.base.errors import Failure, UsageError
from gpt2.config import GPT2Config
from gpt2.evaluation.context_use import context_use, context_use_of_rows, ratio_error
from gpt2.text.tokenizer import Tokenizer
from tests.twins import twins

CONFIG = GPT2Config(vocab_size=257, n_positions=24, n_embd=32, n_layer=2, n_head=2)
TEXTS = ["Once upon a time there was a very small dog, and it ran.", "Too short.", "The end of it, at last.", "A" * 60]
MODEL, HF = twins(CONFIG, 1, torch.randint(257, (1, 16), generator=torch.Generator().manual_seed(0)))


def loss(ids: list[int], target: int) -> float:
    """-log p(target | ids) by transformers, on a text of its own."""
    with torch.no_grad():
        return -HF(torch.tensor([ids])).logits[0, -1].log_softmax(-1)[target].item()


def test_against_transformers_one_target_at_a_time() -> None:
    visible, first = 3, 12
    full, short = {}, {}
    for number, text in enumerate(TEXTS):
        ids = [256, *Tokenizer.bytes().encode(text)]
        for t in range(first + 1, len(ids)):  # windows of 24 that begin every 12 tokens; later ones score what is new
            start = 12 * math.ceil(max(0, t - 24) / 12)
            full[number, t] = loss(ids[start:t], ids[t])
            short[number, t] = loss(ids[t - visible : t], ids[t])
    found = context_use(MODEL, Tokenizer.bytes(), TEXTS, visible)
    assert (found.documents, found.tokens, found.first, found.context) == (3, len(full), 12, 24)
    assert found.full == pytest.approx(sum(full.values()) / len(full), rel=1e-6)
    assert found.short == pytest.approx(sum(short.values()) / len(short), rel=1e-6)
    assert found.use == pytest.approx(found.short - found.full)
    by_document = [[short[k] - full[k] for k in full if k[0] == n] for n in (0, 2, 3)]
    error = ratio_error([sum(d) for d in by_document], [len(d) for d in by_document])
    assert (found.low, found.high) == pytest.approx((found.use - 1.959964 * error, found.use + 1.959964 * error))


def test_rows_of_packed_text() -> None:
    rows = torch.randint(257, (3, 25), generator=torch.Generator().manual_seed(1))
    ids, targets = rows[:, :-1], rows[:, 1:]
    found = context_use_of_rows(MODEL, ids, targets)  # 8 visible, from position 12 on
    by_hand = [
        loss(rows[r, t - 8 : t].tolist(), int(rows[r, t])) - loss(rows[r, :t].tolist(), int(rows[r, t]))
        for r in range(3) for t in range(13, 25)
    ]  # fmt: skip
    assert found.tokens == 36
    assert found.use == pytest.approx(sum(by_hand) / 36, abs=1e-6)
    recorded = of_study(MODEL, ids, targets)
    assert recorded is not None
    assert recorded["use"] == pytest.approx(found.use)
    assert of_study(MODEL, ids[:, :15], targets[:, :15]) is None


def test_the_error_of_a_ratio_is_that_of_a_mean_where_documents_are_equally_long() -> None:
    sums = [2.0, 4.0, 9.0, 1.0]
    assert ratio_error(sums, [5.0] * 4) == pytest.approx(torch.tensor(sums).div(5).std().item() / 2)
    assert ratio_error([1.0], [5.0]) == math.inf


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(UsageError, match="1 to 12"):
        context_use(MODEL, Tokenizer.bytes(), TEXTS, visible=13)
    with pytest.raises(Failure, match="more than 12 tokens"):
        context_use(MODEL, Tokenizer.bytes(), ["Short."])
