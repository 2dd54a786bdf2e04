"""Log probabilities of tokens as the two routes of OpenAI's API write them.

In: a tokenizer and the `TokenLogprob` of each token of a text. Out: the object `logprobs` of a choice.

A token's name is its text; one that is part of a character is named by its bytes, `bytes:\\xe2\\x80`, as OpenAI does.
Where two tokens of one place have the same name, both are named by their ids as well: none is lost in the object.
Source: platform.openai.com/docs/api-reference/completions/object and chat/object. Read next: completions.py, chat.py.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from gpt2.inference.sampling import TokenLogprob
from gpt2.text.tokenizer import Tokenizer

LEAST = -9999.0
"""In place of the log probability of what cannot be, as OpenAI writes it."""


def token_name(tokenizer: Tokenizer, token: int) -> str:
    """The text of a token, or its bytes where they are no whole characters."""
    if not tokenizer.has(token):
        return f"token_id:{token}"  # a row of the model for which there is no token
    data = tokenizer.token_bytes(token)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def names(tokenizer: Tokenizer, tokens: Iterable[int]) -> dict[int, str]:
    """A name for each of some tokens of one place, all different."""
    found = {token: token_name(tokenizer, token) for token in tokens}
    times = Counter(found.values())
    return {token: name if times[name] == 1 else f"token_id:{token}:{name}" for token, name in found.items()}


class Listing:
    """`logprobs` of a text on the completions route, token after token.

    An offset counts the characters before the token, from the beginning of the prompt, whether the prompt is part of
    the answer or not.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int]) -> None:
        self.tokenizer, self.prompt = tokenizer, list(prompt)
        self._stream = tokenizer.stream(prompt)
        self._offset = len(tokenizer.decode(prompt))

    def of_prompt(self, found: Sequence[TokenLogprob | None]) -> dict[str, Any]:
        """The object of the prompt's own tokens; the first has no log probability, since nothing stands before it."""
        stream, offset, listed = self.tokenizer.stream(), 0, _empty()
        for token, logprob in zip(self.prompt, found, strict=True):
            self._add(listed, token, logprob, offset)
            offset += len(stream.push(token))
        return listed

    def of(self, found: Iterable[TokenLogprob]) -> dict[str, Any]:
        """The object of the tokens that follow."""
        listed = _empty()
        for logprob in found:
            self._add(listed, logprob.id, logprob, self._offset)
            self._offset += len(self._stream.push(logprob.id))
        return listed

    def _add(self, listed: dict[str, Any], token: int, logprob: TokenLogprob | None, offset: int) -> None:
        pairs = {} if logprob is None else {**dict(logprob.top), logprob.id: logprob.logprob}
        pairs = {i: finite(value) for i, value in pairs.items()}
        named = names(self.tokenizer, [*pairs, token])
        listed["tokens"].append(named[token])
        listed["token_logprobs"].append(pairs.get(token))
        listed["top_logprobs"].append(None if logprob is None else {named[i]: value for i, value in pairs.items()})
        listed["text_offset"].append(offset)


def _empty() -> dict[str, Any]:
    return {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}


def finite(logprob: float) -> float:
    """The log probability, which JSON can write only where it is a number."""
    return max(logprob, LEAST)


def joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The object of a prompt and of what follows it."""
    return {name: [*one[name], *other[name]] for name in one}


def content(tokenizer: Tokenizer, found: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """`content` of the chat route: each token with its bytes, and its likeliest alternatives."""

    def entry(token: int, logprob: float) -> dict[str, Any]:
        data = list(tokenizer.token_bytes(token)) if tokenizer.has(token) else None
        return {"token": token_name(tokenizer, token), "logprob": finite(logprob), "bytes": data}

    return [
        {**entry(one.id, one.logprob), "top_logprobs": [entry(token, value) for token, value in one.top]}
        for one in found
    ]
