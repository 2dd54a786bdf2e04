"""A study: who runs against whom, what is expected of it, and on which seeds; read from one TOML file.

In: recipes/ablation/*.toml, committed before its first run. Out: a `Study`, and the recipe of each `Job` in it.
Read next: job.py (one run), conduct.py (all of them).

A study is a baseline (a recipe, as `gpt2 train` takes it) and contestants. A contestant names a variant, settings of
the recipe that differ, whom it is compared against, and the difference in validation loss that is expected.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from gpt2.ablation.statistics import region
from gpt2.base.errors import UsageError
from gpt2.base.foreign import plain_name, shortened
from gpt2.base.kinds import is_like
from gpt2.training.identity import identity
from gpt2.training.recipe import Recipe
from gpt2.training.recipe_file import build_table, read_toml

BASELINE = "baseline"
Kind = Literal["primary", "exploratory", "reference"]
Purpose = Literal["tune", "report", "budget"]


@dataclass(frozen=True)
class Contestant:
    """What is trained, and what is expected of it."""

    name: str = BASELINE
    title: str = "GPT-2"
    """A few words for tables."""
    variant: str | None = None
    """A name of `gpt2.ablation.variants`, or one of the study's own file of variants."""
    against: str = BASELINE
    """The contestant it is compared with."""
    kind: Kind = "exploratory"
    """primary: counted in the family of contrasts named beforehand; reference: only compared against."""
    expect: str = ""
    """Difference in validation loss, nats per token: ">= 0.05", "<= -0.02" or "within 0.01"."""
    why: str = ""
    """Where the expectation comes from."""
    set: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the recipe that differ, as tables."""
    rate_of: str = ""
    """The contestant whose search found its learning rate; "": a search of its own."""
    seeds: int = 0
    """How many of the study's seeds it runs; 0: as many as its kind does."""
    code: str = ""
    """A hash of the study's own file of variants, where the variant is one of those; no entry of the table."""


@dataclass(frozen=True)
class Study:
    """name        the file's name
    source         the file
    baseline       the recipe that all contestants share, as tables
    contestants    by name, the baseline first
    seeds          of the report, for primary contestants and those that they are compared with
    exploratory    how many of these seeds the others run
    tune_seeds     seeds of the search for a learning rate, none of them in `seeds`
    tune_rates     factors of the baseline's learning rate, at least three
    tune_share     share of the steps that the search trains for
    budgets        shares of the steps for which the baseline is trained as well
    tune_windows   share of the validation windows that the search uses; the report uses the others
    note           a sentence for the report, on how the study came about
    variants       a Python file with variants of the study's own, which is run when the study is read
    tune_trials    rates that each search tries at least: it goes on between two of them once its best is at no end
    branches       shares of the steps at which primary contestants, and whoever they are compared with, are measured as
                   well, by a decay that is branched off (branches.py)
    blocks         all contestants of a seed run on one processor at one commit (blocks.py), and exploratory ones run in
                   the order of the file
    hours          processor hours after which no run is begun; 0: no limit
    """

    name: str
    source: Path
    baseline: Mapping[str, Any]
    contestants: Mapping[str, Contestant]
    seeds: tuple[int, ...]
    exploratory: int
    tune_seeds: tuple[int, ...]
    tune_rates: tuple[float, ...]
    tune_share: float
    budgets: tuple[float, ...]
    tune_windows: float
    note: str = ""
    variants: Path | None = None
    tune_trials: int = 0
    branches: tuple[float, ...] = ()
    blocks: bool = False
    hours: float = 0.0

    @cached_property
    def _recipes(self) -> dict[str, Recipe]:  # a report asks for the keys of some thousand runs
        return {}

    def recipe(self, contestant: str) -> Recipe:
        """The checked recipe of a contestant, before seed and learning rate are set."""
        if contestant not in self._recipes:
            table = _merged(self.baseline, self.contestants[contestant].set)
            self._recipes[contestant] = build_table(table, f"{self.source}: {contestant}").check()
        return self._recipes[contestant]

    def seeds_of(self, contestant: str) -> tuple[int, ...]:
        """The seeds of its report runs: all for primary ones, and for whoever one of those is compared with."""
        own = self.contestants[contestant].seeds
        return self.seeds if contestant in self.family and not own else self.seeds[: own or self.exploratory]

    def branches_of(self, contestant: str) -> tuple[float, ...]:
        """The shares of the steps at which its report runs are measured as well."""
        return self.branches if contestant in self.family else ()

    @property
    def family(self) -> set[str]:
        """Primary contestants, and whoever one of them is compared with."""
        return {name for c in self.primary for name in (c.name, c.against)}

    @property
    def primary(self) -> list[Contestant]:
        """The family of contrasts named beforehand."""
        return [c for c in self.contestants.values() if c.kind == "primary"]


