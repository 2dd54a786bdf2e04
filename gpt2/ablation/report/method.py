"""The report's method, its search for learning rates, what is missing, and what all of it can say.

In: `Findings`. Out: Markdown. Read next: contrasts.py.
"""

from collections.abc import Iterable
from math import inf
from pathlib import Path
from typing import Any

from gpt2.ablation.report.findings import Findings, Record
from gpt2.ablation.report.markdown import link, listed, number, rate, table
from gpt2.ablation.study import BASELINE


def missing(findings: Findings) -> str:
    """What a partial file lacks; "" for a complete one."""
    left = findings.left
    if not left:
        return ""
    titles = {name: c.title for name, c in findings.study.contestants.items()}
    lines, searching = [], []
    for name, title in titles.items():
        runs, search = findings.runs[name], findings.searches[name]
        if search.rate is None:
            searching.append(title)
        elif runs.missing:
            done = len(runs.finished) + len(runs.diverged)
            lines.append(f"- **{title}**: {done} of {done + len(runs.missing)} seeds.")
    if searching:
        lines.append(f"- Learning rate still being searched, so no run to report: {'; '.join(searching)}.")
    lines += [
        f"- **{titles[BASELINE]} with {share:g} of the budget**: {len(runs.missing)} seeds missing."
        for share, runs in findings.budgets.items()
        if runs.missing and share != 1 and findings.searches[BASELINE].rate is not None
    ]
    return f"""**This report is made from a part of the study: {len(findings.used)} runs are done, at least {len(left)}
are missing.**
Intervals are over the seeds that are done, and a verdict that may still change says "so far".

{chr(10).join(lines)}
"""


def method(findings: Findings, command: str, home: Path) -> str:
    """Who trains on what, how long, how often, where."""
    study = findings.study
    recipe = study.recipe(BASELINE)
    m, t, o = recipe.model, recipe.train, recipe.optim
    context = t.context or m.n_positions
    tokens = t.steps * t.batch_size * context
    parameters = findings.runs[BASELINE].mean("parameters")
    size = f", {parameters:,.0f} parameters" if parameters else ""
    primary = findings.study.primary
    n_exploratory = len(findings.exploratory)
    fewer, others = _numbers(study.seeds[: study.exploratory]), ""
    if n_exploratory:
        others = f" for primary contestants and those that they are compared with, {fewer} for the others"
    return f"""- **Question.** A model is trained from its first step without a component, or with another in its
  place. How much worse does it predict text that it has not seen? The expectations are in
  [the study file]({link(study.source, home)}), which is to be committed before its first run, as its history can
  show. {len(primary)} contrasts were named as primary, {n_exploratory} are exploratory. {study.note}
- **Baseline.** GPT-2 with {m.n_layer} blocks of {m.n_head} heads, width {m.n_embd}, {context} positions{size}.
- **Budget.** It is the same for all: {t.steps:,} steps of {t.batch_size} rows, {tokens:,} tokens. The optimiser is
  {_optimiser(o.name)}, with {o.warmup_steps} steps of warm-up and a {o.schedule} schedule that ends at {o.floor:g} of
  the peak. Matrix products are in {t.dtype}.
- **Data.** Training: {_sets(recipe.data.train)}; validation: {_sets(recipe.data.val[:1])}. The search for learning
  rates reads the first {study.tune_windows:.0%} of the validation windows; the report reads only the others.
- **Seeds.** {_numbers(study.seeds)}{others}. A seed decides initial values, the order of the data, and dropout. Every
  parameter is drawn from (seed, its name). So a contestant starts from the baseline's values wherever they share a
  parameter, and it sees the same rows in the same order. Therefore differences are paired by seed.
- **Learning rate.** It was searched for each contestant over {listed(f"{r:g}" for r in study.tune_rates)} times its own
  rate, at {study.tune_share:g} of the steps, on seed {_numbers(study.tune_seeds)}, which the report does not use. Where
  the best rate of a grid lay at its end, the grid was extended by factors of 2. A table shows
  [what was chosen](#learning-rates).
{_where(findings.used)}
The code that the tables compare is [shown below](#the-code-of-each-variant). To run the whole study again, prepare the
data as the comment at the head of the study file says, and train:

```text
{commands(findings)}
{command}
```
"""


def commands(findings: Findings) -> str:
    """The commands in the comment at the head of the study file that prepare its data."""
    lines = findings.study.source.read_text(encoding="utf-8").splitlines()
    shown = [line[1:].strip() for line in lines if line.startswith("#   ")]
    return "\n".join(line for line in shown if not line.startswith("gpt2 ablate"))


