"""The web application: the page's files, and one route through which it asks.

In: a loaded checkpoint. Out: a FastAPI application for 127.0.0.1 (serving.py serves it).

    GET   NAME            a file of web/; the page itself for none
    POST  api/QUESTION    its parameters as JSON; the answer as frames (jobs.py), a refusal as {"error": sentence}
    POST  api/beside/QUESTION    the same, asked of the second model
"""

import difflib
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from gpt2.server import export
from gpt2.server.body import short
from gpt2.server.guard import LOCAL, Guard
from gpt2.server.jobs import SENTENCE, Jobs, answer
from gpt2.server.questions import QUESTIONS, Question, read_parameters
from gpt2.server.session import Session
from gpt2.server.static import files
from gpt2.server.two import other_session

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint


def create_app(checkpoint: "Checkpoint", hosts: tuple[str, ...] = LOCAL, beside: "Checkpoint | None" = None) -> FastAPI:
    """The application that explains `checkpoint`, with another one `beside` it; it answers requests for `hosts` only.

    UsageError for another one that reads text with other tokens.
    """
    app = FastAPI(title="gpt2", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.session, app.state.jobs = Session(checkpoint), Jobs()
    if beside is not None:
        app.state.session.beside = other_session(app.state.session, beside)
    add_page(app, app.state.session, app.state.jobs)

    @app.exception_handler(HTTPException)
    async def sentence(request: Request, error: HTTPException) -> JSONResponse:
        return refused(request, error)

    app.add_middleware(Guard, hosts=hosts)
    return app


def add_page(app: FastAPI, session: Session, jobs: Jobs) -> None:
    """Add the page's routes; they come last, since every other address that is got is a file or none."""
    questions = {**QUESTIONS, "export": Question(export.Export, export.answer)}

    @app.api_route("/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def file(name: str) -> Response:
        if (name or "index.html") not in files():
            raise HTTPException(404, f"there is no file {short(repr(name))} here: open / instead.")
        content, media_type = files()[name or "index.html"]
        return Response(content, headers={"content-type": media_type})

    @app.post("/api/beside/{name}", include_in_schema=False)
    async def ask_other(name: str, request: Request) -> Response:
        if session.beside is None:
            raise HTTPException(404, "this page has no second model: open it with one.")
        return await answered(session.beside, name, request)

    @app.post("/api/{name}", include_in_schema=False)
    async def ask(name: str, request: Request) -> Response:
        return await answered(session, name, request)

    async def answered(session: Session, name: str, request: Request) -> Response:
        if name not in questions:
            near = difflib.get_close_matches(name[:40], questions, n=3, cutoff=0.3) or questions
            raise HTTPException(404, f"there is no question {short(repr(name))}: the nearest are {', '.join(near)}.")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "ask with the header content-type: application/json.")
        question = questions[name]
        try:
            parameters = read_parameters(question, await request.body())
        except ValueError as error:
            raise HTTPException(400, short(str(error), SENTENCE)) from None
        return await answer(request, partial(question.answer, session, parameters), jobs)


def refused(request: Request, error: HTTPException) -> JSONResponse:
    """The answer to what the page's routes refuse."""
    method = short(request.method)
    said = {
        404: "there is nothing at this address: open / instead.",
        405: f"{method} is not answered here: GET / for the page, or POST a question under /api.",
    }
    ours = error.detail != HTTPStatus(error.status_code).phrase
    return JSONResponse(
        {"error": error.detail if ours else said.get(error.status_code, error.detail)},
        error.status_code,
        error.headers,
    )
