"""The ids of a text that a user gave: what is said of them, and what a model refuses to read.

In: a text, or ids in any form. Out: a list of ids. Whatever ids a model is to read, `check_ids` is what says that it
can. Nothing here imports torch. Read next: words.py.
"""

from typing import Any

from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.text.tokenizer import Tokenizer


def encode_told(tokenizer: Tokenizer, text: str, allow_special: bool = False) -> list[int]:
    """The ids of a text, as `Tokenizer.encode` gives them; a note where it spells a special token and that is not read.

    The note names `allow_special`, which the caller must offer under this name.
    """
    if not allow_special and any(token in text for token in tokenizer.special):
        from gpt2.text.spelled import Spelled, tell_spelled

        tell_spelled(Spelled(tokenizer).count(text))
    return tokenizer.encode(text, allow_special)


def plain_ids(ids: Any) -> Any:
    """Lists in place of a tensor or an array; everything else as it is."""
    return ids.tolist() if hasattr(ids, "tolist") else ids


def check_ids(ids: Any, config: GPT2Config, what: str = "text") -> list[int]:
    """The ids of one text, as a list, once it is certain that a model of these sizes can read them.

    ids   whole numbers: a list, a tuple, or a tensor or array of one axis
    what  the word for the text in the sentence of an error: "text" or "prompt"

    Raises UsageError for what is no such sequence, no ids, more than the context has positions, and ids outside the
    vocabulary.
    """
    ids = plain_ids(ids)
    if not isinstance(ids, list | tuple | range):
        raise UsageError(f"a {what} is of type {type(ids).__name__}: give a str, or a list of token ids.")
    n, context = len(ids), config.n_positions
    if n == 0:
        raise UsageError(f'the {what} is empty, it has no tokens: give at least one, for example "Once upon a time".')
    if n > context:
        raise UsageError(
            f"the {what} has {n} tokens and this model's context is {context}: shorten it by {n - context}."
        )
    return [check_id(plain_ids(i), config) for i in ids]


def check_id(token: Any, config: GPT2Config) -> int:
    """The id itself, once it is one of the vocabulary. UsageError otherwise."""
    if isinstance(token, bool) or not isinstance(token, int):
        raise UsageError(f"{token!r} is no token id: an id is a whole number, 0 to {config.vocab_size - 1}.")
    if not 0 <= token < config.vocab_size:
        raise UsageError(f"there is no token {token}: this model has tokens 0 to {config.vocab_size - 1}.")
    return token
