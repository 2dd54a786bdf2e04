"""The other experiment: components switched off in the trained baseline, which never learned to do without them.

In: a study, its records, the weights that `gpt2 ablate` kept. Out: losses by seed, as a small JSON file; read back,
changes with intervals over seeds. What stands in for a component comes from `gpt2.explain`: its mean over text that the
report does not read, or zero. Read next: report/structure.py.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpt2.ablation.conduct import Records
from gpt2.ablation.measure import position_losses
from gpt2.ablation.statistics import Difference, paired
from gpt2.ablation.study import BASELINE, Contestant, Job, Study
from gpt2.base.disk import whole_file
from gpt2.base.errors import UsageError
from gpt2.base.kinds import parse_own
from gpt2.base.ours import check_file
from gpt2.base.sealed import read_text

KINDS = {
    "losses": {str: float}, "tokens": int, "tokens_of_means": int,
    "off": [{"title": str, "variant": (str, None), "kind": str, "addresses": str, "losses": {str: float}}],
}  # fmt: skip
"""What is read of the file, by kind (gpt2/base/kinds.py)."""
TOLERANCE = 1e-3  # nats, between the loss of kept weights and the loss on record: another processor rounds differently


@dataclass(frozen=True)
class Component:
    """What is switched off: `addresses` with `*` for every block; `variant` is what is trained without it."""

    title: str
    variant: str | None
    addresses: tuple[str, ...]
    kinds: tuple[str, ...] = ("mean", "zero")


ALL = (
    Component("attention, every block", "no-attention", ("*.attn",)),
    Component("MLP, every block", "no-mlp", ("*.mlp",)),
    Component("position vectors", "no-positions", ("embed.pos",)),
    Component("scale of every LayerNorm", "no-norm", ("*.ln_1.scale", "*.ln_2.scale", "final.scale"), ("mean",)),
)


def components(n_layer: int) -> list[Component]:
    """Whole components, then attention and MLP of each block alone."""
    single = [(f"attention of block {l}", f"{l}.attn") for l in range(n_layer)]
    single += [(f"MLP of block {l}", f"{l}.mlp") for l in range(n_layer)]
    return [*ALL, *(Component(title, None, (address,), ("mean",)) for title, address in single)]


@dataclass(frozen=True)
class Off:
    """One component, off: losses by seed, and the change against the same weights with everything on."""

    title: str
    variant: str | None
    kind: str
    addresses: str
    losses: Mapping[int, float]
    change: Difference


@dataclass(frozen=True)
class SwitchedOff:
    """The whole experiment: `losses` with everything on, by seed; `about` says on what text, where and when."""

    losses: Mapping[int, float]
    off: tuple[Off, ...]
    about: Mapping[str, Any]

    def counterpart(self, contestant: Contestant) -> Off | None:
        """The same component of the baseline, its mean in its place; None where a contestant has no such thing."""
        if contestant.set or contestant.against != BASELINE or contestant.variant is None:
            return None
        return next((o for o in self.off if o.variant == contestant.variant and o.kind == "mean"), None)


def switch_off(
    study: Study, records: Records, kept: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Measure every component on every baseline that is kept, `kept`/baseline-SEED.

    Returns what `read_switched_off` reads. Raises UsageError when no weights are kept, ValueError when weights do not
    have the loss that is on record for their seed.
    """
    from gpt2.ablation.job import validation
    from gpt2.base.device import pick_device
    from gpt2.checkpoint.files import load
    from gpt2.explain import reference, switch
    from gpt2.training.run.environment import describe
    from gpt2.training.task import pretraining

    seeds = [seed for seed in study.seeds_of(BASELINE) if (kept / f"{BASELINE}-{seed}").is_dir()]
    if not seeds:
        mend = f"run gpt2 ablate {study.source} with {{keep}} first."
        raise UsageError(f"{kept} holds no {BASELINE}-SEED", mend, keep=kept)
    device, task = pick_device(), pretraining(study.recipe(BASELINE))
    ids, targets = validation(study, Job(BASELINE, "report", 0), task).all(device)
    others, _ = validation(study, Job(BASELINE, "tune", 0), task).all(device)
    known = _losses_on_record(study, records)
    wanted = components(task.model.config.n_layer)
    losses: dict[int, float] = {}
    off: dict[tuple[str, str], dict[str, Any]] = {}
    for number, seed in enumerate(seeds):
        model = load(str(kept / f"{BASELINE}-{seed}")).model.to(device).eval()
        losses[seed] = _mean(position_losses(model, ids, targets))
        if abs(losses[seed] - known.get(seed, losses[seed])) > TOLERANCE:
            raise ValueError(
                f"{kept / f'{BASELINE}-{seed}'} has a loss of {losses[seed]:.4f}, but {known[seed]:.4f} is on record: "
                "these are weights of another study."
            )
        means = reference(model, others.tolist())
        for component in wanted:
            addresses = every(component, task.model.config.n_layer)
            for kind in component.kinds:
                what = {"title": component.title, "variant": component.variant, "kind": kind, "addresses": addresses}
                entry = off.setdefault((component.title, kind), {**what, "losses": {}})
                edits = switch(model, addresses, kind, means)  # type: ignore[arg-type]
                entry["losses"][str(seed)] = _mean(position_losses(model, ids, targets, edits))
        progress(number + 1, len(seeds))
    return {
        "study": study.name,
        "tokens": ids.numel(),
        "tokens_of_means": others.numel(),
        "losses": {str(seed): loss for seed, loss in losses.items()},
        "off": list(off.values()),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": describe(device),
    }


def every(component: Component, n_layer: int) -> str:
    """A component's addresses, one by one, joined by commas."""
    return ",".join(
        address.replace("*", str(l)) for address in component.addresses for l in range(n_layer if "*" in address else 1)
    )


def check_switched_off(path: Path) -> None:
    """Raise UsageError where a file of other content stands at the path that the result is to have."""
    check_file(path, is_switched_off, "what gpt2 ablate off writes")


def is_switched_off(path: Path) -> bool:
    """Whether a file holds such a result."""
    try:
        read_switched_off(path)
    except UsageError:
        return False
    return True


def write_switched_off(result: Mapping[str, Any], path: Path) -> None:
    """The result as JSON, whole or not at all. UsageError for a file that is there and holds something else."""
    check_switched_off(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def read_switched_off(path: Path) -> SwitchedOff:
    """Read what was written, and compare. Raises UsageError for a file that holds something else."""
    try:
        found = parse_own(read_text(path), KINDS)
        losses = {int(seed): loss for seed, loss in found["losses"].items()}
        off = tuple(
            Off(
                o["title"], o["variant"], o["kind"], o["addresses"], {int(s): loss for s, loss in o["losses"].items()},
                paired(list(o["losses"].values()), [losses[int(seed)] for seed in o["losses"]]),
            )
            for o in found["off"]
        )  # fmt: skip
    except (OSError, ValueError, KeyError):
        raise UsageError(f"{path} is not what gpt2 ablate off writes: run it again.") from None
    return SwitchedOff(losses, off, {k: v for k, v in found.items() if k not in ("losses", "off")})


def _losses_on_record(study: Study, records: Records) -> dict[int, float]:
    return {
        r["seed"]: r["val_loss"]
        for r in records.values()
        if r["contestant"] == BASELINE and r["purpose"] == "report" and r.get("val_loss") is not None
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
