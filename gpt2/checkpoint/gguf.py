"""A model as one GGUF file, which llama.cpp runs: weights, sizes and tokenizer, written by llama.cpp's own library.

In: a model, its tokenizer, a type of numbers. Out: the file, whole or not at all. The architecture is llama.cpp's
"gpt2"; a model that it would compute otherwise is refused by name. Read next: gguf_tokenizer.py; cli/export.py.

Types: f32, f16 and bf16 hold the matrices as such numbers; q8_0 and q4_0 hold 32 numbers of a row with one scale, in 8
and 4 bits each. Norms, biases and position vectors stay f32, as in llama.cpp's own files. The token table, which is
the head too, is q8_0 in a q4_0 file. A matrix whose rows do not divide into blocks of 32 is f16.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.base.disk import sync, whole_file
from gpt2.base.errors import Failure, UsageError
from gpt2.base.ours import check_file
from gpt2.block import activation
from gpt2.checkpoint.gguf_tokenizer import MEND, add_tokenizer, check_tokenizer
from gpt2.checkpoint.hf_config import settings_of
from gpt2.checkpoint.off_note import off_entries, off_sentence
from gpt2.checkpoint.weights import HEAD, finite
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

KINDS = ("f32", "bf16", "f16", "q8_0", "q4_0")
BLOCK = 32  # numbers that share a scale
LARGEST_F16 = 65504.0
TABLES = ("transformer.wte.weight", HEAD)
KEPT = "transformer.wpe.weight"


class GGUF(NamedTuple):
    """What was written: the file, and how many tensors it holds of each type, such as {"F32": 98, "Q8_0": 33}."""

    path: Path
    tensors: dict[str, int]


def save_gguf(
    model: GPT2,
    tokenizer: Tokenizer | None,
    file: Path | str,
    kind: str = "f32",
    overwrite: bool = False,
    name: str = "gpt2",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> GGUF:
    """Write a model for llama.cpp; the file is there whole or not at all.

        save_gguf(*gpt2.load("storyteller")[:2], "storyteller.gguf", "q8_0")

    kind       f32, bf16, f16, q8_0 or q4_0
    overwrite  replace a GGUF file of a GPT-2 that stands there
    name       of the model, which llama.cpp shows
    progress   told how many tensors are written, of how many

    Where `scale_attn_by_inverse_layer_idx` or `scale_attn_weights` divide scores by other than sqrt(D), the queries'
    weights and biases get a factor instead. Source: llama.cpp's description of GGUF, version 3, and its gpt2 graph.

    Raises UsageError for another kind, for a file that may not be replaced and where the library `gguf` is missing;
    Failure for a model or tokenizer that llama.cpp would read as another one; ValueError for weights that are not
    finite or do not fit; OSError when the disk refuses.
    """
    library = _library()
    if kind not in KINDS:
        raise UsageError(f"a GGUF file of type {kind!r} is not written here: choose {', '.join(KINDS)}.")
    target = check_gguf_target(file, overwrite)
    config, settings = model.config, settings_of(model)
    check_architecture(model)
    own = () if tokenizer is None or tokenizer.eot_id is None else (tokenizer.eot_id,)
    ends = own if settings is None else settings.ends
    check_tokenizer(tokenizer, config.vocab_size, ends)
    assert tokenizer is not None  # checked above
    names = library.get_tensor_name_map(library.MODEL_ARCH.GPT2, config.n_layer)
    tensors = list(_tensors(model, kind))
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as temporary:
        writer = library.GGUFWriter(temporary, "gpt2")
        try:
            _add_fields(writer, model, kind, name)
            add_tokenizer(writer, tokenizer, ends)
            for stored, shape, tensor_kind, _ in tensors:
                _announce(writer, names.get_name(stored, try_suffixes=(".weight", ".bias")), shape, tensor_kind)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for done, (stored, _, tensor_kind, tensor) in enumerate(tensors, start=1):
                writer.write_tensor_data(_numbers(stored, tensor(), tensor_kind))
                progress(done, len(tensors))
        finally:
            writer.close()
        sync(temporary)
    counts: dict[str, int] = {}
    for _, _, tensor_kind, _ in tensors:
        counts[tensor_kind] = counts.get(tensor_kind, 0) + 1
    return GGUF(target, counts)


def _library() -> Any:
    try:
        import gguf
    except ModuleNotFoundError:
        raise UsageError('writing GGUF needs one more library: pip install "glassbox-gpt2[gguf]".') from None
    return gguf


def _is_gguf(path: Path) -> bool:
    """Whether a file begins as one of a GPT-2 in GGUF does: the first field names the architecture."""
    with path.open("rb") as file:
        head = file.read(68)
    return head[:4] == b"GGUF" and head[32:52] == b"general.architecture" and head[64:] == b"gpt2"


def check_gguf_target(file: Path | str, overwrite: bool = False) -> Path:
    """The path of a GGUF file that may be written; UsageError for one that stands there, and for what is none."""
    target = check_file(file, _is_gguf, "a GGUF file of a GPT-2")
    if target.exists() and not overwrite:
        mend = "choose another name, or replace it with {overwrite}."
        raise UsageError(f"{target} is there already", mend, overwrite=True)
    return target.absolute()


def check_architecture(model: GPT2) -> None:
    """Raise Failure for a model that llama.cpp's GPT-2 would compute otherwise."""
    variant = getattr(model, "variant", None)
    if variant is not None:
        raise Failure(f"the model is the variant {variant.get('name')!r}, which llama.cpp does not compute", MEND)
    if not all(isinstance(block.attn.c_attn, nn.Linear) for block in model.transformer.h):
        raise Failure("the model's weights are quantised", "load it with {dtype}.", dtype="float32")
    name, x = model.config.activation_function, torch.linspace(-4, 4, 33)
    if not torch.equal(activation(name)(x), F.gelu(x, approximate="tanh")):
        raise Failure(f"activation_function is {name!r}, and llama.cpp's GPT-2 computes gelu_new alone", MEND)


