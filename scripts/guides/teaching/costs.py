"""The bars of "what it costs to do without": models trained without a part, and the finished model with it off.

In: the ablation studies' contrasts, and the numbers under "off" of teaching.json. Out: SVG texts.
Read next: gallery.py.
"""

from dataclasses import dataclass
from typing import Any

from scripts.guides.study import Evidence
from scripts.guides.teaching.svg import Canvas

Numbers = dict[str, Any]
SCALES = {"minute": "tiny", "gpu": "92 million parameters"}
LEFT, RIGHT = 30, 352  # of the bars


@dataclass(frozen=True)
class Bar:
    """One row: what was done, the change of the loss, and its 95% interval; None where it is not measured yet."""

    words: str
    value: float | None
    low: float = 0.0
    high: float = 0.0
    off: bool = False


# Figure: title, contestants of the study with what was changed, and what was switched off.
CHARTS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "cost_tokens": ("Narrower and wider vectors", {"width-48": "half the width", "width-192": "twice the width"}, {}),
    "cost_positions": ("Without position vectors", {"no-positions": "trained without"}, {"positions": "set to 0"}),
    "cost_attention": ("Without attention", {"no-attention": "trained without", "heads-1": "one wide head"},
                       {"attn": "attention of all blocks"}),
    "cost_mlp": ("Without MLPs", {"no-mlp": "trained without", "no-mlp-equal": "12 blocks of attention alone",
                                  "relu": "ReLU in place of GELU"}, {"mlp": "MLPs of all blocks"}),
    "cost_residuals": ("Without residual connections", {"no-residuals-12": "trained without, 12 blocks",
                                                        "no-residuals": "trained without, 4 blocks"}, {}),
    "cost_norm": ("Without norms", {"no-norm": "trained without", "rms-norm": "RMSNorm", "post-norm": "post-norm"}, {}),
    "cost_dropout": ("With dropout", {"small-dropout-1": "0.1, small text repeated",
                                      "small-dropout-3": "0.3, small text repeated", "dropout-1": "0.1, fresh text",
                                      "dropout-3": "0.3, fresh text"}, {}),
    "cost_head": ("With a head of its own", {"untied-head": "trained untied"}, {}),
}  # fmt: skip


def bars(name: str, n: Numbers, evidence: Evidence) -> list[Bar]:
    """The rows of one chart: the tiny study's first, each at the scales that have it."""
    _, trained, off = CHARTS[name]
    rows = []
    for contestant, words in trained.items():
        for findings, there in evidence.of(contestant):
            scale = SCALES.get(findings.study.name)
            if scale is None or (findings is not evidence.first and "4 blocks" in words):
                continue
            d = findings.contrast(there).difference
            rows.append(Bar(f"{words} ({scale})", *((d.mean, d.low, d.high) if d else (None,))))
    return rows + [Bar(f"switched off in storyteller: {words}", *n["off"][key], off=True) for key, words in off.items()]


def chart(name: str, n: Numbers, evidence: Evidence) -> str:
    """One chart, with zero where the model is as good as with the part."""
    title, rows = CHARTS[name][0], bars(name, n, evidence)
    said = "; ".join(f"{r.words} {'not run yet' if r.value is None else f'{r.value:+.2f}'}" for r in rows)
    c = Canvas(title, f"Change of the loss in nats per token, above zero is worse: {said}.")
    c.text(14, 26, title, "h")
    c.text(406, 26, "change of the loss", "s dim", "end")
    known = [r for r in rows if r.value is not None]
    low, high = min([0.0, *(r.low for r in known)]), max([0.05, *(r.high for r in known)])
    start = LEFT if low > -0.001 * high else LEFT + 60

    def x(value: float) -> float:
        return start + (RIGHT - start) * (value - low) / (high - low)

    y = 40.0
    for row in rows:
        c.text(14, y + 14, row.words, "s")
        if row.value is None:
            c.text(LEFT, y + 34, "not run yet", "s dim")
        else:
            look = "a" if row.off else "b" if row.value > 0 else "c"
            a, b = sorted((x(0), x(row.value)))
            c.box(a, y + 21, max(b - a, 1), 15, look, faint=0.6, round=2)
            c.line(x(0), y + 18, x(0), y + 39, "dim")
            c.line(x(row.low), y + 28.5, x(row.high), y + 28.5, "ink", 1.2)
            shown = f"{row.value:+.2f}" if abs(row.value) >= 0.1 else f"{row.value:+.3f}"
            c.text(max(x(row.high), x(0)) + 8, y + 33, shown, "s")
        y += 46
    c.text(14, y + 10, "nats per token; the thin line is a 95% interval", "s dim")
    return c.done(y + 24)


def together(n: Numbers, evidence: Evidence) -> str:
    """The part by part summary: trained without, in the larger study."""
    c = Canvas(
        "What each part is worth",
        "The change of the loss of a model of 92 million parameters trained without each part.",
    )
    c.text(14, 26, "Trained without it, 92 million parameters", "h")
    found = []
    for contestant, words in (("no-residuals-12", "residuals"), ("no-attention", "attention"), ("no-mlp", "MLPs"),
                              ("no-norm", "norms"), ("no-positions", "position vectors")):  # fmt: skip
        there = evidence.name_in(evidence.larger, contestant)
        d = evidence.larger.contrast(there).difference if there else None
        found.append((words, d.mean if d else None))
    most = max([v for _, v in found if v is not None], default=1.0)
    for k, (words, value) in enumerate(found):
        y = 44 + 32 * k
        c.text(122, y + 15, words, "s", "end")
        width = 0 if value is None else 220 * value / most
        c.box(130, y, width + 1, 21, "b", faint=0.6)
        c.text(138 + width, y + 15, "not run yet" if value is None else f"{value:+.2f}", "s")
    y = 44 + 32 * len(found)
    c.text(14, y + 14, "change of the loss in nats per token: above 0 is worse", "s dim")
    return c.done(y + 28)
