"""A conversation with a model: what was said, and how much of it the model still reads.

In: a model, its tokenizer, one message of the user's after another. Out: the answers, their text as it comes. Nothing
here reads or prints: `gpt2/cli/chat.py` does, for a terminal.

The model reads the chat template's text of the system message and the turns, as `gpt2 finetune` trains it. Room is kept
for the answer: `max_tokens`, at most half of the context. Where the whole does not fit beside it, the oldest turns are
left out, each a message with its answer. The system message and the new message always stay.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from gpt2.base.errors import UsageError
from gpt2.base.notes import note
from gpt2.inference.defaults import sampling_for
from gpt2.inference.generate import Piece, Reason, stream
from gpt2.inference.sampling import Sampling
from gpt2.model import GPT2
from gpt2.text.chat import Chat
from gpt2.text.ids import check_id
from gpt2.text.spelled import tell_spelled
from gpt2.text.tokenizer import Tokenizer

NEXT_MESSAGE = "\n\nUser:"
"""What the plain template writes before a message: a model that has not learned to end an answer goes on with it."""


class Turn:
    """A message and its answer, which grows while this is iterated: each item is the next part of its text.

    Whoever stops iterating leaves the answer as it is by then.

    Attributes:
        message: what the user wrote.
        left_out: how many turns, the oldest, the prompt is without.
        prompt_ids: what the model reads.
        ids: what it has said, its closing token included.
        said: the text of this, without that token.
        finish_reason: as of a `Completion`; "stopped" until the answer has an end of its own.
        attempt: how many answers to this message were thrown away before.
    """

    def __init__(
        self, message: str, left_out: int, prompt_ids: list[int], pieces: Iterator[Piece], attempt: int
    ) -> None:
        self.message, self.left_out, self.prompt_ids, self.attempt = message, left_out, prompt_ids, attempt
        self.ids: list[int] = []
        self.said = ""
        self.finish_reason: Reason | Literal["stopped"] = "stopped"
        self._pieces = pieces

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces:
            shown = len(self.text)
            self.ids.append(piece.token)
            self.said += piece.text
            if piece.completion is not None:
                self.finish_reason = piece.completion.finish_reason
            yield self.text[shown:]

    @property
    def text(self) -> str:
        """The answer as it is shown: without white space at its ends."""
        return self.said.strip()


class Conversation:
    """Messages to a model and its answers. The same messages and settings give the same answers.

    Attributes:
        chat: the tokenizer with its chat template.
        sampling: how answers are chosen.
        limit: the most tokens that prompt and answer have together.
        room: how many of these are kept for the answer.
        turns: all of them, also those that the model reads no more.
    """

    def __init__(
        self,
        model: GPT2,
        tokenizer: Tokenizer,
        sampling: Sampling | None = None,
        system: str | None = None,
        allow_special: bool = False,
    ) -> None:
        """Begin.

        sampling       None: as the checkpoint says (`sampling_for`). `n`, `slide`, `ignore_eos` and `logprobs` have no
                       effect
        system         the message that stands before all others, if any
        allow_special  read special tokens that a message spells as the tokens

        Raises UsageError for a system message that leaves no room, ValueError for what the chat template refuses.
        """
        self.chat = Chat(tokenizer, allow_special=allow_special)
        self._model, self._tokenizer = model, tokenizer
        self._ends, self._lead = self.chat.end_ids(), self.chat.lead()
        sampling = sampling or sampling_for(model)
        stop = sampling.stop if self.chat.template.own else (*sampling.stop, NEXT_MESSAGE)
        self.sampling = replace(sampling, n=1, slide=False, ignore_eos=False, logprobs=None, stop=stop)
        self.limit = min(model.config.n_positions, sampling.max_length or model.config.n_positions)
        self.room = min(sampling.max_tokens, max(1, self.limit // 2))
        self.turns: list[Turn] = []
        self._system = [] if system is None else [{"role": "system", "content": system}]
        self._check_system()

    def ask(self, message: str) -> Turn:
        """Send a message: the turn, to be iterated for its answer.

        Raises UsageError for an empty message or one that does not fit, ValueError for what the chat template refuses;
        then the conversation is as it was.
        """
        if not message.strip():
            raise UsageError("the message is empty: write some text.")
        if not self.chat.allow_special:
            tell_spelled(self.chat.spelled.count(message))
        return self._turn(self.turns, message, 0)

    def retry(self) -> Turn:
        """Another answer in place of the last one, with the next seed. UsageError where nothing was asked yet."""
        last = self._last()
        return self._turn(self.turns[:-1], last.message, last.attempt + 1)

    def undo(self) -> Turn:
        """Take back the last message with its answer. UsageError where nothing was asked yet."""
        last = self._last()
        self.turns.pop()
        return last

    def clear(self) -> None:
        """Begin again; the system message stays."""
        self.turns = []

    def messages(self) -> list[dict[str, Any]]:
        """The conversation as the model reads it at its end: what was left out for the last answer is not in it."""
        return self._messages(self.turns, self.turns[-1].left_out if self.turns else 0)

    def _last(self) -> Turn:
        if not self.turns:
            raise UsageError("there is no message yet: write one first.")
        return self.turns[-1]

    def _turn(self, before: list[Turn], message: str, attempt: int) -> Turn:
        """The turn that follows those `before` it."""
        left_out = before[-1].left_out if before else 0
        ids = self._prompt(before, left_out, message)
        while self._over(ids) > 0:
            if left_out == len(before):
                raise self._too_long("message", ids)
            left_out += 1
            ids = self._prompt(before, left_out, message)
        sampling = replace(self.sampling, seed=(self.sampling.seed + attempt) % 2**64)
        pieces = stream(self._model, self._tokenizer, [ids], sampling, ends=self._ends)
        turn = Turn(message, left_out, ids, pieces, attempt)
        self.turns = [*before, turn]
        return turn

    def _messages(self, turns: list[Turn], left_out: int) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = [*self._system]
        for turn in turns[left_out:]:
            messages.append({"role": "user", "content": turn.message})
            messages.append({"role": "assistant", "content": turn.said.removeprefix(self._lead)})
        return messages

    def _prompt(self, before: list[Turn], left_out: int, message: str) -> list[int]:
        return self.chat.prompt([*self._messages(before, left_out), {"role": "user", "content": message}])

    def _over(self, ids: list[int]) -> int:
        """How many tokens too long a prompt is."""
        return len(ids) - (self.limit - self.room)

    def _check_system(self) -> None:
        """Whether a conversation can begin so: found before anything is typed."""
        ids = self._prompt([], 0, "hi")
        for token in ids:  # the template may write one that the model has no row for
            check_id(token, self._model.config)
        if not self._system:
            return
        if self._over(ids) > 0:
            raise self._too_long("system message", ids)
        text = self._system[0]["content"]
        if not self.chat.allow_special:
            tell_spelled(self.chat.spelled.count(text))
        hello = [{"role": "user", "content": "hi"}]
        if self.chat.template.render([*self._system, *hello]) == self.chat.template.render(hello):
            note("the chat template does not write the system message, so the model does not read it.")

    def _too_long(self, what: str, ids: list[int]) -> UsageError:
        whose = f"this model's context of {self.limit}"
        if self.limit < self._model.config.n_positions:
            whose = f"the max_length of {self.limit} of the model's files"
        over = self._over(ids)
        beside = "the system message and " if self._system and what == "message" else ""
        return UsageError(
            f"the {what} is too long: with {beside}what the chat template adds it has {len(ids)} tokens, and {whose} "
            f"keeps {self.room} for the answer",
            f"shorten it by {over} tokens" + (", or lower {max_tokens}." if over < self.room else "."),
            max_tokens=None,
        )
