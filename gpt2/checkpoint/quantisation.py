"""What config.json says of a quantised checkpoint: in which kind of numbers its weights are, and what that cost.

In: the fields of config.json. Out: a `Quantisation`, or a refusal of a form of compression that is not this project's.
Nothing here imports torch. Read next: quantised.py, which reads and writes the weights.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.base.errors import UsageError
from gpt2.base.foreign import Field, check_fields, shortened
from gpt2.base.visible import quoted

if TYPE_CHECKING:
    from gpt2.kernels.quantised import Kind

FIELD = "quantization_config"  # where transformers, vLLM and others look for one
METHOD = "glassbox"  # a quant_method that none of them knows
KINDS = ("int8", "int4")
AGAIN = "quantise the model again, `gpt2 quantise MODEL DIR`"
FIELDS = (
    Field("quant_method", "honoured", "must be `glassbox`"),
    Field("kind", "honoured", "int8 or int4, as in gpt2/kernels/quantised.py"),
    Field("original", "carried", "what was quantised: the model's name, and the bytes of its weights in float32"),
    Field("cost", "carried", "bits per byte on a text, before and after"),
)


@dataclass(frozen=True)
class Original:
    """What was quantised: the name by which it was asked for, and the bytes of its weights in float32."""

    model: str
    bytes: int


@dataclass(frozen=True)
class Cost:
    """What quantising did to a model's bits per byte on a text.

    text           the name of the text; `sha256` of its documents says which text it was
    bytes          its size in UTF-8, without separators
    before, after  bits per byte of the model as it was and as it is now
    """

    text: str
    sha256: str
    bytes: int
    before: float
    after: float

    @property
    def share(self) -> float:
        """By how much bits per byte rose, as a share of what they were; below 0 where they fell."""
        return self.after / self.before - 1


@dataclass(frozen=True)
class Quantisation:
    """The kind of a model's weights, "int8" or "int4", and where known what it was made of and what that cost."""

    kind: "Kind"
    original: Original | None = None
    cost: Cost | None = None

    def fields(self) -> dict[str, Any]:
        """As config.json has it."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return {"quant_method": METHOD, **known}


def quantisation_in(path: Path, fields: Mapping[str, Any]) -> Quantisation | None:
    """What the fields of a config.json say; None where its weights are floats.

    path  the file, for sentences. Raises ValueError, naming file and field, for another method, kind or fact.
    """
    said = fields.get(FIELD)
    if said is None:
        return None
    if not isinstance(said, dict) or said.get("quant_method") != METHOD:
        raise ValueError(
            f"{path}: {FIELD} is {shortened(said)}, and of compressed weights those of `gpt2 quantise` alone are read: "
            "save the model in float16 or float32 first."
        )
    kind = said.get("kind")
    if kind not in KINDS:
        raise ValueError(f"{path}: {FIELD}.kind is {shortened(kind)}, and {' and '.join(KINDS)} are read: {AGAIN}.")
    check_fields(path, said, FIELDS)
    original = _fact(path, "original", said.get("original"), Original)
    return Quantisation(kind, original, _fact(path, "cost", said.get("cost"), Cost))


def need_floats(model: Any, name: str, what: str) -> None:
    """UsageError where a model is quantised: `what` needs its weights as floats. `name`: of the model, to be typed."""
    found = quantisation_of(model)
    if found is not None:
        raise UsageError(
            f"{name} is quantised ({found.kind}), and {what} needs weights in float32: write them with "
            f"`gpt2 export {quoted(name)} DIR`, then use DIR."
        )


def mark(model: Any, quantisation: Quantisation) -> None:
    """Say of a model with quantised weights what is known of them; `save` writes it."""
    model.quantisation = quantisation


def quantisation_of(model: Any) -> Quantisation | None:
    """What is known of a model's quantised weights; None for a model whose weights are floats."""
    found = getattr(model, "quantisation", None)
    if isinstance(found, Quantisation) or not hasattr(model, "modules"):
        return found
    from gpt2.kernels.linear import QuantisedLinear

    kinds = {module.kind for module in model.modules() if isinstance(module, QuantisedLinear)}
    return Quantisation("int4" if "int4" in kinds else "int8") if kinds else None


def _fact(path: Path, name: str, said: Any, kind: type[Any]) -> Any:
    """The fact of this kind that the file states; its fields are texts, whole numbers above 0, and finite ones."""
    if said is None:
        return None
    types = {field.name: field.type for field in kind.__dataclass_fields__.values()}
    fits = isinstance(said, dict) and said.keys() == types.keys()
    if not fits or not all(_fits(said[field], kind_of) for field, kind_of in types.items()):
        raise ValueError(f"{path}: {FIELD}.{name} is {shortened(said)}, which says nothing: {AGAIN}, or take it out.")
    return kind(**said)


def _fits(value: Any, kind: Any) -> bool:
    if kind is str:
        return isinstance(value, str) and len(value) <= 1000
    number = isinstance(value, int) if kind is int else isinstance(value, int | float)
    return number and not isinstance(value, bool) and math.isfinite(value) and value > 0