def _add_fields(writer: Any, model: GPT2, kind: str, name: str) -> None:
    from gguf import GGML_QUANT_VERSION, LlamaFileType

    config: GPT2Config = model.config
    writer.add_type("model")
    writer.add_name(name)
    off = off_entries(model)
    if off:
        writer.add_description(f"switched off in the weights: {off_sentence(off)}")
    writer.add_block_count(config.n_layer)
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_feed_forward_length(config.inner_dim)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_file_type(LlamaFileType["ALL_F32" if kind == "f32" else f"MOSTLY_{kind.upper()}"])
    writer.add_quantization_version(GGML_QUANT_VERSION)


Numbers = tuple[str, tuple[int, ...], str, Callable[[], Tensor]]


def _tensors(model: GPT2, kind: str) -> Iterator[Numbers]:
    """Each tensor: its name here, its shape, its type in the file, and a function that gives it, [out, in]."""
    state = model.state_dict()
    if model.lm_head.weight is model.transformer.wte.weight:
        del state[HEAD]
    for name, tensor in state.items():
        yield name, tuple(tensor.shape), _kind_of(name, tensor.shape, kind), partial(_scaled, model, name, tensor)


def _kind_of(name: str, shape: Sequence[int], kind: str) -> str:
    if len(shape) == 1 or name == KEPT:
        return "F32"
    if kind in ("q8_0", "q4_0"):
        if shape[-1] % BLOCK:
            return "F16"
        if name in TABLES:
            return "Q8_0"
    return kind.upper()


def _scaled(model: GPT2, name: str, tensor: Tensor) -> Tensor:
    """The tensor in float32, on the CPU; queries get the factor that makes their divisor sqrt(D)."""
    tensor = tensor.detach().to("cpu")
    if ".attn.c_attn." in name:
        attn = model.transformer.h[int(name.split(".")[2])].attn
        factor = math.sqrt(attn.head_dim) / attn.divisor
        if factor != 1:
            C = model.config.n_embd
            tensor = torch.cat([(tensor[:C].double() * factor).to(torch.float32), tensor[C:].to(torch.float32)])
    return tensor.to(torch.float32).contiguous()


def _announce(writer: Any, name: str, shape: Sequence[int], kind: str) -> None:
    """Tell the writer of a tensor whose numbers come later."""
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import quant_shape_to_byte_shape

    found = GGMLQuantizationType[kind]
    stored = quant_shape_to_byte_shape(shape, found)
    writer.add_tensor_info(name, stored, np.dtype(np.uint8), math.prod(stored), raw_dtype=found)


def _numbers(name: str, tensor: Tensor, kind: str) -> Any:
    """The bytes of a tensor in a type; ValueError where it is not finite, or holds numbers too large for it."""
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    if not finite(tensor):
        raise ValueError(f"{name} holds NaN or infinite values: nothing was written.")
    if kind not in ("F32", "BF16") and tensor.abs().max() > LARGEST_F16:
        raise ValueError(f"{name} does not fit into {kind.lower()}: save in f32 or bf16.")
    return np.ascontiguousarray(quantize(tensor.numpy(), GGMLQuantizationType[kind]))
