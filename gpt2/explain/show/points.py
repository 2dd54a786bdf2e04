"""Every address, its shape and what it is, for a model of these sizes.

In: a configuration. Out: rows for `gpt2 explain points`, made from the one table of points in gpt2/addresses.py.
"""

from gpt2.addresses import LAYER_POINTS, POINTS
from gpt2.config import GPT2Config
from gpt2.explain.run.values import shape

HEADS = {
    "attn.z": ("l.head.h", "one head's z: what it fetches, with its own idea of where to look"),
    "head.out": ("l.head.h.out", "that head's write z W_O, without the bias"),
}


def points(config: GPT2Config) -> list[tuple[str, str, str]]:
    """(address, shape for one text of T tokens, one sentence) of every point; `l` is a block, `h` a head."""
    rows = []
    for name, point in POINTS.items():
        axes = point.axes.split()
        sizes = ["T" if axis == "T" else str(n) for axis, n in zip(axes, shape(name, config, 0), strict=True)]
        if name != "head.out":  # it is named by head alone
            address = f"l.{name}" if name in LAYER_POINTS else name
            rows.append((address, f"[{', '.join(sizes)}]", point.meaning))
        if name in HEADS:
            address, meaning = HEADS[name]
            rows.append((address, f"[{', '.join(sizes[1:])}]", meaning))
    return rows
