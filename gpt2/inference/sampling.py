"""From the scores of the next token to the token: the settings of a text, and the draw.

In: raw logits [R, V] of R texts, and a `Sampling`. Out: one token id for each text, and its log probability.
The rules (rules.py) are applied in this order: bias, repetition penalty, penalties on the output, no repeated
sequences, temperature, top-k, top-p, min-p (`ruled`, and `distribution`, which shows what is left). Then comes a draw
with keyed Gumbel noise (`choose`, noise.py). Read next: generate.py.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from gpt2.base.errors import Failure, UsageError
from gpt2.base.names import check_names
from gpt2.inference.noise import contenders, gumbel, row_keys
from gpt2.inference.rules import (
    Rule,
    add_bias,
    by_rule,
    forbid_repeats,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_output,
    penalise_repeats,
)

ELSEWHERE = {
    "max_new_tokens": "write max_tokens",
    "num_return_sequences": "write n",
    "stop_strings": "write stop",
    "do_sample": "temperature=0 takes the likeliest token each time",
    "num_beams": "beams are not built; n draws several texts",
}
"""What other libraries' names mean here."""
MOST_TOKENS, MOST_SAMPLES = 1_000_000, 1024  # of one text, and of one prompt: more is a slip, or a hostile file
WHOLE: dict[str, tuple[int, int | None]] = {
    "max_tokens": (1, MOST_TOKENS), "n": (1, MOST_SAMPLES), "seed": (0, 2**64 - 1), "top_k": (1, None),
    "logprobs": (0, None), "max_length": (1, MOST_TOKENS), "no_repeat_ngram_size": (0, None),
}  # fmt: skip
"""The least and the most of each setting that is a whole number; None: any."""


