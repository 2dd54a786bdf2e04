"""Texts and tokens, as generation and explanations take them and show them.

In: a model or a checkpoint, a text or token ids, one word. Out: ids [B, T], one id, a token's visible form.
Read next: trace.py.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from gpt2.base.errors import UsageError
from gpt2.model import GPT2
from gpt2.text.ids import check_id, check_ids, plain_ids
from gpt2.text.tokenizer import Tokenizer

__all__ = ["Text", "check_id", "check_ids", "encode", "label", "plain_ids", "token_id"]

Text: TypeAlias = str | Tensor | Sequence[int] | Sequence[Sequence[int]] | Sequence[str]


def encode(model: GPT2, tokenizer: Tokenizer | None, text: Text) -> Tensor:
    """Token ids [B, T] of one text or of several of equal length, each a string or ids; nothing is put before them.

    Raises UsageError for a string without a tokenizer, no tokens, unequal lengths, more than the context, unknown ids,
    and what is neither a text nor token ids.
    """
    given = plain_ids(text)
    several = isinstance(given, list | tuple) and given and isinstance(plain_ids(given[0]), str | list | tuple)
    rows = []
    for one in given if several else [given]:
        if isinstance(one, str) and tokenizer is None:
            raise UsageError("a bare GPT2 has no tokenizer: give token ids, or the checkpoint that gpt2.load returns.")
        rows.append(check_ids(tokenizer.encode(one) if isinstance(one, str) and tokenizer else one, model.config))
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise UsageError(f"the texts have {lengths[0]} to {lengths[-1]} tokens: give texts of one length.")
    return torch.tensor(rows, device=next(model.parameters()).device)


def token_id(model: GPT2, tokenizer: Tokenizer | None, word: str | int) -> int:
    """The one token that `word` is. UsageError, with the nearest text that is one token, when it is several."""
    if isinstance(word, int):
        return check_id(word, model.config)
    if tokenizer is None:
        raise UsageError(f"a bare GPT2 has no tokenizer: give the id of {word!r}, or a checkpoint as the model.")
    ids = tokenizer.encode(word)
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise UsageError("an empty text is not a token: give a word, with its leading space, such as ' the'.")
    spaced = " " + word.strip()
    near = spaced if len(tokenizer.encode(spaced)) == 1 else max((tokenizer.decode([i]) for i in ids), key=len)
    pieces = " ".join(label(tokenizer, i) for i in ids)
    raise UsageError(f"{word!r} is {len(ids)} tokens ({pieces}): choose a word of one token, such as {near!r}.")


def label(tokenizer: Tokenizer | None, token: int) -> str:
    """A token as it is shown: a space as `·`; its number where there is no tokenizer."""
    return str(token) if tokenizer is None else tokenizer.label(token)
