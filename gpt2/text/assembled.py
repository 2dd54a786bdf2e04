"""A directory's files put together into one tokenizer, as `transformers.AutoTokenizer` (5.24) puts them together.

In: a directory with tokenizer.json, or GPT-2's pair vocab.json and merges.txt (OpenAI's own names for them:
encoder.json, vocab.bpe), or BERT's vocab.txt, and what stands beside. Out: the content of one tokenizer.json, the form
in which every tokenizer is held by `gpt2/text/tokenizer.py`, with what the files name. Read next: tokenizer.py.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.base.fields import check_fields, shortened
from gpt2.base.notes import note
from gpt2.text.side_files import LATER, NAMES, SETTINGS, SideFiles, read_side_files
from gpt2.text.special_tokens import Named, add_special_tokens
from gpt2.text.tokenizer_class import Kind, class_of
from gpt2.text.tokenizer_fields import TOKENIZER_CONFIG, TOKENIZER_JSON, is_token_name
from gpt2.text.tokenizer_files import (
    LAYOUTS,
    SENTENCEPIECE,
    WORD_LIST,
    gpt2_content,
    merges_of,
    read_json,
    read_merges,
    read_object,
    read_text,
)

if TYPE_CHECKING:
    import tokenizers

LARGEST_ID = 2**31 - 1


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
    check_fields(folder / SETTINGS, _without_own_tokens(settings), TOKENIZER_CONFIG)
    options = settings
    if "added_tokens_decoder" not in settings:
        check_fields(folder / NAMES, _without_own_tokens(names), TOKENIZER_CONFIG)
        options = {**settings, **names}
    whole = folder / "tokenizer.json"
    in_json = read_json(whole) if whole.is_file() else None
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    byte_level = b'"ByteLevel"' in side.kept.get("tokenizer.json", b"")
    kind, class_name = class_of(folder, settings, config if isinstance(config, dict) else {}, byte_level)
    if in_json is None:  # otherwise transformers leaves this to the file
        path, kind, content = _without_json(folder, kind, options)
    else:
        path = whole
        kind = chosen = kind or "file"
        content = _guarded(path, lambda: _from_json(whole, in_json, chosen, options))

    def put_together() -> Named:
        library = built(start)
        named = add_special_tokens(
            library, kind, folder, settings, names, read_object(folder / LATER),
            [] if in_json is None else in_json.get("added_tokens") or [],
            ((in_json or {}).get("padding") or {}).get("pad_token"),
        )  # fmt: skip
        content["added_tokens"] = [
            {"id": i, **token.__getstate__(), "special": token.content in named.special}
            for i, token in sorted(library.get_added_tokens_decoder().items())
        ]
        _check_ids(path, content)
        _put_around(library, kind, content, named, in_json is not None)
        return named

    _check_ids(path, content)
    start = content | {"added_tokens": content["added_tokens"] if kind == "file" else []}
    if not content["model"].get("vocab") and not content["added_tokens"]:
        raise ValueError(f"{path} is not a usable tokenizer: the tokenizer's vocabulary is empty.")
    named = _guarded(path, put_together)
    _tell_of_other_ids(folder, settings, content)
    return Assembled(path, content, start, kind, class_name, named, side)


def built(content: Mapping[str, Any]) -> "tokenizers.Tokenizer":
    """The tokenizer of a tokenizer.json's content. ValueError for what `tokenizers` cannot read."""
    from tokenizers import Tokenizer as Library

    try:
        return Library.from_str(json.dumps(content))
    except Exception as error:  # the library raises plain Exception
        raise ValueError(f"`tokenizers` cannot read it ({error})") from None


def _guarded(path: Path, work: Callable[[], Any]) -> Any:
    """What `work` returns; what goes wrong in it becomes a sentence with the file's name."""
    try:
        return work()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it lacks a part or holds a wrong one"
        if str(path.parent) in reason:
            raise
        raise ValueError(f"{path} is not a usable tokenizer: {reason.rstrip('.')}.") from None