@dataclass(frozen=True)
class Job:
    """One training run of a study: `rate` is a factor of the contestant's own learning rate, `share` of its steps."""

    contestant: str
    purpose: Purpose
    seed: int
    rate: float = 1.0
    share: float = 1.0

    def recipe(self, study: Study) -> Recipe:
        """What this run trains."""
        recipe = study.recipe(self.contestant)
        optim, train = recipe.optim, recipe.train
        optim = replace(optim, lr=optim.lr * self.rate, muon_lr=optim.muon_lr * self.rate)
        train = replace(train, seed=self.seed, steps=max(1, round(train.steps * self.share)))
        return replace(recipe, optim=optim, train=train)

    def work(self, study: Study) -> float:
        """What it costs, in runs of full length: its own steps, and the decays that are branched off."""
        branches = study.branches_of(self.contestant) if self.purpose == "report" else ()
        return self.share + study.recipe(self.contestant).optim.decay * sum(branches)

    def key(self, study: Study) -> str:
        """A hash of all that decides how the run goes; a result with this key need not be computed again.

        A setting that came after version 0.1 is hashed only where it is set, so that older results are still found. A
        variant of the study's own is another one as soon as its file says something else.
        """
        contestant = study.contestants[self.contestant]
        what: dict[str, Any] = {
            "recipe": identity(self.recipe(study)),
            "variant": contestant.variant,
            "purpose": self.purpose,
            "tune_windows": study.tune_windows,
        }
        if contestant.code:
            what["code"] = contestant.code
        if self.purpose == "report" and study.branches_of(self.contestant):
            what |= {"branches": list(study.branches)}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def counterpart(name: str, here: Study, there: Study) -> str | None:
    """What a contestant of one study is called in another, None where none asks the same.

    A contestant of 12 blocks in a shallow study ends in "-12"; in a study whose baseline is that deep it does not.
    """
    found = _nearest(name, here, there)
    return found if found is not None and _nearest(found, there, here) == name else None


def _nearest(name: str, here: Study, there: Study) -> str | None:
    stem = {BASELINE: "plain"}.get(name, name.removesuffix("-12"))
    shallow = BASELINE if stem == "plain" else stem
    known = [n for n in (f"{stem}-12", shallow) if n in there.contestants]
    alike = [n for n in known if _deep(n, there) == _deep(name, here)]
    return next(iter(alike or known), None)


def _deep(name: str, study: Study) -> bool:
    return study.recipe(name).model.n_layer >= 12


