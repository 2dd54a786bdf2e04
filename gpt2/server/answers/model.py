"""Which model this is: its sizes, and what the page can switch.

Read next: picture.py.
"""

from typing import Any

from gpt2 import __version__
from gpt2.explain.live.averages import weights_hash
from gpt2.explain.show.points import points
from gpt2.server.answers.parameters import Parameters
from gpt2.server.jobs import Tell
from gpt2.server.session import Session
from gpt2.server.switches import components, states


class Model(Parameters):
    """No parameters."""


def answer(session: Session, ask: Model, tell: Tell) -> dict[str, Any]:
    """Name, sizes, the table of points, and each switch with its states. `rounding`, of a live page in 8 bits: the bits
    per byte of texts before and after, where that was measured. `beside`: the second model of the page."""
    config = session.config
    return {
        "name": session.name,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.n_embd,
        "n_inner": config.inner_dim,
        "n_positions": config.n_positions,
        "vocab_size": config.vocab_size,
        "activation": config.activation_function,
        "parameters": sum(p.numel() for p in session.model.parameters()),
        "weights": session.kept(("weights",), lambda: weights_hash(session.checkpoint)),
        "version": __version__,
        "rounding": _rounding(session),
        "beside": None if session.beside is None else _sizes(session.beside),
        "dtype": str(session.model.transformer.wte.weight.dtype).removeprefix("torch."),
        "points": {address: {"shape": shape, "meaning": meaning} for address, shape, meaning in points(config)},
        "switches": {address: list(states(address)) for address in components(config)},
    }


def _sizes(session: Session) -> dict[str, Any]:
    config = session.config
    return {"name": session.name, "n_layer": config.n_layer, "n_head": config.n_head}


def _rounding(session: Session) -> dict[str, Any] | None:
    if session.rounded is None:
        return None
    return {"kind": "int8", "costs": [cost._asdict() for cost in session.costs]}
