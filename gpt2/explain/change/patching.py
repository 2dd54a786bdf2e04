"""Activation patching: which places make the model answer two prompts differently?

In: two prompts of equal token length, a target and a foil. Out: grids of scores, layer x position or layer x head: how
far one value, taken from one prompt's run and put into the other's, moves the answer.
Source: Vig et al. 2020, "Investigating gender bias in language models using causal mediation analysis"; Meng et al.
2022, section 2; Wang et al. 2022, section 3. Read next: gradient_patching.py, the fast estimate of the same grids.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.base.plain import plain
from gpt2.checkpoint.opened import Model, opened
from gpt2.explain.run.lacks import Lacking
from gpt2.explain.run.sweep import Base
from gpt2.explain.show import draw
from gpt2.explain.show.result import Result, number, table
from gpt2.probe import Edit
from gpt2.text.tokenizer import Tokenizer
from gpt2.text.words import Text, encode, label, token_id

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

Direction = Literal["denoise", "noise"]
GRIDS = {"resid": "resid_pre", "attn": "attn.out", "mlp": "mlp.out", "head": "attn.z"}  # name -> point that is patched
LEAST_DIFFERENCE = 0.5  # logits: below it a score divides by next to nothing


class TooClose(UsageError):
    """The two prompts are answered nearly alike: there is no difference to explain."""


@dataclass(frozen=True)
class PatchedCell:
    """One cell, finished: `score` is the share of the way from the receiver's answer to the source's, not clipped."""

    grid: str
    layer: int
    column: int  # position, or head
    score: float


class Patching:
    """Two prompts made ready: their runs, their answers, and the cells that can be patched.

    model          a GPT2 with token ids, or what `gpt2.load` returns with texts
    clean, corrupt prompts of one token length; nothing is put before them
    target, foil   one token each; m = logit(target) - logit(foil) at the last position.
                   Default: what the model predicts after the clean prompt, and what else after the corrupt one
    direction      "denoise": values of the clean run are put into the corrupt one; "noise": the reverse.
                   The score is (m_patched - m_receiver) / (m_source - m_receiver): 0 nothing moved, 1 all of it

    Raises UsageError for unequal lengths, equal prompts, a target that is not one token, and, as TooClose, for
    |m_clean - m_corrupt| < 0.5.
    """

    def __init__(
        self,
        model: Model,
        clean: Text,
        corrupt: Text,
        target: str | int | None = None,
        foil: str | int | None = None,
        direction: Direction = "denoise",
    ) -> None:
        if direction not in ("denoise", "noise"):
            raise UsageError(f"there is no direction {direction!r}: choose denoise (clean into corrupt) or noise.")
        self.model, self.tokenizer = opened(model)
        self.direction = direction
        ids = [encode(self.model, self.tokenizer, text) for text in (clean, corrupt)]
        check_prompts(ids[0], ids[1], self.tokenizer)
        self.clean, self.corrupt = (i[0].tolist() for i in ids)
        runs = [Base(self.model, i, [f"*.{point}" for point in GRIDS.values()]) for i in ids]
        self.target, self.foil = self._answers(runs, target, foil)
        self.m_clean, self.m_corrupt = (self.answer(run.hidden[:, -1]).item() for run in runs)
        if abs(self.m_clean - self.m_corrupt) < LEAST_DIFFERENCE:
            t, f = (label(self.tokenizer, i) for i in (self.target, self.foil))
            raise TooClose(
                f"{t} leads {f} by {number(self.m_clean)} after the clean prompt and by {number(self.m_corrupt)} after "
                f"the corrupt one: less than {LEAST_DIFFERENCE} apart, so there is nothing to explain; choose prompts "
                "that the model answers differently."
            )
        self.source, self.receiver = runs if direction == "denoise" else reversed(runs)

    def _answers(self, runs: Sequence[Base], target: str | int | None, foil: str | int | None) -> tuple[int, int]:
        after_clean, after_corrupt = (self.model.head(run.hidden[0, -1]) for run in runs)  # (V) each
        t = int(after_clean.argmax()) if target is None else token_id(self.model, self.tokenizer, target)
        after_corrupt[t] = -torch.inf
        f = int(after_corrupt.argmax()) if foil is None else token_id(self.model, self.tokenizer, foil)
        if t == f:
            raise UsageError(f"target and foil are the same token, {label(self.tokenizer, t)}: name another foil.")
        return t, f

    def answer(self, hidden: Tensor) -> Tensor:
        """m = logit(target) - logit(foil) of final hidden states: [..., C] -> [...]."""
        weight = self.model.lm_head.weight
        return hidden @ weight[self.target] - hidden @ weight[self.foil]

    @property
    def differs(self) -> list[int]:
        """The positions at which the prompts' tokens differ."""
        return [p for p, (a, b) in enumerate(zip(self.clean, self.corrupt)) if a != b]

    @property
    def scale(self) -> float:
        """m_source - m_receiver."""
        distance = self.m_clean - self.m_corrupt
        return distance if self.direction == "denoise" else -distance

    def score(self, hidden: Tensor) -> Tensor:
        """The scores of patched passes, from their final hidden states at the last position: [R, C] -> [R]."""
        receiver = self.m_corrupt if self.direction == "denoise" else self.m_clean
        return (self.answer(hidden) - receiver) / self.scale

    def columns(self, grid: str) -> int:
        """How many columns a grid has: positions, or heads. UsageError for one of a component that the model lacks."""
        if grid not in GRIDS:
            raise UsageError(f"there is no grid {grid!r}: choose {', '.join(GRIDS)}.")
        if not any(point == GRIDS[grid] for _, point in self.source.probe.values):
            part, others = ("MLPs", "resid, attn or head") if grid == "mlp" else ("attention", "resid or mlp")
            raise Lacking(f"this model is without {part}, so there is no grid {grid!r}: choose {others}.")
        return self.model.config.n_head if grid == "head" else len(self.clean)

    def cells(self, grid: str) -> Iterator[PatchedCell]:
        """Patch cell after cell of one grid. Each is handed out once it is known; closing the iterator ends the work.

        Cells at which both runs agree come first: they are 0 and are not computed. Those are the positions before the
        first token that differs, and of the stream that enters block 0 every position with the same token.
        """
        n_layer, differs = self.model.config.n_layer, self.differs
        places = [(l, k) for l in range(n_layer) for k in range(self.columns(grid))]
        agree = {
            (l, k) for l, k in places
            if grid != "head" and (k < differs[0] or (grid == "resid" and l == 0 and k not in differs))
        }  # fmt: skip
        for l, k in sorted(agree):
            yield PatchedCell(grid, l, k, 0.0)
        rest = [place for place in places if place not in agree]
        edits = [{self._address(grid, *place): put(self._value(grid, *place))} for place in rest]
        for batch in self.receiver.sweep(edits):
            scores = self.score(batch.hidden[:, -1]).tolist()
            for cell, score in zip(batch.cells, scores):
                yield PatchedCell(grid, *rest[cell], score)

    def spans(self, points: Sequence[tuple[int, int, int]]) -> Tensor:
        """Scores of patching the stream that enters block l over positions [first, stop), one for each such triple."""
        edits = [
            {f"{l}.resid_pre@{first}:{stop}": put(self.source.probe[f"{l}.resid_pre@{first}:{stop}"])}
            for l, first, stop in points
        ]
        scores = torch.zeros(len(points), dtype=torch.float64)
        for batch in self.receiver.sweep(edits):
            scores[batch.cells] = self.score(batch.hidden[:, -1]).double().cpu()
        return scores

    def _address(self, grid: str, layer: int, column: int) -> str:
        return f"{layer}.head.{column}" if grid == "head" else f"{layer}.{GRIDS[grid]}@{column}"

    def _value(self, grid: str, layer: int, column: int) -> Tensor:
        return self.source.probe[self._address(grid, layer, column)]

    def labels(self, grid: str) -> list[str]:
        """The names of a grid's columns: head numbers, or tokens, as clean/corrupt where they differ."""
        if grid == "head":
            return [str(h) for h in range(self.columns(grid))]
        tokens = ([label(self.tokenizer, i) for i in ids] for ids in (self.clean, self.corrupt))
        return [a if a == b else f"{a}/{b}" for a, b in zip(*tokens)]

    def grid(self, grid: str, progress: Callable[[int, int], None] = lambda done, total: None) -> "PatchGrid":
        """Every cell of one grid; `progress(done, total)` is told after each."""
        scores = torch.zeros(self.model.config.n_layer, self.columns(grid), dtype=torch.float64)
        for done, cell in enumerate(self.cells(grid), start=1):
            scores[cell.layer, cell.column] = cell.score
            progress(done, scores.numel())
        return self.as_grid(grid, scores, "exact")

    def as_grid(self, grid: str, scores: Tensor, method: Literal["exact", "gradient"]) -> "PatchGrid":
        """Scores [L, positions or heads] with all that says what they are."""
        return PatchGrid(
            grid, self.direction, method, scores, tuple(self.labels(grid)), tuple(self.clean), tuple(self.corrupt),
            label(self.tokenizer, self.target), label(self.tokenizer, self.foil), self.m_clean, self.m_corrupt,
        )  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class PatchGrid(Result):
    """Scores [L, K] of one grid: K positions ("resid", "attn", "mlp") or heads ("head").

    method   "exact": each cell is one patched pass; "gradient": its first-order estimate
    columns  the tokens, clean/corrupt where they differ, or the heads' numbers
    m_clean, m_corrupt  the lead of target over foil in the two plain runs, in logits
    """

    grid: str
    direction: Direction
    method: Literal["exact", "gradient"]
    scores: Tensor
    columns: tuple[str, ...]
    clean: tuple[int, ...]
    corrupt: tuple[int, ...]
    target: str
    foil: str
    m_clean: float
    m_corrupt: float

    @property
    def title(self) -> str:
        """What was patched, in which direction."""
        moved = "clean into corrupt" if self.direction == "denoise" else "corrupt into clean"
        estimate = ", by gradients" if self.method == "gradient" else ""
        return f"{GRIDS[self.grid]}, {moved}{estimate}: {self.target} against {self.foil}"

    def correlation(self, other: "PatchGrid") -> float:
        """Pearson's correlation with another grid, over all cells; nan where one of them is constant."""
        return torch.corrcoef(torch.stack([self.scores.flatten(), other.scores.flatten()]))[0, 1].item()

    def table(self) -> "Table":
        """One row per position (or head), one column per layer: tokens are longer than numbers."""
        made = table(
            "head" if self.grid == "head" else "token", *(f">{l}" for l in range(len(self.scores))), title=self.title,
            caption=f"lead of {self.target}: {number(self.m_clean)} clean, {number(self.m_corrupt)} corrupt; "
            "columns are layers; 0: nothing moved, 1: all of it",
        )  # fmt: skip
        for name, column in zip(self.columns, self.scores.t().tolist()):
            made.add_row(name, *(f"{score:z.2f}" for score in column))
        return made

    def plot(self) -> "Figure":
        """The grid as a heat map, its scale around 0."""
        L, K = self.scores.shape
        figure, axes = draw.figure(1.8 + 0.5 * K, 1.4 + 0.3 * L)
        cells = [[f"{score:z.2f}" for score in row] for row in self.scores.tolist()] if L * K <= 300 else None
        layers = [str(l) for l in range(L)]
        draw.heat(axes, self.scores, layers, self.columns, unit="share of the way", diverging=True, cells=cells)
        draw.title(axes, self.title)
        axes.set(xlabel="head" if self.grid == "head" else "token (clean/corrupt)", ylabel="layer")
        return figure

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return {name: plain(getattr(self, name)) for name in self.__dataclass_fields__}


def put(value: Tensor) -> Edit:
    """An edit that replaces what it is handed by `value`, of the same shape."""
    return lambda x: value


def check_prompts(clean: Tensor, corrupt: Tensor, tokenizer: Tokenizer | None) -> None:
    """UsageError unless these are two different prompts of one token length: ids [1, T] each."""
    if len(clean) != 1 or len(corrupt) != 1:
        raise UsageError("give one clean and one corrupt prompt; several belong in a pairs file.")
    if clean.size(1) != corrupt.size(1):
        shown = (" ".join(label(tokenizer, i) for i in ids[0].tolist()) for ids in (clean, corrupt))
        raise UsageError(
            f"the clean prompt has {counted(clean.size(1), 'token')} and the corrupt one {corrupt.size(1)}: "
            "patching needs equal lengths; compare " + " with ".join(shown) + "."
        )
    if torch.equal(clean, corrupt):
        raise UsageError("the clean and the corrupt prompt are the same: change the word that matters.")
