"""One number of a pass, and the calculation that made it: its operands are numbers of the pass, or weights.

In: a run (explain/run/trace.py) and where the number stands. Out: a `Calculation`. Read next: walk.py, which goes
through all steps at once.

    kind         computed from
    table        a learned number, looked up: numbers["at"] is the row of the table
    sum          left[0] + left[1]
    product      (left . right + bias) / divisor
    norm         (x - mean) / sigma * weight + bias
    spread       sigma = sqrt(mean((left - mean)^2) + epsilon)
    softmax      exp(score - highest) / total, total = sum of exp(left - highest)
    masked       0: a later position
    activation   f(x)
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gpt2.base.errors import UsageError
from gpt2.block import LayerNorm
from gpt2.explain.run.trace import Run

NO_SUM = 1e-3  # as a share of the operands, by more than which rounding does not explain a difference
NONE = torch.zeros(0, dtype=torch.float64)
SUMS = {"resid_mid": ("resid_pre", "attn.out"), "resid_post": ("resid_mid", "mlp.out")}
PER_HEAD = ("attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern", "attn.z")
PARTS = ("attn.q", "attn.k", "attn.v")
INSIDE = (
    "resid_pre", "ln_1.scale", "ln_1.out", *PER_HEAD, "attn.out", "resid_mid", "ln_2.scale", "ln_2.out", "mlp.pre",
    "mlp.post", "mlp.out", "resid_post",
)  # fmt: skip
OUTSIDE = ("embed.tok", "embed.pos", "embed.out", "final.scale", "final.out", "logits")


@dataclass(frozen=True)
class Calculation:
    """A number, and what it was computed from, see the module's docstring; in float64.

    `value` is what the pass went on with. It differs from `computed` where the component was switched.
    """

    kind: str
    value: float
    computed: float
    left: Tensor = field(default_factory=lambda: NONE)
    right: Tensor = field(default_factory=lambda: NONE)
    numbers: dict[str, float] = field(default_factory=dict)

    def terms(self, most: int) -> "Terms":
        """The largest terms of a product, or the likeliest of a softmax; of the others only what they come to."""
        mean = self.numbers.get("mean", 0.0)
        sizes = self.left * self.right if len(self.right) else self.left - mean
        if self.kind == "softmax":
            sizes = self.right
        at = sizes.abs().sort(descending=True, stable=True).indices[:most].sort().values
        rest = float(sizes.sum() - sizes[at].sum()) if self.kind in ("product", "softmax") else 0.0
        return Terms(at, self.left[at], self.right[at] if len(self.right) else NONE, len(sizes), rest)


@dataclass(frozen=True)
class Terms:
    """The operands `left[at]` and `right[at]`, where they stand among all `of`, and the sum of the other products."""

    at: Tensor
    left: Tensor
    right: Tensor
    of: int
    rest: float


def to_read(address: str, n_layer: int) -> tuple[str, ...]:
    """The addresses that a run has to keep for the calculations of all numbers of the block that `address` is in."""
    layer = address.partition(".")[0]
    inside = layer.isdecimal() and layer.isascii() and int(layer) < n_layer
    return (*OUTSIDE, *(f"{int(layer)}.{point}" for point in INSIDE if inside))


def calculation(run: Run, address: str, row: int, index: int, head: int | None = None) -> Calculation:
    """How a run came to the number `index` of the vector that stands at `address` in row `row`.

    address   a point of gpt2/addresses.py such as `3.mlp.out`, or "probability"; for those inside attention
              (`3.attn.scores`) the head too
    index     of a score or a weight: the position that is read from; of logits and probability: the token

    UsageError for what this text or model does not have, and for points that are no step of the model's.
    """
    return _Finder(run, address, row, head).find(index)


def _middle(norm: nn.Module, x: Tensor) -> float:
    """What a norm subtracts: the mean, or 0 of an RMSNorm."""
    return float(x.mean()) if isinstance(norm, nn.LayerNorm) else 0.0


class _Finder:
    """The operands of one address and row of a run."""

    def __init__(self, run: Run, address: str, row: int, head: int | None) -> None:
        self.model, self.config = run.model, run.model.config
        layer, _, point = address.partition(".")
        inside = layer.isdecimal() and layer.isascii()
        self.layer: int | None = int(layer) if inside else None
        self.point = point if inside else address
        self.row, self.head, self.address = row, head, address
        if self.layer is not None and self.layer >= self.config.n_layer:
            raise UsageError(f"there is no block {layer}: this model has 0 to {self.config.n_layer - 1}.")
        if row >= run.ids.size(1):
            raise UsageError(f"there is no position {row}: this text has 0 to {run.ids.size(1) - 1}.")
        if (self.point in PER_HEAD) != (head is not None):
            raise UsageError(f"{address} {'needs a' if head is None else 'has no'} head.")
        if head is not None and head >= self.config.n_head:
            raise UsageError(f"there is no head {head}: each block has 0 to {self.config.n_head - 1}.")
        self.run = run.read(*to_read(address, self.config.n_layer))

    def find(self, index: int) -> Calculation:
        """The calculation of one number."""
        find = self._finders().get(self.point)
        if find is None:
            raise UsageError(f"{self.address} is no step of the model: choose one that gpt2 walk prints.")
        width = self._width()
        if index >= width:
            raise UsageError(f"{self.address} has the numbers 0 to {width - 1}, not {index}.")
        return find(index)

    def _finders(self) -> dict[str, Callable[[int], Calculation]]:
        if self.layer is None:
            return {
                "embed.tok": self._table, "embed.pos": self._table, "embed.out": self._sum,
                "final.scale": self._spread, "final.out": self._norm,
                "logits": self._logit, "probability": self._probability,
            }  # fmt: skip
        return {
            "resid_pre": self._sum, "resid_mid": self._sum, "resid_post": self._sum,
            "ln_1.scale": self._spread, "ln_1.out": self._norm, "ln_2.scale": self._spread, "ln_2.out": self._norm,
            "attn.q": self._part, "attn.k": self._part, "attn.v": self._part, "attn.scores": self._score,
            "attn.pattern": self._weight, "attn.z": self._mixed, "attn.out": self._projected,
            "mlp.pre": self._neuron, "mlp.post": self._activated, "mlp.out": self._written,
        }  # fmt: skip

    def _width(self) -> int:
        c, point = self.config, self.point
        sizes = {
            "logits": c.vocab_size, "probability": c.vocab_size, "mlp.pre": c.inner_dim, "mlp.post": c.inner_dim,
            "attn.scores": self.run.ids.size(1), "attn.pattern": self.run.ids.size(1),
        }  # fmt: skip
        return 1 if point.endswith(".scale") else sizes.get(point, c.head_dim if point in PER_HEAD else c.n_embd)

    def _all(self, address: str) -> Tensor:
        """The values at an address, of this head where it has heads, as the pass holds them; in float64."""
        value = self.run[address][0].double()
        return value[self.head] if self.head is not None and address.endswith(PER_HEAD) else value

    def _at(self, point: str, row: int | None = None) -> Tensor:
        """The vector [n] at a point of this block, or outside the blocks, at this row or another one."""
        address = point if point in OUTSIDE else f"{self.layer}.{point}"
        return self._all(address)[self.row if row is None else row]

    def _product(self, index: int, left: Tensor, right: Tensor, bias: Tensor | None = None, divisor: float = 1.0,
                 value: float | None = None) -> Calculation:  # fmt: skip
        left, right = left.double(), right.detach().double()
        added = 0.0 if bias is None else float(bias.detach()[index])
        computed = (float(left @ right) + added) / divisor
        value = float(self._at(self.point)[index]) if value is None else value
        return Calculation("product", value, computed, left, right, {"bias": added, "divisor": divisor})

    def _table(self, index: int) -> Calculation:
        tokens = self.point == "embed.tok"
        at = int(self.run.ids[0, self.row]) if tokens else self.row
        table = self.model.transformer.wte if tokens else self.model.transformer.wpe
        name = type(table).__name__
        if not tokens and name != "Embedding":
            raise UsageError(f"this model has no table of position vectors, its wpe is {name}: choose another number.")
        return Calculation(
            "table",
            float(self._at(self.point)[index]),
            float(table.weight.detach()[at, index]),
            numbers={"at": float(at)},
        )

    def _sum(self, index: int) -> Calculation:
        if self.point == "embed.out":
            parts = [self._at("embed.tok"), self._at("embed.pos")]
        elif self.point == "resid_pre":
            before = f"{self.layer - 1}.resid_post" if self.layer else "embed.out"
            parts = [self._all(before)[self.row]]
        else:
            parts = [self._at(point) for point in SUMS[self.point]]
        left, value = torch.stack([part[index] for part in parts]), float(self._at(self.point)[index])
        edited = {(self.layer, self.point), (self.layer, "block")} & self.run.edited_points()
        if not edited and abs(value - float(left.sum())) > NO_SUM * (abs(value) + float(left.abs().sum())):
            raise UsageError(
                f"in this model {self.address} is not the sum of what was written to the stream before (post-norm, or "
                "no residuals): choose another number."
            )
        return Calculation("sum", value, float(left.sum()), left)

    def _normed(self) -> tuple[LayerNorm, Tensor, str]:
        """The norm, what it reads at this row, and the address of its sigma."""
        if self.layer is None:
            last = f"{self.config.n_layer - 1}.resid_post"
            return self.model.transformer.ln_f, self._all(last)[self.row], "final.scale"
        name = self.point.split(".")[0]
        block = self.model.transformer.h[self.layer]
        read, norm = ("resid_pre", block.ln_1) if name == "ln_1" else ("resid_mid", block.ln_2)
        return norm, self._at(read), f"{self.layer}.{name}.scale"

    def _norm(self, index: int) -> Calculation:
        norm, x, scale = self._normed()
        mean, sigma = _middle(norm, x), float(self._all(scale)[self.row])
        shift = getattr(norm, "bias", None)  # RMSNorm has none
        weight, bias = float(norm.weight.detach()[index]), 0.0 if shift is None else float(shift.detach()[index])
        computed = (float(x[index]) - mean) / sigma * weight + bias
        numbers = {"x": float(x[index]), "mean": mean, "sigma": sigma, "weight": weight, "bias": bias}
        return Calculation("norm", float(self._at(self.point)[index]), computed, numbers=numbers)

    def _spread(self, index: int) -> Calculation:
        norm, x, scale = self._normed()
        mean = _middle(norm, x)
        variance = float((x - mean).square().mean())
        numbers = {"mean": mean, "variance": variance, "epsilon": norm.eps}
        value = float(self._all(scale)[self.row])
        return Calculation("spread", value, (variance + norm.eps) ** 0.5, x, numbers=numbers)

    def _part(self, index: int) -> Calculation:
        c, linear = self.config, self.model.transformer.h[self.layer or 0].attn.c_attn
        at = PARTS.index(self.point) * c.n_embd + (self.head or 0) * c.head_dim + index
        value = float(self._at(self.point)[index])
        return self._product(at, self._at("ln_1.out"), linear.weight[at], linear.bias, value=value)

    def _score(self, index: int) -> Calculation:
        divisor = float(self.model.transformer.h[self.layer or 0].attn.divisor)
        return self._product(index, self._at("attn.q"), self._at("attn.k", index), divisor=divisor)

    def _weight(self, index: int) -> Calculation:
        pattern = self._at("attn.pattern")
        if index > self.row:
            return Calculation("masked", float(pattern[index]), 0.0)
        scores = self._at("attn.scores")[: self.row + 1]
        return self._softmax(scores, index, float(pattern[index]), scores, pattern[: self.row + 1])

    def _softmax(
        self, scores: Tensor, index: int, value: float, left: Tensor = NONE, right: Tensor = NONE
    ) -> Calculation:
        highest, score = float(scores.max()), float(scores[index])
        total = float((scores - highest).exp().sum())
        computed = float((scores[index] - highest).exp()) / total
        numbers = {"score": score, "highest": highest, "total": total}
        return Calculation("softmax", value, computed, left, right, numbers)

    def _mixed(self, index: int) -> Calculation:
        pattern, values = self._at("attn.pattern"), self._all(f"{self.layer}.attn.v")
        return self._product(index, pattern[: self.row + 1], values[: self.row + 1, index])

    def _projected(self, index: int) -> Calculation:
        attn = self.model.transformer.h[self.layer or 0].attn
        z = self.run[f"{self.layer}.attn.z"][0, :, self.row].reshape(-1)
        return self._product(index, z, attn.c_proj.weight[index], attn.c_proj.bias)

    def _neuron(self, index: int) -> Calculation:
        linear = self.model.transformer.h[self.layer or 0].mlp.c_fc
        return self._product(index, self._at("ln_2.out"), linear.weight[index], linear.bias)

    def _activated(self, index: int) -> Calculation:
        x = self._at("mlp.pre")[index]
        computed = float(self.model.transformer.h[self.layer or 0].mlp.activation(x))
        return Calculation("activation", float(self._at("mlp.post")[index]), computed, numbers={"x": float(x)})

    def _written(self, index: int) -> Calculation:
        linear = self.model.transformer.h[self.layer or 0].mlp.c_proj
        return self._product(index, self._at("mlp.post"), linear.weight[index], linear.bias)

    def _logit(self, index: int) -> Calculation:
        return self._product(index, self._at("final.out"), self.model.lm_head.weight[index])

    def _probability(self, index: int) -> Calculation:
        logits = self._at("logits")
        return self._softmax(logits, index, float(logits.softmax(-1)[index]))
