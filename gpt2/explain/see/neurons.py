"""The neurons of one MLP at one position: which write most, and which tokens they raise and lower.

In: a `Run`, a block, a position. Out: an `ActiveNeurons`. attribution.py says what each adds to the prediction
(`of="2.mlp"`). Read next: change/neurons.py, one neuron over many texts.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gpt2.explain.run.weights import neuron_writes, promotes, write_lengths

if TYPE_CHECKING:
    from gpt2.explain.run.trace import Run


class ActiveNeuron(NamedTuple):
    """A neuron by its number in the block; how long its write is; the ids that its direction raises and lowers most."""

    unit: int
    activation: float
    size: float
    promotes: tuple[int, ...]
    suppresses: tuple[int, ...]


@dataclass(frozen=True)
class ActiveNeurons:
    """The strongest first; how many of all have an activation above 0, and how many there are."""

    strongest: tuple[ActiveNeuron, ...]
    active: int
    of: int


def active_neurons(
    run: "Run", layer: int, at: int = -1, n: int = 10, tokens: int = 5, *, row: int = 0
) -> ActiveNeurons:
    """The n neurons of a block's MLP with the longest writes at position `at`, with `tokens` tokens each.

    Raises UsageError for a position that is not there.
    """
    post = run.read(f"{layer}.mlp.post").values.stored(layer, "mlp.post")[row, run.position(at)].detach().float()  # (F)
    sizes = write_lengths(run.model, layer, post)
    best = sizes.topk(min(n, len(sizes))).indices
    scores = promotes(run.model, neuron_writes(run.model, layer)[best])  # (n, V)
    up, down = (scores.topk(min(tokens, scores.size(-1)), largest=most).indices.tolist() for most in (True, False))
    found = (
        ActiveNeuron(i, float(post[i]), float(sizes[i]), tuple(up[k]), tuple(down[k]))
        for k, i in enumerate(best.tolist())
    )
    return ActiveNeurons(tuple(found), int((post > 0).sum()), len(post))
