"""The models of one server: each with its engine, its chat template and what explaining it needs.

In: checkpoints, each under a name. Out: the model that a request names, and the end of all. Read next: running.py.
"""

import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gpt2.inference.engine import Engine, Limits
from gpt2.server.api.errors import Refused
from gpt2.server.body import short
from gpt2.server.jobs import Jobs
from gpt2.server.means import Means
from gpt2.text.chat import Chat

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint


class Served:
    """One model under a name. `parent` is that of the model which it adapts, None for one of its own."""

    def __init__(self, name: str, checkpoint: "Checkpoint", limits: Limits, parent: str | None = None) -> None:
        self.name, self.checkpoint, self.parent = name, checkpoint, parent
        self.model, self.tokenizer = checkpoint.model, checkpoint.tokenizer
        self.engine = Engine(self.model, self.tokenizer, limits)
        self.created = int(time.time())
        self.means = Means(checkpoint)

    @cached_property
    def chat(self) -> Chat:
        """Its tokenizer with its chat template, or with the plain one."""
        return Chat(self.tokenizer)

    @cached_property
    def chat_ends(self) -> set[int]:
        """The tokens that its template writes right after an answer."""
        return self.chat.end_ids()

    @cached_property
    def chat_lead(self) -> str:
        """White space that its template writes before an answer."""
        return self.chat.lead()

    @property
    def context(self) -> int:
        """Tokens that prompt and answer have together, at most."""
        return self.model.config.n_positions

    def card(self) -> dict[str, Any]:
        """What `/v1/models` says of it."""
        return {
            "id": self.name, "object": "model", "created": self.created, "owned_by": "gpt2", "parent": self.parent,
            "max_model_len": self.context,
        }  # fmt: skip

    def how(self) -> dict[str, Any]:
        """How it computes: the type of its numbers, that of the weights of its linear maps, in which way these are
        computed, and where."""
        norm, linear = self.model.transformer.ln_f.weight, self.model.transformer.h[0].mlp.c_fc
        dtype = str(norm.dtype).removeprefix("torch.")
        weights = str(getattr(linear, "kind", dtype))
        return {"dtype": dtype, "weights": weights, "way": self.engine.way, "device": str(norm.device)}


class Models:
    """All models of a server, the first of which answers requests that name none; and the threads that work."""

    def __init__(self, served: list[Served]) -> None:
        self.served = {one.name: one for one in served}
        self.first = served[0]
        self.jobs = Jobs()
        self.closed = False
        self._stopping: list[threading.Thread] = []

    def named(self, name: str | None) -> Served:
        """The model of this name. Refused with 404 for another name, in which case nothing is computed."""
        if name is None:
            return self.first
        if name not in self.served:
            there = ", ".join(self.served)
            raise Refused(404, f"the model {short(repr(name))} is not served here: there is {there}.", "model",
                          "model_not_found")  # fmt: skip
        return self.served[name]

    def start(self) -> None:
        """Begin to answer."""
        for one in self.served.values():
            one.engine.start()

    @property
    def running(self) -> int:
        """How many computations and engines have not stopped."""
        engines = sum(thread.is_alive() for thread in self._stopping) if self._stopping else len(self.served)
        return self.jobs.running + engines

    def close(self) -> None:
        """Take no other request."""
        self.closed = True

    def end(self) -> None:
        """Stop every computation; requests under way end with an error."""
        self.close()
        self.jobs.end()
        if not self._stopping:
            self._stopping = [threading.Thread(target=one.engine.stop, daemon=True) for one in self.served.values()]
            for thread in self._stopping:
                thread.start()
