"""The tensors of a checkpoint: Hugging Face's files to this model's state dict, and back.

In: the weight files of a directory. Out: a state dict under the model's own names, checked name by name
against the model that is to receive it. Hugging Face stores the four projections of a block as Conv1D,
[in, out]; here they are nn.Linear, [out, in], so these are transposed on the way in and out.
Read next: checkpoint.py.
"""

import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

HEAD, WTE = "lm_head.weight", "transformer.wte.weight"
CONV1D = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")
MASKS = re.compile(r"\bh\.\d+\.attn\.(bias|masked_bias)$")  # causal masks that old files carry as buffers
BARE = re.compile(r"(wte|wpe|h|ln_f)\.")  # how names begin in a file of the model without its head
WRAPPERS = {"_orig_mod", "module"}  # what torch.compile and DistributedDataParallel add to names
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside torch.compile's and DistributedDataParallel's wrappers."""
    while True:
        inner = model._modules.get("_orig_mod") or model._modules.get("module")
        if inner is None:
            return model
        model = inner


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


def own_name(name: str) -> str:
    """This model's name of a tensor: no wrapper's prefix, and `transformer.` where a file leaves it out."""
    name = ".".join(part for part in name.split(".") if part not in WRAPPERS)
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
        contents = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
        for stored, tensor in contents.items():
            name = own_name(stored)
            if MASKS.search(name):
                continue
            if not isinstance(tensor, Tensor):
                raise ValueError(f"{path}: {stored} is a {type(tensor).__name__}, not a tensor.")
            if name in tensors:
                raise ValueError(f"{path}: {stored} occurs twice in this checkpoint.")
            tensors[name] = tensor
    return tensors


def _safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise ValueError(f"{path} is truncated or not a safetensors file ({_line(error)}): fetch it again.") from None


def _pickled(path: Path) -> dict[str, Any]:
    try:
        mapped = zipfile.is_zipfile(path)  # files written before torch 1.6 are not, and cannot be mapped
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged or hostile file may raise anything
        raise ValueError(f"{path} is damaged or holds more than tensors ({_line(error)}): fetch it again.") from None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ValueError(f"{path} holds no state dict: save one with torch.save(model.state_dict(), ...).")
    return state


def _line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return re.split(r"\n|\. ", text)[0][:100]


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
    for a missing, extra, wrong-shaped, non-floating, NaN or infinite one, and for an untied head.
    """
    if tied:
        head, wte = stored.pop(HEAD, None), stored.get(WTE)
        if wte is None and head is not None:
            stored[WTE] = head  # of two names for one tensor, some writers keep this one
        elif head is not None and wte is not None and not torch.equal(head, wte):
            raise ValueError(f"{where}: {HEAD} differs from {WTE}: an untied head is not supported.")
    names = [name for name in expected if not (tied and name == HEAD)]
    _refuse_names(f"{where} lacks", [name for name in names if name not in stored])
    _refuse_names(f"{where} holds, beyond a GPT-2,", [name for name in stored if name not in expected])
    state = {}
    for name in names:
        tensor = stored.pop(name)
        shape = list(expected[name].shape)
        if CONV1D.search(name):
            shape.reverse()
        if list(tensor.shape) != shape:
            raise ValueError(f"{where}: {name} has shape {list(tensor.shape)}, but config.json asks for {shape}.")
        if tensor.dtype not in FLOATS:
            raise ValueError(f"{where}: {name} is {_short(tensor.dtype)}: weights must be floating point.")
        tensor = tensor.t() if CONV1D.search(name) else tensor
        new = torch.empty(tensor.shape, dtype=dtype, device=device).copy_(tensor)
        if not _finite(new):
            if _finite(tensor):
                raise ValueError(f"{where}: {name} does not fit into {_short(dtype)}: use float32 or bfloat16.")
            raise ValueError(f"{where}: {name} holds NaN or infinite values: the checkpoint is damaged.")
        state[name] = new
    if tied:
        state[HEAD] = state[WTE]
    return state


def _refuse_names(what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 3} more tensors" if len(names) > 3 else ""
        raise ValueError(f"{what} {', '.join(names[:3])}{more}: weights and config.json do not fit.")


def _finite(tensor: Tensor) -> bool:
    """Whether all are finite, by a sum: no second tensor of this size is made."""
    wide = tensor.dtype if tensor.dtype == torch.float64 else torch.float32
    return bool(tensor.sum(dtype=wide).isfinite()) or bool(tensor.isfinite().all())


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def to_stored(state: Mapping[str, Tensor], tied: bool, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """A state dict as Hugging Face stores it: Conv1D layout, no tied head, `dtype` (None: as they are).

    Raises ValueError naming a tensor that is NaN or infinite, or becomes so in `dtype`.
    """
    stored = {}
    for name, tensor in ((own_name(name), tensor.detach()) for name, tensor in state.items()):
        if tied and name == HEAD:
            continue
        tensor = tensor.t() if CONV1D.search(name) else tensor
        stored[name] = tensor.to(device="cpu", dtype=dtype or tensor.dtype).contiguous()
        if not _finite(stored[name]):
            if dtype and _finite(tensor):
                raise ValueError(f"{name} does not fit into {_short(dtype)}: save in float32 or bfloat16.")
            raise ValueError(f"{name} holds NaN or infinite values: nothing was written.")
    return stored


def write_tensors(stored: dict[str, Tensor], path: Path, metadata: Mapping[str, str] = {}) -> None:
    """Write one safetensors file, marked as transformers wants it. OSError naming it when that fails."""
    try:
        save_file(stored, path, metadata={"format": "pt", **metadata})
    except SafetensorError as error:  # its I/O errors come without an errno
        raise OSError(f"{path}: could not be written ({_line(error)})") from None
