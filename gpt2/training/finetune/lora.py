"""LoRA: the base model's weights stay as they are, and a small trainable product runs beside each projection.

In: a GPT2. Out: the same model, in place, in which projections of its blocks are `LoRALinear`; what was
learned is an `Adapter` (gpt2/checkpoint/adapter.py). Read next: going_on.py, finetune.py.

An own wrapper, not `peft`'s: it is the formula and nothing else, works on this model's nn.Linear, compiles, and needs
no transformers at run time. The files are `peft`'s, so that adapters go both ways.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.base.errors import UsageError
from gpt2.checkpoint.adapter import TARGETS, Adapter, fingerprint, lora_adapter
from gpt2.checkpoint.adapter_targets import Target, find_targets, is_projection
from gpt2.model import GPT2

ALL = "all-linear"  # what peft calls every projection


class LoRALinear(nn.Linear):
    """W x + b + (alpha / rank) B A x, of which only A and B are trained (Hu et al. 2021, "LoRA", section 4.1).

    `weight` and `bias` are the base's own parameters, under their own names. A starts as a linear layer's weight, B at
    zero: at the start this is the base, bit for bit.
    """

    def __init__(self, base: nn.Linear, rank: int, scale: float, dropout: float, generator: torch.Generator) -> None:
        super().__init__(base.in_features, base.out_features, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        limit = 1 / math.sqrt(base.in_features)
        a = torch.rand(rank, base.in_features, generator=generator) * 2 * limit - limit
        self.lora_a = nn.Parameter(a.to(base.weight))  # (r, in)
        self.lora_b = nn.Parameter(base.weight.new_zeros(base.out_features, rank))  # (out, r)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        low = F.linear(self.dropout(x), self.lora_a)  # (..., r)
        return F.linear(x, self.weight, self.bias) + self.scale * F.linear(low, self.lora_b)


def add_lora(
    model: GPT2,
    lora: int,
    lora_alpha: float,
    lora_dropout: float = 0.0,
    seed: int = 0,
    lora_targets: Sequence[str] = (),
) -> GPT2:
    """Freeze the model and wrap projections of its blocks, in place; returns the model.

    The rank is `lora`, as in `Settings` (settings.py), whose names the others have too. A's first values are a function
    of (seed, the projection's name). Raises UsageError for a rank, alpha, dropout or target that makes no sense for
    this model.
    """
    if not 1 <= lora <= model.config.n_embd:
        raise UsageError(argument="lora", value=lora, mend=f"choose a rank of 1 to {model.config.n_embd}, such as 16.")
    if not 0 < lora_alpha < math.inf:
        mend = "it must be above 0, such as twice the rank."
        raise UsageError(argument="lora_alpha", value=lora_alpha, mend=mend)
    check_dropout(lora_dropout)
    return wrap(model, _targets(model, lora, lora_alpha, lora_targets), lora_dropout, seed)


def check_dropout(lora_dropout: float) -> None:
    """Raise UsageError for a rate that is none."""
    if not 0 <= lora_dropout < 1:
        raise UsageError(argument="lora_dropout", value=lora_dropout, mend="it must be at least 0 and below 1.")


def _targets(model: GPT2, rank: int, alpha: float, names: Sequence[str]) -> tuple[Target, ...]:
    """The projections that these names mean by peft's rules (adapter_targets.py); every name means one at least."""
    projections = f"so choose among {', '.join(TARGETS)}, as peft names the projections of a block, or all-linear."
    found: dict[str, Target] = {}
    for name in names or TARGETS:
        wanted = {"target_modules": name if name == ALL else [name], "r": rank, "lora_alpha": alpha}
        try:
            targets = find_targets(wanted, model.config.n_layer, model.config.tie_word_embeddings)
        except ValueError:
            mend = f"it is no module to adapt, {projections}"
            raise UsageError(argument="lora_targets", value=name, mend=mend) from None
        for target in targets.modules:
            if not is_projection(target.name):
                mend = f"only projections of blocks are adapted here, {projections}"
                raise UsageError(argument="lora_targets", value=name, mend=mend)
            found[target.name] = target
    return tuple(found.values())


def wrap(model: GPT2, targets: Iterable[Target], dropout: float, seed: int = 0) -> GPT2:
    """Freeze the model and put a `LoRALinear` in the place of each target, in place; returns the model."""
    model.requires_grad_(False)
    for target in targets:
        module = model.get_submodule(target.name)
        assert isinstance(module, nn.Linear)
        path, _, last = target.name.rpartition(".")
        digest = hashlib.sha256(f"{seed}:lora:{target.name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        setattr(model.get_submodule(path), last, LoRALinear(module, target.rank, target.scale, dropout, generator))
    return model


def learned(model: GPT2) -> dict[str, tuple[Tensor, Tensor]]:
    """A [rank, in] and B [out, rank] of each wrapped projection, in float32."""
    wrapped = {name: m for name, m in model.named_modules() if isinstance(m, LoRALinear)}
    return {name: (m.lora_a.detach().float(), m.lora_b.detach().float()) for name, m in wrapped.items()}


def adapter_of(
    model: GPT2, base: str, rank: int, alpha: float, dropout: float = 0.0, targets: Sequence[str] = ()
) -> Adapter:
    """What `add_lora` of this rank and alpha and training made, as matrices of their own to write to a file."""
    return lora_adapter(base, rank, alpha, learned(model), fingerprint(model), dropout, targets)
