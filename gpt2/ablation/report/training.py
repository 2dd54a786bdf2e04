"""The report on training itself: budgets, curves, and what a model learns on the way.

In: `Findings`. Out: Markdown. Read next: structure.py.
"""

from gpt2.ablation.report.findings import Findings, Runs
from gpt2.ablation.report.markdown import NOTHING, number, signed, table, with_interval
from gpt2.ablation.study import BASELINE


def budgets(findings: Findings) -> str:
    """The baseline trained to completion with parts and multiples of the tokens; "" for a study without."""
    if not findings.study.budgets:
        return ""
    full = findings.study.recipe(BASELINE).train
    context = full.context or findings.study.recipe(BASELINE).model.n_positions
    rows = [
        [
            f"{share:g}", f"{max(1, round(full.steps * share)) * full.batch_size * context:,}", _seeds(runs),
            with_interval(runs.estimate("val_loss")), number(runs.mean("val_bits_per_byte"), 3),
        ]
        for share, runs in findings.budgets.items()
    ]  # fmt: skip
    columns = [">share of the budget", ">tokens", ">seeds", ">validation loss (95% interval)", ">bits per byte"]
    return f"""{table(columns, rows)}
Each row is a separate training with its own schedule, which ends at its last step. All use the rate that was found for
the full budget. Sentences such as "The plain model reaches this loss with 0.55 of the tokens" are read off this curve.
Between two points the curve is a straight line in the logarithm of the tokens. It is never continued beyond its ends.
"""


def dropout(findings: Findings) -> str:
    """Dropout on data seen once and on data seen often: training loss against validation loss."""
    study = findings.study
    with_rate = [name for name in study.contestants if study.recipe(name).model.dropout > 0]
    others = [study.contestants[name].against for name in with_rate]
    names = [name for name in study.contestants if name in with_rate or name in others]
    if not names:
        return ""
    fresh = study.recipe(BASELINE).data.train
    names.sort(key=lambda name: study.recipe(name).data.train != fresh)
    rows = []
    for name in names:
        runs, recipe = findings.runs[name], study.recipe(name)
        train, val = runs.mean("train_loss"), runs.mean("val_loss")
        gap = None if train is None or val is None else val - train
        data = "fresh" if recipe.data.train == fresh else "repeated"
        search = findings.searches[name]
        early = None if search.rate is None else search.losses[search.rate]
        shown = [number(x) for x in (train, val)]
        rows.append([data, f"{recipe.model.dropout:g}", _seeds(runs), *shown, signed(gap), number(early)])
    small = next((study.recipe(n).data.train for n in reversed(names) if study.recipe(n).data.train != fresh), ())
    names_of_small = ", ".join(f"`{path}`" for path in small)
    note = (
        f"Repeated data are as many tokens, all from {names_of_small}, a small set that is read many times. "
        if small
        else ""
    )
    columns = ["data", ">dropout", ">seeds", ">training loss", ">validation loss", ">gap", ">after fewer steps"]
    return f"""{table(columns, rows)}
{note}The training loss is the mean over the last tenth of the steps, with dropout; the validation loss is taken at the
end, without dropout. Over-fitting is the gap between the two losses; quality is the validation loss. Dropout makes the
training loss larger while it is on, so the gap as it stands here is too small where there is dropout: it would have to
be taken in evaluation mode. *After fewer steps* is the validation loss of the search for learning rates, which trains
for {study.tune_share:g} of the steps and reads other windows. Where it is lower than the validation loss, ending early
does more against over-fitting than dropout does.
"""


def inside(findings: Findings) -> str:
    """What the trained models do: context, induction, dead neurons."""
    rows = []
    for name, runs in findings.runs.items():
        if not runs.finished:
            continue
        dead = runs.mean("dead_neurons")
        rows.append([
            findings.study.contestants[name].title, _seeds(runs), with_interval(runs.estimate("in_context_score"), 3),
            with_interval(runs.estimate("induction"), 3), NOTHING if dead is None else f"{dead:.1%}",
        ])  # fmt: skip
    scores = [">in-context score (95% interval)", ">induction score (95% interval)"]
    columns = ["contestant", ">seeds", *scores, ">dead neurons"]
    return f"""{table(columns, rows)}
- **In-context score**: the mean loss at the last tenth of the positions minus that at the second tenth. Below 0, a
  model predicts better the more it has read (after Olsson et al. 2022).
- **Induction score**: a row of random tokens is followed by the same row again. The score is the largest mean attention
  of any head from a token to the token that came after its first occurrence. 1 is a perfect induction head.
- **Dead neurons**: the share of MLP neurons whose input is never above 0 on 32 validation rows.
"""


def costs(findings: Findings) -> str:
    """Loss, size, speed and memory of everyone."""
    rows = []
    for name, runs in findings.runs.items():
        speed, memory, parameters = (runs.mean(f) for f in ("tokens_per_s", "peak_memory_bytes", "parameters"))
        rows.append([
            findings.study.contestants[name].title, _seeds(runs), number(runs.mean("val_loss")),
            number(runs.mean("val_bits_per_byte"), 3), number(runs.mean("train_loss")),
            NOTHING if parameters is None else f"{parameters:,.0f}", NOTHING if speed is None else f"{speed:,.0f}",
            NOTHING if memory is None else f"{memory / 2**20:,.0f} MiB",
        ])  # fmt: skip
    columns = [
        "contestant", ">seeds", ">validation loss", ">bits per byte", ">training loss", ">parameters",
        ">tokens per second", ">memory",
    ]  # fmt: skip
    return f"""{table(columns, rows)}
These are means over finished runs. The speed is that of one run, of its steps alone. Other runs shared the machine, and
its load changed, so the rows can be compared only roughly. The memory is the most that the process (on a GPU, its
tensors) held during the run.
"""


def _seeds(runs: Runs) -> str:
    done, lost = len(runs.finished), len(runs.diverged)
    text = str(done) if not runs.missing else f"{done} of {done + lost + len(runs.missing)}"
    return text + (f", {lost} diverged" if lost else "")
