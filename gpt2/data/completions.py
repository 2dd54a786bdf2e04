"""Prompts and completions: rows of {"prompt", "completion"} to examples whose completion alone counts.

In: a file of rows (.jsonl, .json, .csv, ...). Out: for each row the prompt's tokens, the completion's and
`<|endoftext|>`, so that generation learns where to stop; only what follows the prompt is to be predicted. Read next:
examples.py.

Prompt and completion are encoded apart, since a prompt typed for `gpt2 generate` is encoded without what follows it.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from gpt2.base.errors import Failure
from gpt2.data.examples import Example
from gpt2.data.files import has_kind
from gpt2.data.forms import KEYS, LAYOUT, LONG, check_form, form_of, is_completion, is_conversation
from gpt2.data.meant import is_turns, meant, wrapped
from gpt2.data.records import ROWS, all_records, fields_of, kind_of
from gpt2.text.spelled import Spelled
from gpt2.text.tokenizer import Tokenizer

Kind = Literal["text", "completions", "conversations"]
CALLED: dict[Kind, str] = {
    "text": "text",
    "completions": "prompts and completions",
    "conversations": "conversations",
}


def kind_of_rows(path: Path, field: str = "text") -> Kind | None:
    """What a file holds, by its first row; None where there is no row.

    Another `field` than "text" is text where the first row has it, whatever else it has; so is a column "text" of a
    .parquet file beside a prompt.
    """
    if not has_kind(path.name, *ROWS, ".parquet"):
        return "text"
    for _, row in all_records(path):
        if not isinstance(row, dict) or (field != "text" and field in row):
            return "text"
        if is_conversation(row):
            return "conversations"
        if is_completion(row) and not (field in row and path.suffix.lower() == ".parquet"):
            return "completions"
        return "text"
    return None


def completions(
    path: Path,
    tokenizer: Tokenizer,
    context: int,
    allow_special: bool = False,
    spelled: Counter[str] | None = None,
    skipped: list[str] | None = None,
    unread: Counter[str] | None = None,
) -> Iterator[Example]:
    """The examples of a file, whole, also where one goes past the `context`.

    allow_special  read special tokens that they spell as the tokens
    spelled        counts those that are read as ordinary text
    skipped        is given the place of each row whose prompt leaves no room in the context, which is left out
    unread         counts the fields with values that nothing reads

    Raises ValueError naming file and line for what is no object with two texts, for a row of another form than the
    first, and, without `skipped`, for a prompt that leaves no room in the context.
    """
    assert tokenizer.eot_id is not None
    counter, first = Spelled(tokenizer), ""
    for where, record in all_records(path):
        first = first or form_of(record)
        if not is_completion(record):
            check_form(where, record, first)
        if not isinstance(record, dict):
            raise ValueError(f'{where} is not an object: write {{"prompt": ..., "completion": ...}}.')
        for key in KEYS:
            if key in record and not isinstance(record[key], str):
                if mend := wrapped(path, record):
                    raise ValueError(f"{where} {mend}.")
                if is_turns(record[key]):
                    raise ValueError(f'{where} has messages in "{key}": {LAYOUT}')
                raise ValueError(f'{where} has {kind_of(record[key])} in "{key}": write a text there, between quotes.')
            if key not in record:
                mend = meant(record) or 'write {"prompt": ..., "completion": ...}'
                raise ValueError(f'{where} has no text in "{key}" ({fields_of(record)}): {mend}.')
            if not record[key]:
                raise ValueError(f"{where} has an empty {key}: write some text, or leave the row out.")
            if spelled is not None and not allow_special:
                spelled.update(counter.count(record[key]))
        if unread is not None:
            unread.update(name for name, value in record.items() if name not in KEYS and value not in (None, ""))
        prompt, completion = (tokenizer.encode(record[key], allow_special) for key in KEYS)
        if len(prompt) > context:
            if skipped is None:
                what = f"{where} has a prompt of {len(prompt)} tokens, but the context is {context}"
                raise Failure(what, LONG, skip_long=True)
            skipped.append(where)
            continue
        end = [] if completion[-1:] == [tokenizer.eot_id] else [tokenizer.eot_id]
        ids = np.array([*prompt, *completion, *end], dtype=np.int32)
        yield Example(ids, len(prompt))
