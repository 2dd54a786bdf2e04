"""Logit attribution: what each component adds to the logit of a token. Exact, on the raw weights.

In: a `Run`, a target token and a foil. Out: an `Attribution`, parts that sum to the logit (target minus foil, or the
logit minus its mean over the vocabulary), with the error that remains. Finer: the neurons of one MLP, the
source positions of one head. The linear form behind it is readout.py. Read next: effects.py.

A head's write z W_O holds the constant b_V W_O as long as the rows of its pattern sum to 1: it is shown apart, as are
b_O and the final norm's beta, so that a head's bar is what varies with the text.
Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; without their folding of norms.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from gpt2.addresses import Address
from gpt2.base.errors import UsageError
from gpt2.base.plain import plain
from gpt2.explain.run.lacks import Lacking
from gpt2.explain.run.places import parse
from gpt2.explain.run.weights import value_bias
from gpt2.explain.see.readout import NoSum, Readout, readout, slack
from gpt2.explain.show import draw
from gpt2.explain.show.result import Result, number, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from gpt2.explain.run.trace import Run

COMPONENTS = ("embed.tok", "embed.pos", "*.attn.z", "*.attn.out", "*.mlp.out", "final.scale", "final.out")
FINER = re.compile(r"(\d+|\*)\.(mlp|head\.(\d+|\*))")


class Part(NamedTuple):
    """One summand: its name (an address where it has one), its kind, and what it adds to each prediction [N]."""

    name: str
    kind: str  # embedding, head, constant, bias, mlp, attention, edit, neuron, source
    adds: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Result):
    """The parts of one logit, in the order of the model. `whole` minus the sum of `values` is `error`.

    of        "logit", or the component whose parts these are
    spread    the largest logit at that position minus the smallest: what an error is to be compared with
    """

    of: str
    target: str
    foil: str | None
    position: int
    token: str  # at that position
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    labels: tuple[str, ...]  # names for eyes: source positions with their token
    values: Tensor  # (n,) float64
    whole: float
    error: float
    spread: float

    def __getitem__(self, name: str) -> float:
        """What one part adds; UsageError, with the names that there are, for another."""
        if name not in self.names:
            raise UsageError(f"there is no part {name!r}: they are {', '.join(self.names[:12])}, ...")
        return float(self.values[self.names.index(name)])

    def largest(self, n: int) -> tuple[list[int], float]:
        """Where the n parts that add or subtract most stand, the largest first, and the sum of all others."""
        order = self.values.abs().argsort(descending=True, stable=True)[:n]
        return order.tolist(), float(self.values.sum() - self.values[order].sum())

    def top(self, n: int = 10) -> list[tuple[str, float]]:
        """The n parts that add or subtract most, (name, value)."""
        return [(self.names[i], float(self.values[i])) for i in self.largest(n)[0]]

    @property
    def question(self) -> str:
        """What the parts sum to, in words."""
        against = f"its lead over {self.foil}" if self.foil else "its logit above the mean logit"
        subject = "" if self.of == "logit" else f"{self.of}'s share of "
        return f"{self.target} after {self.position} {self.token}: {subject}{against}"

    def table(self, n: int = 12) -> "Table":
        """The n largest parts, the sum of all others, the whole, and the error."""
        error = f"{abs(self.error):.1e}, {abs(self.error) / max(self.spread, 1e-30):.0e} of the logits' range"
        made = table("part", ">adds", title=self.question, caption=f"sum {number(self.whole)}; remaining error {error}")
        shown, others = self.largest(n)
        for i in shown:
            made.add_row(self.labels[i], f"{float(self.values[i]):+.3f}")
        if rest := len(self.names) - len(shown):
            made.add_row(f"{rest} more", f"{others:+.3f}")
        return made

    def plot(self, n: int = 20) -> "Figure":
        """Bars of the n largest parts and of the sum of the others."""
        shown, others = self.largest(n)
        names, values = [self.labels[i] for i in shown], [float(self.values[i]) for i in shown]
        if rest := len(self.names) - len(shown):
            names.append(f"{rest} more")
            values.append(others)
        made, axes = draw.figure(6.5, 1.2 + 0.22 * len(names))
        draw.bars(axes, names, values, unit=f"adds to {self.whole:+.3f} (remaining error {abs(self.error):.0e})")
        draw.title(axes, self.question)
        return made

    def to_dict(self) -> dict[str, Any]:
        """Every part by name, with kind, value, and the sum's error."""
        parts = [
            {"name": n, "kind": k, "label": label, "value": v}
            for n, k, label, v in zip(self.names, self.kinds, self.labels, self.values.tolist())
        ]
        fields = {k: v for k, v in vars(self).items() if k not in ("names", "kinds", "labels", "values")}
        return plain({**fields, "parts": parts})


