"""Direct, indirect and total: in which way does a component move a logit?

In: a `Run`, a replacement (an edit), a target and a foil. Out: `Effects`, for each component

    total    y = logit(full) - logit(edited)
    direct   x = contrib(c) - contrib(its replacement), the final norm's sigma held
    indirect   = the change of all other components' contributions, sigma held
    scale      = <r_edited, ghat> (1/sigma - 1/sigma_edited): the final norm's change of scale

and x + indirect + scale = y. The last MLP has no indirect effect: nothing comes after it. A head whose loss is made
good by later heads has a negative one (backup: McGrath et al. 2023; Rushing and Nanda 2024, arXiv 2402.15390).
Read next: leave_one_out.py and off.py, the same question asked of a whole text's loss.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gpt2.addresses import Address
from gpt2.base.errors import UsageError
from gpt2.base.onednn import forward_only
from gpt2.base.plain import plain
from gpt2.explain.run.lacks import Lacking
from gpt2.explain.run.places import parse
from gpt2.explain.run.sweep import Base
from gpt2.explain.see.attribution import COMPONENTS, compared, contributions, head_directions
from gpt2.explain.see.readout import Readout, readout
from gpt2.explain.show import draw
from gpt2.explain.show.result import Result, table
from gpt2.probe import At, Edit

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from gpt2.explain.run.trace import Run

EVERY = ("*.head.*", "*.mlp")
WRITES = ("attn.z", "attn.out", "mlp.out")


@dataclass(frozen=True, eq=False, repr=False)
class Effects(Result):
    """One row per component, in the order given; all in logits, float64. `error` is the largest y - (x + ... )."""

    replacement: str
    target: str
    foil: str | None
    position: int
    token: str
    names: tuple[str, ...]
    total: Tensor  # (n,)
    direct: Tensor  # (n,)
    indirect: Tensor  # (n,)
    scale: Tensor  # (n,)
    error: float

    @property
    def question(self) -> str:
        """What is measured, in words."""
        against = f"its lead over {self.foil}" if self.foil else "its logit above the mean logit"
        return f"{self.target} after {self.position} {self.token}: what {against} owes to each component"

    def _largest(self, n: int) -> list[int]:
        return self.total.abs().argsort(descending=True, stable=True)[:n].tolist()

    def table(self, n: int = 12) -> "Table":
        """The n components with the largest total effect."""
        caption = f"replaced by: {self.replacement}; direct + indirect + scale = total up to {self.error:.0e}"
        made = table("component", ">total", ">direct", ">indirect", ">scale", title=self.question, caption=caption)
        for i in self._largest(n):
            numbers = (self.total[i], self.direct[i], self.indirect[i], self.scale[i])
            made.add_row(self.names[i], *(f"{float(x):+.3f}" for x in numbers))
        return made

    def plot(self, labels: int = 8) -> "Figure":
        """A dot for each component: direct effect across, total effect up; on the diagonal all of it is direct."""
        made, axes = draw.figure(6.5, 5.5)
        kinds = ["head" if ".head." in name else name.rpartition(".")[2] for name in self.names]
        for colour, kind in zip(draw.KINDS, dict.fromkeys(kinds)):
            here = [i for i, k in enumerate(kinds) if k == kind]
            axes.scatter(self.direct[here].tolist(), self.total[here].tolist(), s=18, color=colour, label=kind)
        axes.axline((0, 0), slope=1, color=draw.NEUTRAL, linewidth=0.8)
        axes.axhline(0, color=draw.NEUTRAL, linewidth=0.4)
        axes.axvline(0, color=draw.NEUTRAL, linewidth=0.4)
        for i in self._largest(labels):
            point = float(self.direct[i]), float(self.total[i])
            axes.annotate(self.names[i], point, (4, 3), textcoords="offset points", fontsize=7, **draw.MONOSPACE)
        axes.set_xlabel("direct effect, logits")
        axes.set_ylabel("total effect, logits")
        axes.legend(loc="lower right", frameon=False)
        draw.title(axes, self.question)
        return made

    def to_dict(self) -> dict[str, Any]:
        """One record per component."""
        columns = zip(self.names, *(x.tolist() for x in (self.total, self.direct, self.indirect, self.scale)))
        keys = ("name", "total", "direct", "indirect", "scale")
        numbers = ("names", "total", "direct", "indirect", "scale")
        fields = {k: v for k, v in vars(self).items() if k not in numbers}
        return plain({**fields, "components": [dict(zip(keys, row)) for row in columns]})


def effects(
    run: "Run",
    replacement: Edit,
    components: str | Iterable[str] = EVERY,
    target: str | int | None = None,
    vs: str | int | None = None,
    at: int = -1,
    *,
    row: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Effects:
    """Replace each component on its own, over all positions, and divide what that does to a logit at position `at`.

    replacement  an edit for every one of them: mean(reference), zero, ... (edits.py)
    components   heads (l.head.h), attention (l.attn) and MLPs (l.mlp)
    target, vs   as in `attribution`
    progress     told how many components are done, of how many

    The components of one layer run as one batch from that layer on. What this model, a variant, is without is left out
    where `*` names it. Raises UsageError for components of another kind, for one named without `*` that this model
    lacks, for components that the run edits already, and as `attribution` and the edit do.
    """
    c, t = run.model.config, run.position(at)
    texts = [components] if isinstance(components, str) else list(components)
    places = list(dict.fromkeys(a for text in texts for a in parse(text, c.n_layer, c.n_head)))
    for a in places:
        if a.point not in WRITES or a.span or a.unit is not None or (a.point == "attn.z" and a.head is None):
            raise UsageError(f"{a.text} is not a component that writes: choose heads (0.head.1), 0.attn or 0.mlp.")
        if {(a.layer, point) for point in ("attn.pattern", *WRITES)} & run.edited_points():
            raise UsageError(f"this run edits block {a.layer} already: measure effects on a run without edits there.")
    run = run.read(*COMPONENTS)
    lacking = {a.text for a in places} - {a.text for a in places if (a.layer, a.point) in run.values.points}
    places = [a for a in places if a.text not in lacking]
    if lacking.intersection(texts) or not places:
        missed = [text for text in texts if text in lacking] or texts
        raise Lacking(f"this model is without {', '.join(missed)}: name other components.")
    best, foil = compared(run, target, vs, t, row)
    wanted, other, rows, positions = (torch.tensor([i or 0], device=run.ids.device) for i in (best, foil, row, t))
    form = readout(run, wanted, None if foil is None else other, rows, positions)
    contributions(run, form)  # refuses a model whose stream is no sum of what its components write
    numbers = _measure(run, form, places, replacement, wanted, None if foil is None else other, progress)
    total, direct, indirect, scale = numbers.T
    return Effects(
        replacement=getattr(replacement, "label", "an edit"), target=run.label(best),
        foil=None if foil is None else run.label(foil), position=t, token=run.tokens[row][t],
        names=tuple(a.text for a in places), total=total, direct=direct, indirect=indirect, scale=scale,
        error=float((total - direct - indirect - scale).abs().max()),
    )  # fmt: skip


def _measure(
    run: "Run",
    form: Readout,
    places: list[Address],
    replacement: Edit,
    target: Tensor,
    foil: Tensor | None,
    progress: Callable[[int, int], None],
) -> Tensor:
    """total, direct, indirect and scale of each component, [n, 4]."""
    t, row, last = int(form.at), int(form.rows), run.model.config.n_layer - 1
    seen: dict[tuple[int, str], Tensor] = {}

    def record(i: int, what: str) -> Edit:
        def edit(x: Tensor, at: At) -> Tensor:
            seen[i, what] = x.double()  # [1, 1, ...]: one row, one position
            return x

        return edit

    cells = [
        {**run.edits, a.text: replacement, f"{a.text}@{t}": record(i, "write"),
         f"{last}.resid_post@{t}": record(i, "stream"), f"final.scale@{t}": record(i, "sigma")}
        for i, a in enumerate(places)
    ]  # fmt: skip
    numbers = torch.zeros(len(places), 4, dtype=torch.float64)
    full = form.pick(run.values.stored(last, "resid_post"))
    done = 0
    for batch in Base(run.model, run.ids[row : row + 1]).sweep(cells):
        with forward_only(run.model.lm_head.weight):
            logits = run.model.head(batch.hidden[:, t - batch.first]).double()  # (R, V)
        for i, edited in zip(batch.cells, logits):
            a = places[i]
            write = seen[i, "write"][:, 0]  # (1, D) of a head, (1, C) otherwise
            if a.head is None:
                direct = float(form.read(form.pick(run.values.stored(a.layer, a.point)) - write))
            else:
                z = form.pick(run.values.stored(a.layer, "attn.z").transpose(1, 2))[:, a.head]
                direct = float(((z - write) * head_directions(run, form, a.layer or 0)[:, a.head]).sum() / form.sigma)
            stream = seen[i, "stream"][:, 0]
            others = float(form.read(full - stream)) - direct
            sigma = seen.get((i, "sigma"), torch.ones(1, 1, dtype=torch.float64))[0, 0]
            scale = float(form.read(stream)[0] * (1 - form.sigma[0] / sigma))
            base = edited.mean() if foil is None else edited[foil[0]]
            total = float(form.whole[0] - edited[target[0]] + base)
            numbers[i] = torch.tensor([total, direct, others, scale], dtype=torch.float64)
        done += len(batch.cells)
        progress(done, len(places))
    return numbers
