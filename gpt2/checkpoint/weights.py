"""The weight files of a checkpoint to a model's state dict.

In: files, safetensors or pickles. Out: their tensors as stored, under this model's names, whatever a file calls them;
then a state dict, checked name by name against the model that is to receive it. Hugging Face stores the four
projections of a block as Conv1D, [in, out]; here they are nn.Linear, [out, in], so these are transposed on the way in.
Read next: files.py; saving.py, the way back.
"""

import re
from collections.abc import Iterable, Mapping, Sized
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gpt2.base.foreign import is_panic, plain_name, shortened
from gpt2.base.lfs import refuse_pointer
from gpt2.base.notes import note
from gpt2.checkpoint.layout import MOST_TENSORS
from gpt2.checkpoint.pickles import ALONE, reason, state_dict, unpickled
from gpt2.config import GPT2Config

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LARGEST_MATRIX = 2**40  # numbers; the embeddings of the largest GPT-2 have 2**26
HEAD, WTE = "lm_head.weight", "transformer.wte.weight"
CONV1D = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")  # [in, out] in Hugging Face's files, [out, in] here
MASKS = re.compile(r"\bh\.\d+\.attn\.(bias|masked_bias)$")  # causal masks that old files carry as buffers

# What torch.compile, DistributedDataParallel, FSDP, checkpointed activations and DeepSpeed add, anywhere in a name.
WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
OUTER = re.compile(r"^(model\.)+(?=(transformer|lm_head|wte|wpe|h|ln_f)\.)")  # the attribute of a trainer's own class
# transformers leaves out one `transformer.` where the rest is a name of its own, and adds it where it is missing.
DOUBLE = re.compile(r"^transformer\.(?=(transformer|lm_head)\.)")
BARE = re.compile(r"(wte|wpe|h|ln_f)\.")  # how names begin in a file of the model without its head


def own_name(name: str) -> str:
    """This model's name of a tensor: no wrapper's prefix, and `transformer.` where a file leaves it out."""
    name = ".".join(part for part in name.split(".") if part not in WRAPPERS)
    name = DOUBLE.sub("", OUTER.sub("", name))
    return f"transformer.{name}" if BARE.match(name) else name


def read_tensors(paths: Iterable[Path]) -> dict[str, Tensor]:
    """The tensors of these files as stored, under this model's names, mapped from disk where possible.

    No code is run: .bin files are unpickled as tensors only. Raises ValueError naming the file or the tensor
    for a missing, truncated or corrupt file, for what is no tensor, and for a name that occurs twice.
    """
    tensors: dict[str, Tensor] = {}
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path} is missing, but the index names it: download or copy it again.")
        contents = _safetensors(path) if path.suffix == ".safetensors" else state_dict(path, unpickled(path))
        for stored, tensor in contents.items():
            name = own_name(stored)
            if MASKS.search(name):
                continue
            check_tensor(path, stored, tensor)
            if name in tensors:
                raise ValueError(f"{path}: {shortened(stored)} occurs twice in this checkpoint.")
            tensors[name] = tensor
    return tensors


