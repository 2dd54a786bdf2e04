"""The report on single components: order, the mask, depth, what was switched off afterwards, and other scales.

In: `Findings`, of one study or several. Out: Markdown. Read next: code.py.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from gpt2.ablation.report.contrasts import judged
from gpt2.ablation.report.findings import SEES, Findings, Runs
from gpt2.ablation.report.markdown import NOTHING, interval, link, number, signed, table
from gpt2.ablation.statistics import paired
from gpt2.ablation.study import BASELINE, counterpart
from gpt2.ablation.switched_off import SwitchedOff
from gpt2.model import GPT2

POSITIONS = ("no-positions", "sinusoidal-positions")


def longer(findings: Findings) -> str:
    """Loss past the trained length, for those that have a vector for it."""
    able = [r for r in findings.runs.values() if r.lists("longer_losses") and r.contestant.variant in POSITIONS]
    if not able:
        return "No run of a contestant that can read further is done yet.\n"
    times = len(able[0].lists("longer_losses")[0])
    rows = []
    for runs in able:
        means = _columns(runs)
        rows.append([runs.contestant.title, str(len(runs.finished)), *(number(m, 3) for m in means)])
    context = findings.study.recipe(BASELINE).train.context or findings.study.recipe(BASELINE).model.n_positions
    parts = [f">positions {k * context} to {(k + 1) * context - 1}" for k in range(times)]
    rows.append([findings.study.contestants[BASELINE].title, str(len(findings.runs[BASELINE].finished)),
                 number(findings.runs[BASELINE].mean("val_loss"), 3), *["refuses"] * (times - 1)])  # fmt: skip
    return f"""{table(["contestant", ">seeds", *parts], rows)}
The rows have {times * context} tokens, {times} times the {context} that training saw. Each column gives the mean loss
over one part of them. Learned positions have no vector past the last trained one. So the model refuses, and
`gpt2 generate` has to slide its window. For the baseline the first column is its validation loss (on all windows, with
one start each), so it can be compared only roughly with the others.
"""


def mask(findings: Findings) -> str:
    """Without the causal mask: what training sees, and what is left once the mask is back."""
    found = [r for r in findings.runs.values() if r.contestant.variant == SEES and r.finished]
    if not found:
        return "No run without the mask is done yet.\n"
    base = findings.runs[BASELINE]
    rows = [
        [
            r.contestant.title, number(r.mean("train_loss")), number(r.mean("val_loss")),
            number(r.mean("val_loss_with_mask")), number(base.mean("val_loss")),
        ]
        for r in found
    ]  # fmt: skip
    columns = ["contestant", ">training loss", ">validation loss, as trained", ">with the mask put back", ">GPT-2"]
    back = found[0].mean("val_loss_with_mask")
    uniform = _uniform(findings)
    compared = "" if uniform is None or back is None else _against_uniform(back, uniform)
    return f"""{table(columns, rows)}
Without the mask the next token is among those that attention reads, so a low loss measures copying, not prediction.
Generation needs the mask. With the mask put back, the same weights read a text whose next token is hidden.{compared}
"""


def scales(findings: Findings) -> str:
    """The numbers of the plot of activation scales and gradient norms, first and last layer."""
    rows = []
    for name in compared_by_depth(findings):
        runs = findings.runs[name]
        for when, label in (("at_start", "at the start"), ("at_end", "at the end")):
            act = _ends(runs, when, "activation_rms")
            grad = _ends(runs, when, "gradient_norm")
            if act and grad:
                rows.append([runs.contestant.title, label, *(f"{x:.3g}" for x in (*act, *grad))])
    columns = [
        "contestant", "", ">activation, embeddings", ">activation, last block", ">gradient, embeddings",
        ">gradient, last block",
    ]  # fmt: skip
    return f"""{table(columns, rows)}
The activation is the root mean square of the stream over 8 validation rows. The gradient is the norm of the loss's
gradient at the stream of one position, averaged over positions; the loss is the mean over all of them. All are means
over seeds. Descriptions of GPT-2 often print invented sequences here, such as "1.0, 0.8, 0.6, ... 0.001"; these were
measured.
"""


def compared_by_depth(findings: Findings) -> list[str]:
    """Contestants with and without residuals and norms, of the baseline's recipe but for the depth."""
    names = []
    for name, c in findings.study.contestants.items():
        tables, model = set(c.set), set(c.set.get("model", {}))
        if tables <= {"model"} and model <= {"n_layer"} and c.variant in ("no-residuals", "no-norm", "post-norm"):
            names += [c.against, name]
    return [name for name in dict.fromkeys(names) if findings.runs[name].finished]


