"""The ends of a text: which token ends one, stands before one, and fills up short rows.

In: what a directory's files name. Out: {"eos": id, "bos": id, "pad": id}, or fewer. `gpt2/text/tokenizer.py` asks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt2.text.special_tokens import Named
from gpt2.text.tokenizer_files import read_json

ENDS = ("eos", "bos", "pad")


def ends_in(folder: Path, named: Named, ids: Mapping[str, int]) -> dict[str, int]:
    """The ends that a directory's files name.

    Asked in this order: the tokenizer's files, which name the token; tokenizer_config.json, generation_config.json and
    config.json, which may name its id (of a list, the first); the tokenizer's class. A class decides no token before a
    text. An id that no token has, as transformers' default 50256 in a small vocabulary, is passed over.
    """
    explicit = {key: token for key, token in named.tokens.items() if key in named.explicit}
    ends = ends_of(explicit, ids)
    for fields in (named.options, *(_object(folder / name) for name in ("generation_config.json", "config.json"))):
        ends = ends_of({key: value for key, value in fields.items() if key.endswith("_token_id")}, ids) | ends
    default = ends_of(named.tokens, ids)
    return {key: default[key] for key in ("eos", "pad") if key in default} | ends


def ends_of(fields: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, int]:
    """The ends that one file names, by token or by id."""
    ends, known = {}, set(ids.values())
    for end in ENDS:
        token, number = fields.get(f"{end}_token"), fields.get(f"{end}_token_id")
        number = number[0] if isinstance(number, list) and number else number
        found = ids.get(token) if isinstance(token, str) else number
        if type(found) is int and found in known:
            ends[end] = found
    return ends


def _object(path: Path) -> dict[str, Any]:
    value = read_json(path) if path.is_file() else {}
    return value if isinstance(value, dict) else {}
