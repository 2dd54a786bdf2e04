"""A conversation as ids, and which of them the assistant says.

In: messages, a tokenizer, its chat template. Out: the ids of the rendered conversation, with the template's special
tokens as such, and for training a mask. `gpt2/data/conversations.py` trains on it; `gpt2 chat` answers with it.

What a user writes is text: where the content of a message spells a special token, it is read as ordinary text, as
transformers does with `sanitize_control_tokens=True`, so that nobody ends a turn but the template.

The assistant's part is what the template marks by `{% generation %}`, as in transformers
(`return_assistant_tokens_mask`): each token that reaches into such a part. A template without marks is asked twice for
every answer: what it writes before the answer, with the generation prompt, and what it writes with the answer. The
answer is the second without the first; where it does not begin with the first, there is no telling, and it is refused.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gpt2.base.calls import one_sentence
from gpt2.base.errors import UsageError
from gpt2.base.foreign import panics_are_errors, shortened
from gpt2.text.byte_level import well_formed
from gpt2.text.chat_template import ChatTemplate, Message, Span, control_texts
from gpt2.text.messages import PARTS, mend
from gpt2.text.spelled import Spelled
from gpt2.text.tokenizer import Tokenizer

EXAMPLE = "[{'role': 'user', 'content': 'Hi'}]"
UNREAD = "the tokenizer cannot encode this text"
PRIVATE = range(0xF0000, 0xFFFFE)
"""Characters that no language uses (a private plane of Unicode): two that a conversation lacks mark its texts."""


@dataclass(frozen=True)
class Encoded:
    """ids   of the rendered conversation
    answer  bool [n]: which of them the assistant says
    """

    ids: list[int]
    answer: np.ndarray


class Chat:
    """A tokenizer with its chat template.

    allow_special  read special tokens that a message spells as the tokens, as transformers does by default
    """

    @one_sentence("gpt2.Chat(tokenizer)")
    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None = None, allow_special: bool = False) -> None:
        self.tokenizer, self._found = tokenizer, template is None
        self.template = ChatTemplate.of(tokenizer) if template is None else template
        self.spelled = Spelled(tokenizer, control_texts(tokenizer, self.template))
        self.allow_special = allow_special

    def prompt(self, messages: Sequence[Message], **more: Any) -> list[int]:
        """The ids of a conversation up to where the assistant is to answer.

        Raises UsageError for what is no list of messages, ValueError as `ChatTemplate.render`.
        """
        messages = checked(messages)
        if self._found and more.get("tools") is not None:
            return self._with_tools.prompt(messages, **more)
        marked, marks = self._mark([*messages, more])
        *messages, more = marked
        return self._ids(self.template.render(messages, True, **more), marks, [])[0]

    def encode(self, messages: Sequence[Message], **more: Any) -> Encoded:
        """The ids of a whole conversation, and which the assistant says.

        Raises UsageError for what is no list of messages, ValueError as `ChatTemplate.render`, and where the template's
        text does not show what the answer is.
        """
        messages = checked(messages)
        if self._found and more.get("tools") is not None:
            return self._with_tools.encode(messages, **more)
        marked, marks = self._mark([*messages, more])
        *messages, more = marked
        text, spans = self.template.render_marked(messages, False, **more)
        if not self.template.marks:
            spans = self._answers(messages, text, more)
        ids, answer = self._ids(text, marks, spans)
        return Encoded(ids, np.array(answer, dtype=bool))

    def end_ids(self) -> set[int]:
        """The special tokens that the template writes right after an answer: a generation ends there."""
        said = "yes"
        text = self.template.render([{"role": "user", "content": "hi"}, {"role": "assistant", "content": said}])
        after = text[text.rindex(said) + len(said) :] if said in text else ""
        ids = self.tokenizer.encode(after.lstrip(), allow_special=True)
        specials = {i for token in self.spelled.tokens for i in self.tokenizer.encode(token, allow_special=True)}
        return {ids[0]} & specials if ids else set()

    def lead(self) -> str:
        """White space that the template writes before an answer, after the prompt: the model says it, no message."""
        asked, said = {"role": "user", "content": "hi"}, "yes"
        prompt = self.template.render([asked], True)
        text = self.template.render([asked, {"role": "assistant", "content": said}])
        lead = text[len(prompt) :].partition(said)[0] if text.startswith(prompt) else ""
        return lead if lead.isspace() else ""

    @cached_property
    def _with_tools(self) -> "Chat":
        """The same with the template that the checkpoint has for conversations with tools, if it has one."""
        return Chat(self.tokenizer, ChatTemplate.of(self.tokenizer, tools=True), self.allow_special)

    def _answers(self, messages: Sequence[Message], text: str, more: Mapping[str, Any]) -> list[Span]:
        """Where the answers stand in the text of a template without marks."""
        spans = []
        for number, message in enumerate(messages):
            if message.get("role") != "assistant":
                continue
            until = self.template.render(messages[: number + 1], False, **more)
            said = message.get("content")
            if number:
                before = self.template.render(messages[:number], True, **more)
            else:  # nothing may be rendered without a message: what another answer begins with is none of the answer
                other = "a" if str(said).lstrip()[:1] != "a" else "b"
                before = until[: common(until, self.template.render([{**message, "content": other}], False, **more))]
            end = common(text, until)
            shown = end == len(until) or not isinstance(said, str) or said.strip() in text[len(before) : end]
            if not text.startswith(before) or end <= len(before) or not shown:
                raise ValueError(
                    f"the chat template does not write message {number + 1} after the messages before it, so its text "
                    "does not show what the answer is: put {% generation %} and {% endgeneration %} around answers."
                )
            spans.append((len(before), end))
        return spans

    def _mark(self, messages: list[Any]) -> tuple[list[Any], tuple[str, str] | None]:
        """The messages with marks around every special token that they spell, and the marks; None without any."""
        if self.allow_special or not any(self.spelled.count(text) for text in _texts(messages)):
            return messages, None
        used = {char for text in _texts(messages) for char in text}
        free = (chr(code) for code in PRIVATE if chr(code) not in used)
        marks = next(free), next(free)
        return [_with_marks(message, self.spelled, marks) for message in messages], marks

    def _ids(self, text: str, marks: tuple[str, str] | None, spans: list[Span]) -> tuple[list[int], list[bool]]:
        """The ids of a rendered text, and which reach into a span."""
        text = well_formed(text)
        ids: list[int] = []
        answer: list[bool] = []
        place = 0
        for number, (piece, ordinary, skipped) in enumerate(_pieces(text, self.spelled, marks)):
            place += skipped
            if piece:
                found = (_ordinary if ordinary else _offsets)(self.tokenizer, piece, not number)
                ids += [i for i, _ in found]
                answer += [any(place + a < stop and place + b > start for start, stop in spans) for _, (a, b) in found]
            place += len(piece)
        return ids, answer


def checked(messages: Any) -> list[Message]:
    """The messages as a list. UsageError for one that no template can write: without a role, or with no content but
    also nothing in its place, such as `tool_calls`."""
    if messages is None or isinstance(messages, (str, bytes, Mapping)) or not hasattr(messages, "__iter__"):
        raise UsageError(f"messages is {_a(messages)}: give a list such as {EXAMPLE}.")
    messages = list(messages)
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, Mapping):
            raise UsageError(f"message {number} is {_a(message)}: give a dict for each, as in {EXAMPLE}.")
        names = [name for name in PARTS if name not in message]
        if "role" in names and (said := mend(message, names, messages)).startswith("rename"):
            raise UsageError(f"message {number} has {' and '.join(f'no {name}' for name in names)}: {said}")
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str):
            has = f"the role {shortened(role)}, {_a(role)}" if "role" in message else "no role"
            raise UsageError(f"message {number} has {has}: give it a text as 'role', such as 'user' or 'assistant'.")
        others = any(value is not None for key, value in message.items() if key not in ("role", "content"))
        if content is None and not others:
            has = "None as its content" if "content" in message else "no content"
            raise UsageError(f"message {number} has {has}: give it a text as 'content'.")
        if isinstance(content, (int, float, bytes)):
            raise UsageError(
                f"message {number} has the content {shortened(content)}, {_a(content)}: give it a text as 'content'."
            )
    return messages


def _a(value: Any) -> str:
    """A value's type in a sentence."""
    name = type(value).__name__
    return "None" if value is None else f"an {name}" if name[0] in "aeiou" else f"a {name}"


