"""One neuron of an MLP: when it is active, what it writes, what the model loses without it.

In: a model, `l.mlp.post#n`, documents. Out: a `Neuron`, with a_n = act(x W_in[n] + b):

    contexts              the places of the documents where a_n is largest
    active                the share of positions where a_n > 0
    promoted, suppressed  tokens v by <W_out[n], ghat_v>, minus the mean over the vocabulary: logits for each unit of
                          a_n, before the final norm's division by sigma
    loss_change           of the documents' mean loss, in nats per token, with a_n held at its mean (positions i >= 1)

The strongest neurons of one prediction: `run.attribution(target, vs, of="*.mlp").top()`. Read next: embeddings.py.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2.addresses import ADDRESS
from gpt2.base.errors import UsageError
from gpt2.base.onednn import forward_only
from gpt2.base.plain import plain
from gpt2.base.twin import in_evaluation
from gpt2.checkpoint.opened import Model, opened
from gpt2.config import GPT2Config
from gpt2.explain.change.intervals import ONE_DOCUMENT, Estimate, bootstrap
from gpt2.explain.run.lacks import Lacking, without
from gpt2.explain.run.places import ours, parse
from gpt2.explain.run.reference import STORIES, Reference, reference
from gpt2.explain.run.weights import neuron_writes, promotes
from gpt2.explain.show.result import Result, number, table
from gpt2.forward_pass import Pass
from gpt2.probe import Probe
from gpt2.text.words import label

if TYPE_CHECKING:
    from rich.table import Table

BEFORE, AFTER = 8, 3  # tokens shown around a context's own


class Context(NamedTuple):
    """A place where the neuron is active: the activation, where it is, and the tokens around it."""

    activation: float
    document: int
    position: int
    before: tuple[str, ...]
    token: str
    after: tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Neuron(Result):
    """What the documents show of one neuron. Numbers are over positions i >= 1."""

    address: str
    text: dict[str, Any]  # which documents: `Reference.to_dict`
    mean: float
    largest: float
    active: float
    contexts: tuple[Context, ...]  # largest activation first
    promoted: tuple[tuple[str, float], ...]
    suppressed: tuple[tuple[str, float], ...]
    loss_change: Estimate

    def table(self) -> "Table":
        """Contexts, with the token that excited it in brackets."""
        change = f"{self.loss_change:+.2e}"
        title = f"{self.address}: active at {self.active:.1%} of positions, mean {number(self.mean)}"
        words = [" ".join(f"{w} {x:+.2g}" for w, x in some) for some in (self.promoted, self.suppressed)]
        caption = (
            f"promotes {words[0]}\nsuppresses {words[1]}\nheld at its mean, the loss changes by {change} nats per token"
            f" ({self.text['text']} {self.text['sha256'][:8]})"
            + (f"\n{ONE_DOCUMENT}" if self.text["documents"] == 1 else "")
        )
        made = table(">a", "context", title=title, caption=caption)
        for c in self.contexts:
            made.add_row(number(c.activation), "".join((*c.before, "[", c.token, "]", *c.after)).replace("·", " "))
        return made

    def to_dict(self) -> dict[str, Any]:
        """Every field."""
        contexts = [c._asdict() for c in self.contexts]
        return plain({**vars(self), "contexts": contexts, "loss_change": self.loss_change.to_dict()})


def neuron(
    model: Model,
    address: str,
    text: Reference | str | Path | Sequence[str] | Sequence[Sequence[int]] = STORIES,
    contexts: int = 8,
    tokens: int = 6,
    progress: Callable[[float], None] = lambda share: None,
) -> Neuron:
    """Look at one neuron, `2.mlp.post#1234`, in documents (as `reference` takes them).

    contexts, tokens  how many of each to keep; progress is told the share that is done

    Raises UsageError for an address that is no neuron, for a model without MLPs, and as `reference`.
    """
    gpt, tokenizer = opened(model)
    if not all(ADDRESS.fullmatch(one) and "mlp.post" in one for one in ours(address) or [address]):
        raise _no_neuron(address, gpt.config)
    places = parse(address, gpt.config.n_layer, gpt.config.n_head)
    a = places[0]
    if len(places) > 1 or a.point != "mlp.post" or a.unit is None or a.span:
        raise _no_neuron(address, gpt.config)
    if a.unit >= gpt.config.inner_dim:
        raise UsageError(f"{address!r}: there is no #{a.unit}, this point has 0 to {gpt.config.inner_dim - 1}.")
    if without(gpt, "MLPs"):
        raise Lacking("this model is without MLPs, so it has no neurons: use gpt2 explain attention, or off.")
    documents = text if isinstance(text, Reference) else reference(model, text)
    n = len(documents.rows)
    quiet = in_evaluation(gpt)
    layer, before = a.layer or 0, f"{a.layer}.resid_pre"
    probe = Probe(read=[address, before])
    losses, values, entering = [], [], []
    for i, row in enumerate(documents.rows):
        ids = torch.tensor([row], device=gpt.lm_head.weight.device)
        with forward_only(gpt.lm_head.weight):
            losses.append(_loss(quiet(ids, probe=probe), ids))
        values.append(probe[address][0].double().cpu())
        entering.append(probe[before])
        progress((i + 1) / (2 * n))
    every = torch.cat([x[1:] for x in values])
    held = every.mean()
    off = Probe(edit={address: lambda x: held.to(x).expand_as(x)})
    changes = []
    for i, row in enumerate(documents.rows):  # again from the neuron's block on
        ids = torch.tensor([row], device=gpt.lm_head.weight.device)
        with forward_only(gpt.lm_head.weight):
            here = Pass(probe=off).begin(quiet, entering[i])
            hidden = quiet.norm(quiet.blocks(entering[i], here, layer), here)
            changes.append(_loss(quiet.head(hidden, here), ids) - losses[i])
        progress((n + i + 1) / (2 * n))
    counts = torch.tensor([len(row) - 1 for row in documents.rows])

    def names(token: int) -> str:
        return label(tokenizer, token)

    scores = promotes(gpt, neuron_writes(gpt, layer)[[a.unit]])[0]
    best, worst = (scores.topk(min(tokens, len(scores)), largest=up) for up in (True, False))
    promoted, suppressed = (
        tuple((names(i), x) for i, x in zip(some.indices.tolist(), some.values.tolist())) for some in (best, worst)
    )
    return Neuron(
        address, documents.to_dict(), float(held), float(every.max()), float((every > 0).double().mean()),
        _contexts(documents.rows, values, contexts, names), promoted, suppressed,
        bootstrap(torch.stack(changes), counts),
    )  # fmt: skip


def _no_neuron(address: str, config: GPT2Config) -> UsageError:
    """The error for an address of no neuron: the form of one, with the numbers in `address` if the model has them."""
    numbers = [int(number) for number in re.findall(r"\d{1,9}", address)]
    layer = numbers[0] if numbers[1:] or re.match(r"\d+\.", address) else 0
    unit = numbers[-1] if numbers[1:] or (numbers and not layer) else 0
    example = f"{layer if layer < config.n_layer else 0}.mlp.post#{unit if unit < config.inner_dim else 0}"
    return UsageError(f"{address!r} is not a neuron: write LAYER.mlp.post#NUMBER, such as {example}.")


def _loss(logits: Tensor, ids: Tensor) -> Tensor:
    """The summed loss of a document's tokens after its first: logits [1, T, V], ids [1, T]."""
    wide = logits[0, :-1].to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(wide, ids[0, 1:], reduction="sum").double().cpu()


def _contexts(
    rows: Sequence[Sequence[int]], values: Sequence[Tensor], n: int, names: Callable[[int], str]
) -> tuple[Context, ...]:
    """The n largest activations, with the tokens around each."""
    flat = torch.cat([x[1:] for x in values])
    places = [(d, t) for d, row in enumerate(rows) for t in range(1, len(row))]
    found = []
    for i in flat.topk(min(n, len(flat))).indices.tolist():
        d, t = places[i]
        shown = [names(token) for token in rows[d]]
        around = tuple(shown[max(0, t - BEFORE) : t]), shown[t], tuple(shown[t + 1 : t + 1 + AFTER])
        found.append(Context(float(flat[i]), d, t, *around))
    return tuple(found)
