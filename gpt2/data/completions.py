"""Prompts and completions: a .jsonl file of {"prompt", "completion"} to examples whose completion alone counts.

In: a .jsonl file, perhaps compressed. Out: for each line the prompt's tokens, the completion's and `<|endoftext|>`, so
that generation learns where to stop; only what follows the prompt is to be predicted. Read next: examples.py.

Prompt and completion are encoded apart, since a prompt typed for `gpt2 generate` is encoded without what follows it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gpt2.data.examples import Example
from gpt2.data.files import has_kind, opened
from gpt2.data.json_lines import json_lines
from gpt2.text.tokenizer import Tokenizer

KEYS = ("prompt", "completion")


def holds_completions(path: Path) -> bool:
    """Whether a file is .jsonl and its first object has a prompt or a completion."""
    if not has_kind(path.name, ".jsonl"):
        return False
    _, record = next(_records(path), ("", {}))
    return any(key in record for key in KEYS)


def completions(path: Path, tokenizer: Tokenizer, context: int) -> Iterator[Example]:
    """The examples of a file; a completion that goes past `context` is cut there.

    Raises ValueError naming file and line for what is no object with two texts, and for a prompt that leaves no room
    in the context.
    """
    assert tokenizer.eot_id is not None
    for where, record in _records(path):
        for key in KEYS:
            if not isinstance(record.get(key), str):
                have = f"it has {', '.join(map(str, record))}" if record else "it has none"
                raise ValueError(
                    f'{where} has no text in "{key}" ({have}): write {{"prompt": ..., "completion": ...}}.'
                )
            if not record[key]:
                raise ValueError(f"{where} has an empty {key}: write some text, or leave the line out.")
        prompt, completion = (tokenizer.encode(record[key]) for key in KEYS)
        if len(prompt) > context:
            raise ValueError(f"{where} has a prompt of {len(prompt)} tokens, but the context is {context}: shorten it.")
        ids = np.array([*prompt, *completion, tokenizer.eot_id], dtype=np.int32)
        yield Example(ids[: context + 1], len(prompt))


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each object stands, and the object."""
    with opened(path) as (stream, _):
        for where, record in json_lines(path, stream):
            if not isinstance(record, dict):
                raise ValueError(f'{where} is not an object: write {{"prompt": ..., "completion": ...}}.')
            yield where, record
