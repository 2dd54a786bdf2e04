"""A model's weights in 8 bits, for a live page that is small enough to be mailed.

In: a checkpoint. Out: the codes and scales that the file holds, and a checkpoint with the weights that they stand for:
the page computes with those, and whatever is computed here for it does too.

A matrix [out, in] is held as w = q * scale, one scale for each row, with whole q from -127 to 127. The step is a row's
standard deviation divided by STEPS, larger only where its largest weight would be out of reach: such codes take fewer
bits once they are compressed than codes that always reach 127. Vectors (norms, biases) stay in half precision.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from gpt2.base.errors import Failure
from gpt2.evaluation.bits_per_byte import loss_of_each
from gpt2.explain.live.averages import model_hash

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint

STEPS = 24  # steps of a scale in a row's standard deviation; what others cost and save: docs/log.md
LARGEST = 127
SCALE = ".scale"  # what the scales of a matrix are called, behind its name
SHIPPED = Path(__file__).with_name("rounding.json")


class Rounded(NamedTuple):
    """Weights in 8 bits.

    checkpoint  with the weights that the codes stand for, in float32
    stored      what a file holds of them, by name: int8 codes [out, in] with float32 scales [out], or float16
    original    `model_hash` before the weights were rounded
    """

    checkpoint: "Checkpoint"
    stored: Mapping[str, Tensor]
    original: str


class Cost(NamedTuple):
    """Bits per byte of a text before and after the weights were rounded."""

    text: str
    documents: int
    bytes: int
    before: float
    after: float


def rounded(checkpoint: "Checkpoint") -> Rounded:
    """The weights of a checkpoint in 8 bits; the checkpoint itself stays as it is.

    Raises Failure for weights that are not finite.
    """
    model = copy.deepcopy(checkpoint.model).float()
    stored: dict[str, Tensor] = {}
    done: set[int] = set()
    for name, weight in model.state_dict().items():  # its tensors share the memory of the model's
        if weight.data_ptr() in done:  # two names of one table
            continue
        done.add(weight.data_ptr())
        if not bool(weight.isfinite().all()):
            raise Failure(
                "the weights are not all finite", "numbers of 8 bits cannot stand for them; load another checkpoint."
            )
        if weight.dim() == 2:
            codes, scale = in_8_bits(weight)
            stored |= {name: codes, name + SCALE: scale}
            weight.copy_(codes * scale[:, None])
        else:
            stored[name] = weight.half()
            weight.copy_(stored[name])
    return Rounded(checkpoint._replace(model=model), stored, model_hash(checkpoint))


def in_8_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes [out, in] in int8 and scales [out] in float32 of a matrix."""
    scale = torch.maximum(weight.square().mean(-1).sqrt() / STEPS, weight.abs().amax(-1) / LARGEST)
    scale = scale.where(scale > 0, 1.0)
    return (weight / scale[:, None]).round().clamp(-LARGEST, LARGEST).to(torch.int8), scale


def cost(
    checkpoint: "Checkpoint", made: Rounded, name: str, documents: Sequence[str],
    progress: Callable[[float], None] = lambda share: None,
) -> Cost:  # fmt: skip
    """What rounding costs on a text: each document stands alone, as in `gpt2 eval`."""
    before = loss_of_each(
        checkpoint.model, checkpoint.tokenizer, documents, progress=lambda done, of: progress(done / of / 2)
    )
    after = loss_of_each(
        made.checkpoint.model, checkpoint.tokenizer, documents, progress=lambda done, of: progress((1 + done / of) / 2)
    )
    return Cost(name, before.documents, before.bytes, before.bits_per_byte, after.bits_per_byte)


def shipped_costs(made: Rounded) -> list[Cost]:
    """What was measured of the bundled model; nothing for other weights."""
    held: dict[str, Any] = json.loads(SHIPPED.read_text("utf-8"))
    if held["model"] != made.original:
        return []
    return [Cost(**one) for one in held["costs"]]
