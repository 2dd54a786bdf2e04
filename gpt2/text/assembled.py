"""A directory's files put together into one tokenizer, as `transformers.AutoTokenizer` (5.24) puts them together.

In: a directory with tokenizer.json, or GPT-2's pair vocab.json and merges.txt (OpenAI's own names for them:
encoder.json, vocab.bpe), or BERT's vocab.txt, and what stands beside. Out: the content of one tokenizer.json, the form
in which every tokenizer is held by `gpt2/text/tokenizer.py`, with what the files name. Read next: tokenizer.py.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.base.foreign import check_fields, off_the_terminal, panics_are_errors, shortened
from gpt2.text.byte_level import gpt2_content, merges_of
from gpt2.text.tokenizer_fields import TOKENIZER_CONFIG, TOKENIZER_JSON
from gpt2.text.tokenizer_files import (
    DEFAULT_TOKENS,
    EXTRA,
    FLAGS,
    LATER,
    NAMED,
    NAMES,
    SETTINGS,
    Kind,
    Named,
    SideFiles,
    class_of,
    flag,
    guarded,
    is_own_name,
    read_json,
    read_object,
    read_side_files,
)
from gpt2.text.trial import try_out
from gpt2.text.without_json import without_json

if TYPE_CHECKING:
    import tokenizers

LARGEST_ID = 2**24 - 1  # the largest vocabularies in use have a million entries; a library makes a table of as many


@dataclass(frozen=True)
class Assembled:
    """A directory's tokenizer.

    path       the file with the vocabulary, for sentences
    content    as of a tokenizer.json, with every added token
    start      the same without the tokens that were added to it (`named.added`)
    kind       which class of transformers reads it
    class_name that class as the files name it, None where they name none
    named      the tokens that the files name, and the options of the class
    side       the files beside the vocabulary
    """

    path: Path
    content: dict[str, Any]
    start: dict[str, Any]
    kind: Kind
    class_name: str | None
    named: Named
    side: SideFiles

    def library(self) -> "tokenizers.Tokenizer":
        """The tokenizer, made in transformers' steps: what a later token changes of an earlier one depends on them."""
        from tokenizers import AddedToken

        library = built(self.start | {"post_processor": self.content.get("post_processor")})
        with off_the_terminal(), panics_are_errors("`tokenizers` cannot add its tokens"):
            library.add_tokens([AddedToken(**flags) for flags in self.named.added])
        return library


def assemble(folder: Path) -> Assembled:
    """The tokenizer of a directory.

    Taken is the first of: tokenizer.json; vocab.json and merges.txt; encoder.json and vocab.bpe; vocab.txt. Raises
    ValueError naming the file and the field for what is missing, broken, or would give other ids than in transformers.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a directory: give the directory that holds tokenizer.json.")
    side = read_side_files(folder)
    settings, names = side.settings or {}, read_object(folder / NAMES)
    check_fields(folder / SETTINGS, settings, TOKENIZER_CONFIG)
    options = settings
    if "added_tokens_decoder" not in settings:
        check_fields(folder / NAMES, names, TOKENIZER_CONFIG)
        options = {**settings, **names}
    whole = folder / "tokenizer.json"
    in_json = read_json(whole) if whole.is_file() else None
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    byte_level = b'"ByteLevel"' in side.kept.get("tokenizer.json", b"")
    kind, class_name = class_of(folder, settings, config if isinstance(config, dict) else {}, byte_level)
    if in_json is None:  # otherwise transformers leaves this to the file
        path, kind, content = without_json(folder, kind, options)
    else:
        path = whole
        kind = chosen = kind or "file"
        content = guarded(path, lambda: _from_json(whole, in_json, chosen, options))

    later, added_there = read_object(folder / LATER), [] if in_json is None else in_json.get("added_tokens") or []

    if kind == "file":
        guarded(path, lambda: try_out(content))

    def put_together() -> Named:
        from gpt2.text.special_tokens import add_special_tokens, put_around

        library = built(start)
        named = add_special_tokens(
            library, kind, folder, settings, names, later, added_there,
            ((in_json or {}).get("padding") or {}).get("pad_token"),
        )  # fmt: skip
        content["added_tokens"] = [
            {"id": i, **token.__getstate__(), "special": token.content in named.special}
            for i, token in sorted(library.get_added_tokens_decoder().items())
        ]
        _check_ids(path, content)
        put_around(library, kind, content, named, in_json is not None)
        return named

    guarded(path, lambda: _check_ids(path, content))
    start = content | {"added_tokens": content["added_tokens"] if kind == "file" else []}
    if not content["model"].get("vocab") and not content["added_tokens"]:
        raise ValueError(f"{path} is not a usable tokenizer: the tokenizer's vocabulary is empty.")
    named = None if later or kind != "gpt2" else _all_in_vocabulary(content, options, in_json)
    if named is None:
        named = guarded(path, put_together)
        from gpt2.text.special_tokens import tell_of_other_ids

        tell_of_other_ids(folder, settings, later, content)
    return Assembled(path, content, start, kind, class_name, named, side)


def built(content: Mapping[str, Any]) -> "tokenizers.Tokenizer":
    """The tokenizer of a tokenizer.json's content. ValueError for what `tokenizers` cannot read."""
    from tokenizers import Tokenizer as Library

    with off_the_terminal(), panics_are_errors("`tokenizers` cannot read it"):
        return Library.from_str(json.dumps(content))


