"""`POST /v1/chat/completions`: the next message of a conversation, as OpenAI's API gives it.

In: the fields of a request. Out: a request for the engine, and how its choices are written. The conversation is written
by the checkpoint's chat template, as `gpt2 chat` does; a message is text, also where it spells a special token.
Source: platform.openai.com/docs/api-reference/chat. Read next: answering.py.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from gpt2.base.errors import UsageError
from gpt2.inference.conversation import NEXT_MESSAGE
from gpt2.inference.engine import Request
from gpt2.inference.row import Completion, Piece
from gpt2.probe import Edit
from gpt2.server.api import fields
from gpt2.server.api.completions import check_room, reason_of
from gpt2.server.api.logprobs import content
from gpt2.server.api.running import Run
from gpt2.server.api.served import Served
from gpt2.text.ids import check_ids


class ChatCompletions:
    """One request to this route, its conversation read. Raises UsageError and Refused for what cannot be answered."""

    kind, kind_of_chunk, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def __init__(self, asked: fields.Chat, served: Served) -> None:
        self.asked, self.served, self.model, self.samples = asked, served, served.name, asked.n
        if asked.max_tokens is not None and asked.max_completion_tokens is not None:
            raise UsageError("max_tokens and max_completion_tokens are the same: leave out one.", argument="max_tokens")
        if asked.top_logprobs and not asked.logprobs:
            raise UsageError("top_logprobs belong to logprobs: leave them out, or send logprobs: true.",
                             argument="top_logprobs")  # fmt: skip
        ids = served.chat.prompt([_plain(message) for message in asked.messages])
        most = asked.max_completion_tokens or asked.max_tokens
        check_room(ids, most or 1, served, "messages")
        self.ids = [check_ids(ids, served.model.config, "conversation")]
        self.max_tokens, self.open_ended = most or served.context - len(ids), most is None
        self._held: dict[int, str | None] = {}

    def requests(self, edit: Mapping[str, Edit] | None, edit_key: str | None) -> list[Request]:
        """The one."""
        own = self.served.chat.template.own
        logprobs = self.asked.top_logprobs if self.asked.logprobs else None
        sampling = self.asked.sampling(self.max_tokens, logprobs, self.samples, () if own else (NEXT_MESSAGE,))
        return [Request(self.ids[0], sampling, self.served.chat_ends, edit, edit_key)]

    def opening(self, run: Run, prompt: int, sample: int) -> Iterable[dict[str, Any]]:
        """Who speaks."""
        self._held[sample] = ""
        yield _chunk({"role": "assistant", "content": ""}, None, None)

    def chunks(self, prompt: int, piece: Piece) -> Iterable[dict[str, Any]]:
        """A token's text, where there is something to say of it; then the end of the message."""
        text, listed = self._without_lead(piece), None
        if piece.logprob is not None:
            listed = {"content": content(self.served.tokenizer, [piece.logprob]), "refusal": None}
        if text or listed:
            yield _chunk({"content": text}, listed, None)
        if piece.completion is not None:
            yield _chunk({}, None, reason_of(piece.completion))

    def closing(self, prompt: int, sample: int) -> Iterable[dict[str, Any]]:
        """A message has at least one token."""
        return ()

    def choices(self, run: Run, found: dict[tuple[int, int], Completion]) -> list[dict[str, Any]]:
        """All samples in their order."""
        return [self._choice(found[0, sample]) for sample in range(self.samples)]

    def _choice(self, completion: Completion) -> dict[str, Any]:
        listed = None
        if completion.logprobs is not None:
            listed = {"content": content(self.served.tokenizer, completion.logprobs), "refusal": None}
        said = completion.text.removeprefix(self.served.chat_lead)
        message = {"role": "assistant", "content": said, "refusal": None}
        return {"message": message, "logprobs": listed, "finish_reason": reason_of(completion)}

    def _without_lead(self, piece: Piece) -> str:
        """The text that comes with a piece, without the white space that the template puts before an answer."""
        held = self._held[piece.sample]
        if held is None:
            return piece.text
        held, lead = held + piece.text, self.served.chat_lead
        if lead.startswith(held) and len(held) < len(lead) and piece.completion is None:
            self._held[piece.sample] = held
            return ""
        self._held[piece.sample] = None
        return held.removeprefix(lead)


def _chunk(delta: dict[str, Any], listed: dict[str, Any] | None, reason: str | None) -> dict[str, Any]:
    return {"delta": delta, "logprobs": listed, "finish_reason": reason}


def _plain(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message whose content, where it is one part of text, is that text. UsageError for parts of another kind."""
    parts = message.get("content")
    if not isinstance(parts, list):
        return message
    if len(parts) != 1 or not isinstance(parts[0], Mapping) or not isinstance(parts[0].get("text"), str):
        raise UsageError("a message's content has parts that are no text, or several: write it as one text.",
                         argument="messages")  # fmt: skip
    return {**message, "content": parts[0]["text"]}