def _without_json(folder: Path, kind: Kind | None, options: Mapping[str, Any]) -> tuple[Path, Kind, dict[str, Any]]:
    """The tokenizer of a directory without a tokenizer.json: the vocabulary's file, its kind and its content."""
    words = folder / WORD_LIST
    if kind == "bert" and words.is_file():
        return words, kind, _guarded(words, lambda: _from_words(words, options))
    for vocab, merges in ((folder / one, folder / other) for one, other in LAYOUTS):
        if vocab.is_file() and merges.is_file():
            if kind in ("bert", "file"):
                raise ValueError(
                    f"{folder}: {vocab.name} and {merges.name} are GPT-2's, but tokenizer_class names another kind, "
                    "which reads tokenizer.json: name GPT2Tokenizer in tokenizer_config.json, or put the file there."
                )
            entries, pairs = read_json(vocab), list(read_merges(merges))
            if not isinstance(entries, dict):
                raise ValueError(f"{vocab} is not a vocabulary: it must map each token to its id.")
            content = gpt2_content(entries, pairs, _flag(folder, options, "add_prefix_space", False))
            return vocab, kind or "gpt2", content
    if words.is_file():
        raise ValueError(
            f"{words} is read only where tokenizer_class names BertTokenizer: put "
            '{"tokenizer_class": "BertTokenizer"} into tokenizer_config.json if the model was trained with it.'
        )
    for name in SENTENCEPIECE:
        if (folder / name).is_file():
            raise ValueError(
                f"{folder / name} is a SentencePiece model, which is not read here: install sentencepiece, open the "
                "directory with transformers' AutoTokenizer and save its backend_tokenizer as tokenizer.json there, "
                "with tokenizer_class PreTrainedTokenizerFast in tokenizer_config.json."
            )
    raise ValueError(f"{folder} has no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt.")


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
        return _words_content(path.parent, model["vocab"], options)
    made = gpt2_content(model["vocab"], merges_of(model), _flag(path.parent, options, "add_prefix_space", False))
    return made | {"post_processor": content.get("post_processor")}


def _from_words(path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    from tokenizers import models

    read_text(path)
    return _words_content(path.parent, models.WordPiece.read_file(str(path)), options)


def _words_content(folder: Path, vocab: dict[str, int], options: Mapping[str, Any]) -> dict[str, Any]:
    """The `tokenizer.json` of BERT's WordPiece (Devlin et al. 2019)."""
    unknown = options.get("unk_token", "[UNK]")
    unknown = unknown.get("content") if isinstance(unknown, dict) else unknown
    if not isinstance(unknown, str):
        raise ValueError(f"{folder / SETTINGS}: unk_token is {shortened(unknown)}, and BERT's words need one.")
    strip = options.get("strip_accents")
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": _flag(folder, options, "tokenize_chinese_chars", True),
            "strip_accents": None if strip is None else _flag(folder, options, "strip_accents", False),
            "lowercase": _flag(folder, options, "do_lower_case", True),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    }  # fmt: skip


def _flag(folder: Path, options: Mapping[str, Any], name: str, default: bool) -> bool:
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{folder / SETTINGS}: {name} is {shortened(value)}, and must be true or false.")
    return value


def _put_around(
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
        flags = [_flag(Path(), named.options, *flag) for flag in (("trim_offsets", True), ("add_prefix_space", False))]
        made = processors.RobertaProcessing(number("sep_token"), number("cls_token"), *flags)
    elif not from_json:
        ends = [key for key in ("bos_token", "eos_token") if named.options.get(f"add_{key}") and key in named.tokens]
        if ends:
            parts = [f"{named.tokens[key]}:0" for key in ends]
            parts.insert(1 if ends[0] == "bos_token" else 0, "$A:0")
            made = processors.TemplateProcessing(" ".join(parts), None, [number(key) for key in ends])
    if made is not None:
        content["post_processor"] = json.loads(made.__getstate__())


def _check_ids(path: Path, content: Mapping[str, Any]) -> None:
    """Raise ValueError for an id that is no row of a table, and for two tokens with one id."""
    vocab = content["model"].get("vocab")
    if not isinstance(vocab, dict):
        return
    owner: dict[int, str] = {}
    pairs = [*vocab.items(), *((token["content"], token.get("id")) for token in content["added_tokens"])]
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


def _tell_of_other_ids(folder: Path, settings: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Say which tokens have another id than the files beside the vocabulary give them, as they have in transformers."""
    ids = {token["content"]: token["id"] for token in content["added_tokens"]}
    entries = settings.get("added_tokens_decoder")
    if entries is not None:
        given = [(entry["content"], int(number), SETTINGS) for number, entry in entries.items()]
    else:
        given = [(text, number, LATER) for text, number in read_object(folder / LATER).items()]
    for text, number, file in given:
        if ids.get(text, number) != number:
            note(
                f"{folder / file}: {shortened(text)} has the id {number} there, but {ids[text]} follows from the "
                "vocabulary and is what transformers and this tokenizer use."
            )
            return


def _without_own_tokens(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if not is_token_name(name)}
