"""Neurons of one MLP at one row: the strongest, what each adds to the prediction, what each promotes and suppresses.

In: a scene, a block, a row. Out: for each of the strongest neurons its activation a, the length of what it writes
(|a| times the length of its row of W_out), its part in the logit of the predicted token (above the mean logit), and
the tokens that its row of W_out raises and lowers most through the final norm's gain and the head.
"""

from contextlib import suppress
from typing import Any

from gpt2.base.errors import UsageError
from gpt2.explain.change.neurons import neuron
from gpt2.explain.see.attribution import attribution
from gpt2.explain.see.neurons import active_neurons
from gpt2.explain.see.readout import NoSum
from gpt2.server.answers.attribution import finer
from gpt2.server.answers.parameters import Parameters, Scene, Whole
from gpt2.server.jobs import Tell
from gpt2.server.session import Session

STRONGEST = 10
TOKENS = 5
EXAMPLES = 6  # places of the reference text


class Neurons(Scene):
    """A scene, a block, a row."""

    block: Whole
    row: Whole


class Contexts(Parameters):
    """One neuron."""

    block: Whole
    neuron: Whole


def neurons(session: Session, ask: Neurons, tell: Tell) -> dict[str, Any]:
    """See the module's docstring; `active` counts the neurons with an activation above 0."""
    mlp_of(session, ask.block)
    address, ids = f"{ask.block}.mlp", session.encode(ask.text)
    run = session.trace(ids, ask.switches, finer(address))
    found = active_neurons(run, ask.block, ask.row, STRONGEST, TOKENS)
    whole = address in ask.switches or f"{ask.block}.block" in ask.switches
    why = None
    if not whole:
        with suppress(NoSum):
            why = attribution(run, vs="mean", at=ask.row, of=address)
    return {
        "neurons": [
            {
                "n": one.unit, "activation": one.activation, "size": one.size,
                "adds": None if why is None else why[f"{address}.post#{one.unit}"],
                "promotes": [session.word(i) for i in one.promotes],
                "suppresses": [session.word(i) for i in one.suppresses],
            }
            for one in found.strongest
        ],
        "active": found.active, "of": found.of, "target": "" if why is None else why.target, "off": whole,
    }  # fmt: skip


def mlp_of(session: Session, l: int) -> Any:
    """The MLP of a block; UsageError where there is none."""
    if l >= session.config.n_layer:
        raise UsageError(f"there is no block {l}: this model has 0 to {session.config.n_layer - 1}.")
    return session.model.transformer.h[l].mlp


def contexts(session: Session, ask: Contexts, tell: Tell) -> dict[str, Any]:
    """Where in the reference text the neuron is most active, the share of positions at which it is above 0, and the
    change of the loss when it is held at its mean, with its interval (gpt2.explain.change.neurons)."""
    address = f"{ask.block}.mlp.post#{ask.neuron}"
    if ask.neuron >= mlp_of(session, ask.block).c_proj.in_features:  # before the means are waited for
        raise UsageError(f"there is no neuron {address}: this block has 0 to {session.config.inner_dim - 1}.")

    def make() -> dict[str, Any]:
        found = neuron(session.checkpoint, address, session.excerpt, EXAMPLES, progress=tell)
        change = found.loss_change
        return {
            "examples": [
                {"activation": c.activation, "before": list(c.before), "token": c.token, "after": list(c.after)}
                for c in found.contexts
            ],
            "active": found.active, "text": found.text["text"],
            "loss": [change.value.item(), change.low.item(), change.high.item()],
        }  # fmt: skip

    return session.kept(("contexts", address), make)
