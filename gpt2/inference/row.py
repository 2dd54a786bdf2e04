"""One continuation while it grows, and what a caller sees of it.

In: the tokens that are chosen for one sample of one prompt. Out: a `Piece` for each, the last one with the whole
`Completion`. Read next: generate.py, which continues texts in one batch, and engine/batch.py, which continues requests.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from gpt2.inference.sampling import Sampling, TokenLogprob
from gpt2.inference.stopping import StopStrings
from gpt2.text.tokenizer import Tokenizer

Reason = Literal["length", "stop", "eos"]


@dataclass(frozen=True)
class Completion:
    """One continuation of one prompt, as `generate` returns it.

    text           without the prompt, without the `<|endoftext|>` that ends it, cut before a stop string
    ids            every token that was chosen, the closing `<|endoftext|>` or the stop string's included
    finish_reason  "length": max_tokens reached, or the context is full and `slide` is off
                   "stop": a stop string; "eos": `<|endoftext|>` was chosen
    logprobs       one entry for each of `ids`, or None where none were asked for
    """

    text: str
    ids: list[int]
    finish_reason: Reason
    logprobs: list[TokenLogprob] | None


@dataclass(frozen=True)
class Piece:
    """One token of one continuation, as `stream` hands it out.

    prompt, sample  which continuation, both counted from 0
    token           the id
    text            what is now certain of the text, often "": an incomplete character, and an end that may be
                    the beginning of a stop string, are held back until they are decided
    logprob         the token's log probability, where asked for
    completion      the whole continuation, with its last token; None before
    """

    prompt: int
    sample: int
    token: int
    text: str
    logprob: TokenLogprob | None
    completion: Completion | None


def longest(prompt: int, sampling: Sampling, context: int) -> int:
    """The most tokens that a text can come to have, of which `prompt` are the prompt's."""
    most = prompt + sampling.max_tokens
    if sampling.max_length is not None:
        most = min(most, sampling.max_length)
    return most if sampling.slide else min(most, context + 1)  # a full context still predicts the token that follows


class Row:
    """One continuation while it grows."""

    def __init__(
        self,
        prompt: int,
        sample: int,
        ids: list[int],
        tokenizer: Tokenizer,
        sampling: Sampling,
        context: int,
        ends: Collection[int],
    ) -> None:
        self.prompt, self.sample = prompt, sample
        self.ids = list(ids)  # prompt and output
        self.start = len(ids)
        self.longest = longest(self.start, sampling, context)
        self.is_done = False
        self.ends = ends
        self.decoder = tokenizer.stream(ids)
        self.stops = StopStrings(sampling.stop)
        self.text = ""
        self.logprobs: list[TokenLogprob] | None = None if sampling.logprobs is None else []

    def push(self, token: int, logprob: TokenLogprob | None) -> Piece:
        """Add the next token; the piece carries the completion when this was the last."""
        self.ids.append(token)
        if self.logprobs is not None and logprob is not None:
            self.logprobs.append(logprob)
        ended = token in self.ends
        text = "" if ended else self.stops.push(self.decoder.push(token))
        reason: Reason | None = None
        if ended:
            reason = "eos"
        elif self.stops.found:
            reason = "stop"
        elif len(self.ids) == self.longest:
            reason = "length"
        completion = None
        if reason is not None:
            text += self.stops.push(self.decoder.finish()) + self.stops.finish()
            self.is_done = True
            completion = Completion(self.text + text, self.ids[self.start :], reason, self.logprobs)
        self.text += text
        return Piece(self.prompt, self.sample, token, text, logprob, completion)
