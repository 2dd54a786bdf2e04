"""What a live page brings: the graph, the tokenizer and the means in one piece, the weights in another.

In: a session. Out: bytes for web/engine/engine.js. The weights are a safetensors file in half precision, in the layout
and under the names of the graph; what was stored in 32 bits is rounded, and the page says so.
"""

from typing import Any

import safetensors.torch

from gpt2.inference.generate import ends_of
from gpt2.server.jobs import Tell, silent
from gpt2.server.live.averages import averages
from gpt2.server.live.graphs import graph_of
from gpt2.server.live.tokenizer import tokenizer_data
from gpt2.server.session import Session


def parts(session: Session, tell: Tell = silent) -> dict[str, Any]:
    """The graph, the tokenizer, the ids that end a text, and the mean at every switch, as `wire.pack` takes them.

    tell  hears how much of the means, the slowest part, is taken

    Raises UsageError for a variant, and for a tokenizer that the page's engine does not have.
    """
    graph = graph_of(session.model)
    return {
        "graph": {name: graph[name] for name in ("nodes", "points", "keys", "values", "config")},
        "tokenizer": tokenizer_data(session.tokenizer),
        "ends": list(ends_of(session.model, session.tokenizer)),
        "means": averages(session.checkpoint, tell),
    }


def weights(session: Session) -> bytes:
    """The parameters as a safetensors file in half precision; what two names share is there once."""
    seen: dict[int, str] = {}
    held = {}
    for name, value in session.model.state_dict().items():
        if value.data_ptr() not in seen:
            seen[value.data_ptr()] = name
            held[name] = value.detach().half().contiguous()
    return safetensors.torch.save(held)
