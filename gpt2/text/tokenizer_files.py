"""What a directory says of its tokenizer, beside the vocabulary: its files, its class, its names, its ends.

In: a directory. Out: the texts and objects in its files, or one sentence that says what is wrong with them; which of
transformers' classes reads them, by the rule of `AutoTokenizer.from_pretrained` (5.24), and so which fields count; and
which token ends a text, stands before one and fills up short rows. `gpt2/text/assembled.py` puts it together: read it
next.
"""

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from gpt2.base.foreign import panics_are_errors, parse_json, shortened
from gpt2.base.lfs import FIRST_LINE, refuse_pointer
from gpt2.text.byte_level import EOT

LAYOUTS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
WORD_LIST = "vocab.txt"
SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model")
SETTINGS, NAMES, LATER = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
TEMPLATES = "additional_chat_templates"
CARRIED = (NAMES, LATER, "chat_template.jinja", "chat_template.json")

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
FLAGS = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
EXTRA = ("extra_special_tokens", "additional_special_tokens")

Made = TypeVar("Made")
Kind = Literal["gpt2", "roberta", "bert", "file"]
"""What a class makes of tokenizer.json: "file" takes it as it is; the others take its vocabulary and merges alone, and
set normaliser, split and decoder themselves (`add_prefix_space`, `do_lower_case`, ... of tokenizer_config.json)."""

READ: dict[str, Kind] = {
    "GPT2Tokenizer": "gpt2",
    **dict.fromkeys(("RobertaTokenizer", "BartTokenizer", "LEDTokenizer", "MvpTokenizer"), "roberta"),
    **dict.fromkeys(("BertTokenizer", "LxmertTokenizer", "MobileBertTokenizer", "SqueezeBertTokenizer"), "bert"),
    **dict.fromkeys(("PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend"), "file"),
}
WRITTEN: dict[Kind, str] = {
    "gpt2": "GPT2Tokenizer", "roberta": "RobertaTokenizer", "bert": "BertTokenizer", "file": "PreTrainedTokenizerFast",
}  # fmt: skip
DEFAULT_TOKENS: dict[Kind, dict[str, str]] = {
    "gpt2": {"bos_token": EOT, "eos_token": EOT, "unk_token": EOT},
    "roberta": {
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>",
        "cls_token": "<s>", "mask_token": "<mask>",
    },
    "bert": {
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
    },
    "file": {},
}  # fmt: skip
"""The tokens that a class names where its files name none."""

# Classes of transformers 5.24 with rules of their own. A name that transformers does not know means "file".
OTHER_CLASSES = frozenset(
    f"{name}Tokenizer"
    for name in (
        "Albert Barthez Bartpho Basic BertGeneration BertJapanese Bertweet BigBird BioGpt BlenderbotSmall "
        "Blenderbot ByT5 CLIP CTRL Camembert Canine Character Clvp CodeGen CodeLlama Cohere ConvBert CpmAnt "
        "Cpm DPRContextEncoder DPRQuestionEncoder DPRReader Deberta DebertaV2 Dia DistilBert Esm Esmc FNet "
        "FSMT FastSpeech2Conformer Flaubert Funnel GPTNeoXJapanese GPTNeoX GPTSw3 Gemma Herbert Lasr "
        "LayoutLMv2 LayoutLMv3 LayoutXLM Llama Luke M2M100 MBart50 MBart MLuke MPNet Marian MarkupLM Mecab "
        "Mgpstr MyT5 Nllb Nougat OpenAIGPT PLBart Parakeet Pegasus Perceiver Phobert Pop2Piano ProphetNet "
        "Qwen2 Qwen3_5 Rag Reformer RemBert RoCBert RoFormer SeamlessM4T Siglip2 Siglip Speech2Text SpeechT5 "
        "Splinter T5 Tapas Tipsv2 Udop VideoPrism Vits Wav2Vec2CTC Wav2Vec2PhonemeCTC Whisper Wordpiece XGLM "
        "XLMRoberta XLM XLNet"
    ).split()
) | {"BertTokenizerLegacy", "PreTrainedTokenizerBase", "MistralCommonBackend", "SentencePieceBackend"}


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


@dataclass(frozen=True)
class SideFiles:
    """What stands beside a vocabulary, so that a saved tokenizer loses nothing of what transformers reads.

    settings  tokenizer_config.json, None where there is no such file
    kept      path within the directory -> bytes: every file of the tokenizer but tokenizer_config.json
    """

    settings: dict[str, Any] | None = None
    kept: dict[str, bytes] = field(default_factory=dict)


def has_tokenizer(folder: Path) -> bool:
    """Whether the directory holds the files of a tokenizer, of a kind that is read here or of one that is refused."""
    layouts = [("tokenizer.json",), *LAYOUTS, (WORD_LIST,), *((name,) for name in SENTENCEPIECE)]
    return any(all((folder / name).is_file() for name in names) for names in layouts)