@dataclass(frozen=True)
class Sampling:
    """How a text is continued. The defaults suit a story: varied, without the far tail of the distribution.

        gpt2.Sampling(max_tokens=40, temperature=0)     # the likeliest token each time
        gpt2.Sampling(top_k=40, seed=7, n=3)            # three samples of each prompt

    max_tokens            new tokens at most; 1 to 1,000,000
    max_length            tokens at most, the prompt's included; None: no such limit
    temperature           divides the scores; 0 is greedy: the likeliest token that the two rules on repeats leave
    top_k                 only the k likeliest tokens; None: all
    top_p                 only the likeliest tokens that together have this probability; 1: all
    min_p                 only tokens at least this share as likely as the likeliest; 0: all
    repetition_penalty    above 1 makes tokens of the prompt and the output so far less likely; 1: off
    presence_penalty      taken from the score of each token that the output has already; -2 to 2, 0: off
    frequency_penalty     the same for each time that the output has it; -2 to 2, 0: off
    no_repeat_ngram_size  no sequence of so many tokens comes a second time, the prompt's included; 0: off
    logit_bias            {token id: what is added to its score before all else}; -100 to 100
    stop                  the text ends before the first of these strings
    ignore_eos            go on past a token that ends a text; it is then part of the text
    logprobs              log probabilities of each token and of this many likeliest alternatives; None: none
    seed                  the same seed gives the same text, alone or in a batch; 0 to 2^64 - 1
    n                     samples for each prompt, with noise of their own; 1 to 1,024
    slide                 past the context, go on from its last half; False: stop there
    truncate              "left": of a prompt longer than the context keep the last tokens, with room for max_tokens new
                          ones, but at least half of the context; None: refuse such a prompt

    Raises UsageError, with the field, its value and the mend; for a name that is no field, with the nearest one.
    """

    def __new__(cls, *_: Any, **named: Any) -> "Sampling":
        """Refuse a name that is no field, before the dataclass does so without a word on what there is."""
        check_names(named, [field.name for field in fields(cls)], "setting of Sampling", ELSEWHERE)
        return super().__new__(cls)

    max_tokens: int = 200
    max_length: int | None = None
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float = 0.95
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram_size: int = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    seed: int = 0
    n: int = 1
    slide: bool = True
    truncate: str | None = None

    def __post_init__(self) -> None:
        stop: object = self.stop
        if not isinstance(stop, tuple | list) or not all(isinstance(s, str) and s for s in stop):
            mend = "give a tuple of strings of at least one character."
            raise UsageError(argument="stop", value=stop, mend=mend)
        object.__setattr__(self, "stop", tuple(stop))
        object.__setattr__(self, "logit_bias", _bias(self.logit_bias))
        if self.truncate not in (None, "left"):
            mend = "{truncate} keeps the last tokens of a prompt, and there is no other way."
            raise UsageError(argument="truncate", value=self.truncate, mend=mend, truncate="left")
        for name, (least, most) in WHOLE.items():
            value = getattr(self, name)
            if value is None and name in ("top_k", "logprobs", "max_length"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                mend = f"it must be a whole number of at least {least}."
                raise UsageError(argument=name, value=value, mend=mend)
            if most is not None and value > most:
                limit = "below 2^64" if name == "seed" else f"at most {most:,}"
                raise UsageError(argument=name, value=value, mend=f"it must be {limit}.")
        for name, good, meant in (
            (
                "temperature",
                lambda x: 0 <= x < math.inf,
                "0 (greedy) or more, 1 for the model's own distribution",
            ),
            ("top_p", lambda x: 0 < x <= 1, "above 0 and at most 1, where 1 keeps every token"),
            ("min_p", lambda x: 0 <= x <= 1, "from 0, which keeps every token, to 1"),
            ("repetition_penalty", lambda x: 0 < x < math.inf, "above 0, where 1 is no penalty"),
            ("presence_penalty", lambda x: -2 <= x <= 2, "from -2 to 2, where 0 is no penalty"),
            ("frequency_penalty", lambda x: -2 <= x <= 2, "from -2 to 2, where 0 is no penalty"),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not good(value):
                raise UsageError(argument=name, value=value, mend=f"it must be {meant}.")


def _bias(given: object) -> dict[int, float]:
    """A copy of the biases. UsageError for what is no dict of token ids and numbers."""
    if not isinstance(given, Mapping):
        raise UsageError(argument="logit_bias", value=given, mend="give a dict, {50256: -100} say.")
    for token, value in given.items():
        if isinstance(token, bool) or not isinstance(token, int):
            mend = f"{token!r} is no token id: an id is a whole number, in {{50256: -100}} say."
            raise UsageError(argument="logit_bias", value=given, mend=mend)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -100 <= value <= 100:
            mend = f"token {token} has {value!r}: each value must be from -100 to 100."
            raise UsageError(argument="logit_bias", value=given, mend=mend)
    return dict(given)


@dataclass(frozen=True)
class TokenLogprob:
    """The log probability of a token, in nats.

    id       the token
    logprob  its log probability, of the model itself: before temperature and all else
    top      the likeliest tokens at its place as (id, log probability), descending
    """

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


def ruled(
    logits: Tensor,
    texts: Sequence[Sequence[int]],
    sampling: Sampling,
    rule: Rule | None = None,
    starts: Sequence[int] | None = None,
) -> Tensor:
    """Logits [R, V] after every rule: the scores whose softmax is drawn from, or, at temperature 0, whose largest wins.

    Arguments as for `choose`.
    """
    scores = logits
    if sampling.logit_bias:
        scores = add_bias(scores, sampling.logit_bias)
    if sampling.repetition_penalty != 1:
        scores = penalise_repeats(scores, texts, sampling.repetition_penalty)
    if starts is not None and (sampling.presence_penalty or sampling.frequency_penalty):
        output = [text[start:] for text, start in zip(texts, starts, strict=True)]
        scores = penalise_output(scores, output, sampling.presence_penalty, sampling.frequency_penalty)
    if sampling.no_repeat_ngram_size > 0:
        scores = forbid_repeats(scores, texts, sampling.no_repeat_ngram_size)
    if rule is not None:
        scores = by_rule(scores, texts, rule)
    if sampling.temperature == 0:
        return scores
    # With the maximum at 0 no temperature overflows, and tiny ones are greedy; 1e-300 is 0 in float32.
    scores = (scores - scores.amax(dim=-1, keepdim=True)) / max(sampling.temperature, 1e-30)
    if sampling.top_k is not None:
        scores = keep_top_k(scores, sampling.top_k)
    return keep_min_p(keep_top_p(scores, sampling.top_p), sampling.min_p)


def distribution(logits: Tensor, texts: Sequence[Sequence[int]], sampling: Sampling) -> Tensor:
    """The probabilities [R, V] with which `choose` draws the token behind each prompt: 0 for those that a rule has cut,
    and at temperature 0 for all but the likeliest. Arguments as for `choose`."""
    scores = ruled(logits, texts, sampling)
    if sampling.temperature == 0:
        return torch.zeros_like(scores).scatter(-1, scores.argmax(dim=-1, keepdim=True), 1.0)
    return scores.softmax(dim=-1)


def choose(
    logits: Tensor,
    texts: Sequence[Sequence[int]],
    samples: Sequence[int],
    sampling: Sampling,
    rule: Rule | None = None,
    *,
    starts: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[int]:
    """The next token of each of R texts.

    logits   [R, V], raw, float32; never changed
    texts    token ids of each text so far, prompt included; the next token's position is the length
    samples  each text's sample index, 0 to n - 1
    rule     f(scores, texts) -> scores, after the repetition penalty and before the temperature
    starts   where the output begins in each text; None: there is none yet
    seeds    each text's seed, where they differ; None: that of `sampling`

    Raises ValueError where the scores are not finite or a rule forbids every token, UsageError where
    `no_repeat_ngram_size` leaves none.
    """
    scores = ruled(logits, texts, sampling, rule, starts)
    if sampling.temperature > 0:
        scores = add_noise(scores, texts, samples, sampling.seed if seeds is None else seeds)
    best, tokens = scores.max(dim=-1)  # the first of equals
    if not bool(best.isfinite().all()):
        if sampling.no_repeat_ngram_size > 0 and bool(logits.amax(dim=-1).isfinite().all()):
            mend = "every token would repeat a sequence of the text; give a larger number, or fewer {max_tokens}."
            value = sampling.no_repeat_ngram_size
            raise UsageError(argument="no_repeat_ngram_size", value=value, mend=mend, max_tokens=None)
        if rule is not None and bool(logits.isfinite().any(dim=-1).all()):
            raise ValueError("the rule leaves no token to choose: leave at least one score above -inf.")
        mend = "load it with {dtype}, or load another checkpoint."
        raise Failure("the model's logits are not finite", mend, dtype="float32")
    return tokens.tolist()


def add_noise(
    scores: Tensor, texts: Sequence[Sequence[int]], samples: Sequence[int], seed: int | Sequence[int]
) -> Tensor:
    """Scores [R, V] plus Gumbel noise, float64: their argmax is a draw from softmax(scores). Tokens that cannot be the
    argmax are -inf. `seed` is one for all, or one for each row.

    Source: Gumbel 1954; Maddison et al. 2014, "A* sampling", section 2.
    """
    if scores.device.type == "mps":  # which has no float64
        scores = scores.cpu()
    positions = torch.tensor([len(text) for text in texts], device=scores.device)
    keys = row_keys(seed, torch.tensor(samples, device=scores.device), positions)  # (R,)
    noisy = torch.full_like(scores, -math.inf, dtype=torch.float64)
    for row, key, result in zip(scores, keys, noisy):
        tokens = contenders(row, key)
        result[tokens] = row[tokens].double() + gumbel(key, tokens)
    return noisy


def log_probabilities(logits: Tensor, tokens: Sequence[int], k: int) -> list[TokenLogprob]:
    """Log probability of each row's token and of its k likeliest, from logits [R, V].

    They are those of the model itself: log_softmax of the raw logits in float32, before the repetition
    penalty, the temperature and everything after it.
    """
    logprobs = logits.float().log_softmax(dim=-1)
    chosen = logprobs.gather(-1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0].tolist()
    values, ids = (t.tolist() for t in logprobs.topk(min(k, logprobs.size(-1))))
    return [
        TokenLogprob(token, logprob, tuple(zip(row_ids, row_values)))
        for token, logprob, row_ids, row_values in zip(tokens, chosen, ids, values)
    ]
