"""What a user gives to be continued, as token ids that a model can read.

In: a text, texts, or lists of token ids. Out: the ids of each prompt, none longer than the model's context; or one
sentence that says what cannot be continued. Read next: generate.py.
"""

from collections.abc import Sequence

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.base.notes import note
from gpt2.config import GPT2Config
from gpt2.inference.sampling import Sampling
from gpt2.text.ids import check_id, check_ids, plain_ids
from gpt2.text.tokenizer import Tokenizer

Prompts = str | Sequence[str] | Sequence[Sequence[int]]


def encode_prompts(tokenizer: Tokenizer, prompts: Prompts, config: GPT2Config, sampling: Sampling) -> list[list[int]]:
    """Token ids of each prompt; with `sampling.truncate`, the last ones of those that are longer than the context.

    Raises UsageError for what no model of these sizes can continue, see `stream`.
    """
    given = [prompts] if isinstance(prompts, str) else plain_ids(prompts)
    if given is None or (isinstance(given, Sequence) and len(given) == 0):
        raise UsageError("there are no prompts: give at least one text.")
    if not isinstance(given, list | tuple):
        raise UsageError(f"prompts is of type {type(given).__name__}: give a text, or a list of texts.")
    if any(isinstance(prompt, int) for prompt in map(plain_ids, given)):
        raise UsageError("prompts holds bare token ids: give a list of lists, such as [[464, 3797]].")
    encoded = [tokenizer.encode(prompt) if isinstance(prompt, str) else prompt for prompt in given]
    ids = [check_ids(ids, config, "prompt") for ids in _fitting(encoded, config.n_positions, sampling)]
    longest = max(map(len, ids))
    if sampling.max_length is not None and longest >= sampling.max_length:
        mend = f"the longest prompt has {longest} tokens already: give more."
        raise UsageError(argument="max_length", value=sampling.max_length, mend=mend)
    for token in sampling.logit_bias:
        check_id(token, config)
    return ids


def _fitting(prompts: list[Sequence[int]], context: int, sampling: Sampling) -> list[Sequence[int]]:
    """The prompts, none longer than the context, and a note of what was cut; UsageError where nothing may be."""
    lengths = [len(ids) for ids in prompts if len(ids) > context]
    if not lengths:
        return prompts
    if sampling.truncate is None:
        mend = {"": f"shorten it by {max(lengths) - context}", "truncate": "give {truncate} to keep its last tokens"}
        said = f"the prompt has {max(lengths)} tokens and this model's context is {context}"
        raise UsageError(said, mend, truncate="left")
    kept = context - min(sampling.max_tokens - 1, context // 2)  # a full context still predicts one token
    left = f"which leaves room for {counted(context - kept + 1, 'new token')}."
    if len(prompts) == 1:
        note(
            f"the prompt has {lengths[0]} tokens and this model's context is {context}: its first {lengths[0] - kept} "
            f"were left out and its last {kept} kept, {left}"
        )
    else:
        note(
            f"{len(lengths)} of {len(prompts)} prompts are longer than this model's context of {context} tokens: the "
            f"last {kept} of each were kept, {left}"
        )
    return [ids[-kept:] if len(ids) > context else ids for ids in prompts]
