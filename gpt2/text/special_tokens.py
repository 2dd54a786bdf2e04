"""The tokens that a tokenizer's files add to its vocabulary, in the order and with the ids of transformers.

In: what tokenizer_config.json, special_tokens_map.json, added_tokens.json and tokenizer.json say. Out: the same tokens
in a `tokenizers.Tokenizer`, and the names that the files give them ("eos_token" -> "<|endoftext|>").

The rule is that of transformers 5.24. A token that the vocabulary lacks gets the next free id, whatever id a file gives
it. tokenizer_config.json's `added_tokens_decoder` replaces special_tokens_map.json and added_tokens.json; without it,
special_tokens_map.json wins over tokenizer_config.json. Read next: assembled.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.base.fields import shortened
from gpt2.text.tokenizer_class import DEFAULT_TOKENS, Kind

if TYPE_CHECKING:
    import tokenizers

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
FLAGS = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
EXTRA = ("extra_special_tokens", "additional_special_tokens")


@dataclass(frozen=True)
class Named:
    """What the files name.

    tokens    "eos_token" and its like -> the token's text, those that the class names by itself included
    explicit  the keys of `tokens` that a file names
    special   the texts of the added tokens that a file calls special, be it once among several entries
    added     the flags of the tokens that were added, in their order
    options   tokenizer_config.json as the class gets it, with what special_tokens_map.json adds
    """

    tokens: dict[str, str]
    explicit: frozenset[str]
    special: frozenset[str]
    added: tuple[dict[str, Any], ...]
    options: dict[str, Any] = field(default_factory=dict)


def add_special_tokens(
    library: "tokenizers.Tokenizer",
    kind: Kind,
    folder: Path,
    settings: Mapping[str, Any],
    names: Mapping[str, Any],
    later: Mapping[str, Any],
    in_json: Iterable[Mapping[str, Any]],
    pad_token: Any = None,
) -> Named:
    """Add to `library` every token that the files name.

    settings   tokenizer_config.json
    names      special_tokens_map.json
    later      added_tokens.json
    in_json    `added_tokens` of tokenizer.json
    pad_token  the one that tokenizer.json pads with, which counts where it is read as it is and no file names one

    Raises ValueError naming file and field for what is no token.
    """
    config_file, names_file = folder / "tokenizer_config.json", folder / "special_tokens_map.json"
    options = {key: value for key, value in settings.items() if key != "tokenizer_class"}
    if EXTRA[1] in options and not options.get(EXTRA[0]):
        options[EXTRA[0]] = options.pop(EXTRA[1])
    own = {key: options.pop(key) for key in list(options) if _is_own(key) and isinstance(options[key], str)}
    if isinstance(options.get(EXTRA[0]), dict):
        own |= options.pop(EXTRA[0])
    added: dict[int, tokenizers.AddedToken] = {}
    known: dict[str, tokenizers.AddedToken] = {}
    if "added_tokens_decoder" in options:
        entries = options["added_tokens_decoder"]
        if not isinstance(entries, dict):
            raise ValueError(f"{config_file}: added_tokens_decoder is {shortened(entries)}, and must be an object.")
        for number, entry in entries.items():
            if not isinstance(entry, dict) or not str(number).strip().lstrip("+-").isdecimal():
                raise ValueError(
                    f"{config_file}: added_tokens_decoder holds {shortened({number: entry})}: it must map an id to a "
                    "token with its content."
                )
            added[int(number)] = _token(entry, config_file, "added_tokens_decoder")
    else:
        own |= _take_names(options, names, names_file)
        called = {str(options[key]) for key in NAMED if options.get(key)} | set(map(str, options.get(EXTRA[0]) or []))
        added |= _later_tokens(later, called, folder / "added_tokens.json")
        known = {str(token): token for token in added.values()}  # also of an id that tokenizer.json gives to another
        for entry in in_json:
            flags = {key: value for key, value in entry.items() if key != "id"}
            added[int(entry["id"])] = _token(flags, folder / "tokenizer.json", "added_tokens")
    if kind == "file" and pad_token is not None:
        options.setdefault("pad_token", pad_token)
    known |= {str(token): token for token in added.values()}
    tokens: dict[str, Any] = {}
    explicit = {key for key in NAMED if options.get(key) is not None}
    for key in NAMED:
        value = options.get(key, DEFAULT_TOKENS[kind].get(key))
        if value is not None:
            tokens[key] = _text_or_token(value, config_file, key)
            if key in options:
                tokens[key] = known.get(str(tokens[key]), tokens[key])
    own = {key: options[key] for key in options if _is_own(key) and isinstance(options[key], (str, dict))} | own
    tokens |= {key: _text_or_token(value, config_file, key) for key, value in own.items()}
    extra = options.get(EXTRA[0], options.get(EXTRA[1]))
    if extra is not None and not isinstance(extra, (list, tuple)):
        raise ValueError(f"{config_file}: {EXTRA[0]} is {shortened(extra)}, and must be a list of tokens.")
    more = [_text_or_token(value, config_file, EXTRA[0]) for value in extra or []]
    before = list(library.get_added_tokens_decoder().values())
    ready = _in_order(before, [added[i] for i in sorted(added)], tokens, more)
    if ready:
        library.add_tokens(ready)
    special = {str(token) for token in [*before, *ready] if token.special}
    return Named(
        {key: str(token) for key, token in tokens.items()},
        frozenset(explicit | own.keys()),
        frozenset(special),
        tuple(token.__getstate__() for token in ready),
        options,
    )


def _take_names(options: dict[str, Any], names: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Put special_tokens_map.json over the options; returned are tokens with names of their own."""
    for key, given in names.items():
        value = given
        if isinstance(value, dict) and key != EXTRA[0]:
            value = _token(value | {"special": True}, file, key)
        elif isinstance(value, list) and key == EXTRA[0]:
            value = list(options.get(key) or [])
            for one in given:
                token = _token(one | {"special": True}, file, key) if isinstance(one, dict) else one
                if not any(token is old or (type(token) is type(old) and token == old) for old in value):
                    value.append(token)
        options[key] = value
    extra = options.get(EXTRA[0])
    return options.pop(EXTRA[0]) if isinstance(extra, dict) else {}