def common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    return next((i for i, (left, right) in enumerate(zip(one, other)) if left != right), min(len(one), len(other)))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [text for item in items for text in _texts(item)]


def _with_marks(value: Any, spelled: Spelled, marks: tuple[str, str]) -> Any:
    if isinstance(value, str):
        return spelled.sub(lambda token: f"{marks[0]}{token}{marks[1]}", value)
    if isinstance(value, Mapping):
        return {key: _with_marks(item, spelled, marks) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_marks(item, spelled, marks) for item in value]
    return value


def _pieces(text: str, spelled: Spelled, marks: tuple[str, str] | None) -> list[tuple[str, bool, int]]:
    """(text, whether it is ordinary text though it spells a token, marks before it) in order; marks are in no piece.

    A template may have lost one mark of a pair: the other is enough. A lone one still parts the text, so that nothing
    joins to a token.
    """
    if marks is None:
        return [(text, False, 0)]
    found, place, skipped = [], 0, 0
    start, end = map(re.escape, marks)
    token = f"(?:{spelled.pattern})"
    for match in re.finditer(f"{start}({token}){end}?|({token}){end}|{start}|{end}", text):
        found.append((text[place : match.start()], False, skipped))
        group = next((number for number in (1, 2) if match[number] is not None), 0)
        skipped = 1
        if group:
            found.append((match[group], True, match.start(group) - match.start()))
            skipped = match.end() - match.end(group)
        place = match.end()
    return [*found, (text[place:], False, skipped)]


