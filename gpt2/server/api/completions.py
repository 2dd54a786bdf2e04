"""`POST /v1/completions`: texts, continued as OpenAI's API continues them.

In: the fields of a request. Out: requests for the engine, and how their choices are written. With `echo` a choice holds
its prompt too, and the log probabilities of the prompt's tokens.
Source: platform.openai.com/docs/api-reference/completions. Read next: answering.py.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from gpt2.base.errors import UsageError
from gpt2.inference.engine import Request
from gpt2.inference.row import Completion, Piece
from gpt2.probe import Edit
from gpt2.server.api import fields
from gpt2.server.api.errors import Refused
from gpt2.server.api.logprobs import Listing, joined
from gpt2.server.api.running import Run
from gpt2.server.api.served import Served
from gpt2.text.ids import check_ids


class Completions:
    """One request to this route, its prompts read. Raises UsageError and Refused for what cannot be continued."""

    kind = kind_of_chunk = "text_completion"
    prefix = "cmpl"

    def __init__(self, asked: fields.Completion, served: Served) -> None:
        self.asked, self.served, self.model = asked, served, served.name
        self.samples = asked.n if asked.best_of is None else asked.best_of
        self.max_tokens, self.open_ended = asked.max_tokens, False
        if self.samples < asked.n:
            raise UsageError(f"best_of is {self.samples} and n is {asked.n}: the best {asked.n} are chosen of best_of, "
                             "so give at least as many.", argument="best_of")  # fmt: skip
        if asked.stream and asked.best_of is not None and asked.best_of > 1:
            raise UsageError("the best of several texts is known at their end, so best_of cannot be streamed: "
                             "leave it out, or stream.", argument="best_of")  # fmt: skip
        self.texts, self.ids = self._read()
        self._listings: dict[tuple[int, int], Listing] = {}

    def _read(self) -> tuple[list[str], list[list[int]]]:
        tokenizer, config = self.served.tokenizer, self.served.model.config
        prompts = self.asked.prompt
        if prompts is None:
            if tokenizer.bos_id is None:
                raise UsageError("the tokenizer has no token that opens a text: give a prompt.", argument="prompt")
            prompts = [[tokenizer.bos_id]]
        texts, ids = [], []
        for prompt in prompts:
            found = tokenizer.encode(prompt, self.asked.allow_special) if isinstance(prompt, str) else prompt
            if not found:
                raise UsageError("a prompt is empty: give at least one character, or leave prompt out to begin from "
                                 "the token that opens a text.", argument="prompt")  # fmt: skip
            check_room(found, self.asked.max_tokens, self.served, "prompt")
            ids.append(check_ids(found, config, "prompt"))
            texts.append(prompt if isinstance(prompt, str) else tokenizer.decode(found))
        return texts, ids

    def requests(self, edit: Mapping[str, Edit] | None, edit_key: str | None) -> list[Request]:
        """One for each prompt."""
        asked = self.asked
        logprobs = 0 if asked.logprobs is None and self.samples > asked.n else asked.logprobs
        sampling = asked.sampling(max(1, asked.max_tokens), logprobs, self.samples)
        scored = asked.logprobs if asked.echo else None
        if asked.max_tokens == 0:
            return [Request(ids, None, (), edit, edit_key, scored or 0) for ids in self.ids]
        return [Request(ids, sampling, (), edit, edit_key, scored) for ids in self.ids]

    def opening(self, run: Run, prompt: int, sample: int) -> Iterable[dict[str, Any]]:
        """The prompt, where it is echoed."""
        self._listings[prompt, sample] = Listing(self.served.tokenizer, self.ids[prompt])
        if self.asked.echo:
            yield {"text": self.texts[prompt], "logprobs": self._of_prompt(run, prompt, sample), "finish_reason": None}

    def chunks(self, prompt: int, piece: Piece) -> Iterable[dict[str, Any]]:
        """A token's text, where there is something to say of it."""
        reason = None if piece.completion is None else reason_of(piece.completion)
        listed = None
        if piece.logprob is not None and self.asked.logprobs is not None:
            listed = self._listings[prompt, piece.sample].of([piece.logprob])
        if piece.text or listed or reason:
            yield {"text": piece.text, "logprobs": listed, "finish_reason": reason}

    def closing(self, prompt: int, sample: int) -> Iterable[dict[str, Any]]:
        """The end of a choice of no token."""
        yield {"text": "", "logprobs": None, "finish_reason": "length"}

    def choices(self, run: Run, found: dict[tuple[int, int], Completion]) -> list[dict[str, Any]]:
        """The best `n` of each prompt, the best first; all in their order where no more were drawn."""
        made = []
        for prompt in range(len(self.ids)):
            order = list(range(self.samples))
            if self.samples > self.asked.n and found:
                order.sort(key=lambda sample: -mean_logprob(found[prompt, sample]))
            made += [self._choice(run, prompt, s, found.get((prompt, s))) for s in order[: self.asked.n]]
        return made

    def _choice(self, run: Run, prompt: int, sample: int, completion: Completion | None) -> dict[str, Any]:
        listing = self._listings[prompt, sample] = Listing(self.served.tokenizer, self.ids[prompt])
        text, listed = "" if completion is None else completion.text, None
        if self.asked.logprobs is not None:
            listed = listing.of(() if completion is None else completion.logprobs or ())
        if self.asked.echo:
            text = self.texts[prompt] + text
            if listed is not None:
                listed = joined(listing.of_prompt(run.tickets[prompt].prompt_logprobs or []), listed)
        reason = "length" if completion is None else reason_of(completion)
        return {"text": text, "logprobs": listed, "finish_reason": reason}

    def _of_prompt(self, run: Run, prompt: int, sample: int) -> dict[str, Any] | None:
        if self.asked.logprobs is None:
            return None
        return self._listings[prompt, sample].of_prompt(run.tickets[prompt].prompt_logprobs or [])


def check_room(ids: list[int], max_tokens: int, served: Served, param: str) -> None:
    """Refuse a prompt that, with what is asked behind it, is longer than the context."""
    if len(ids) + max_tokens <= served.context:
        return
    raise Refused(
        400,
        f"this model's context is {served.context} tokens, and {len(ids)} of the {param} with {max_tokens} new ones "
        f"are {len(ids) + max_tokens}: shorten the {param}, or ask for fewer.",
        param,
        "context_length_exceeded",
    )


def reason_of(completion: Completion) -> str:
    """Why a text ended, in OpenAI's words."""
    return "length" if completion.finish_reason == "length" else "stop"


def mean_logprob(completion: Completion) -> float:
    """By which the best text is chosen: the mean log probability of its tokens."""
    found = [one.logprob for one in completion.logprobs or ()]
    return math.fsum(found) / max(1, len(found))
