"""The tokens that a tokenizer's files add to its vocabulary, in the order and with the ids of transformers.

In: what tokenizer_config.json, special_tokens_map.json, added_tokens.json and tokenizer.json say. Out: the same tokens
in a `tokenizers.Tokenizer`, and the names that the files give them ("eos_token" -> "<|endoftext|>").

The rule is that of transformers 5.24. A token that the vocabulary lacks gets the next free id, whatever id a file gives
it. tokenizer_config.json's `added_tokens_decoder` replaces special_tokens_map.json and added_tokens.json; without it,
special_tokens_map.json wins over tokenizer_config.json. Read next: assembled.py.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.base.foreign import off_the_terminal, panics_are_errors, plain_name, shortened
from gpt2.base.notes import note
from gpt2.text.tokenizer_files import (
    DEFAULT_TOKENS,
    EXTRA,
    FLAGS,
    LATER,
    NAMED,
    SETTINGS,
    Kind,
    Named,
    flag,
    is_own_name,
)

if TYPE_CHECKING:
    import tokenizers


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
    own = {key: options.pop(key) for key in list(options) if is_own_name(key) and isinstance(options[key], str)}
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
    own = {key: options[key] for key in options if is_own_name(key) and isinstance(options[key], (str, dict))} | own
    tokens |= {key: _text_or_token(value, config_file, key) for key, value in own.items()}
    extra = options.get(EXTRA[0], options.get(EXTRA[1]))
    if extra is not None and not isinstance(extra, (list, tuple)):
        raise ValueError(f"{config_file}: {EXTRA[0]} is {shortened(extra)}, and must be a list of tokens.")
    more = [_text_or_token(value, config_file, EXTRA[0]) for value in extra or []]
    before = list(library.get_added_tokens_decoder().values())
    ready = _in_order(before, [added[i] for i in sorted(added)], tokens, more)
    if ready:
        with off_the_terminal():
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


def _text_or_token(value: Any, file: Path, key: str) -> Any:
    return _token(value, file, key) if isinstance(value, dict) else _checked(value, file, key)


def _checked(value: Any, file: Path, key: str) -> Any:
    from tokenizers import AddedToken

    if isinstance(value, (str, AddedToken)):
        return value
    raise ValueError(f"{file}: {plain_name(key)} is {shortened(value)}, which is no token: give its text.")


def _token(entry: Mapping[str, Any], file: Path, key: str) -> "tokenizers.AddedToken":
    from tokenizers import AddedToken

    flags = {name: value for name, value in entry.items() if name in FLAGS}
    try:
        if not isinstance(flags.get("content"), str):
            raise TypeError("its content must be a text")
        return AddedToken(**flags)
    except (TypeError, ValueError):
        raise ValueError(
            f"{file}: {plain_name(key)} holds {shortened(dict(entry))}, which is no token with its content."
        ) from None


def put_around(
    library: "tokenizers.Tokenizer",
    kind: Kind,
    content: dict[str, Any],
    named: Named,
    from_json: bool,
) -> None:
    """Set the post-processor: what transformers puts before and after a text unless it is told not to."""
    from tokenizers import processors

    def number(key: str, default: int = 0) -> tuple[str, int]:
        token = named.tokens.get(key, "None")
        found = library.token_to_id(token)
        return token, default if found is None else found

    made: Any = None
    if kind == "bert":
        (cls, sep) = number("cls_token", 2), number("sep_token", 3)
        single = f"{cls[0]}:0 $A:0 {sep[0]}:0"
        made = processors.TemplateProcessing(single, f"{single} $B:1 {sep[0]}:1", [cls, sep])
    elif kind == "roberta":
        flags = [flag(Path(), named.options, *one) for one in (("trim_offsets", True), ("add_prefix_space", False))]
        made = processors.RobertaProcessing(number("sep_token"), number("cls_token"), *flags)
    elif not from_json:
        ends = [key for key in ("bos_token", "eos_token") if named.options.get(f"add_{key}") and key in named.tokens]
        if ends:
            parts = [f"{named.tokens[key]}:0" for key in ends]
            parts.insert(1 if ends[0] == "bos_token" else 0, "$A:0")
            made = processors.TemplateProcessing(" ".join(parts), None, [number(key) for key in ends])
    if made is not None:
        content["post_processor"] = json.loads(made.__getstate__())


def around_of(library: "tokenizers.Tokenizer", name: object) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the post-processor of `library` puts before and after those of a text.

    name   the tokenizer's file, for the sentence of a ValueError
    """
    with off_the_terminal(), panics_are_errors(f"{name}: `tokenizers` cannot put its special tokens around a text"):
        encoding = library.encode("a")
        alone = library.encode("a", add_special_tokens=False).ids
    for start in range(len(encoding.ids) - len(alone) + 1):
        end = start + len(alone)
        if encoding.ids[start:end] == alone and not any(encoding.special_tokens_mask[start:end]):
            return tuple(encoding.ids[:start]), tuple(encoding.ids[end:])
    return tuple(encoding.ids), ()


def tell_of_around(folder: Path, before: list[str], after: list[str]) -> None:
    """Say which tokens transformers puts around a text, and that they are left out here."""
    note(
        f"{folder}: for this tokenizer transformers puts special tokens around a text "
        f"({' '.join([*before, 'text', *after])}); here the model reads the text's own tokens alone."
    )


def tell_of_other_ids(
    folder: Path, settings: Mapping[str, Any], later: Mapping[str, Any], content: Mapping[str, Any]
) -> None:
    """Say which tokens have another id than the files beside the vocabulary give them, as they have in transformers."""
    ids = {token["content"]: token["id"] for token in content["added_tokens"]}
    entries = settings.get("added_tokens_decoder")
    if entries is not None:
        given = [(entry["content"], int(number), SETTINGS) for number, entry in entries.items()]
    else:
        given = [(text, number, LATER) for text, number in later.items()]
    for text, number, file in given:
        if ids.get(text, number) != number:
            note(
                f"{folder / file}: {shortened(text)} has the id {number} there, but {ids[text]} follows from the "
                "vocabulary and is what transformers and this tokenizer use."
            )
            return
