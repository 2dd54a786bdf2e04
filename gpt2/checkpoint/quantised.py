"""Quantised weights in a checkpoint's file, and in a model.

In: the tensors of a file, or a model. Out: for each quantised weight its values and scales, checked; a model that
computes with them; the tensors to write. A weight NAME stands in the file as two tensors: NAME, its values in the
layout of `gpt2.kernels.quantised` (rows are outputs, unlike the floats of Hugging Face's Conv1D, so that a reader who
takes them for floats finds a wrong shape), and NAME.scale. Read next: files.py, which loads and saves.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gpt2.base.errors import UsageError
from gpt2.base.foreign import plain_name
from gpt2.base.notes import note
from gpt2.checkpoint.quantisation import Quantisation, mark, quantisation_of
from gpt2.checkpoint.saving import to_stored
from gpt2.checkpoint.weights import CONV1D, HEAD, WTE, assemble, finite, short
from gpt2.kernels.linear import QuantisedLinear, QuantisedTokens
from gpt2.kernels.quantised import GROUP, Kind, Quantised
from gpt2.model import GPT2

SCALE = ".scale"
HOLDERS = (QuantisedLinear, QuantisedTokens)
VALUES: dict[torch.dtype, Kind] = {torch.int8: "int8", torch.uint8: "int4"}
DAMAGED = "the checkpoint is damaged, so fetch it or quantise the model again"


def take(stored: dict[str, Tensor], quantisation: Quantisation, where: Path) -> dict[str, Quantised]:
    """The quantised weights of a file by their names, taken out of `stored`, in memory of torch's own.

    Raises ValueError naming the tensor for values without scales or scales without values, for wrong shapes and types,
    and for numbers that no quantised weight has.
    """
    found = {}
    for name in [name for name, tensor in stored.items() if tensor.dtype in VALUES or name + SCALE in stored]:
        values, scale = stored.pop(name), stored.pop(name + SCALE, None)
        found[name] = _checked(f"{where}: {plain_name(name)}", values, scale, quantisation.kind)
    lone = next((name for name in stored if name.endswith(SCALE)), None)
    if lone is not None:
        raise ValueError(f"{where} lacks {plain_name(lone.removesuffix(SCALE))}, but has its scales: {DAMAGED}.")
    return found


def _checked(what: str, values: Tensor, scale: Tensor | None, most: Kind) -> Quantised:
    """One weight of a file; `most` is the kind that config.json names, which some maps stay above."""
    kind = VALUES.get(values.dtype)
    if kind is None:
        raise ValueError(f"{what} is {short(values.dtype)}, but has scales, which int8 and int4 alone have: {DAMAGED}.")
    if kind == "int4" and most != "int4":
        raise ValueError(f"{what} is int4, but config.json says {most}: {DAMAGED}.")
    if scale is None:
        raise ValueError(f"{what} is {kind} without scales: {DAMAGED}.")
    if values.dim() != 2:
        raise ValueError(f"{what} has shape {list(values.shape)}, but a weight has two axes: {DAMAGED}.")
    out, into = values.size(0), values.size(1) * (2 if kind == "int4" else 1)
    shape = [out, into // GROUP] if kind == "int4" else [out]
    if list(scale.shape) != shape or (kind == "int4" and into % GROUP):
        raise ValueError(f"{what} has scales {list(scale.shape)} for values {list(values.shape)}: {DAMAGED}.")
    if scale.dtype != torch.float32:
        raise ValueError(f"{what} has scales in {short(scale.dtype)}, and float32 is read: {DAMAGED}.")
    if not finite(scale):
        raise ValueError(f"{what} has scales that are NaN or infinite: {DAMAGED}.")
    if bool((scale == 0).any()) or (kind == "int8" and bool((scale < 0).any())):
        raise ValueError(f"{what} has a scale that is not above 0: {DAMAGED}.")
    if kind == "int8" and values.numel() and int(values.min()) < -127:
        raise ValueError(f"{what} holds the value -128, which int8 weights here do not have: {DAMAGED}.")
    return Quantised(kind, values.clone(), scale.clone(), (out, into))


def fill(model: GPT2, stored: dict[str, Tensor], quantisation: Quantisation, device: Any, where: Path) -> GPT2:
    """An empty model (on meta) with the tensors of a file: maps that are quantised there are so here, all else is
    float32.

    Raises ValueError as `take` and `assemble` do, and for a quantised weight that this model has not, or has in another
    shape.
    """
    quantised = take(stored, quantisation, where)
    expected = {name: x for name, x in model.state_dict().items() if not (name == HEAD and _tied(model))}
    for name, one in quantised.items():
        if name not in expected or not _may_be_quantised(model, name):
            raise ValueError(f"{where} holds {plain_name(name)} in {one.kind}, which this GPT-2 has not: {DAMAGED}.")
        wanted = list(expected.pop(name).shape)
        if wanted != list(one.shape):
            raise ValueError(f"{where}: {name} is {list(one.shape)}, but the configuration asks for {wanted}.")
    state = assemble(stored, expected, False, torch.float32, device, where)
    model.load_state_dict(state, strict=False, assign=True)
    return put(model, {name: _on(one, device) for name, one in quantised.items()}, quantisation)


def to_floats(
    stored: dict[str, Tensor], quantisation: Quantisation, dtype: torch.dtype, where: Path
) -> dict[str, Tensor]:
    """The tensors of the same file with floats for quantised weights, as Hugging Face stores them; a note says so."""
    quantised = take(stored, quantisation, where)
    note(f"{where} is quantised ({quantisation.kind}): its weights are taken as {short(dtype)}.")
    return stored | _as_floats(quantised)


def check_kind(model: GPT2, kind: Kind) -> None:
    """UsageError for a model that is quantised already, and for int4 where `quantise_model` would make int8 of every
    map."""
    if quantisation_of(model) is not None:
        raise UsageError("the model is quantised already: load the one that it was made of.")
    maps = [module for module in model.transformer.modules() if isinstance(module, nn.Linear)]
    if kind == "int4" and not any(module.in_features % GROUP == 0 for module in maps):
        mend = f"no map of this model has a width that {GROUP} divides, so choose int8."
        raise UsageError(argument="precision", value=kind, mend=mend)


def put(model: GPT2, quantised: Mapping[str, Quantised], quantisation: Quantisation) -> GPT2:
    """The model itself, with these weights in place of those of the same names; a tied head takes the token table's."""
    for name, one in ({HEAD: quantised[WTE]} | dict(quantised)).items():
        place = name.removesuffix(".weight")
        bias = getattr(model.get_submodule(place), "bias", None)
        bias = None if bias is None else bias.detach()
        table = name == WTE
        model.set_submodule(place, QuantisedTokens(one, torch.float32) if table else QuantisedLinear(one, bias))
    mark(model, quantisation)
    return model


