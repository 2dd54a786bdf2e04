"""What the tests of checkpoints share: a model of transformers' with its logits, each layout of it, a model of ours."""

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor

from gpt2.config import GPT2Config
from gpt2.model import GPT2

SIZES = {"vocab_size": 257, "n_positions": 24, "n_embd": 32, "n_layer": 2, "n_head": 4}
MASK = "transformer.h.0.attn.bias"


class Reference(NamedTuple):
    """transformers' GPT-2, ids [3, 24] and its logits [3, 24, V] for them."""

    model: transformers.GPT2LMHeadModel
    ids: Tensor
    logits: Tensor


@functools.cache
def reference() -> Reference:
    """transformers' GPT-2 in float64 with every parameter random and non-zero."""
    config = transformers.GPT2Config(**SIZES, bos_token_id=256, eos_token_id=256)
    model = transformers.GPT2LMHeadModel(config).double().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4)
        ids = torch.randint(257, (3, 24), generator=generator)
        return Reference(model, ids, model(ids).logits)


def random_gpt2() -> GPT2:
    """A GPT2 with every parameter random."""
    model = GPT2(GPT2Config(**SIZES)).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def hub_format(directory: Path) -> Path:
    """Write the reference as transformers saves it: config.json, generation_config.json, model.safetensors."""
    reference().model.save_pretrained(directory)
    return directory


def only_config(directory: Path) -> Path:
    reference().model.config.save_pretrained(directory)
    return directory


def set_field(directory: Path, **fields: Any) -> Path:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return directory


def change_tensors(directory: Path, **changes: Tensor | None) -> Path:
    """Rewrite model.safetensors with some tensors replaced (None: left out); `.` in names is written `__`."""
    path = directory / "model.safetensors"
    tensors = load_file(path) | {name.replace("__", "."): value for name, value in changes.items()}
    save_file({name: t.contiguous() for name, t in tensors.items() if t is not None}, path)
    return directory


def assert_same_logits(model: GPT2) -> None:
    _, ids, logits = reference()
    with torch.no_grad():
        error = (model(ids) - logits).abs().max() / logits.std()
    assert error <= 1e-10


# Layouts. Each function writes one into a directory that holds config.json.


def one_safetensors(model: transformers.GPT2LMHeadModel, directory: Path) -> None:
    model.save_pretrained(directory)


def sharded_safetensors(model: transformers.GPT2LMHeadModel, directory: Path) -> None:
    model.save_pretrained(directory, max_shard_size="60KB")
    assert len(list(directory.glob("model-*.safetensors"))) > 2


def bare_names(model: transformers.GPT2LMHeadModel, directory: Path) -> None:
    model.transformer.save_pretrained(directory)
    assert "wte.weight" in load_file(directory / "model.safetensors")


def head_stored_too(model: transformers.GPT2LMHeadModel, directory: Path) -> None:
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(state, directory / "model.safetensors")


def head_stored_instead(model: transformers.GPT2LMHeadModel, directory: Path) -> None:
    save_model(model, str(directory / "model.safetensors"))
    assert "transformer.wte.weight" not in load_file(directory / "model.safetensors")


def old_buffers(model: transformers.GPT2LMHeadModel, directory: Path) -> None:
    mask = torch.ones(24, 24, dtype=torch.uint8).tril().view(1, 1, 24, 24)
    extra = {MASK: mask, "transformer.h.1.attn.masked_bias": torch.tensor(-1e4)}
    torch.save(model.state_dict() | extra, directory / "pytorch_model.bin")


def old_pickle(model: transformers.GPT2LMHeadModel, directory: Path) -> None:
    torch.save(model.transformer.state_dict(), directory / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def sharded_pickle(model: transformers.GPT2LMHeadModel, directory: Path) -> None:
    names, index = sorted(model.state_dict()), {}
    for k in range(3):
        file = f"pytorch_model-0000{k + 1}-of-00003.bin"
        torch.save({name: model.state_dict()[name] for name in names[k::3]}, directory / file)
        index |= dict.fromkeys(names[k::3], file)
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))


def wrapped_names(model: transformers.GPT2LMHeadModel, directory: Path) -> None:
    state = {f"module._orig_mod.{name}".replace("h.0.", "h.0._orig_mod."): t for name, t in model.state_dict().items()}
    torch.save(state, directory / "pytorch_model.bin")


LAYOUTS = (
    one_safetensors, sharded_safetensors, bare_names, head_stored_too, head_stored_instead, old_buffers,
    old_pickle, sharded_pickle, wrapped_names,
)  # fmt: skip
