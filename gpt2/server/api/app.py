"""The application of `gpt2 serve`: OpenAI's routes, what stands beside them, and the explain page.

In: models, a key perhaps, origins that may ask. Out: a FastAPI application; run.py serves it.

    POST /v1/completions, /v1/chat/completions     texts and conversations, continued
    GET  /v1/models, /v1/models/ID                 what is served
    POST /tokenize, /detokenize                    text to ids and back; GET /tokenizer_info
    GET  /health, /metrics, /openapi.json          the server itself
    GET  /                                         the explain page, where no key is asked for
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from gpt2 import __version__
from gpt2.explain.run.lacks import Lacking
from gpt2.server.api import errors, explaining, fields, tokens
from gpt2.server.api.answering import streamed, whole
from gpt2.server.api.chat import ChatCompletions
from gpt2.server.api.completions import Completions
from gpt2.server.api.errors import Refused, refusal_of
from gpt2.server.api.running import Run
from gpt2.server.api.served import Models, Served
from gpt2.server.api.watch import Counts, Seen, Watch
from gpt2.server.app import add_page, refused
from gpt2.server.body import checked, read_object, short
from gpt2.server.guard import LOCAL, Guard
from gpt2.server.jobs import Left, unless_left
from gpt2.server.session import Session

BODY_LIMIT = 4 * 2**20  # bytes: 2,048 prompts of a few hundred ids each
Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Settings:
    """How a server answers.

    key         what a client must send as a bearer token; None: nothing
    hosts       names of this machine that a request may use; None: any
    origins     of pages in browsers that may ask, beside the server's own
    max_tokens  new tokens of one text, at most; None: as many as the context has
    max_prompt  tokens of one prompt, at most; None: likewise
    max_texts   texts of one request, at most: its prompts times the samples of each
    timeout     seconds that one answer may take
    """

    key: str | None = None
    hosts: Collection[str] | None = LOCAL
    origins: Collection[str] = ()
    max_tokens: int | None = None
    max_prompt: int | None = None
    max_texts: int = 256
    timeout: float = 600.0


def create_api(models: Models, settings: Settings, log: Callable[[str], None]) -> FastAPI:
    """The application; `models` are not started by it. `log` is given a line for each request."""
    app = FastAPI(title="gpt2 serve", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    counts = Counts()
    app.state.models = models

    def route(method: str, path: str, body: type[BaseModel] | None = None) -> Callable[[Answer], Answer]:
        """Add a route; what it refuses is answered in OpenAI's shape."""

        def add(answer: Answer) -> Answer:
            async def answered(request: Request) -> Response:
                try:
                    if models.closed:
                        raise Refused(503, errors.STOPPING)
                    return await answer(request)
                except Left:
                    return Response(status_code=499)  # nobody reads it
                except Exception as error:
                    return request.scope["gpt2.seen"].failed(error, refusal_of(error)).response()

            answered.__name__ = answer.__name__
            app.add_api_route(
                path, answered, methods=[method], openapi_extra=_described(path, body), response_model=None
            )
            return answer

        return add

    async def in_thread(request: Request, work: Any) -> Any:
        return await unless_left(request, explaining.in_thread(models.jobs, work, settings.timeout))

    async def continued(request: Request, kind: Any, form_of: Any) -> Response:
        """Both routes that continue texts."""
        seen: Seen = request.scope["gpt2.seen"]
        body = await _body(request)
        asked: Any = await asyncio.to_thread(fields.read, kind, body)
        served = models.named(asked.model)
        seen.model = served.name
        form = await asyncio.to_thread(form_of, asked, served)
        _check_limits(form, settings)
        edit, key, more = None, None, {}
        if asked.edit:
            edit = await in_thread(request, partial(explaining.edits_of, served, asked.edit))
            key = explaining.edit_key(asked.edit)
        if asked.explain:
            work = partial(explaining.explained, served, form.ids, asked.edit, asked.explain)
            more["explain"] = await in_thread(request, work)
        requests = await asyncio.to_thread(form.requests, edit, key)
        run = Run(served.engine, requests, settings.timeout)
        if asked.stream:
            return streamed(run, form, seen, asked.stream_options is not None and asked.stream_options.include_usage)
        return await whole(request, run, form, seen, more)

    @route("POST", "/v1/completions", fields.Completion)
    async def completions(request: Request) -> Response:
        return await continued(request, fields.Completion, Completions)

    @route("POST", "/v1/chat/completions", fields.Chat)
    async def chat_completions(request: Request) -> Response:
        return await continued(request, fields.Chat, ChatCompletions)

    @route("GET", "/v1/models")
    async def list_models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [one.card() for one in models.served.values()]})

    @route("GET", "/v1/models/{name:path}")
    async def model(request: Request) -> Response:
        return JSONResponse(models.named(request.path_params["name"]).card())

    async def of_tokens(request: Request, kind: type[BaseModel], answer: Any) -> Response:
        body = await _body(request)
        asked: Any = checked(kind, read_object(body))
        return JSONResponse(await asyncio.to_thread(answer, models.named(asked.model), asked))

    @route("POST", "/tokenize", tokens.Tokenize)
    async def tokenize(request: Request) -> Response:
        return await of_tokens(request, tokens.Tokenize, tokens.tokenize)

    @route("POST", "/detokenize", tokens.Detokenize)
    async def detokenize(request: Request) -> Response:
        return await of_tokens(request, tokens.Detokenize, tokens.detokenize)

    @route("GET", "/tokenizer_info")
    async def tokenizer_info(request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(tokens.tokenizer_info, models.first))

    @route("GET", "/health")
    async def health(request: Request) -> Response:
        every = models.served.values()
        state = {one.name: one.how() | one.engine.state for one in every}
        good = all(one.engine.alive for one in every)
        found = {"status": "ok" if good else "failed", "version": __version__, "models": state}
        return JSONResponse(found, 200 if good else 503)

    @route("GET", "/metrics")
    async def metrics(request: Request) -> Response:
        return Response(counts.text(models), media_type="text/plain; version=0.0.4")

    page = app.state.page = _page(models.first, settings)
    if page is not None:
        add_page(app, page, models.jobs)

    @app.exception_handler(HTTPException)
    async def elsewhere(request: Request, error: HTTPException) -> Response:
        if page is not None and request.scope["path"].startswith("/api/"):
            return refused(request, error)
        what = f"{short(request.method)} {short(request.scope['path'])}"
        if error.status_code == 405:
            return Refused(405, f"{what} is not answered here: this address takes another method.").response()
        return Refused(error.status_code, f"there is nothing at {what}: ask /v1/completions, say.").response()

    app.add_middleware(
        Guard, hosts=settings.hosts, limit=BODY_LIMIT, origins=settings.origins, check=Key(settings.key),
        shape=errors.shape,
    )  # fmt: skip
    app.add_middleware(Watch, log=log, counts=counts)
    return app