def _later_tokens(later: Mapping[str, Any], special: set[str], file: Path) -> "dict[int, tokenizers.AddedToken]":
    from tokenizers import AddedToken

    found = {}
    for text, number in later.items():
        if type(number) is not int:
            raise ValueError(f"{file}: {shortened(text)} has the id {shortened(number)}: an id is a whole number.")
        is_special = text in special
        found[number] = AddedToken(text, normalized=not is_special, special=is_special)
    return found


def _in_order(
    before: "list[tokenizers.AddedToken]",
    added: "list[tokenizers.AddedToken]",
    tokens: dict[str, Any],
    extra: list[Any],
) -> "list[tokenizers.AddedToken]":
    """The tokens to add after those of `before`, in transformers' order: a token given twice counts twice."""
    from tokenizers import AddedToken

    there = {str(token) for token in [*before, *added]}
    adding: list[Any] = list(added)
    for token in [*tokens.values(), *extra]:
        if str(token) not in there and not any(type(token) is type(old) and token == old for old in adding):
            adding.append(token)
    named = {str(token) for token in tokens.values()}
    ready = []
    for token in adding:
        one = AddedToken(token, special=True) if isinstance(token, str) else token
        if not one.special and str(one) in named:
            one.special = True
        ready.append(one)
    return ready


def _is_own(key: str) -> bool:
    """A token with a name of the files' own, such as "image_token"."""
    return key.endswith("_token") and key not in NAMED


def _text_or_token(value: Any, file: Path, key: str) -> Any:
    return _token(value, file, key) if isinstance(value, dict) else _checked(value, file, key)


def _checked(value: Any, file: Path, key: str) -> Any:
    from tokenizers import AddedToken

    if isinstance(value, (str, AddedToken)):
        return value
    raise ValueError(f"{file}: {key} is {shortened(value)}, which is no token: give its text.")


def _token(entry: Mapping[str, Any], file: Path, key: str) -> "tokenizers.AddedToken":
    from tokenizers import AddedToken

    flags = {name: value for name, value in entry.items() if name in FLAGS}
    try:
        if not isinstance(flags.get("content"), str):
            raise TypeError("its content must be a text")
        return AddedToken(**flags)
    except (TypeError, ValueError):
        raise ValueError(f"{file}: {key} holds {shortened(dict(entry))}, which is no token with its content.") from None
