"""Answers of the routes that continue texts: whole as JSON, or as a stream of server-sent events.

In: a `Run` and a `Form`, which says how a choice looks on its route. Out: a response. A client that leaves ends the
work. A choice's index counts the samples of the first prompt, then those of the second.
Source: platform.openai.com/docs/api-reference/completions and /chat-streaming. Read next: completions.py, chat.py.
"""

import json
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from gpt2 import __version__
from gpt2.inference.row import Completion, Piece
from gpt2.server.api.errors import refusal_of
from gpt2.server.api.running import Run
from gpt2.server.api.watch import Seen
from gpt2.server.jobs import unless_left

DONE = b"data: [DONE]\n\n"


class Form(Protocol):
    """How one route writes the choices of one request.

    Attributes:
        kind: `object` of a whole answer; `kind_of_chunk`: of a part.
        prefix: how its id begins.
        model: the name of the model that answers.
        samples: how many are drawn of each prompt.
    """

    kind: str
    kind_of_chunk: str
    prefix: str
    model: str
    samples: int

    def opening(self, run: Run, prompt: int, sample: int) -> Iterable[dict[str, Any]]:
        """The chunks of a choice that come before its first token."""

    def chunks(self, prompt: int, piece: Piece) -> Iterable[dict[str, Any]]:
        """Those of a token."""

    def closing(self, prompt: int, sample: int) -> Iterable[dict[str, Any]]:
        """Those of a choice of no token, behind its opening."""

    def choices(self, run: Run, found: dict[tuple[int, int], Completion]) -> list[dict[str, Any]]:
        """All of a whole answer, by (prompt, sample), without their indices."""


async def whole(request: Request, run: Run, form: Form, seen: Seen, more: dict[str, Any]) -> Response:
    """The answer at its end; `more` stands beside what OpenAI's has. `Left` where nobody waits for it any more."""
    seen.run = run

    async def collected() -> dict[tuple[int, int], Completion]:
        found = {}
        async for prompt, piece in run.events():
            if piece is not None and piece.completion is not None:
                found[prompt, piece.sample] = piece.completion
        return found

    try:
        found = await unless_left(request, collected())
    finally:
        run.cancel()
    choices = [{"index": number, **choice} for number, choice in enumerate(form.choices(run, found))]
    return JSONResponse({**_head(form, form.kind), "choices": choices, "usage": run.usage(), **more})


def streamed(run: Run, form: Form, seen: Seen, with_usage: bool) -> Response:
    """The answer as it comes; an error in the middle of it is its last event."""
    seen.run = run
    head = _head(form, form.kind_of_chunk)

    async def events() -> AsyncIterator[bytes]:
        usage: dict[str, Any] = {"usage": None} if with_usage else {}
        try:
            async for choice in _choices(run, form):
                yield event({**head, "choices": [choice], **usage})
            if with_usage:
                yield event({**head, "choices": [], "usage": run.usage()})
            yield DONE
        except Exception as error:
            yield event(seen.failed(error, refusal_of(error)).body())
        finally:
            run.cancel()

    return StreamingResponse(events(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def _choices(run: Run, form: Form) -> AsyncIterator[dict[str, Any]]:
    """The chunks of all choices in the order in which they come."""
    begun: set[tuple[int, int]] = set()
    async for prompt, piece in run.events():
        for sample in range(form.samples) if piece is None else (piece.sample,):
            index = {"index": prompt * form.samples + sample}
            if (prompt, sample) not in begun:
                begun.add((prompt, sample))
                for chunk in form.opening(run, prompt, sample):
                    yield index | chunk
                for chunk in form.closing(prompt, sample) if piece is None else ():
                    yield index | chunk
        for chunk in () if piece is None else form.chunks(prompt, piece):
            yield index | chunk


def event(value: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n\n"


def _head(form: Form, kind: str) -> dict[str, Any]:
    return {
        "id": f"{form.prefix}-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()),
        "model": form.model, "system_fingerprint": f"gpt2-{__version__}",
    }  # fmt: skip
