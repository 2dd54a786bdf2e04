"""The tokenizer's files, each kind that stands beside a GPT-2, and the fields of its side files."""

import json
from pathlib import Path
from typing import Any

from tests.oracle import vocabularies
from tests.oracle.draws import Case
from tests.oracle.vocabularies import END, added

EXTRA = ["<extra_0>", "<extra_1>"]
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
FAST = ["PreTrainedTokenizerFast", "TokenizersBackend"]

PLAIN = {
    "add_prefix_space": lambda c: c.pick([True, False]),
    "bos_token": lambda c: c.pick([END, "the", "<s>"]),
    "eos_token": lambda c: c.pick([END, "the", "<|im_end|>"]),
    "unk_token": lambda c: c.pick([END, None]),
    "pad_token": lambda c: c.pick([END, "<pad>", None]),
    "model_max_length": lambda c: c.pick([24, 1024, 10**30]),
    "padding_side": lambda c: c.pick(["left", "right"]),
    "truncation_side": lambda c: c.pick(["left", "right"]),
    "clean_up_tokenization_spaces": lambda c: c.pick([True, False]),
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": lambda c: c.pick([True, False]),
    "chat_template": lambda c: TEMPLATE,
    "tokenizer_class": lambda c: c.pick(["GPT2Tokenizer", "GPT2TokenizerFast", *FAST]),
    "additional_special_tokens": lambda c: EXTRA[: c.pick([1, 2])],
    "extra_special_tokens": lambda c: c.pick([EXTRA, {"image_token": "<image>"}]),
    "errors": lambda c: c.pick(["replace", "ignore"]),
    "name_or_path": lambda c: "someone/some-model",
    "special_tokens_map_file": lambda c: None,
    "add_bos_token": lambda c: c.pick([True, False]),
    "add_eos_token": lambda c: c.pick([True, False]),
    "split_special_tokens": lambda c: c.pick([True, False]),
    "mask_token": lambda c: "<mask>",
    "a_setting_of_their_own": lambda c: c.pick([1, None, ["x"]]),
}
ODD = ("bert metaspace class holes larger pretokenizer normalizer truncation merges auto_map wrong dropout").split()
OFTEN = ("add_prefix_space", "eos_token", "pad_token", "tokenizer_class", "additional_special_tokens")


def token(c: Case, content: str) -> Any:
    """A token as side files write it: a text, or a text with its flags."""
    flags = {"lstrip": c.chance(0.3), "rstrip": False, "normalized": c.chance(0.5), "single_word": False}
    return content if c.chance(0.5) else {"content": content, "__type": "AddedToken", **flags}


def side_files(c: Case, size: int, directory: Path) -> None:
    """tokenizer_config.json, special_tokens_map.json, added_tokens.json, chat_template.jinja: each may be there."""
    config: dict[str, Any] = {}
    if c.chance(0.65):
        config = c.draw("tokenizer_config", PLAIN, 0.09)
        config |= c.draw("tokenizer_config", {name: PLAIN[name] for name in OFTEN}, 0.15)
        for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
            if config.get(name):
                config[name] = token(c, config[name])
        if c.chance(0.2):
            c.note("tokenizer_config", "added_tokens_decoder", True)
            names = [END, "<|im_start|>", "<|im_end|>", "<pad>"][: c.pick([1, 3, 4])]
            entries = [added(size - 1 + i, name, special=i < 3) for i, name in enumerate(names)]
            config["added_tokens_decoder"] = {str(entry.pop("id")): entry for entry in entries}
        c.write("tokenizer_config.json", config, directory)
        c.note("tokenizer_config", "(the file)", True)
    if c.chance(0.2):
        values = {"bos_token": END, "eos_token": c.pick([END, "<|im_end|>"]), "pad_token": c.pick([END, "<pad>"])}
        chosen: dict[str, Any] = {name: value for name, value in values.items() if c.chance(0.6)}
        if c.chance(0.4):
            chosen["additional_special_tokens"] = EXTRA
        for name in chosen:
            c.note("special_tokens_map", name, chosen[name])
        c.note("special_tokens_map", "(the file)", True)
        c.write("special_tokens_map.json", chosen, directory)
    if c.chance(0.15):
        c.note("added_tokens", "(the file)", True)
        c.write("added_tokens.json", {"<pad>": size, "<|im_end|>": size + 1}, directory)
    if c.chance(0.1):
        c.note("tokenizer", "chat_template.jinja", True)
        c.write("chat_template.jinja", TEMPLATE, directory)


def byte_level_files(c: Case, directory: Path, kinds: list[str]) -> dict[str, Any]:
    """Write tokenizer.json, or vocab.json and merges.txt, or both; the content as tokenizer.json has it."""
    kind = c.pick(kinds)
    c.note("tokenizer", kind, True)
    content = json.loads(vocabularies.byte_level())
    if kind != "vocab.json and merges.txt":
        c.write("tokenizer.json", content, directory)
    if kind != "tokenizer.json":
        write_slow(c, content, directory)
    return content


def write_slow(c: Case, content: dict[str, Any], directory: Path) -> None:
    c.write("vocab.json", content["model"]["vocab"], directory)
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in content["model"]["merges"]]
    head = "#version: 0.2\n" if c.chance(0.8) else ""
    c.write("merges.txt", head + "\n".join(merges) + c.pick(["", "\n"]), directory)