def attribution(
    run: "Run",
    target: str | int | None = None,
    vs: str | int | None = None,
    at: int = -1,
    *,
    of: str | None = None,
    row: int = 0,
) -> Attribution:
    """What each part adds to the lead of `target` over `vs` at position `at`.

    target  a word of one token or an id; None: the likeliest token there
    vs      the foil, likewise; None: the runner-up, which is the likeliest other token; "mean": the mean logit over
            the vocabulary (the token of that name: its id)
    of      None: all components. "2.mlp": its neurons and its bias. "3.head.7": its source positions, A[i,j] v_j W_O.
            "*.mlp", "3.head.*": the same of several, so that `top` gives the strongest neurons of all

    Raises UsageError for words that are no single token, a position or component that is not there, an edit that
    leaves nothing to divide, and a model whose stream is no sum of what its components write.
    """
    t = run.position(at)
    if not 0 <= row < run.ids.size(0):
        raise UsageError(f"there is no row {row}: this run has rows 0 to {run.ids.size(0) - 1}.")
    best, foil = compared(run, target, vs, t, row)
    run = run.read(*COMPONENTS)
    wanted, other, rows, positions = (torch.tensor([i or 0], device=run.ids.device) for i in (best, foil, row, t))
    form = readout(run, wanted, None if foil is None else other, rows, positions)
    parts, whole = contributions(run, form), form.whole  # refuses where the stream is no sum, also for what is finer
    if of is not None:
        parts, whole = finer(run, form, of)
    values = torch.stack([part.adds[0] for part in parts])
    labels = []
    for part in parts:
        name, _, source = part.name.partition("@")
        seen = f"{source} {run.tokens[row][int(source)]}" if part.kind == "source" else part.name
        labels.append(f"{name} <- {seen}" if part.kind == "source" and "*" in str(of) else seen)
    return Attribution(
        of=of or "logit", target=run.label(best), foil=None if foil is None else run.label(foil), position=t,
        token=run.tokens[row][t], names=tuple(p.name for p in parts), kinds=tuple(p.kind for p in parts),
        labels=tuple(labels), values=values, whole=float(whole[0]), error=float(whole[0] - values.sum()),
        spread=float(form.spread[0]),
    )  # fmt: skip


def compared(run: "Run", target: str | int | None, vs: str | int | None, at: int, row: int) -> tuple[int, int | None]:
    """The ids of target and foil that a question means, see `attribution`; None for the mean logit."""
    first, second = run.values.stored(None, "logits")[row, at].topk(2).indices.tolist()
    best = first if target is None else run.token(target)
    if vs == "mean":
        return best, None
    foil = (second if best == first else first) if vs is None else run.token(vs)
    if foil == best:
        raise UsageError(f"target and foil are the same token, {run.label(best)}: choose another foil.")
    return best, foil


def contributions(run: "Run", form: Readout) -> list[Part]:
    """Every component's part in each prediction of `form`; `run` has read COMPONENTS.

    Each point of the stream must be the sum of what was written before it. Where an edit replaced it, the difference
    is a part of its own, of kind "edit"; where none did, the model is refused (UsageError).
    """
    edited, there = run.edited_points(), set(run.values.points)  # a variant may lack attention or MLPs
    apart = slack(run.model.lm_head.weight.dtype)

    def get(l: int | None, point: str) -> Tensor:
        return form.pick(run.values.stored(l, point).detach())

    parts = [Part(n, "embedding", form.read(get(None, n))) for n in ("embed.tok", "embed.pos")]
    x = get(None, "embed.tok") + get(None, "embed.pos")

    def reach(l: int | None, point: str, sum_: Tensor) -> Tensor:
        """The stream at a point, which should be `sum_`; a difference becomes a part, or a NoSum."""
        here, name = get(l, point), point if l is None else f"{l}.{point}"
        if {(l, point), (l, "block" if point == "resid_post" else point)} & edited:
            parts.append(Part(f"{name} (edit)", "edit", form.read(here - sum_)))
        elif (here - sum_).norm() > apart * here.norm():
            raise NoSum(
                f"exact attribution has no counterpart in this model, since its {name} is not the sum of what was "
                "written to the stream before (post-norm, or no residuals): use gpt2 explain off, which measures what "
                "each component is worth."
            )
        return here

    x = reach(None, "embed.out", x)
    for l in range(run.model.config.n_layer):
        x = reach(l, "resid_pre", x)
        if (l, "attn.out") in there:
            out = get(l, "attn.out")
            parts += _attention(run, form, l, out, edited)
            x = x + out
        x = reach(l, "resid_mid", x)
        if (l, "mlp.out") in there:
            out = get(l, "mlp.out")
            parts.append(Part(f"{l}.mlp", "mlp", form.read(out)))
            x = x + out
        x = reach(l, "resid_post", x)
    parts.append(Part("final.beta", "bias", form.constant))
    return parts


