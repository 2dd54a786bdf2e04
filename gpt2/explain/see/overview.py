"""The essential of one prediction on one screen: tokens, lens, attributions, heads.

In: a `Run`. Out: an `Overview`, what `gpt2 explain TEXT` prints.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gpt2.explain.see.attribution import Attribution
from gpt2.explain.see.lens import Lens, lens
from gpt2.explain.show.draw import bars, figure, title
from gpt2.explain.show.result import Result, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from gpt2.explain.run.trace import Run

TOP = 8  # attributions, heads


@dataclass(frozen=True, eq=False, repr=False)
class Overview(Result):
    """tokens        of the text
    prediction       the likeliest next tokens with their probabilities, five
    lens             after each block
    attribution      what adds to the target's lead over the foil
    reads            for each of the heads that add or take most: address, its share, the token it reads most from and
                     that weight
    """

    tokens: tuple[str, ...]
    prediction: tuple[tuple[str, float], ...]
    lens: Lens
    attribution: Attribution
    reads: tuple[tuple[str, float, str, float], ...]

    def __rich__(self) -> Any:
        """All of it, one below the other."""
        from rich.console import Group
        from rich.text import Text

        likely = "   ".join(f"{token} {p:.1%}" for token, p in self.prediction)
        heads = table("head", ">adds", "reads most from", ">weight", title="the heads that matter for it")
        for name, adds, token, weight in self.reads:
            heads.add_row(name, f"{adds:+.3f}", token, f"{weight:.0%}")
        empty = Text("")
        parts: list[Any] = [Text(" ".join(self.tokens), style="bold"), Text(f"next: {likely}"), empty]
        for result in (self.lens.table(), self.attribution.table(TOP), heads):
            above, below, result.title, result.caption = result.title, result.caption, None, None
            parts += [*([Text(str(above), style="bold")] if above else []), result]
            parts += [*([Text(str(below), style="dim")] if below else []), empty]
        return Group(*parts[:-1])

    def table(self) -> "Table":
        """The lens; `print` shows everything."""
        return self.lens.table()

    def plot(self) -> "Figure":
        """The attributions beside the lens, for the last position."""
        made, (left, right) = figure(11, 4.8, 1, 2)
        top = self.attribution.top(TOP * 2)
        bars(left, [name for name, _ in top], [value for _, value in top], unit="logit")
        title(left, self.attribution.question)
        p: Tensor = self.lens.probability[:, -1]
        names = [f"{point}  {tokens[-1]}" for point, tokens in zip(self.lens.points, self.lens.top_labels)]
        bars(right, names, p.tolist(), unit="probability")
        title(right, "what each point would predict (lens)")
        return made

    def to_dict(self) -> dict[str, Any]:
        """The parts, each as its own analysis gives it."""
        return {
            "tokens": list(self.tokens),
            "next": [{"token": token, "probability": p} for token, p in self.prediction],
            "lens": self.lens.to_dict(),
            "attribution": self.attribution.to_dict(),
            "heads": [{"head": n, "adds": a, "reads": t, "weight": w} for n, a, t, w in self.reads],
        }


def overview(run: "Run", target: str | int | None = None, vs: str | int | None = None) -> Overview:
    """Explain the last position: `target` against `vs`, as in `attribution`.

    Raises UsageError as `attribution` does.
    """
    logits = run.values.stored(None, "logits")[0, -1].detach().float()
    probability, best = logits.softmax(-1).topk(min(5, len(logits)))
    result = run.attribution(target, vs)
    parts = zip(result.names, result.kinds, result.values.tolist())
    heads = sorted(((name, v) for name, kind, v in parts if kind == "head"), key=lambda one: -abs(one[1]))[:TOP]
    full = run.read(*(f"{name.split('.')[0]}.attn.pattern" for name, _ in heads))
    reads = []
    for name, adds in heads:
        layer, _, head = name.split(".")[:3]
        weight, source = full[f"{layer}.attn.pattern"][0, int(head), -1].max(dim=-1)
        reads.append((name, adds, run.tokens[0][int(source)], float(weight)))
    return Overview(
        run.tokens[0],
        tuple((run.label(i), p) for i, p in zip(best.tolist(), probability.tolist())),
        lens(run, ("0.resid_pre", "*.resid_post")),
        result,
        tuple(reads),
    )