def afterwards(off: SwitchedOff | None, command: str) -> str:
    """Every component of the trained baseline, off."""
    if off is None:
        return "Not measured yet.\n"
    rows = [[o.title, o.kind, str(len(o.losses)), signed(o.change.mean), interval(o.change)] for o in off.off]
    base = paired(list(off.losses.values()), [0.0] * len(off.losses))
    columns = ["off in the trained baseline", "in its place", ">seeds", ">loss change", ">95% interval over seeds"]
    return f"""{table(columns, rows)}
The baseline's loss with everything on is {number(base.mean)}. Nothing is trained here: the weights are those of the
baseline's report runs. A component's writes are replaced by zero, or by their mean over
{off.about["tokens_of_means"]:,} tokens of validation text that the report does not read. A model that is trained
without a component learns from the first step to manage without it. A model from which it is taken has relied on it.
So the two numbers answer two questions, and neither replaces the other.

Attention, the MLPs, the position vectors and LayerNorm can be switched off (of LayerNorm the scale is held at its mean;
centring and weights stay). Other contestants have no counterpart. Additions to the stream cannot be taken out by an
edit of one value. Sizes, initial values, learning rates, dropout and rules of training (the mask among them) leave
nothing in a trained model that could be switched off.

```text
{command}
```
"""


def other_scales(findings: Findings, others: Sequence[Findings], home: Path) -> str:
    """The contrasts that studies share, side by side; each with its own verdict."""
    theirs = [{c.contestant.name: c for c in other.contrasts} for other in others]
    rows = []
    for c in findings.primary:
        cells = [c.contestant.title]
        names = [counterpart(c.contestant.name, findings.study, other.study) for other in others]
        for one in (c, *(of.get(name or "") for of, name in zip(theirs, names, strict=True))):
            shown = (
                NOTHING if one is None or one.mean is None else f"{signed(one.mean, 3)} ({interval(one.difference, 3)})"
            )
            cells += [shown, NOTHING if one is None else judged(one)]
        rows.append(cells)
    heads = [head for f in (findings, *others) for head in (f">{size(f)}", "verdict")]
    about = "; ".join(
        f"[{other.study.source.name}]({link(other.study.source, home)}), {len(other.used)} runs"
        + (f" ({len(other.left)} missing)" if other.left else "") + f", {len(other.study.seeds)} seeds"
        for other in others
    )  # fmt: skip
    return f"""{table(["contestant", *heads], rows)}
After this study the table shows, from left to right: {about}. Each study has its own expectations, learning rates and
seeds. The texts and the vocabularies are different too, so sizes of effects can be compared only roughly. Intervals are
simultaneous within each study.
"""


def size(findings: Findings) -> str:
    """A study's scale in a few words."""
    recipe = findings.study.recipe(BASELINE)
    parameters = findings.runs[BASELINE].mean("parameters")
    tokens = recipe.train.steps * recipe.train.batch_size * (recipe.train.context or recipe.model.n_positions)
    first = f"{parameters / 1e6:.2g} M parameters" if parameters else findings.study.name
    return f"{first}, {tokens / 1e6:.2g} M tokens"


def _columns(runs: Runs) -> list[float]:
    return [sum(column) / len(column) for column in zip(*runs.lists("longer_losses"), strict=True)]


def _ends(runs: Runs, when: str, what: str) -> list[float]:
    """A quantity before block 0 and behind the last block, mean over seeds; [] where a run has none."""
    lists = [r[when][what] for r in runs.finished.values() if r.get(when)]
    ends = [[one[0], one[-1]] for one in lists if one[0] is not None and one[-1] is not None]
    return [sum(column) / len(column) for column in zip(*ends, strict=True)] if ends else []


def _uniform(findings: Findings) -> float | None:
    """ln V, the loss of a guess that knows nothing; V from the baseline's number of parameters, None while unknown."""
    found = findings.runs[BASELINE].mean("parameters")
    if found is None:
        return None
    config = findings.study.recipe(BASELINE).model.config(vocab_size=1)
    with torch.device("meta"):
        others = sum(p.numel() for p in GPT2(config).parameters())
    return math.log(1 + (found - others) / config.n_embd)


def _against_uniform(back: float, uniform: float) -> str:
    word = "above" if back > uniform else "below"
    guess = number(uniform, 2)
    return f" Guessing every token with the same probability has a loss of {guess}: this one lies {word} it."
