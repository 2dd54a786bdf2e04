"""What `bench` measures: which numbers belong to a precision, and which one is advised. No time is asserted."""

import pytest

from gpt2.base.costs import n_params
from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.inference.bench import PRECISIONS, PROMPT, Bench, Rate, bench
from gpt2.kernels.ways import assumed
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

CONFIG = GPT2Config(vocab_size=257, n_positions=24, n_embd=32, n_layer=2, n_head=4)


def test_every_precision_has_its_figures():
    model, seen = GPT2(CONFIG).eval(), []
    found = bench(
        model, Tokenizer.bytes(), tokens=4, rounds=1, read=lambda: 1e9, progress=lambda *told: seen.append(told)
    )
    assert [rate.precision for rate in found.rates] == list(PRECISIONS)
    assert seen[-1] == (8, 8)
    fp32, bf16, int8, int4 = found.rates
    assert fp32.memory == 4 * n_params(CONFIG)
    assert bf16.memory == 2 * n_params(CONFIG)
    assert int4.memory < int8.memory < bf16.memory
    keys = 4 * 2 * CONFIG.n_layer * CONFIG.n_embd
    assert (fp32.cache, bf16.cache) == (keys, keys // 2)
    # A step reads each matrix once, the head's too, and the keys and values of the positions so far.
    maps = [p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "wpe" not in name]
    assert fp32.read == 4 * sum(maps) + keys * (PROMPT + 2)
    assert {rate.way for rate in (fp32, bf16)} == {assumed()[0]}  # of so small a model nothing is measured
    for rate in found.rates:
        assert min(rate.first, rate.prefill, rate.decode, rate.batch) > 0
        assert rate.share == pytest.approx(rate.read * rate.decode / found.bandwidth)
    assert model.transformer.wte.weight.dtype.is_floating_point  # itself it is left alone


def test_a_head_of_its_own_is_read_and_its_token_table_is_not():
    untied = GPT2(GPT2Config(**vars(CONFIG) | {"tie_word_embeddings": False}))
    rates = [
        bench(m, Tokenizer.bytes(), ["int8"], tokens=2, rounds=1, read=lambda: 1e9) for m in (untied, GPT2(CONFIG))
    ]
    assert rates[0].rates[0].read == rates[1].rates[0].read


def test_tokens_that_do_not_fit_are_refused():
    for tokens in (1, 9):
        with pytest.raises(UsageError, match=f"tokens is {tokens}: choose 2 to 8"):
            bench(GPT2(CONFIG), Tokenizer.bytes(), tokens=tokens)


def rate(precision: str, decode: float) -> Rate:
    return Rate(precision, "torch", 1, 1, 1, 1.0, 1.0, decode, 1.0, 1.0)


@pytest.mark.parametrize(
    ("rates", "advised"),
    [
        ((10, 18, 30, 31), "int8"),  # a tenth is not worth rounding for
        ((10, 18, 30, 40), "int4"),
        ((10, 9, 8, 7), "float32"),
        ((10, 20, 21, 19), "bfloat16"),
    ],
)
def test_the_most_exact_of_the_fast_ones_is_advised(rates, advised):
    found = Bench(tuple(map(rate, PRECISIONS, rates)), 1.0, 64, 512)
    assert found.advised.precision == advised