def learning_rates(findings: Findings) -> str:
    """The search: every rate tried, with its loss, and the one chosen."""
    factors = sorted({f for search in findings.searches.values() for f in search.losses})
    rows, at_edge = [], []
    for name, search in findings.searches.items():
        contestant = findings.study.contestants[name]
        cells = []
        for factor in factors:
            loss = search.losses.get(factor)
            known = factor in search.losses and factor not in {job.rate for job in search.missing}
            text = "" if not known else "diverged" if loss == inf else number(loss, 3)
            cells.append(f"**{text}**" if factor == search.rate else text)
        base = findings.study.recipe(name).optim.lr
        chosen = "searching" if search.rate is None else f"{rate(base * search.rate)}"
        beyond = [f for f in search.losses if f not in findings.study.tune_rates]
        rows.append([contestant.title, *cells, chosen, "extended" if beyond else ""])
        if search.rate is not None and search.rate in (min(search.losses), max(search.losses)):
            at_edge.append(contestant.title)
    text = f"""{table(["contestant", *(f">{f:g} x" for f in factors), ">peak rate chosen", "grid"], rows)}
The table gives the validation loss at {findings.study.tune_share:g} of the steps, on the windows of the search alone.
The chosen rate is in bold.
"""
    if at_edge:
        text += (
            f"\nThe best rate still lies at an end of the extended grid for {listed(at_edge)}: "
            "a better one may exist further out.\n"
        )
    return text


def limits(findings: Findings) -> str:
    """What holds at this scale, and what nobody should read into it."""
    study = findings.study
    recipe = study.recipe(BASELINE)
    parameters = findings.runs[BASELINE].mean("parameters")
    size = f"{parameters / 1e6:.2g} million parameters" if parameters else f"{recipe.model.n_layer} blocks"
    tokens = recipe.train.steps * recipe.train.batch_size * (recipe.train.context or recipe.model.n_positions)
    exact = (
        "the losses are the same bit for bit" if recipe.train.dtype == "float32" else "the losses agree up to rounding"
    )
    compare = ": compare the baseline's own\n  [budgets](#what-more-training-gives)" if study.budgets else ""
    return f"""- **One scale.** Everything here holds for models of about {size} trained on
  {tokens / 1e6:.2g} million tokens of one kind of text. Nothing follows for a model a thousand times as large.
  Components that make no difference here may matter there (a residual scale at initialisation), and the other way
  round.
- **One recipe.** There is one optimiser and one schedule. Only the learning rate is tuned for each contestant, over a
  coarse grid, at part of the length. A variant that needs another warm-up, weight decay or depth looks worse here than
  it is.
- **Training is short.** A difference early in training may become smaller or larger later{compare}.
- **Seeds are not texts.** The intervals are over initial values and data order. The validation text is one sample,
  the same for all; another text gives other losses.
- **Unequal costs.** Equal tokens are neither equal time nor equal parameters; [costs](#costs) says how different they
  are.
- **Repeatable.** On the same machine, with the same versions and number of threads, {exact} with the same seed.
"""


def _where(records: Iterable[Record]) -> str:
    """Machines, versions, commits and dates, as the records name them."""
    known = list(records)
    if not known:
        return "- **Where.** No run is done yet.\n"
    places = [r.get("environment") or {} for r in known]
    machines = _distinct(p.get("gpu") or p.get("processor") for p in places)
    threads, python = _distinct(p.get("threads") for p in places), _distinct(p.get("python") for p in places)
    torch, own = _distinct(p.get("torch") for p in places), _distinct(p.get("gpt2") for p in places)
    commits = _distinct(str(p["commit"])[:10] for p in places if p.get("commit"))
    changed = any(p.get("uncommitted_changes") for p in places)
    ended = sorted(r["ended"] for r in known if r.get("ended"))
    hours = sum(r["seconds"] for r in known) / 3600
    when = f" They ended between {_day(ended[0])} and {_day(ended[-1])}." if ended else ""
    return f"""- **Where.** {listed(machines)}, {listed(threads)} thread{"" if threads == ["1"] else "s"} per run;
  PyTorch {listed(torch)}, Python {listed(python)}, this package {listed(own)}, at commit
  {listed(commits) or "unknown"}{" (with uncommitted changes)" if changed else ""}. There are {len(known)} runs, with
  {hours:.1f} hours of training in all.{when}
"""


def _day(text: str) -> str:
    return text[:16].replace("T", " ") + " UTC"


def _distinct(values: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(v) for v in values if v is not None))


def _optimiser(name: str) -> str:
    return {"adamw": "AdamW", "muon": "Muon and AdamW"}[name]


def _sets(paths: Iterable[str]) -> str:
    return listed(f"`{path}`" for path in paths)


def _numbers(values: tuple[int, ...]) -> str:
    run = len(values) > 2 and list(values) == list(range(values[0], values[-1] + 1))
    return f"{values[0]} to {values[-1]}" if run else listed(map(str, values))
