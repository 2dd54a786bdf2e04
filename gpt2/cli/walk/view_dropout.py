"""Prints a `DropoutWalk`: the four dropouts of a pass of training, and passes that differ.

In: the record of explain/walk/dropout.py. Out: lines on the terminal, below those of view.py.
"""

from collections.abc import Callable

from gpt2.cli.walk.guide import Section
from gpt2.cli.walk.page import CELL, LABEL, Page, fit, num, percent
from gpt2.explain.walk.dropout import DropoutStep, DropoutWalk
from gpt2.explain.walk.record import Walk

MASKED = 40  # numbers whose mask is shown in short


def print_dropout(page: Page, dropout: DropoutWalk, walk: Walk, show: Callable[[int], str]) -> None:
    """The four places, then two passes in each mode."""
    here = f"position {walk.position}, {show(walk.ids[walk.position])}"
    page.heading(f"Dropout, as in training (seed {dropout.seed})")
    page.say("In training each of these numbers is dropped (set to 0) with probability p, at random, and the others "
             "are multiplied by 1 / (1 - p), so that what is expected stays the same.")  # fmt: skip
    idle = [s for s in dropout.steps if s.configured == 0]
    if idle:
        where = "everywhere" if len(idle) == len(dropout.steps) else "for " + ", ".join(s.place for s in idle)
        page.say(f"This model's own rate is 0 {where}; a copy of it with {idle[0].rate:g} shows what dropout does.",
                 "yellow")  # fmt: skip
    for s in dropout.steps:
        _place(page, s, here)
    page.step(Section.DROPOUT, "Two passes in each mode",
              "Each pass of training draws new masks, so the same text gets other logits. "
              "Evaluation drops nothing: its passes agree.", "logits")  # fmt: skip
    for p in (*dropout.training, *dropout.evaluation):
        name = f"training, seed {p.seed}" if p.mode == "training" else p.mode
        page.rows([("", name, p.logits, f"{show(p.best.id)} {percent(p.best.probability)}")])
    page.say(f"Largest difference of a logit: {dropout.training_difference:.3g} between the two of training, "
             f"{dropout.evaluation_difference:.3g} between the two of evaluation.")  # fmt: skip


def _place(page: Page, s: DropoutStep, here: str) -> None:
    row = here if s.head is None else f"head {s.head}, the row of {here}"
    page.step(Section.DROPOUT, f"Dropout on the {s.place}", f"p = {s.rate:g}, so what is kept is multiplied by "
              f"{num(1 / (1 - s.rate))}. In the whole text {s.dropped} of {s.total} numbers are dropped "
              f"({percent(s.dropped / s.total)}); below {row}.", s.address)  # fmt: skip
    n = max(page.values, (page.width - 10 - LABEL) // CELL)
    page.rows([("", "before", s.before.values)], n)
    mask = "".join(f"{int(kept):>{CELL}}" for kept in s.mask[:n])
    page.line("    ", ("* ", "bold"), fit("mask", LABEL), (mask, "bold"))
    page.rows([("=", f"after, * {num(1 / (1 - s.rate))}", s.after.values)], n)
    if len(s.mask) > n:
        digits = "".join(str(int(kept)) for kept in s.mask[:MASKED])
        groups = " ".join(digits[i : i + 10] for i in range(0, len(digits), 10))
        page.line("      ", (fit(f"mask of {len(digits)}", LABEL + 2) + groups, "dim"))
    if s.head is not None:
        page.say(f"The weights of this row now sum to {num(s.after.values.sum())}, not to 1.", "dim")
