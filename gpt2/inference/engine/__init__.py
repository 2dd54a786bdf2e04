"""Many texts at once for callers that come and go: requests join and leave one batch between its steps.

In: a model, its tokenizer and requests, from any thread. Out: a `Ticket` for each, which hands out its pieces.

    engine = Engine(model, tokenizer)
    engine.start()
    for piece in engine.submit(Request(ids, Sampling(max_tokens=40))):
        print(piece.text, end="")
    engine.stop()

Read next: request.py, which says what may be asked; engine.py, the thread; batch.py, its steps.
"""

from gpt2.inference.engine.engine import Engine
from gpt2.inference.engine.request import Limits, Request
from gpt2.inference.engine.ticket import Closed, Event, Full, Ticket

__all__ = ["Closed", "Engine", "Event", "Full", "Limits", "Request", "Ticket"]