def _from_json(path: Path, content: Any, kind: Kind, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a class makes of a tokenizer.json."""
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise TypeError("a tokenizer.json is an object with a model")
    check_fields(path, content, TOKENIZER_JSON)
    model = content["model"]
    found = model.get("type", "BPE" if "merges" in model else "WordPiece")
    if kind == "file":
        return {**content, "added_tokens": content.get("added_tokens") or []}
    wanted = "WordPiece" if kind == "bert" else "BPE"
    if found != wanted or not isinstance(model["vocab"], dict):
        raise ValueError(
            f"{path}: its model is {shortened(found)}, but the directory's tokenizer_class (GPT-2's where none is "
            f"named) makes a {wanted} of it: name PreTrainedTokenizerFast in tokenizer_config.json, which reads the "
            "file as it is."
        )
    if kind == "bert":
        from gpt2.text.word_list import words_content

        return words_content(path.parent, model["vocab"], options)
    made = gpt2_content(model["vocab"], merges_of(model), flag(path.parent, options, "add_prefix_space", False))
    return made | {"post_processor": content.get("post_processor")}


def _all_in_vocabulary(content: dict[str, Any], options: Mapping[str, Any], in_json: Any) -> Named | None:
    """What `add_special_tokens` gives, without its work: GPT-2's kind, and every token that is named has an id already.

    content  gets the added tokens
    options  tokenizer_config.json, and special_tokens_map.json over it
    in_json  tokenizer.json, None without it

    None where the files say more than that, or something wrong.
    """
    options = {key: value for key, value in options.items() if key != "tokenizer_class"}
    if {"added_tokens_decoder", *EXTRA} & options.keys():
        return None
    if any(options[key] not in (None, False) for key in options if is_own_name(key)):
        return None
    in_json, after = in_json or {}, content["post_processor"]
    entries, padding = in_json.get("added_tokens") or [], in_json.get("padding") or {}
    if not isinstance(entries, list) or not isinstance(padding, dict) or not (after is None or _is_byte_level(after)):
        return None
    every: dict[str, Any] = {key: options.get(key, DEFAULT_TOKENS["gpt2"].get(key)) for key in NAMED}
    tokens = {key: token for key, token in every.items() if token is not None}
    vocab, numbers = content["model"]["vocab"], set()
    added: dict[str, dict[str, Any]] = {}
    for entry in sorted(filter(_is_token, entries), key=lambda entry: int(entry["id"])):
        added[entry["content"]] = {name: entry.get(name, False) for name in FLAGS}
        numbers.add(entry["id"])
    if not len(numbers) == len(added) == len(entries):
        return None
    for token in tokens.values():
        if not isinstance(token, str):
            return None
        added.setdefault(token, dict.fromkeys(FLAGS, False) | {"content": token})["special"] = True
    if "" in added or not added.keys() <= vocab.keys():
        return None
    for entry in entries:
        flags = added[entry["content"]]
        flags["normalized"] = entry.get("normalized", not flags["special"])
    content["added_tokens"] = [{"id": vocab[token], **added[token]} for token in sorted(added, key=vocab.__getitem__)]
    special = frozenset(token for token, flags in added.items() if flags["special"])
    explicit = frozenset(key for key in NAMED if options.get(key) is not None)
    return Named(tokens, explicit, special, tuple(added.values()), options)


def _is_byte_level(part: Any) -> bool:
    flags = ("add_prefix_space", "trim_offsets", "use_regex")
    if not isinstance(part, dict) or part.get("type") != "ByteLevel":
        return False
    return all(type(part.get(flag, flag == "use_regex" or None)) is bool for flag in flags)


def _is_token(entry: Any) -> bool:
    """Whether it is a whole entry of tokenizer.json's added_tokens."""
    if not isinstance(entry, dict) or type(entry.get("id")) is not int or not isinstance(entry.get("content"), str):
        return False
    return all(type(entry.get(name, False)) is bool for name in FLAGS[1:])


def _check_ids(path: Path, content: Mapping[str, Any]) -> None:
    """Raise ValueError for an id that is no row of a table, and for two tokens with one id."""
    vocab, added = content["model"].get("vocab"), content["added_tokens"]
    if not isinstance(vocab, dict):
        return
    ids = set(vocab.values()) if set(map(type, vocab.values())) == {int} and not added else set()
    if ids and len(ids) == len(vocab) and min(ids) >= 0 and max(ids) <= LARGEST_ID:
        return  # the usual case, quickly
    owner: dict[int, str] = {}
    pairs = [*vocab.items(), *((token["content"], token.get("id")) for token in added)]
    for token, number in pairs:
        if type(number) is not int or not 0 <= number <= LARGEST_ID:
            raise ValueError(
                f"{path} is not a usable tokenizer: {shortened(token)} has the id {shortened(number)}, and an id is a "
                f"whole number from 0 to {LARGEST_ID}."
            )
        if owner.setdefault(number, token) != token:
            raise ValueError(
                f"{path} is not a usable tokenizer: {shortened(owner[number])} and {shortened(token)} have the same id "
                f"{number}: give each its own."
            )