def first_rows(model: GPT2, rows: int) -> GPT2:
    """The model itself, with the first rows of its token table and of its head."""
    tables = {name: one for name, one in weights_of(model).items() if name in (WTE, HEAD)}
    cut = {n: Quantised(t.kind, t.values[:rows], t.scale[:rows], (rows, t.shape[1])) for n, t in tables.items()}
    found = quantisation_of(model)
    assert found is not None
    return put(model, cut, found)


def weights_of(model: nn.Module) -> dict[str, Quantised]:
    """The quantised weights of a model by name, a tied head's under the token table's alone."""
    found = {f"{name}.weight": m.quantised for name, m in model.named_modules() if isinstance(m, HOLDERS)}
    if found[HEAD].values.data_ptr() == found[WTE].values.data_ptr():
        del found[HEAD]
    return found


def stored_of(model: nn.Module, dtype: torch.dtype | None) -> tuple[dict[str, Tensor], bool]:
    """The tensors of a file, and whether the head is tied: quantised weights as they are, or floats of this type."""
    quantised = weights_of(model)
    state = model.state_dict()
    rest = {n: x for n, x in state.items() if f"{n.rpartition('.')[0]}.weight" not in {HEAD, *quantised}}
    biases = {n: state[n] for n in (f"{name.removesuffix('weight')}bias" for name in quantised) if n in state}
    others = to_stored(rest | biases, False, dtype)
    if dtype is not None:
        floats = {name: x.to(dtype).contiguous() for name, x in _as_floats(quantised).items()}
        return others | floats, HEAD not in quantised
    for name, one in quantised.items():
        others |= {name: one.values, name + SCALE: one.scale}
    return {name: x.to("cpu").contiguous() for name, x in others.items()}, HEAD not in quantised


def _as_floats(quantised: Mapping[str, Quantised]) -> dict[str, Tensor]:
    """The same weights in float32, under their names and in the layout in which Hugging Face stores floats."""
    plain = ((name, one.dequantise()) for name, one in quantised.items())
    return {name: weight.t() if CONV1D.search(name) else weight for name, weight in plain}


def _tied(model: GPT2) -> bool:
    return model.lm_head.weight is model.transformer.wte.weight


def _may_be_quantised(model: nn.Module, name: str) -> bool:
    """Whether a weight is that of a linear map, or the table of token vectors."""
    return name == WTE or isinstance(model.get_submodule(name.rpartition(".")[0]), nn.Linear)


def _on(one: Quantised, device: Any) -> Quantised:
    return Quantised(one.kind, one.values.to(device), one.scale.to(device), one.shape)