def load_study(path: str | Path) -> Study:
    """Read a study. Raises UsageError, naming file and entry, for what is missing, misspelt or contradictory."""
    path = Path(path)
    table = read_toml(path, "study", "recipes/ablation/")
    unknown = sorted(set(table) - {"study", "baseline", "contestants"})
    if unknown:
        raise UsageError(f"{path}: it holds [study], [baseline] and [contestants.NAME], not {shortened(unknown)}.")
    if "baseline" not in table:
        raise UsageError(f"{path} has no [baseline], the run that all are compared with: take that of minute.toml.")
    for name, kind in {"baseline": {str: dict}, "contestants": {str: dict}, "study": dict}.items():
        if not is_like(table.get(name, {}), kind):
            raise UsageError(f"{path}: {name} is {shortened(table[name])}: write it as tables, as in minute.toml.")
    contestants = {BASELINE: Contestant(kind="reference")}
    for name, entry in table.get("contestants", {}).items():
        if len(name) > 100 or not name.isprintable():
            raise UsageError(f"{path}: contestants.{plain_name(name)}: write a name of at most 100 characters.")
        contestants[name] = _contestant(path, name, entry)
    for c in contestants.values():
        for word, other in (("against", c.against), ("rate_of", c.rate_of or BASELINE)):
            if other not in contestants:
                what = f"{word} {shortened(other)}" if word == "rate_of" else f"against {shortened(other)}"
                raise UsageError(f"{path}: {c.name} is {what}, which is not a contestant: name one.")
        if c.rate_of and contestants[c.rate_of].rate_of:
            raise UsageError(f"{path}: {c.name} takes the rate of {c.rate_of}, which has no search: name another.")
    settings = {**_DEFAULTS, **table.get("study", {})}
    for name, value in settings.items():
        if name not in _KINDS:
            raise UsageError(f"{path}: [study] has no {plain_name(name)!r}: known are {', '.join(_KINDS)}.")
        kind, called = _KINDS[name]
        if not is_like(value, kind):
            raise UsageError(f"{path}: [study] {name} is {shortened(value)}: it must be {called}.")
    if not 0 < settings["tune_share"] <= 1:
        share = shortened(settings["tune_share"])
        raise UsageError(f"{path}: [study] tune_share is {share}: it must be above 0, and at most 1.")
    if not 0 < settings["tune_windows"] < 1:
        share, mend = shortened(settings["tune_windows"]), "the report uses the other windows"
        raise UsageError(f"{path}: [study] tune_windows is {share}: it must be above 0 and below 1, since {mend}.")
    for name in ("tune_rates", "budgets", "branches"):
        for value in settings.get(name, ()):
            if not 0 < value < math.inf:
                raise UsageError(f"{path}: [study] {name} holds {shortened(value)}: it must be above 0.")
    if not all(share < 1 for share in settings.get("branches", ())):
        raise UsageError(f"{path}: [study] branches holds {settings['branches']}: each must be below 1.")
    for name in ("tune_trials", "hours"):
        if not 0 <= settings.get(name, 0) < math.inf:
            raise UsageError(f"{path}: [study] {name} is {shortened(settings[name])}: it must be at least 0.")
    for name in ("seeds", "tune_seeds"):
        if not settings[name]:
            raise UsageError(f"{path}: [study] {name} is []: name at least one seed.")
    if settings["exploratory"] < 0:
        raise UsageError(f"{path}: [study] exploratory is {settings['exploratory']}: it must be at least 0.")
    if "variants" in settings:
        if not settings["variants"].isprintable():
            raise UsageError(f"{path}: [study] variants is {shortened(settings['variants'])}: name a Python file.")
        settings["variants"] = path.parent / settings["variants"]
    study = Study(path.stem, path, table["baseline"], contestants, **{k: _frozen(v) for k, v in settings.items()})
    if set(study.seeds) & set(study.tune_seeds):
        raise UsageError(f"{path}: a seed stands both in seeds and in tune_seeds: choose other seeds for the search.")
    if len(study.tune_rates) < 3 or list(study.tune_rates) != sorted(set(study.tune_rates)):
        raise UsageError(f"{path}: tune_rates are at least three factors that rise, such as [0.5, 1, 2].")
    from gpt2.ablation.models import VARIANTS, read_variants

    known = read_variants(study.variants)
    for c in contestants.values():
        if c.variant is not None and c.variant not in known:
            raise UsageError(
                f"{path}: {c.name} has the variant {shortened(c.variant)}: choose among {', '.join(known)}."
            )
        if c.variant is not None and c.variant not in VARIANTS and study.variants is not None:
            code = hashlib.sha256(study.variants.read_bytes()).hexdigest()
            contestants[c.name] = replace(c, code=code)
        schedule = study.recipe(c.name).optim.schedule
        if study.branches_of(c.name) and schedule != "wsd":
            what = f"[study] branches needs the schedule wsd, and {c.name} has {schedule}"
            raise UsageError(f"{path}: {what}: set optim.schedule.")
    return study


_DEFAULTS: dict[str, Any] = {
    "seeds": [*range(10)],
    "exploratory": 5,
    "tune_seeds": [1000],
    "tune_rates": [0.5, 1.0, 2.0],
    "tune_share": 0.5,
    "budgets": [0.25, 0.5, 2.0, 4.0],
    "tune_windows": 0.25,
}
_KINDS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(("seeds", "tune_seeds"), ([int], "a list of whole numbers")),
    **dict.fromkeys(("tune_rates", "budgets", "branches"), ([float], "a list of numbers")),
    **dict.fromkeys(("tune_share", "tune_windows", "hours"), (float, "a number")),
    **dict.fromkeys(("exploratory", "tune_trials"), (int, "a whole number")),
    "blocks": (bool, "true or false"),
    **dict.fromkeys(("note", "variants"), (str, "a text")),
}


def _contestant(path: Path, name: str, entry: dict[str, Any]) -> Contestant:
    known = [key for key in Contestant.__dataclass_fields__ if key not in ("name", "code")]
    where = f"{path}: contestants.{plain_name(name)}"
    for key, value in entry.items():
        if key not in known:
            raise UsageError(f"{where} has no {plain_name(key)!r}: known are {', '.join(known)}.")
        kind: Any = {"set": {str: dict}, "seeds": int}.get(key, str)
        if not is_like(value, kind):
            what = {"set": "a table of tables", "seeds": "a whole number"}.get(key, "a text")
            raise UsageError(f"{where}: {key} is {shortened(value)}: it must be {what}.")
    if entry.get("kind", "primary") not in get_args(Kind):
        raise UsageError(f"{where}: kind is {shortened(entry['kind'])}: choose {', '.join(get_args(Kind))}.")
    if entry.get("seeds", 0) < 0:
        raise UsageError(f"{where}: seeds is {shortened(entry['seeds'])}: it must be at least 0.")
    contestant = Contestant(**{"name": name, "title": name.replace("-", " "), **entry})
    try:
        if contestant.kind != "reference":
            region(contestant.expect)
    except ValueError as error:
        raise UsageError(f"{path}: {name}: {error}") from None
    return contestant


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, table by table."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