def _attention(run: "Run", form: Readout, l: int, out: Tensor, edited: set[tuple[int | None, str]]) -> Iterator[Part]:
    """Heads, their constant, b_O; or the whole write as one part where it was edited itself."""
    if {(l, "attn.out"), (l, "head.out")} & edited:
        yield Part(f"{l}.attn", "attention", form.read(out))
        return
    attn = run.model.transformer.h[l].attn
    z = run.values.stored(l, "attn.z").detach()[form.rows, :, form.at].double()  # (N, H, D)
    toward = head_directions(run, form, l)  # (N, H, D)
    constant = torch.einsum("hd,nhd->nh", value_bias(run.model, l).double(), toward)
    constant[:, _altered_heads(run, l)] = 0
    adds = (torch.einsum("nhd,nhd->nh", z, toward) - constant) / form.sigma[:, None]
    for h in range(run.model.config.n_head):
        yield Part(f"{l}.head.{h}", "head", adds[:, h])
    yield Part(f"{l}.attn.b_V", "constant", constant.sum(1) / form.sigma)
    yield Part(f"{l}.attn.b_O", "bias", form.read(attn.c_proj.bias.detach().expand(len(form.at), -1)))


def _altered_heads(run: "Run", l: int) -> list[int]:
    """Heads that edits gave another z, other values, or weights that need not sum to 1: no constant is in them."""
    c, found = run.model.config, set[int]()
    for text, edit in run.edits.items():
        for a in parse(text, c.n_layer, c.n_head):
            if a.layer == l and getattr(edit, "point", a.point) in ("attn.v", "attn.pattern", "attn.z"):
                found |= set(range(c.n_head)) if a.head is None else {a.head}
    return sorted(found)


def head_directions(run: "Run", form: Readout, l: int) -> Tensor:
    """W_O ghat of every head, [N, H, D]: what its z is read by."""
    attn = run.model.transformer.h[l].attn
    both = form.direction @ attn.c_proj.weight.detach().double()  # (N, C)
    return both.view(-1, attn.n_head, attn.head_dim)


def finer(run: "Run", form: Readout, of: str) -> tuple[list[Part], Tensor]:
    """The parts of a component, or of several (`*.mlp`), and what they sum to: the components' own contributions."""
    if not FINER.fullmatch(of):
        raise UsageError(f"{of!r} cannot be divided: write MLPs (2.mlp, *.mlp) or heads (3.head.7, 3.head.*).")
    parts: list[Part] = []
    whole = torch.zeros_like(form.constant)
    for place in parse(of, run.model.config.n_layer, run.model.config.n_head):
        if (place.layer, place.point) not in run.values.points:
            raise Lacking(f"this model is without {of}: there is nothing to divide; name another component.")
        more, sum_ = (_neurons if place.head is None else _sources)(run, form, place)
        parts, whole = parts + more, whole + sum_
    return parts, whole


def _neurons(run: "Run", form: Readout, place: Address) -> tuple[list[Part], Tensor]:
    l, name = place.layer or 0, place.text
    if (l, "mlp.out") in run.edited_points():
        raise UsageError(f"{name} is edited as a whole, so it has no neurons' parts: leave out that edit.")
    run = run.read(f"{l}.mlp.post", f"{l}.mlp.out")
    project = run.model.transformer.h[l].mlp.c_proj
    toward = form.direction @ project.weight.detach().double()  # (N, F)
    adds = form.pick(run.values.stored(l, "mlp.post").detach()) * toward / form.sigma[:, None]
    bias = form.read(project.bias.detach().expand(len(form.at), -1))
    parts = [Part(f"{name}.post#{n}", "neuron", one) for n, one in enumerate(adds.unbind(1))]
    return [*parts, Part(f"{name}.b", "bias", bias)], form.read(form.pick(run.values.stored(l, "mlp.out").detach()))


def _sources(run: "Run", form: Readout, place: Address) -> tuple[list[Part], Tensor]:
    l, h, name = place.layer or 0, place.head or 0, place.text
    if {(l, "attn.z"), (l, "head.out"), (l, "attn.out")} & run.edited_points():
        raise UsageError(f"{name} is edited where it writes, so it has no source positions: leave out that edit.")
    run = run.read(f"{l}.attn.pattern", f"{l}.attn.v", f"{l}.attn.z")
    toward = head_directions(run, form, l)[:, h]  # (N, D)
    pattern = run.values.stored(l, "attn.pattern").detach()[form.rows, h, form.at].double()  # (N, T)
    v = run.values.stored(l, "attn.v").detach()[form.rows, h].double()  # (N, T, D)
    bias = value_bias(run.model, l)[h].double()
    varies = torch.einsum("nt,ntd,nd->nt", pattern, v - bias, toward) / form.sigma[:, None]
    constant = pattern.sum(-1) * (toward @ bias) / form.sigma
    z = run.values.stored(l, "attn.z").detach()[form.rows, h, form.at].double()  # (N, D)
    last = varies.size(1) if pattern[:, int(form.at.max()) + 1 :].any() else int(form.at.max()) + 1  # without a mask
    parts = [Part(f"{name}@{j}", "source", varies[:, j]) for j in range(last)]
    return [*parts, Part(f"{name}.b_V", "constant", constant)], (z * toward).sum(-1) / form.sigma
