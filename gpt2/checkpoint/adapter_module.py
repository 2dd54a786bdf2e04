"""What one module's weight becomes: W + scale B A, or the same with DoRA's magnitudes.

In: the weight [out, in], the matrices that the file holds, and those that the start of training took out of the weight.
Out: the new weight. Everything is computed in float64. Read next: adapter_merge.py.
Source: Hu et al. 2021, "LoRA", section 4.1; Liu et al. 2024, "DoRA", section 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gpt2.checkpoint.adapter_targets import Target, is_projection
from gpt2.checkpoint.adapter_tensors import TABLES

DRAWN = ("orthogonal", "mica")  # starts after which a matrix that the file lacks is not zero; false is another
AGAIN = "which peft would draw at random: save the adapter again."


@dataclass(frozen=True)
class Change:
    """One module, the matrices of the file ("lora_A", "lora_B", "bias", "magnitude"), and how training began.

    parameter  whether the weight was named by target_parameters, in the layout in which the file has it
    start      init_lora_weights
    taken      A and B that the start took out of the weight (None: it left the weight as it was)
    """

    target: Target
    parts: Mapping[str, Tensor]
    parameter: bool
    start: Any
    taken: tuple[Tensor, Tensor] | None = None

    @property
    def table(self) -> bool:
        """Whether it is an embedding: its A is [rank, rows] and its B [width, rank]."""
        return not self.parameter and self.target.name in TABLES

    @property
    def turned(self) -> bool:
        """Whether B A is the transpose of the weight in this model's layout."""
        return self.table or (self.parameter and is_projection(self.target.name))

    def weight(self, base: Tensor, dora: bool) -> Tensor | None:
        """The new weight in float64, of `base` [out, in]; None where it stays as it is.

        Raises ValueError for matrices that do not fit, and for lacking ones that peft would draw at random.
        """
        a, b = self._pair(base)
        base = base.double()
        changed = base if a is None or b is None else base + self._product(a, b)
        if dora:
            axis = 0 if self.table else 1
            magnitude, norm = self.parts.get("magnitude"), torch.linalg.vector_norm(changed, dim=axis)
            if magnitude is None:  # then it is that of the start, and peft's in float32
                first = base if self.taken is None else base + self._product(*self.taken)
                magnitude = torch.linalg.vector_norm(first.float(), dim=axis)
            if magnitude.shape != norm.shape:
                found, wanted = list(magnitude.shape), list(norm.shape)
                raise ValueError(f"the magnitudes of {self.target.name} are {found}, but {wanted} in it: wrong base.")
            changed = changed * (magnitude.double() / norm).unsqueeze(axis)
        if not changed.isfinite().all():
            raise ValueError(f"{self.target.name} becomes infinite or NaN: the adapter is damaged.")
        return None if changed is base else changed

    def bias(self, old: Tensor | None) -> Tensor | None:
        """The new bias [out] of a module whose adapter may add one; None where it stays as it is."""
        name, bias = self.target.name, self.parts.get("bias")
        if self.table:
            raise ValueError(f"lora_bias does not go with {name} in peft: train without one of them.")
        if bias is None:
            if self.start is not True:
                raise ValueError(f"{name} lacks a bias, {AGAIN}")
            return None
        if old is None:
            if bias.any():
                raise ValueError(f"lora_bias adds a bias to {name}, and a GPT-2's head has none: use peft for it.")
            return None
        if old.shape != bias.shape:
            raise ValueError(f"the bias of {name} is {list(bias.shape)}, but {list(old.shape)} in it: wrong base.")
        return old.double() + self.target.scale * bias.double()

    def _pair(self, base: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """A and B of the file, else of the start; shapes checked."""
        name, rank = self.target.name, self.target.rank
        first_a, first_b = self.taken or (None, None)
        a, b = self.parts.get("lora_A", first_a), self.parts.get("lora_B", first_b)
        out, into = reversed(base.shape) if self.turned else base.shape
        rank = rank if self.taken is None else min(rank, out, into)
        for letter, matrix, shape in (("A", a, [rank, into]), ("B", b, [out, rank])):
            if matrix is None or list(matrix.shape) == shape:
                continue
            outer = None if a is None or b is None or a.dim() != 2 or b.dim() != 2 else [b.size(0), a.size(1)]
            if outer not in (None, [out, into]):
                raise ValueError(f"{name} is {outer}, but {[out, into]} in the base: it was trained on another base.")
            found = f"{letter} of {name} is {list(matrix.shape)} and not {shape}"
            raise ValueError(f"{found}: its rank is not the {rank} of adapter_config.json.")
        drawn_first, zero_first = (b, a) if self.table else (a, b)
        drawn = not self.start or (isinstance(self.start, str) and self.start.lower() in DRAWN and not self.table)
        if (zero_first is None and drawn) or (drawn_first is None and zero_first is not None and zero_first.any()):
            raise ValueError(f"{name} lacks a matrix, {AGAIN}")
        return a, b

    def _product(self, a: Tensor, b: Tensor) -> Tensor:
        """scale B A in this model's layout."""
        product = self.target.scale * (b.double() @ a.double())
        return product.t() if self.turned else product