class Key:
    """Whether a request may be answered: f(path, headers) -> a refusal, or None. `/health` is answered to all."""

    def __init__(self, key: str | None) -> None:
        self.key = None if key is None else key.encode()

    def __call__(self, path: str, headers: dict[str, list[str]]) -> tuple[int, str] | None:
        """The comparison takes as long for a key that is nearly right as for any other."""
        if self.key is None or path == "/health":
            return None
        kind, _, given = headers.get("authorization", [""])[0].partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self.key):
            return None
        return 401, "this server asks for its key: send the header `Authorization: Bearer KEY` with the right one."


async def _body(request: Request) -> bytes:
    """The body of a request. Refused where its header says that it is no JSON, as a form of another site would."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "ask with the header content-type: application/json.")
    return await request.body()


def _check_limits(form: Completions | ChatCompletions, settings: Settings) -> None:
    """Refuse what is more than this server gives to one request."""
    texts, most = len(form.ids) * form.samples, settings.max_tokens
    longest = max(map(len, form.ids))
    if texts > settings.max_texts:
        raise Refused(400, f"{texts} texts are asked for, and this server gives {settings.max_texts} to a request: "
                      "send several.", "n")  # fmt: skip
    if settings.max_prompt is not None and longest > settings.max_prompt:
        raise Refused(400, f"a prompt has {longest} tokens, and this server reads {settings.max_prompt}: shorten it.",
                      "prompt")  # fmt: skip
    if most is not None and form.max_tokens > most:
        if not form.open_ended:
            raise Refused(400, f"max_tokens is {form.max_tokens}, and this server gives {most}: ask for fewer.",
                          "max_tokens")  # fmt: skip
        form.max_tokens = most


def _page(served: Served, settings: Settings) -> Session | None:
    """The explain page's session; None with a key, which a browser would not send, and for a model without parts that
    the page draws."""
    if settings.key is not None:
        return None
    try:
        return Session(served.checkpoint, served.means)
    except Lacking:
        return None


def _described(path: str, body: type[BaseModel] | None) -> dict[str, Any]:
    """What the description of the API says of a route: the name in its path, or its body."""
    if body is None:
        named = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
        return {"parameters": [named]} if "{name" in path else {}
    schema = body.model_json_schema(ref_template=f"#/paths/{path.replace('/', '~1')}/post/requestBody/content/"
                                    "application~1json/schema/$defs/{model}")  # fmt: skip
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
