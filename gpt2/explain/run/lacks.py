"""What a model does not have: a variant of `gpt2 ablate` may lack attention, MLPs or norms.

In: a model, addresses or parts. Out: those addresses that a pass reaches; words for the parts that are not there.
Read next: off.py, heads.py and patching.py, which refuse by it, in one sentence and before they compute.
"""

from collections.abc import Iterable

import torch

from gpt2.base.errors import UsageError
from gpt2.base.onednn import forward_only
from gpt2.base.twin import in_evaluation
from gpt2.explain.run.places import parse
from gpt2.model import GPT2
from gpt2.probe import Probe

# The words for a part, and the point at which it shows.
PARTS = {
    "ln_1": "*.ln_1.scale", "attention": "*.attn.out", "ln_2": "*.ln_2.scale", "MLPs": "*.mlp.out",
    "a final norm": "final.scale",
}  # fmt: skip


class Lacking(UsageError):
    """The question is about a component that this model is without."""


def there(model: GPT2, addresses: Iterable[str]) -> set[str]:
    """Those of the addresses of which a pass through this model reaches every point. ValueError for an unknown one."""
    sizes = model.config.n_layer, model.config.n_head
    places = {text: parse(text, *sizes) for text in addresses}
    probe = Probe([a.text.partition("@")[0].partition("#")[0] for found in places.values() for a in found])
    quiet, ids = in_evaluation(model), torch.zeros_like(model.lm_head.weight[:1, :1]).long()
    with forward_only(model.lm_head.weight):
        quiet(ids, probe=probe)
    return {text for text, found in places.items() if all((a.layer, a.point) in probe.values for a in found)}


def without(model: GPT2, *parts: str) -> str:
    """The words for those of the parts (names in PARTS; default: all) that the model lacks; "" where it has them."""
    asked = {part: PARTS[part] for part in parts or PARTS}
    found = there(model, asked.values())
    *most, last = [part for part, point in asked.items() if point not in found] or [""]
    return f"{', '.join(most)} and {last}" if most else last
