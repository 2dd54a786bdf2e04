"""`POST /tokenize`, `POST /detokenize`, `GET /tokenizer_info`: the model's tokenizer, asked as vLLM and llama.cpp are.

In: a text, or ids. Out: what both of these servers answer, under the names of both. lm-eval takes its tokenizer from
here. Read next: app.py.
"""

from typing import Annotated, Any

from pydantic import Field

from gpt2.base.errors import UsageError
from gpt2.server.answers.parameters import Parameters
from gpt2.server.api.served import Served
from gpt2.text.ids import check_id
from gpt2.text.tokenizer import Tokenizer

LARGEST = 1_000_000  # ids of a request


class Tokenize(Parameters):
    """`prompt` (vLLM) or `content` (llama.cpp). `parse_special`: text that spells a special token is that token;
    `add_special_tokens`: with what `transformers` puts around a text."""

    model: str | None = None
    prompt: str | None = None
    content: str | None = None
    add_special_tokens: bool = True
    parse_special: bool = True


class Detokenize(Parameters):
    """Ids of the vocabulary."""

    model: str | None = None
    tokens: Annotated[list[int], Field(max_length=LARGEST)]


def tokenize(served: Served, asked: Tokenize) -> dict[str, Any]:
    """The ids of a text."""
    if (asked.prompt is None) == (asked.content is None):
        raise UsageError('give the text as prompt, {"prompt": "Once upon a time"}, or as content.', argument="prompt")
    text = asked.prompt if asked.prompt is not None else asked.content
    ids = served.tokenizer.encode(str(text), asked.parse_special)
    if asked.add_special_tokens:
        ids = served.tokenizer.around(ids)
    return {"tokens": ids, "count": len(ids), "max_model_len": served.context}


def detokenize(served: Served, asked: Detokenize) -> dict[str, Any]:
    """The text of ids."""
    for token in asked.tokens:
        check_id(token, served.model.config)
    text = served.tokenizer.decode(asked.tokens)
    return {"prompt": text, "content": text}


def tokenizer_info(served: Served) -> dict[str, Any]:
    """The special tokens by their roles, and the chat template where the checkpoint has one."""
    tokenizer, template = served.tokenizer, served.chat.template
    roles = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eot_id, "pad_token": tokenizer.pad_id}
    found: dict[str, Any] = {role: _text(tokenizer, token) for role, token in roles.items()}
    return {**found, "chat_template": template.source if template.own else None}


def _text(tokenizer: Tokenizer, token: int | None) -> str | None:
    return None if token is None else tokenizer.token_bytes(token).decode("utf-8", "replace")
