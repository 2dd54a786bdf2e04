"""Texts and tokens, as explanations take them and show them.

In: a model or a checkpoint, a text or token ids, one word. Out: ids [B, T], one id, a token's visible form.
Read next: trace.py.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gpt2.base.errors import UsageError
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer, visible

Text: TypeAlias = str | Tensor | Sequence[int] | Sequence[Sequence[int]] | Sequence[str]


def encode(model: GPT2, tokenizer: Tokenizer | None, text: Text) -> Tensor:
    """Token ids [B, T] of one text or of several of equal length, each a string or ids; nothing is put before them.

    Raises UsageError for a string without a tokenizer, no tokens, unequal lengths, more than the context, unknown ids.
    """
    given: Any = text.tolist() if isinstance(text, Tensor) else text
    texts = [given] if isinstance(given, str) or (len(given) > 0 and isinstance(given[0], int)) else list(given)
    rows = []
    for one in texts:
        if isinstance(one, str) and tokenizer is None:
            raise UsageError("a bare GPT2 has no tokenizer: give token ids, or the checkpoint that gpt2.load returns.")
        rows.append(tokenizer.encode(one) if isinstance(one, str) and tokenizer else [int(i) for i in one])
    lengths = sorted({len(row) for row in rows})
    if not rows or lengths[0] == 0:
        raise UsageError("the text has no tokens: give at least one character.")
    if len(lengths) > 1:
        raise UsageError(f"the texts have {lengths[0]} to {lengths[-1]} tokens: give texts of one length.")
    context, V = model.config.n_positions, model.config.vocab_size
    if lengths[0] > context:
        raise UsageError(
            f"the text has {lengths[0]} tokens and this model's context is {context}: "
            f"shorten it by {lengths[0] - context}."
        )
    wrong = next((i for row in rows for i in row if not 0 <= i < V), None)
    if wrong is not None:
        raise UsageError(f"there is no token {wrong}: this model has tokens 0 to {V - 1}.")
    return torch.tensor(rows, device=model.lm_head.weight.device)


def token_id(model: GPT2, tokenizer: Tokenizer | None, word: str | int) -> int:
    """The one token that `word` is. UsageError, with the nearest text that is one token, when it is several."""
    V = model.config.vocab_size
    if isinstance(word, int):
        if not 0 <= word < V:
            raise UsageError(f"there is no token {word}: this model has tokens 0 to {V - 1}.")
        return word
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
    """A token as it is shown: a space as `·`; its number where there is no tokenizer or no such entry."""
    if tokenizer is None or token >= tokenizer.vocab_size:
        return str(token)
    try:
        return visible(tokenizer.token_bytes(token))
    except ValueError:  # a hole in the vocabulary
        return str(token)