def draw_tokenizer(c: Case, odd: list[str]) -> int:
    """Write a tokenizer into the base; the size of vocabulary that config.json should say."""
    odd = next(([name] for name in odd if name in ("bert", "metaspace")), odd)  # these have files of their own
    c.odd += [f"tokenizer.{name}" for name in odd]
    for name in odd:
        c.note("tokenizer", f"{name} (odd)", True)
    if odd in (["bert"], ["metaspace"]):
        return other_family(c, odd[0])
    kinds = ["tokenizer.json", "vocab.json and merges.txt", "tokenizer.json, vocab.json and merges.txt"]
    content = byte_level_files(c, c.base, kinds)
    size = len(content["model"]["vocab"])
    side_files(c, size, c.base)
    for name in odd:
        size = spoil(c, name, content, size)
    highest = max([size - 1, *content["model"]["vocab"].values(), *(t["id"] for t in content["added_tokens"])])
    room = c.pick([8, 8, 8, 50])  # side files add up to eight tokens
    if room > 8:
        c.note("tokenizer", "rows without a token", True)
    return highest + 1 + room if "larger" not in odd else highest - 5


def spoil(c: Case, name: str, content: dict[str, Any], size: int) -> int:
    path = c.base / "tokenizer_config.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    c.hints += {
        "class": ["tokenizer_class"],
        "holes": ["vocab"],
        "larger": ["vocab_size", "vocabulary"],
        "pretokenizer": ["pre_tokenizer", "decoder"],
        "normalizer": ["normalizer"],
        "truncation": ["truncation", "padding"],
        "merges": ["merges"],
        "auto_map": ["auto_map"],
        "wrong": ["tokenizer_config"],
        "dropout": ["dropout", "byte_fallback", "ignore_merges", "unk_token", "continuing_subword_prefix"],
    }[name]
    if name == "class":
        config["tokenizer_class"] = c.pick(["BertTokenizer", "LlamaTokenizer", "CLIPTokenizer", "OwnTokenizer", None])
    elif name == "auto_map":
        config["auto_map"] = {"AutoTokenizer": ["tok.Own", None]}
    elif name == "wrong":
        wrong = [
            {"eos_token": 5},
            {"eos_token": ["a"]},
            {"pad_token": {"content": 3}},
            {"add_prefix_space": "yes"},
            {"model_max_length": "long"},
            {"added_tokens_decoder": {"x": {"content": "<x>"}}},
            {"added_tokens_decoder": {str(size + 40): {"content": "<far>"}}},
            {"added_tokens_decoder": {"5": {"content": "<five>", "special": True}}},
            {"additional_special_tokens": "<one>"},
            {"extra_special_tokens": [3]},
            {"padding_side": "middle"},
        ]
        changes = c.pick(wrong)
        config |= changes
        c.hints += list(changes)
    elif name == "holes":
        content["model"]["vocab"]["qqq"] = size + 3
        size += 4
    elif name == "pretokenizer":
        kinds = [
            {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
            {
                "pre_tokenizer": {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": False,
                }
            },
            {"pre_tokenizer": {"type": "Whitespace"}},
            {"decoder": None},
        ]
        content |= c.pick(kinds)
    elif name == "normalizer":
        content["normalizer"] = {"type": c.pick(["NFC", "Lowercase", "NFKC"])}
    elif name == "truncation":
        content["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
        if c.chance(0.5):
            pad = {"pad_id": 0, "pad_type_id": 0, "pad_token": "!", "pad_to_multiple_of": 8, "direction": "Right"}
            content["padding"] = {"strategy": "BatchLongest", **pad}
    elif name == "merges":
        content["model"]["merges"] = content["model"]["merges"][: c.pick([0, 20])]
    elif name == "dropout":
        content["model"] |= c.pick(
            [{"dropout": 0.5}, {"ignore_merges": True}, {"unk_token": "<|endoftext|>"}, {"byte_fallback": True}]
        )
    if config or path.exists():
        c.write(path.name, config)
    if (c.base / "tokenizer.json").exists():
        c.write("tokenizer.json", content)
    if (c.base / "vocab.json").exists():
        write_slow(c, content, c.base)
    if name == "merges" and c.chance(0.3):
        (c.base / "merges.txt").unlink(missing_ok=True)
    return size


def other_family(c: Case, name: str) -> int:
    """vocab.txt of the BERT kind, as Chinese GPT-2s have, or a Unigram tokenizer.json whose words begin with "▁"."""
    config: dict[str, Any] = {}
    c.hints += ["vocab.txt", "tokenizer.json", "tokenizer_class", "Unigram", "Metaspace", "pre_tokenizer"]
    if name == "bert":
        words = list(vocabularies.word_piece())
        c.write("vocab.txt", "\n".join(words) + "\n")
        config = {"tokenizer_class": c.pick(["BertTokenizer", "BertTokenizer", "BertTokenizerFast", None])}
        if c.chance(0.5):
            config["do_lower_case"] = c.pick([True, False])
        if c.chance(0.3):
            config["strip_accents"] = c.pick([True, False])
        if c.chance(0.3):
            config["tokenize_chinese_chars"] = c.pick([True, False])
    else:
        content = json.loads(vocabularies.metaspace())
        words = [word for word, _ in content["model"]["vocab"]]
        scheme = c.pick(["always", "first", "never"])
        content["pre_tokenizer"]["prepend_scheme"] = content["decoder"]["prepend_scheme"] = scheme
        c.write("tokenizer.json", content)
        config = {"tokenizer_class": c.pick([*FAST, "PreTrainedTokenizerFast", None]), "eos_token": "</s>"}
    config |= c.draw("tokenizer_config", {"clean_up_tokenization_spaces": lambda c: c.pick([True, False])}, 0.4)
    if config["tokenizer_class"] is None:
        del config["tokenizer_class"]
    if config or c.chance(0.5):
        c.write("tokenizer_config.json", config)
    return len(words) + 12
