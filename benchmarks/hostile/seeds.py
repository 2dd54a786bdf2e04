"""Tiny checkpoints of every kind that is read, as the seeds of mutations.

In: a directory. Out: a sound checkpoint of each kind in it, all of one model with 2 blocks.
"""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from gpt2.checkpoint.adapter import lora_adapter, write_adapter
from gpt2.checkpoint.files import save
from gpt2.checkpoint.llmc import HEADER
from gpt2.checkpoint.weights import CONV1D
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

WIDTH, ROWS, CONTEXT = 8, 300, 16
GENERAL = {"tokenizer_class": "PreTrainedTokenizerFast"}
WORDS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "the", "cat", "##s", "a", "b", "c", "##a", "##t"]


def model(rows: int = ROWS) -> GPT2:
    """A GPT-2 with fresh weights."""
    torch.manual_seed(0)
    return GPT2(GPT2Config(rows, CONTEXT, WIDTH, n_layer=2, n_head=2)).eval()


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _whole(place: Path) -> Path:
    words = Tokenizer.train(["the cats sat on the mat and the dog sat on the log"] * 4, 290)
    return save(model(words.vocab_size), words, place)


def _pair(place: Path) -> None:
    """vocab.json and merges.txt, and every file that may stand beside them."""
    (_whole(place) / "tokenizer.json").unlink()
    _write(place / "special_tokens_map.json", {"eos_token": "<|endoftext|>", "pad_token": {"content": "<pad>"}})
    _write(place / "added_tokens.json", {"<pad>": 290})
    _write(place / "generation_config.json", {"eos_token_id": [256], "temperature": 0.7, "max_length": 9})


def _general(model_: dict[str, object], **parts: object) -> Callable[[Path], None]:
    """A tokenizer.json of another kind."""

    def make(place: Path) -> None:
        save(model(), None, place)
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        token = {"id": 0, "content": "<s>", "special": True, **flags}
        content: dict[str, object] = dict.fromkeys(("normalizer", "pre_tokenizer", "post_processor", "decoder"))
        content |= {"version": "1.0", "added_tokens": [token], "model": model_}
        _write(place / "tokenizer.json", content | parts)
        _write(place / "tokenizer_config.json", GENERAL | {"eos_token": "<s>"})

    return make


def _words(place: Path) -> None:
    save(model(), None, place)
    (place / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    _write(place / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})


def _shards(place: Path) -> None:
    whole = _whole(place) / "model.safetensors"
    tensors = load_file(whole)
    names = sorted(tensors)
    index: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, place / file)
        index |= dict.fromkeys(part, file)
    whole.unlink()
    _write(place / "model.safetensors.index.json", {"metadata": {}, "weight_map": index})


def _bin(place: Path) -> None:
    whole = _whole(place) / "model.safetensors"
    torch.save(load_file(whole), place / "pytorch_model.bin")
    whole.unlink()


def _nanogpt(place: Path) -> None:
    place.mkdir()
    letters = sorted("abcdefgh tsi\n.")
    made = model(len(letters))
    config = made.config
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": WIDTH, "block_size": CONTEXT, "vocab_size": config.vocab_size}
    arguments = {**sizes, "bias": True, "dropout": 0.0}
    torch.save({"model": made.state_dict(), "model_args": arguments, "iter_num": 3}, place / "ckpt.pt")
    meta = {"vocab_size": len(letters), "itos": dict(enumerate(letters)), "stoi": {c: i for i, c in enumerate(letters)}}
    (place / "meta.pkl").write_bytes(pickle.dumps(meta))


def _llmc(place: Path) -> None:
    made = model(257)
    Tokenizer.bytes().save(place)
    config, state = made.config, made.state_dict()
    numbers = [20240326, 3, CONTEXT, config.vocab_size, 2, 2, WIDTH, 384]
    data = np.zeros(HEADER, "<i4")
    data[: len(numbers)] = numbers
    padded = torch.zeros(384, WIDTH)
    padded[: config.vocab_size] = state["transformer.wte.weight"]
    parts = [padded, state["transformer.wpe.weight"]]
    for part in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"):
        parts += [state[f"transformer.h.{layer}.{part}.{kind}"] for kind in ("weight", "bias") for layer in range(2)]
    parts += [state["transformer.ln_f.weight"], state["transformer.ln_f.bias"]]
    (place / "model.bin").write_bytes(data.tobytes() + b"".join(p.contiguous().numpy().tobytes() for p in parts))


def _adapter(place: Path) -> None:
    base = place.with_name("base_of_adapter")
    _whole(base)
    name = "transformer.h.0.attn.c_attn"
    assert CONV1D.search(f"{name}.weight")
    write_adapter(lora_adapter(str(base), 2, 4.0, {name: (torch.ones(2, WIDTH), torch.ones(3 * WIDTH, 2))}), place)


_METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
_LETTERS = {letter: i for i, letter in enumerate(["<s>", "▁", *"abcdehilnorst"])}
_UNIGRAM: dict[str, object] = {
    "type": "Unigram",
    "unk_id": 0,
    "vocab": [[letter, -float(i)] for letter, i in _LETTERS.items()],
}
_MERGES = [["▁", "a"], ["t", "h"]]
_BPE: dict[str, object] = {
    "type": "BPE",
    "vocab": _LETTERS | {"▁a": 15, "th": 16},
    "merges": _MERGES,
    "unk_token": "<s>",
}
_TEMPLATE = {
    "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                             {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
}  # fmt: skip
_SPLIT = {"type": "Split", "pattern": {"Regex": r"\s?\w+|\s+"}, "behavior": "Isolated", "invert": False}

KINDS: dict[str, Callable[[Path], object]] = {
    "byte-level tokenizer.json": _whole,
    "vocab.json and merges.txt": _pair,
    "BERT's vocab.txt": _words,
    "Unigram": _general(_UNIGRAM, pre_tokenizer=_METASPACE, decoder=_METASPACE),
    "BPE with a template": _general(_BPE, normalizer={"type": "NFC"}, pre_tokenizer=_METASPACE, decoder=_METASPACE,
                                    post_processor=_TEMPLATE),
    "BPE with a pattern": _general(_BPE, pre_tokenizer=_SPLIT, decoder={"type": "Fuse"}),
    "shards": _shards,
    "pytorch_model.bin": _bin,
    "nanoGPT and characters": _nanogpt,
    "llm.c": _llmc,
    "adapter": _adapter,
}  # fmt: skip


def make_seeds(folder: Path) -> dict[str, Path]:
    """Write a checkpoint of each kind; the kind and its directory."""
    places = {}
    for number, (kind, make) in enumerate(KINDS.items()):
        places[kind] = folder / f"seed{number}"
        make(places[kind])
    return places