def check_tensor(path: Path, name: Any, tensor: Any) -> None:
    """Raise ValueError, naming file and tensor, for what is no plain tensor of numbers that lie in memory or a file."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{path}: {shortened(name)} is a {type(tensor).__name__}, not a tensor: {ALONE}.")
    kinds = {
        "nested": tensor.is_nested,
        "quantised": tensor.is_quantized,
        "a tensor that holds no numbers": tensor.is_meta,
        "complex": tensor.is_complex(),
        str(tensor.layout).removeprefix("torch."): tensor.layout is not torch.strided,
        f"a {type(tensor).__name__}": type(tensor) not in (Tensor, torch.nn.Parameter),
    }
    found = next((kind for kind, holds in kinds.items() if holds), None)
    if found is not None:
        raise ValueError(f"{path}: {shortened(name)} is {found}: save the weights as plain tensors.")


def check_sizes(where: Path, tensors: Sized, config: GPT2Config) -> None:
    """Raise ValueError, before the model is built, for far more blocks than tensors, or a matrix past any file."""
    mend = "its weights and its configuration do not belong together, so fetch both again"
    if config.n_layer > max(len(tensors), 100):  # a block has twelve
        raise ValueError(f"{where} holds {len(tensors)} tensors, too few for n_layer {config.n_layer}: {mend}.")
    for name in ("vocab_size", "n_positions", "n_embd", "n_inner"):
        rows = getattr(config, name) or 0
        if rows * config.n_embd > LARGEST_MATRIX:
            raise ValueError(f"{where} is too small for {name} {rows} with n_embd {config.n_embd}: {mend}.")


def _safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if len(names) <= MOST_TENSORS:
                return {name: file.get_tensor(name) for name in names}
    except OSError:
        raise
    except BaseException as error:  # a hostile header may raise anything
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        refuse_pointer(path)
        raise ValueError(f"{path} is truncated or not a safetensors file ({reason(error)}): fetch it again.") from None
    raise ValueError(f"{path} holds {len(names)} tensors, and no GPT-2 has more than {MOST_TENSORS}: fetch it again.")


class NoDraws(TorchFunctionMode):
    """Inside it normal initialisers do nothing: on the meta device they draw nothing that could be kept.

    There they are written in Python, and the first one would import half of torch's compiler (1.5 s).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return the tensor as it is for torch.nn.init's `*normal_` and Tensor.normal_."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "").endswith("normal_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers; torch compares no numbers of 8 bits with those of another type."""
    if one.dtype != other.dtype:
        one, other = one.float(), other.float()
    return torch.equal(one, other)


def assemble(
    stored: dict[str, Tensor],
    expected: Mapping[str, Tensor],
    tied: bool,
    dtype: torch.dtype,
    device: Any,
    where: Path,
) -> dict[str, Tensor]:
    """The state dict for a model whose own is `expected` (shapes alone, on meta); empties `stored`.

    Every tensor is copied into memory of torch's own: aligned as any other, so that results do not depend on
    where it lay in a file, and safe from what later happens to the file. Raises ValueError naming the tensor
    for a missing, wrong-shaped, non-floating, NaN or infinite one, for one that a GPT-2's transformer does not have,
    and for two that should be one. What stands beside the transformer, such as a classifier's head, is left out with
    a note, as transformers does.
    """
    if tied:
        head, wte = stored.pop(HEAD, None), stored.get(WTE)
        if wte is None and head is not None:
            stored[WTE] = head  # of two names for one tensor, some writers keep this one
        elif head is not None and wte is not None and not _same(head, wte):
            raise ValueError(f"{where}: {HEAD} differs from {WTE}, though the two are one here: fetch it again.")
    names = [name for name in expected if not (tied and name == HEAD)]
    _refuse_names(f"{where} lacks", [name for name in names if name not in stored])
    _leave_out(stored, expected, tied, where)
    _refuse_names(f"{where} holds, beyond a GPT-2,", [name for name in stored if name not in expected])
    state = {}
    for name in names:
        tensor = stored.pop(name).detach()
        shape = list(expected[name].shape)
        if CONV1D.search(name):
            shape.reverse()
        if list(tensor.shape) != shape:
            raise ValueError(f"{where}: {name} has shape {list(tensor.shape)}, but the configuration asks for {shape}.")
        if tensor.dtype not in FLOATS:
            kinds = ", ".join(map(short, FLOATS))
            raise ValueError(f"{where}: {name} is {short(tensor.dtype)}: weights must be floating point, of {kinds}.")
        tensor = tensor.t() if CONV1D.search(name) else tensor
        new = torch.empty(tensor.shape, dtype=dtype, device=device).copy_(tensor)
        if not finite(new):
            if finite(tensor):
                raise ValueError(f"{where}: {name} does not fit into {short(dtype)}: use float32 or bfloat16.")
            raise ValueError(f"{where}: {name} holds NaN or infinite values: the checkpoint is damaged.")
        state[name] = new
    if tied:
        state[HEAD] = state[WTE]
    return state


def own_head(stored: Mapping[str, Tensor], where: Path) -> bool:
    """Whether a head is stored that differs from `wte`: then transformers does not tie the two, whatever is asked."""
    head, wte = stored.get(HEAD), stored.get(WTE)
    if head is None or wte is None or _same(head.to(wte.dtype), wte):
        return False
    note(
        f"{where}: {HEAD} differs from {WTE}, so the two are not tied, though tie_word_embeddings is not false in "
        "config.json."
    )
    return True


def _leave_out(stored: dict[str, Tensor], expected: Mapping[str, Tensor], tied: bool, where: Path) -> None:
    """Drop what belongs to no language model."""
    names = [name for name in stored if name not in expected and not name.startswith("transformer.")]
    for name in names:
        del stored[name]
    if names:
        more = f" and {len(names) - 5} more tensors" if len(names) > 5 else ""
        head = f"; its head is {WTE}" if tied else ""
        found = ", ".join(shortened(name, 60) for name in names[:5])
        note(f"{where}: {found}{more} left out, which a language model has no place for{head}.")


def _refuse_names(what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 3} more tensors" if len(names) > 3 else ""
        blocks = {int(found[1]) for name in names if (found := re.match(r"transformer\.h\.(\d+)\.", name))}
        which = " (is n_layer the number of blocks?)" if blocks else ""
        mend = f"its weights and its configuration do not belong together{which}, so fetch both again"
        raise ValueError(f"{what} {', '.join(map(plain_name, names[:3]))}{more}: {mend}.")


def finite(tensor: Tensor) -> bool:
    """Whether all are finite, by a sum: no second tensor of this size is made."""
    wide = tensor.dtype if tensor.dtype == torch.float64 else torch.float32
    return bool(tensor.sum(dtype=wide).isfinite()) or bool(tensor.isfinite().all())


def short(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