def read_side_files(folder: Path) -> SideFiles:
    """The files beside a vocabulary, and those of the vocabulary that transformers would read."""
    names = ["tokenizer.json", *LAYOUTS[0], WORD_LIST, *CARRIED]
    names += [f"{TEMPLATES}/{path.name}" for path in sorted((folder / TEMPLATES).glob("*.jinja"))]
    kept = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    for name, data in kept.items():
        if data.startswith(FIRST_LINE):
            refuse_pointer(folder / name)
    settings = read_object(folder / SETTINGS) if (folder / SETTINGS).is_file() else None
    return SideFiles(settings, kept)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file. ValueError for anything else than an object."""
    value = read_json(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}, and must hold an object: fetch the tokenizer again.")
    return value


def read_text(path: Path) -> str:
    """A file's text. ValueError for what is not UTF-8, and for a byte order mark, which transformers refuses too."""
    data = path.read_bytes()
    if data.startswith(FIRST_LINE):
        refuse_pointer(path)
    for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if data.startswith(mark):
            raise ValueError(f"{path} begins with a byte order mark (BOM): save it as UTF-8 without one.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte {error.start}): fetch that file again.") from None


def read_json(path: Path) -> Any:
    """The value in a JSON file, whatever it is. ValueError naming the line for what is not JSON."""
    text = read_text(path)
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): fetch that file again.") from None


def read_merges(path: Path) -> list[tuple[str, str]]:
    """The pairs of a merges.txt, in order. ValueError naming the line for what is no pair."""
    lines = enumerate(read_text(path).split("\n"), start=1)
    pairs: list[Any] = []
    for number, line in lines:
        parts = tuple(line.rstrip("\r").split(" "))
        if len(parts) == 2 and line.strip() and not line.startswith("#version"):
            pairs.append(parts)
        elif line.strip() and not line.startswith("#version"):
            raise ValueError(f"{path}, line {number}: {shortened(line)} is not a merge of two tokens.")
    return pairs


def class_of(
    folder: Path, settings: Mapping[str, Any], config: Mapping[str, Any], byte_level_json: bool
) -> tuple[Kind | None, str | None]:
    """The kind that reads a directory's tokenizer (None: the files do not say), and the class that they name.

    settings         tokenizer_config.json
    config           config.json
    byte_level_json  whether tokenizer.json speaks of ByteLevel

    Raises ValueError naming file and class for one that is not read here.
    """
    named, file = settings.get("tokenizer_class"), "tokenizer_config.json"
    if not named and config.get("tokenizer_class"):
        named, file = config["tokenizer_class"], "config.json"
    if not named:
        return ("gpt2" if config.get("model_type") == "gpt2" else None), None
    if not isinstance(named, str):
        raise ValueError(f"{folder / file}: tokenizer_class is {shortened(named)}, and must be a name.")
    plain = named.removesuffix("Fast")
    if plain == "LlamaTokenizer" and byte_level_json:
        return "file", named
    if plain not in OTHER_CLASSES:
        return READ.get(named) or READ.get(plain, "file"), named
    raise ValueError(
        f"{folder / file}: tokenizer_class is {shortened(named)}, which is not read here: open the directory with "
        "transformers' AutoTokenizer, save its backend_tokenizer as tokenizer.json and name there "
        "'PreTrainedTokenizerFast'."
    )


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
    ends = {}
    for end in ("eos", "bos", "pad"):
        token, number = fields.get(f"{end}_token"), fields.get(f"{end}_token_id")
        number = number[0] if isinstance(number, list) and number else number
        found = ids.get(token) if isinstance(token, str) else number
        if type(found) is int and (isinstance(token, str) or found in ids.values()):
            ends[end] = found
    return ends


def _object(path: Path) -> dict[str, Any]:
    value = read_json(path) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def flag(folder: Path, options: Mapping[str, Any], name: str, default: bool) -> bool:
    """The option `name`. ValueError unless it is true or false."""
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{folder / SETTINGS}: {name} is {shortened(value)}, and must be true or false.")
    return value


def is_own_name(key: str) -> bool:
    """A token with a name of the files' own, such as "image_token"."""
    return key.endswith("_token") and key not in NAMED


def guarded(path: Path, work: Callable[[], Made]) -> Made:
    """What `work` returns; what goes wrong in it becomes a sentence with the file's name."""
    try:
        with panics_are_errors("`tokenizers` cannot read it"):
            return work()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it lacks a part or holds a wrong one"
        if str(path.parent) in reason:
            raise
        raise ValueError(f"{path} is not a usable tokenizer: {reason.rstrip('.')}.") from None
