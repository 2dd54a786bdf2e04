"""How fast a model generates here, in each precision, and how near that is to what the memory allows.

In: a model and precisions. Out: a `Rate` for each: the middle one of several rounds, in which the precisions take
turns, so that a machine which grows busy slows all of them alike. Read next: kernels/bandwidth.py, cli/bench.py.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from gpt2.base.errors import UsageError
from gpt2.checkpoint.quantised import check_kind
from gpt2.inference.decoder import Decoder
from gpt2.inference.generate import stream
from gpt2.inference.sampling import Sampling
from gpt2.kernels.bandwidth import bandwidth, bytes_per_token
from gpt2.kernels.fast import fast, way_of
from gpt2.kernels.linear import quantise_model
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

PRECISIONS = ("float32", "bfloat16", "int8", "int4")
PROMPT = 16  # tokens before those that are generated
LONGEST = 512  # tokens of the text whose prefill is measured
ROWS = 8  # of the batch
ROUNDS = 3

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Rate:
    """The speed of a model in one precision.

    precision    float32, bfloat16, int8 or int4
    way          how a linear map is computed for one token: "torch", "kernel" (our own), "onednn" or "packed"
                 (oneDNN with weights in its own order)
    memory       bytes of its weights in memory
    cache        bytes of keys and values that one token leaves behind
    read         bytes that one step of decoding reads: the weights that it uses, and the keys and values so far
    first        seconds from a prompt of 16 tokens to the first new one
    prefill      tokens per second of a long prompt
    decode       new tokens per second of one text
    batch        new tokens per second of all texts together, where eight are continued at once
    share        `read` times `decode`, as a share of what the memory was measured to give
    """

    precision: str
    way: str
    memory: int
    cache: int
    read: int
    first: float
    prefill: float
    decode: float
    batch: float
    share: float


@dataclass(frozen=True)
class Bench:
    """What was measured: the rates, and the machine's bandwidth in bytes per second; `long`: tokens of the prefill."""

    rates: tuple[Rate, ...]
    bandwidth: float
    tokens: int
    long: int

    @property
    def fastest(self) -> Rate:
        """The precision with the highest rate at one text."""
        return max(self.rates, key=lambda rate: rate.decode)

    @property
    def advised(self) -> Rate:
        """The most exact precision whose rate is within a tenth of the fastest one's."""
        near = [rate for rate in self.rates if rate.decode >= 0.9 * self.fastest.decode]
        return min(near, key=lambda rate: PRECISIONS.index(rate.precision))


@torch.inference_mode()
def bench(
    model: GPT2,
    tokenizer: Tokenizer,
    precisions: Sequence[str] = PRECISIONS,
    tokens: int = 64,
    rounds: int = ROUNDS,
    progress: Progress = lambda done, total: None,
    read: Callable[[], float] = lambda: bandwidth(2),
) -> Bench:
    """Measure a model, given in float32, in each of the precisions, which are made of it in memory.

    tokens    new tokens per text
    rounds    how often each figure is measured
    progress  told how many measurements are done, of how many
    read      measures the bandwidth, in bytes per second, once in each round; the best counts, since whatever else the
              machine does can only slow it down

    Raises UsageError for tokens that do not fit into the context, and for int4 where no map can have it.
    """
    room = model.config.n_positions - PROMPT
    if not 2 <= tokens <= room:
        raise UsageError(argument="tokens", value=tokens, mend=f"choose 2 to {room}, which fit behind a short prompt.")
    for kind in ("int4", "int8"):
        if kind in precisions:
            check_kind(model, kind)
    long, best = min(LONGEST, model.config.n_positions), 0.0
    models = {precision: _made(model, precision) for precision in precisions}
    done, total = 0, (rounds + 1) * len(models)
    found: dict[str, list[tuple[float, float, float, float]]] = {precision: [] for precision in models}
    for number in range(rounds + 1):
        for precision, one in models.items():
            times = _measured(one, tokenizer, tokens if number else 2, long)
            if number:  # the first round is not counted: in it weights are packed and kernels chosen
                found[precision].append(times)
            done += 1
            progress(done, total)
        best = max(best, read())
    rates = [_rate(models[precision], precision, times, tokens, best) for precision, times in found.items()]
    return Bench(tuple(rates), best, tokens, long)


def _made(model: GPT2, precision: str) -> GPT2:
    """The model in another precision; itself in float32."""
    if precision == "float32":
        return model
    other = copy.deepcopy(model)
    if precision == "bfloat16":
        return other.to(torch.bfloat16)
    return quantise_model(other, "int8" if precision == "int8" else "int4")


def _measured(model: GPT2, tokenizer: Tokenizer, tokens: int, long: int) -> tuple[float, float, float, float]:
    """Seconds to the first token, and tokens per second of a prefill, of one text and of eight."""
    first, decode = _decoded(model, tokenizer, tokens, rows=1)
    began = time.perf_counter()
    Decoder(model).prefill([_prompt(model, long)], room=0)
    prefill = long / (time.perf_counter() - began)
    return first, prefill, decode, _decoded(model, tokenizer, tokens, ROWS)[1]


def _decoded(model: GPT2, tokenizer: Tokenizer, tokens: int, rows: int) -> tuple[float, float]:
    """Seconds to the first token, and tokens per second after it, of so many texts at once."""
    sampling = Sampling(max_tokens=tokens, temperature=0, ignore_eos=True)
    began, times = time.perf_counter(), []
    for _ in stream(model, tokenizer, [_prompt(model, PROMPT)] * rows, sampling):
        times.append(time.perf_counter())
    return times[0] - began, rows * (tokens - 1) / (times[-1] - times[rows - 1])


def _prompt(model: GPT2, length: int) -> list[int]:
    """Ids of a prompt: which ones does not matter for the time that they take."""
    return [i % min(model.config.vocab_size, 256) for i in range(length)]


def _rate(model: GPT2, precision: str, times: list[Any], tokens: int, best: float) -> Rate:
    first, prefill, decode, batch = (median(column) for column in zip(*times, strict=True))
    cache = 2 * model.config.n_layer * model.config.n_embd * (2 if precision == "bfloat16" else 4)
    read = bytes_per_token(model) + cache * (PROMPT + tokens // 2)
    share = read * decode / best
    return Rate(precision, way_of(fast(model, tokens)), _held(model), cache, read, first, prefill, decode, batch, share)


def _held(model: GPT2) -> int:
    """Bytes of the weights, each tensor once."""
    return sum({x.data_ptr(): x.nbytes for x in model.state_dict().values()}.values())
