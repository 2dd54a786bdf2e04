"""The weights: random tensors in one of the layouts in which GPT-2s are found."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.oracle.draws import Case

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
Tensors = dict[str, Tensor]


def drop_one(c: Case, tensors: Tensors) -> Tensors:
    name = c.pick([name for name in tensors if "lm_head" not in name and "attn.bias" not in name])
    c.hints += [name, name.removeprefix("transformer.")]
    return {key: value for key, value in tensors.items() if key != name}


def reshape_one(c: Case, tensors: Tensors) -> Tensors:
    name = c.pick([name for name in tensors if name.endswith("weight")])
    c.hints += [name, name.removeprefix("transformer.")]
    return tensors | {name: tensors[name][..., :-1].contiguous()}


def transpose_one(c: Case, tensors: Tensors) -> Tensors:
    """One projection as `nn.Linear` has it; a square one looks right in either layout."""
    name = c.pick([name for name in tensors if name.endswith(("c_attn.weight", "c_fc.weight"))])
    c.hints += [name, name.removeprefix("transformer.")]
    return tensors | {name: tensors[name].t().contiguous()}


ODD = {
    "a tensor is missing": drop_one,
    "a tensor has another shape": reshape_one,
    "a tensor is transposed": transpose_one,
    "nested": lambda c, tensors: tensors,
    "non-finite": lambda c, tensors: tensors,
    "two prefixes": lambda c, tensors: {
        f"model.{name}" if not name.startswith("lm_head") else name: t for name, t in tensors.items()
    },
    "integer tensors": lambda c, tensors: {n: t.int() if n.endswith("wpe.weight") else t for n, t in tensors.items()},
}


def tensors_for(sizes: dict[str, Any], seed: int, scale: float = 0.3) -> Tensors:
    """Every tensor of a GPT-2 as transformers names it and lays it out, float32, none of them zero."""
    generator = torch.Generator().manual_seed(seed)
    width, inner = sizes["n_embd"], sizes["n_inner"]

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * scale

    tensors = {
        "transformer.wte.weight": random(sizes["vocab_size"], width),
        "transformer.wpe.weight": random(sizes["n_positions"], width),
        "transformer.ln_f.weight": 1 + random(width),
        "transformer.ln_f.bias": random(width),
    }
    for layer in range(sizes["n_layer"]):
        h = f"transformer.h.{layer}"
        for norm in ("ln_1", "ln_2"):
            tensors |= {f"{h}.{norm}.weight": 1 + random(width), f"{h}.{norm}.bias": random(width)}
        for name, into, out in (
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, inner),
            ("mlp.c_proj", inner, width),
        ):
            tensors |= {f"{h}.{name}.weight": random(into, out), f"{h}.{name}.bias": random(out)}
    tensors["lm_head.weight"] = random(sizes["vocab_size"], width)
    return tensors


def write_weights(c: Case, config: dict[str, Any], sizes: dict[str, Any], odd: list[str]) -> None:
    """Draw the tensors of these sizes and write them in a drawn layout into the case's base."""
    tensors = tensors_for(sizes, c.random.getrandbits(32))
    tied = config.get("tie_word_embeddings", True) is not False
    head = c.pick(["absent"] * 10 + ["equal"] * 7 + ["differing", "in place of wte"]) if tied else "own"
    c.note("weights", f"lm_head {head}", True)
    if head == "absent":
        del tensors["lm_head.weight"]
    elif head == "equal":
        tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()
    elif head == "in place of wte":
        del tensors["transformer.wte.weight"]
    extra(c, tensors, config)
    for name in odd:
        c.odd.append(f"weights.{name}")
        c.note("weights", name, True)
        tensors = ODD[name](c, tensors)
    dtype = c.pick(list(DTYPES))
    c.note("weights", dtype, True)
    tensors = {k: t.to(DTYPES[dtype]) if t.is_floating_point() else t for k, t in tensors.items()}
    if "non-finite" in odd:
        tensors["transformer.ln_f.bias"][0] = float("nan")
        c.hints += ["ln_f.bias", "finite"]
    bare = c.chance(0.35)
    if bare:
        c.note("weights", "no prefix", True)
        tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    c.hints += ["pytorch_model.bin", "model.safetensors", "lm_head.weight"] if odd else ["lm_head.weight"]
    write_files(c, tensors, nested="nested" in odd)


def extra(c: Case, tensors: Tensors, config: dict[str, Any]) -> None:
    """Tensors that a GPT-2 does not compute with: old masks, the heads of other tasks."""
    layers, width = truth_layers(tensors), tensors["transformer.wpe.weight"].shape[1]
    if c.chance(0.3):
        c.note("weights", "mask buffers", True)
        for layer in range(layers):
            tensors[f"transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 24, 24).tril().to(torch.uint8)
            if c.chance(0.5):
                tensors[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    if "Classification" in str(config.get("architectures")) and c.chance(0.7):
        c.note("weights", "score head", True)
        tensors["score.weight"] = torch.randn(2, width)
    if "DoubleHeads" in str(config.get("architectures")) and c.chance(0.7):
        c.note("weights", "multiple choice head", True)
        tensors["multiple_choice_head.summary.weight"] = torch.randn(1, width)
        tensors["multiple_choice_head.summary.bias"] = torch.randn(1)


def truth_layers(tensors: Tensors) -> int:
    return len({name.split(".")[2] for name in tensors if name.startswith("transformer.h.")})


def write_files(c: Case, tensors: Tensors, nested: bool) -> None:
    kind = c.pick(["safetensors", "safetensors", "bin", "old bin"]) if not nested else "bin"
    c.note("weights", kind, True)
    content: Any = tensors
    if nested:
        content = {c.pick(["model", "state_dict", "module"]): tensors, "epoch": 3}
    if not nested and c.chance(0.25):
        c.note("weights", f"sharded {kind}", True)
        write_shards(c, tensors, kind)
    else:
        write_file(c.base / ("model.safetensors" if kind == "safetensors" else "pytorch_model.bin"), content, kind)
    if kind == "safetensors" and c.chance(0.1):  # transformers prefers the other one
        c.note("weights", "another .bin beside", True)
        write_file(c.base / "pytorch_model.bin", {name: t + 1 for name, t in tensors.items()}, "bin")


def write_shards(c: Case, tensors: Tensors, kind: str) -> None:
    stem, ending = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    files = [f"{stem}-{i + 1:05d}-of-00003.{ending}" for i in range(3)]
    places = {name: c.pick(files) for name in tensors}
    for file in set(places.values()):
        write_file(c.base / file, {name: tensors[name] for name in tensors if places[name] == file}, kind)
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    c.write(f"{stem}.{ending}.index.json", {"metadata": {"total_size": total}, "weight_map": places})


def write_file(path: Path, tensors: Any, kind: str) -> None:
    if kind == "safetensors":
        save_file({name: t.contiguous() for name, t in tensors.items()}, path, metadata={"format": "pt"})
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "bin")
