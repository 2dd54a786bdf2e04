"""The page's switches: which components have one, and what each state does to it: off, mean, half, double.

In: {"3.head.7": "off", "final.scale": "mean", ...}. Out: edits for a Probe. Read next: session.py.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.explain import freeze, mean, scale, zero
from gpt2.explain.run.places import parse
from gpt2.probe import Edit

if TYPE_CHECKING:
    from gpt2.server.session import Session

SCALED = {"half": 0.5, "double": 2.0}
SWITCHED = ("attn.z", "attn.out", "mlp.out", "block", "ln_1.scale", "ln_2.scale", "final.scale", "embed.pos")


def components(config: GPT2Config) -> list[str]:
    """The address of every switch, in the order of the picture."""
    found = ["embed.pos"]
    for l in range(config.n_layer):
        heads = [f"{l}.head.{h}" for h in range(config.n_head)]
        found += [f"{l}.ln_1.scale", f"{l}.attn", *heads, f"{l}.ln_2.scale", f"{l}.mlp", f"{l}.block"]
    return [*found, "final.scale"]


def states(address: str) -> tuple[str, ...]:
    """The states beside "on": a norm's divisor cannot be off, only frozen at its mean."""
    return ("mean",) if address.endswith(".scale") else ("off", "mean", *SCALED)


def check(config: GPT2Config, switches: Mapping[str, str]) -> None:
    """UsageError, with the nearest valid choice, for an address or a state that does not exist."""
    known = components(config)
    for address, state in switches.items():
        for a in parse(address, config.n_layer, config.n_head):  # raises with the nearest names
            if a.point not in SWITCHED or address not in known:
                raise UsageError(f"{address!r} is not a switch: the page switches {', '.join(known[:5])}, ... whole.")
        if state not in states(address):
            raise UsageError(f"{address!r} cannot be {state!r}: choose {' or '.join(states(address))}.")


def edits(session: "Session", switches: Mapping[str, str]) -> dict[str, Edit]:
    """The edit of each switch: zero, a multiple, or the mean over the session's text. UsageError as for `check`."""
    check(session.config, switches)
    made: dict[str, Edit] = {}
    for address, state in switches.items():
        if state == "off":
            made[address] = zero
        elif state in SCALED:
            made[address] = scale(SCALED[state])
        else:
            made[address] = freeze(session.means) if address.endswith(".scale") else mean(session.means)
    return made
