"""A conversation as text: the checkpoint's chat template, rendered as transformers renders it.

In: a tokenizer, whose files hold the template, and messages of {"role", "content"}. Out: the text, and which parts of
it are the assistant's. Read next: template_machine.py, which renders; chat.py, which makes ids of the text.

A template is a program that came with a checkpoint. It sees plain values only, runs with limits (template_limits.py),
and whatever it does wrong is one sentence.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gpt2.base.foreign import shortened
from gpt2.text.template_limits import within_limits
from gpt2.text.template_machine import Span, answer
from gpt2.text.tokenizer import EOT, Tokenizer

PLAIN = """\
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- 'Assistant:' }}{% generation %}{{ ' ' + message.content + eos_token }}{% endgeneration %}{{ '\n\n' }}
{%- elif message.role in ('system', 'user') %}
{{- message.role | capitalize + ': ' + message.content + '\n\n' }}
{%- else %}
{{- raise_exception("a role is '" ~ message.role ~ "': choose system, user or assistant.") }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}
"""
"""The template of a checkpoint that has none: "User: Hi", an empty line, "Assistant: Hello<|endoftext|>", and so on."""

REASONING = ("reasoning_content", "thinking", "reasoning")
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
Message = Mapping[str, Any]


class ChatTemplate:
    """One template, and the names of special tokens that it may use.

    Attributes:
        source: the template's own text.
        own: whether it came with the checkpoint; otherwise it is `PLAIN`.
        marks: whether it says itself what is the assistant's, by `{% generation %}`.
    """

    def __init__(self, source: str, names: Mapping[str, str] | None = None, own: bool = True) -> None:
        """Raises ValueError for a template that jinja2 cannot read."""
        self.source, self.names, self.own = source, dict(names or {}), own
        self.marks = re.search(r"\{%-?\s*generation\s*-?%\}", source) is not None
        self._literals: str = self._ask("literals", source)

    @classmethod
    def of(cls, tokenizer: Tokenizer, tools: bool = False) -> "ChatTemplate":
        """The template among a tokenizer's files, as transformers chooses it; `PLAIN` where there is none.

        tools  whether tools are given, for which some checkpoints have a template "tool_use"

        Raises ValueError where several have names and none is called "default".
        """
        names = token_names(tokenizer)
        found = templates_of(tokenizer)
        if not found:
            end = "" if tokenizer.eot_id is None else tokenizer.token_bytes(tokenizer.eot_id).decode("utf-8", "replace")
            return cls(PLAIN, {"eos_token": end} | names, own=False)
        name = "tool_use" if tools and "tool_use" in found else "default"
        if name not in found:
            raise ValueError(f'the chat templates are called {", ".join(sorted(found))}: call one of them "default".')
        return cls(found[name], names)

    def literals(self) -> str:
        """The texts that the template itself writes, parted by null characters."""
        return self._literals

    def _ask(self, question: str, *given: Any) -> Any:
        return within_limits(question, *given) if self.own else answer(question, *given)

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = False, **more: Any) -> str:
        """The text of a conversation.

        add_generation_prompt  end with what stands before an answer, where the template has that
        more                   `tools`, `documents` and other variables of the template

        Raises ValueError for what the template refuses, or cannot do.
        """
        return self.render_marked(messages, add_generation_prompt, **more)[0]

    def render_marked(
        self, messages: Sequence[Message], add_generation_prompt: bool = False, **more: Any
    ) -> tuple[str, list[Span]]:
        """The text, and where in it (first character, one past the last) `{% generation %}` blocks stand."""
        for name in ("tools", "documents"):
            given = more.get(name) or ()
            items = given if isinstance(given, (list, tuple, str, Mapping)) else [given]
            if not all(isinstance(item, Mapping) for item in items):
                raise ValueError(f'"{name}" of a conversation is {shortened(more[name])}: write a list of objects.')
        variables = {"tools": None, "documents": None, **self.names, **more}
        shown = {"messages": _as_seen(messages), "add_generation_prompt": add_generation_prompt, **variables}
        text, spans = self._ask("rendered", self.source, _plain(shown))
        return text, spans


def templates_of(tokenizer: Tokenizer) -> dict[str, str]:
    """The chat templates among a tokenizer's files, by name; a lone one is "default".

    chat_template.jinja and additional_chat_templates/ win over tokenizer_config.json, as in transformers.
    """
    if tokenizer.found is None:
        return {}
    side = tokenizer.found.side
    files = {"default": side.kept["chat_template.jinja"]} if "chat_template.jinja" in side.kept else {}
    for name, data in side.kept.items():
        if name.startswith("additional_chat_templates/"):
            files[name.removeprefix("additional_chat_templates/").removesuffix(".jinja")] = data
    if files:
        return {name: _decoded(name, data) for name, data in files.items()}
    told = (side.settings or {}).get("chat_template")
    if isinstance(told, str):
        return {"default": told}
    try:
        return {str(one["name"]): str(one["template"]) for one in told or []}
    except (KeyError, TypeError):
        raise ValueError(f"tokenizer_config.json: chat_template is {shortened(told)}, and must be a text.") from None


def _decoded(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the chat template {shortened(name)} is not UTF-8 (byte {error.start}): fetch it again, or mend "
            "chat_template.jinja."
        ) from None


def control_texts(tokenizer: Tokenizer, template: ChatTemplate) -> list[str]:
    """The added tokens that only a template may write: the special ones, and those that it writes, as in transformers.

    tokenizer_config.json may list the latter itself (`chat_control_tokens`).
    """
    settings = None if tokenizer.found is None else tokenizer.found.side.settings
    listed = (settings or {}).get("chat_control_tokens")
    written = template.literals()

    def controls(token: str) -> bool:
        if token in tokenizer.special:
            return True
        return token in listed if listed is not None else token in written and not token.isspace()

    return [token for token in tokenizer.added if controls(token)]


def token_names(tokenizer: Tokenizer) -> dict[str, str]:
    """What a template may call special tokens: "eos_token" and its like."""
    if tokenizer.found is None:
        ends = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eot_id, "unk_token": tokenizer.eot_id}
        return {name: EOT for name, i in ends.items() if i is not None}
    return {name: text for name, text in tokenizer.found.named.tokens.items() if name in NAMED}


def _as_seen(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as a template sees them: nothing that is null, and reasoning under all its names."""
    seen = []
    for message in messages:
        one = {key: value for key, value in message.items() if value is not None}
        reasoning = next((one[key] for key in REASONING if key in one), None)
        if reasoning is not None:
            one = {"thinking": reasoning, **one, "reasoning_content": reasoning}
        seen.append(one)
    return seen


def _plain(value: Any) -> Any:
    """The same of lists, dicts, texts, numbers, true, false and null alone, so that nothing else can be called."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return f"<{type(value).__name__}>"
