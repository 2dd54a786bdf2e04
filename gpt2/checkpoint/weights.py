"""The tensors of a checkpoint as Hugging Face stores them to this model's state dict, and back.

In: tensors as they are stored. Out: a state dict under the model's own names, checked name by name
against the model that is to receive it. Hugging Face stores the four projections of a block as Conv1D,
[in, out]; here they are nn.Linear, [out, in], so these are transposed on the way in and out.
Read next: files.py.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gpt2.base.foreign import plain_name, shortened
from gpt2.base.notes import note
from gpt2.checkpoint.tensor_files import CONV1D, HEAD, WTE, own_name, reason

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
        elif head is not None and wte is not None and not torch.equal(head, wte):
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
            kinds = ", ".join(map(_short, FLOATS))
            raise ValueError(f"{where}: {name} is {_short(tensor.dtype)}: weights must be floating point, of {kinds}.")
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


def own_head(stored: Mapping[str, Tensor], where: Path) -> bool:
    """Whether a head is stored that differs from `wte`: then transformers does not tie the two, whatever is asked."""
    head, wte = stored.get(HEAD), stored.get(WTE)
    if head is None or wte is None or (head.shape == wte.shape and torch.equal(head.to(wte.dtype), wte)):
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


def _finite(tensor: Tensor) -> bool:
    """Whether all are finite, by a sum: no second tensor of this size is made."""
    wide = tensor.dtype if tensor.dtype == torch.float64 else torch.float32
    return bool(tensor.sum(dtype=wide).isfinite()) or bool(tensor.isfinite().all())


def _short(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


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
        raise OSError(f"{path}: could not be written ({reason(error)})") from None
