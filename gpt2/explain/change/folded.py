"""Components switched off in the weights themselves: the model that is left runs anywhere, without edits.

In: a model, components by address, what stands in their place. Out: a model that computes, without a probe, what the
first one computes with the edits of `switch`. Read next: cli/export.py, which writes it.

Each of these is exact, because a constant c takes the place of a value that a linear map writes or reads:

    all that a map W, b writes    W = 0 and b = c
    a part x_u of what it reads   b + sum_u W_u c_u takes the place of b, and W_u, a column, becomes 0
    the position vectors          every row of wpe is c
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from gpt2.addresses import Address
from gpt2.base.errors import UsageError
from gpt2.checkpoint.off_note import off_entries, off_entry
from gpt2.checkpoint.opened import Model, opened
from gpt2.explain.run.places import parse
from gpt2.explain.run.reference import Reference, reference
from gpt2.model import GPT2

FoldKind = Literal["mean", "zero"]
WRITES = {"attn.out": "attn", "mlp.out": "mlp"}
READS = {"attn.z": "attn", "mlp.post": "mlp"}  # what the c_proj of each reads
PARTS = {"block": ("attn.out", "mlp.out")}  # switch() has a block write nothing, whatever the kind
INSTEAD = "a head (3.head.7), an attention (3.attn), an MLP (3.mlp), a neuron (3.mlp.post#5), a block, or embed.pos"


def fold(
    model: Model, components: str | Sequence[str], kind: FoldKind = "mean", means: Reference | None = None
) -> GPT2:
    """A model whose components are off for good: its weights are those of `model` with a constant folded in.

        smaller = fold(checkpoint, "7.head.1")
        gpt2.save(smaller, checkpoint.tokenizer, "without")

    components  addresses of heads, attentions, MLPs, neurons, blocks or embed.pos; `*` for each layer or head; joined
                by commas or as a list, they all go off together
    kind        "mean": what stands in their place is their mean over `means`, as in `switch`; "zero": nothing
    means       documents for the means (None: the bundled stories)

    The weights that do not change are those of `model` itself, not copies: train one of the two, not both. Training the
    result moves the folded weights too. `gpt2.save` writes what is off to config.json.

    Raises UsageError for another kind, for an address that holds at some positions alone or cannot be folded, for a
    variant and a model whose weights are quantised; ValueError for an unknown address.
    """
    gpt, _ = opened(model)
    if kind not in get_args(FoldKind):
        raise UsageError(f"{kind!r} cannot be folded into weights: choose {' or '.join(get_args(FoldKind))}.")
    addresses = foldable(gpt, components)
    if kind == "mean" and means is None:
        means = reference(model)
    if means is not None and means.model.lm_head.weight is not gpt.lm_head.weight:
        raise UsageError("the reference belongs to another model: make one with reference(model).")
    over = means if kind == "mean" else None
    constants = [(a, _constant(gpt, a, over)) for a in addresses]
    made: Any = deepcopy(gpt, {id(p): p for p in gpt.parameters()})
    for address, constant in constants:
        _fold(made, address, constant)
    names = tuple(dict.fromkeys(part.strip() for one in _listed(components) for part in one.split(",")))
    made.switched_off = [*off_entries(gpt), off_entry(names, kind, None if over is None else over.to_dict())]
    return made


def _listed(components: str | Sequence[str]) -> list[str]:
    return [components] if isinstance(components, str) else list(components)


def foldable(model: GPT2, components: str | Sequence[str]) -> list[Address]:
    """Every component by itself; raises as `fold` does for what cannot be folded."""
    sizes = model.config.n_layer, model.config.n_head
    variant = getattr(model, "variant", None)
    if variant is not None:
        raise UsageError(f"the model is the variant {variant.get('name')!r}: only a plain GPT-2 can be folded.")
    found = [a for one in _listed(components) for part in one.split(",") for a in parse(part.strip(), *sizes)]
    if not found:
        raise UsageError(f"there is nothing to switch off: name {INSTEAD}.")
    for a in found:
        if a.span is not None:
            raise UsageError(f"{a.text} is off at some positions alone, and weights serve all: leave out the @.")
        if a.point not in (*WRITES, *READS, *PARTS, "embed.pos"):
            raise UsageError(f"{a.text} cannot be folded into the weights: name {INSTEAD}.")
        if a.layer is not None and not isinstance(model.transformer.h[a.layer].mlp.c_proj, nn.Linear):
            raise UsageError("the model's weights are quantised: fold into the model that it was made from.")
    return found


def _constant(model: GPT2, a: Address, means: Reference | None) -> Tensor:
    """What stands in the place of a component, for its whole point, in float64: [C], [H, D] or [F]; zeros for none."""
    if means is not None and a.point not in PARTS:
        return means.mean(a.layer, a.point).double()
    config = model.config
    shape = {"attn.z": (config.n_head, config.head_dim), "mlp.post": (config.inner_dim,)}
    return torch.zeros(shape.get(a.point, (config.n_embd,)), dtype=torch.float64, device=model.lm_head.weight.device)


def _fold(model: GPT2, a: Address, constant: Tensor) -> None:
    """Put the constant in the place of one component, in new parameters of `model`; ValueError for an unknown unit."""
    if a.unit is not None and a.unit >= constant.size(-1):
        raise ValueError(f"{a.text!r}: there is no #{a.unit}, this point has 0 to {constant.size(-1) - 1}.")
    chosen = torch.zeros_like(constant, dtype=torch.bool)
    chosen[*([] if a.head is None else [a.head]), ..., slice(None) if a.unit is None else a.unit] = True
    if a.layer is None:
        wpe = model.transformer.wpe
        new = wpe.weight.detach().clone()
        new[:, chosen] = constant[chosen].to(new.dtype)
        wpe.weight = nn.Parameter(new, wpe.weight.requires_grad)
        return
    block = model.transformer.h[a.layer]
    chosen, constant = chosen.flatten(), constant.flatten()
    for point in PARTS.get(a.point, (a.point,)):
        linear = getattr(block, (WRITES | READS)[point]).c_proj
        weight, bias = (p.detach().clone() for p in (linear.weight, linear.bias))
        if point in WRITES:
            weight[chosen], bias[chosen] = 0, constant[chosen].to(bias.dtype)
        else:
            bias = (bias.double() + weight[:, chosen].double() @ constant[chosen]).to(bias.dtype)
            weight[:, chosen] = 0
        linear.weight = nn.Parameter(weight, linear.weight.requires_grad)
        linear.bias = nn.Parameter(bias, linear.bias.requires_grad)