def _offsets(tokenizer: Tokenizer, text: str, first: bool) -> list[tuple[int, Span]]:
    """Each id of a text with the template's tokens, and which characters of it the token is.

    A piece that is not the first is encoded after a new line, so that no space is put before it as before a text.
    """
    library, lead = tokenizer.library(True), "" if first else "\n"
    with panics_are_errors(UNREAD):
        encoding = library.encode(lead + text, add_special_tokens=False)
        alone = library.encode(lead, add_special_tokens=False).ids
        if encoding.ids[: len(alone)] != alone:
            lead, alone, encoding = "", [], library.encode(text, add_special_tokens=False)
    pairs = zip(encoding.ids[len(alone) :], encoding.offsets[len(alone) :])
    return [(i, (a - len(lead), b - len(lead))) for i, (a, b) in pairs]


def _ordinary(tokenizer: Tokenizer, text: str, first: bool) -> list[tuple[int, Span]]:
    """The ids of a text in which no added token is read, each as standing for all of it."""
    library = tokenizer.library(True)

    def ids_of(text: str) -> list[int]:
        text = library.normalizer.normalize_str(text) if library.normalizer else text
        cut = library.pre_tokenizer.pre_tokenize_str(text) if library.pre_tokenizer else [(text, (0, 0))]
        return [token.id for part, _ in cut for token in library.model.tokenize(part)]

    lead = "" if first else "\n"
    with panics_are_errors(UNREAD):
        ids, alone = ids_of(lead + text), ids_of(lead) if lead else []
        ids = ids[len(alone) :] if ids[: len(alone)] == alone else ids_of(text)
    return [(i, (0, len(text))) for i in ids]
