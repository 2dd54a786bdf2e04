"""What off means for a component: the edits that put something else in its place.

In: a model, a component by address, a kind (mean, zero, ...), a reference text. Out: edits for `trace`, `generate` or a
sweep; the addresses that a group of components stands for. Read next: off.py, which measures what it costs.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from gpt2.base.errors import UsageError
from gpt2.explain.run.edits import freeze, keep_constant, mean, mean_by_position, resample, to_first, zero
from gpt2.explain.run.lacks import Lacking, there
from gpt2.explain.run.places import parse
from gpt2.explain.run.reference import Reference
from gpt2.explain.run.trace import Run
from gpt2.model import GPT2
from gpt2.probe import Edit

if TYPE_CHECKING:
    pass

Kind = Literal["mean", "zero", "constant", "position mean", "resample", "first"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# What off can mean for each kind of component; any other address takes all but "constant" and "first".
MEANINGS: dict[str, tuple[Kind, ...]] = {
    "head": KINDS, "attn.out": KINDS, "mlp.out": ("mean", "zero", "position mean", "resample"),
    "block": ("mean", "zero"), "scale": ("mean",), "embed.pos": ("mean", "zero"),
}  # fmt: skip


def switch(model: GPT2, component: str, kind: Kind, text: Reference, other: Run | None = None) -> dict[str, Edit]:
    """The edits that switch one component off: for `trace`, for `generate`, for a sweep.

    component  an address, or several joined by commas, which go off together
    kind       "mean" over `text` (positions 0 left out); "zero"; "constant", z = b_V, for heads; "position mean", at
               each position its own; "resample", the value of the run `other`; "first": attention to key 0 alone.
               A block that is off writes nothing, and a norm's scale is held at its mean: both under "mean"

    Raises UsageError for a kind that the component does not have, ValueError for an unknown address.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}: choose {', '.join(KINDS)}.")
    edits: dict[str, Edit] = {}
    for address in component.split(","):
        for a in parse(address.strip(), model.config.n_layer, model.config.n_head):
            what = "scale" if a.point.endswith(".scale") else "head" if a.point == "attn.z" else a.point
            known = MEANINGS.get(what, MEANINGS["mlp.out"])
            if kind not in known:
                raise UsageError(f"{a.text} cannot be switched off by {kind!r}: choose {', '.join(known)}.")
            if kind == "resample" and other is None:
                raise UsageError(f"{a.text}: to resample, give the run of another text.")
            place = a.text.replace(".attn.out", ".attn")
            if kind == "constant" and what == "attn.out":
                place = place.replace(".attn", ".attn.z")  # all heads at once; the bias b_O stays
            edits[place] = _edit("zero" if what == "block" else kind, what, text, other)
    return edits


def _edit(kind: Kind, what: str, text: Reference, other: Run | None) -> Edit:
    if what == "scale":
        return freeze(text)
    if kind == "resample" and other is not None:
        return resample(other)
    made: dict[Kind, Callable[[], Edit]] = {
        "mean": lambda: mean(text), "zero": lambda: zero, "constant": keep_constant,
        "position mean": lambda: mean_by_position(text), "first": to_first,
    }  # fmt: skip
    return made[kind]()


def expand(model: GPT2, components: str | Sequence[str]) -> tuple[str, ...]:
    """One name per component: `*` stands for each layer or head alone; what commas join stays together.

    What this model, a variant, is without is left out where `*` names it: of a group that part alone. Raises UsageError
    for nothing to switch off: no address, one without `*` that this model lacks, or no other; ValueError for an
    unknown one.
    """
    given = [components] if isinstance(components, str) else list(components)
    sizes = model.config.n_layer, model.config.n_head
    groups = [{part.strip(): [a.text for a in parse(part.strip(), *sizes)] for part in one.split(",")} for one in given]
    has = there(model, (name for group in groups for names in group.values() for name in names))
    found: dict[str, None] = {}  # in order, each once
    for group in groups:
        for part, names in group.items():
            if "*" not in part and not has.issuperset(names):
                raise Lacking(f"this model is without {part}: there is nothing to switch off; name another component.")
        if len(group) == 1:
            found |= dict.fromkeys(name for names in group.values() for name in names if name in has)
            continue
        left = {part: [name for name in names if name in has] for part, names in group.items()}
        together = [part if left[part] == names else ",".join(left[part]) for part, names in group.items()]
        found |= dict.fromkeys([",".join(filter(None, together))] if any(together) else [])
    if not given:
        raise UsageError("there is nothing to switch off: give addresses, such as 3.head.7 or *.mlp.")
    if not found:
        raise Lacking(f"this model is without {', '.join(given)}: gpt2 explain off alone takes what it has.")
    return tuple(found)
