"""A forward pass as a program that runs without this package: `torch.export`, with switches as inputs.

In: a model, the points to switch, the points to return. Out: an `ExportedProgram` whose inputs are token ids, the keys
and values of earlier positions, and a gate and a value for each switch. The length of the text and the number of
earlier positions are free. The live page runs such a program, so that the model is never written a second time.

At a switch the pass goes on with x * gate + value: gate 1 and value 0 change nothing; gate 0 and value 0 is off; gate
0 and a mean is that mean; a gate that is 0 at one position and a value that is not patches that position; gate 0 and
a given sigma freezes a norm. Read next: forward_pass.py, whose taps do it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gpt2.addresses import POINTS, Address, Key
from gpt2.explain.run.given_keys import GivenKeys
from gpt2.explain.run.places import parse
from gpt2.explain.run.values import shape
from gpt2.forward_pass import Pass
from gpt2.model import GPT2
from gpt2.probe import Probe

Switch = tuple[Tensor, Tensor]  # gate, value


class Gates(Probe):
    """In a probe's place: x * gate + value at each switch, and the values at some points kept. Nothing else.

    A program has no rows to tell apart and knows no length, so nothing of `Probe.begin` is done.
    """

    def __init__(self, switches: Mapping[Key, Switch], read: Sequence[Key]) -> None:
        self._switches, self._reads = switches, set(read)
        self.values: dict[Key, Tensor] = {}

    def begin(self, model: GPT2, positions: Tensor, lengths: Sequence[int], n_keys: int) -> None:
        """Nothing is prepared."""

    def wants(self, layer: int | None, *points: str) -> bool:
        """Whether any of these points is switched or kept."""
        return any((layer, point) in self._switches or (layer, point) in self._reads for point in points)

    def steers(self, layer: int | None, point: str) -> bool:
        """Whether this point is switched."""
        return (layer, point) in self._switches

    def tap(self, layer: int | None, point: str, x: Tensor) -> Tensor:
        """x * gate + value where there is a switch; kept where it is to be returned."""
        if (layer, point) in self._switches:
            gate, value = self._switches[layer, point]
            x = x * gate + value
        if (layer, point) in self._reads:
            self.values[layer, point] = x
        return x


class KeptKeys(GivenKeys):
    """Earlier keys and values that a pass extends, and hands back."""

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The earlier keys and values, then these: [1, H, P + T, D] each; they are kept for the program's outputs."""
        self.keys[layer], self.values[layer] = super().update(layer, k, v)
        return self.keys[layer], self.values[layer]


class Program(nn.Module):
    """One forward pass of one text as a function of tensors alone.

    In: ids [1, T]; keys and values, L tensors [1, H, P, D] each; gates and values, one of each for every switch, of
    any shape that broadcasts to the point's. Out: the logits [1, T, V], the values at the points that are returned,
    the keys and values of P + T positions.
    """

    def __init__(self, model: GPT2, switches: Sequence[Key], outputs: Sequence[Key]) -> None:
        super().__init__()
        self.model, self.switches, self.outputs = model, list(switches), list(outputs)

    def forward(
        self, ids: Tensor, keys: list[Tensor], values: list[Tensor], gates: list[Tensor], replacements: list[Tensor]
    ) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
        """The pass; see the class for shapes."""
        model, T = self.model, ids.size(1)
        probe = Gates(dict(zip(self.switches, zip(gates, replacements))), self.outputs)
        cache = KeptKeys(keys, values)
        here = Pass(cache=cache, probe=probe, positions=cache.positions(T), mask=cache.mask(T))
        x = model.blocks(model.embed(ids, here), here)
        logits = model.head(model.norm(x, here), here)
        return logits, [probe.values[key] for key in self.outputs], cache.keys, cache.values


def neutral(model: GPT2, switches: Sequence[str], T: int, P: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """Gates and values that change nothing, for T tokens after P earlier ones.

    A value has the shape of its point, [1, ...]; a gate has one number in place of the last axis (of a norm's scale,
    which has none: one per position).
    """
    gates, values = [], []
    for key in points(model, switches):
        axes, sizes = POINTS[key[1]].axes.split(), [*shape(key[1], model.config, T)]
        if axes.count("T") == 2:  # scores and pattern: the keys are all positions
            sizes[-1] = P + T
        gates.append(torch.ones(1, *sizes[:-1], 1) if len(sizes) > 1 else torch.ones(1, *sizes))
        values.append(torch.zeros(1, *sizes))
    return gates, values


def points(model: GPT2, addresses: Sequence[str]) -> list[Key]:
    """The points that addresses name, each once, in their order.

    Raises ValueError for an unknown address, and for one with a head, a position or a unit: gates choose those.
    """
    found: list[Address] = []
    for text in addresses:
        found += parse(text, model.config.n_layer, model.config.n_head)
    narrow = next((a.text for a in found if a.head is not None or a.span or a.unit is not None), None)
    if narrow is not None:
        raise ValueError(f"{narrow!r} is a part of a point: name the whole point, its gate chooses the part.")
    return list(dict.fromkeys((a.layer, a.point) for a in found))


def export(model: GPT2, switches: Sequence[str] = (), outputs: Sequence[str] = ()) -> torch.export.ExportedProgram:
    """The program of `model` in evaluation mode, with switches at these addresses and these addresses returned.

    Its inputs are those of `Program.forward`; T and P (from 0) may be any number within the context. Where scores or
    patterns are switched, the compiler assumes at least four keys, and the program refuses a shorter text.
    """
    config, T, P = model.config, 3, 2
    program = Program(model, points(model, switches), points(model, outputs)).eval()
    earlier = [torch.zeros(1, config.n_head, P, config.head_dim) for _ in range(config.n_layer)]
    gates, replacements = neutral(model, switches, T, P)
    inputs = (torch.zeros(1, T, dtype=torch.long), earlier, [x.clone() for x in earlier], gates, replacements)
    length, past = torch.export.Dim("T", max=config.n_positions), torch.export.Dim("P", min=0, max=config.n_positions)

    def free(key: Key, x: Tensor) -> dict[int, Any]:
        """The axes of a gate or a value that grow with the text."""
        names = ["", *POINTS[key[1]].axes.split()]
        axes: dict[int, Any] = {names.index("T"): length}
        if names.count("T") == 2 and x.size(-1) > 1:
            axes[x.dim() - 1] = torch.export.Dim.AUTO  # P + T
        return axes

    cached = [{2: past} for _ in earlier]
    both = [[free(key, x) for key, x in zip(program.switches, some)] for some in (gates, replacements)]
    shapes = ({1: length}, cached, cached, *both)
    with torch.no_grad():
        return torch.export.export(program, inputs, dynamic_shapes=shapes)
