"""What the API refuses, in the shape and with the status codes of OpenAI's.

In: an error of the library, or a sentence with its status. Out: {"error": {"message", "type", "param", "code"}}.
Source: platform.openai.com/docs/guides/error-codes. Read next: app.py.
"""

from typing import Any

from fastapi.responses import JSONResponse

from gpt2.base.errors import Advice
from gpt2.inference.engine import Closed, Full
from gpt2.server.body import short

SENTENCE = 600  # characters of a refusal: it may quote what was asked
CODES = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}
STOPPING = "the server is stopping: start it again, or ask another."
STOPPED = "the server has stopped answering: start it again."


class Refused(Exception):
    """A request that is not answered.

    status      of HTTP
    param       the parameter at fault, if one is
    code        what programs tell errors apart by
    """

    def __init__(self, status: int, sentence: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.param, self.code = status, sentence, param, code

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        shaped = shape(self.status, self.sentence)
        shaped["error"] |= {"param": self.param, "code": self.code or shaped["error"]["code"]}
        return shaped

    def response(self) -> JSONResponse:
        """The answer."""
        headers = {}
        if self.status in (429, 503):
            headers["retry-after"] = "1"
        if self.status == 408:
            headers["x-should-retry"] = "false"  # OpenAI's client would send the same long request again
        return JSONResponse(self.body(), self.status, headers)


def too_late(seconds: float) -> Refused:
    """What a client is told whose answer takes longer than so many seconds."""
    mend = "ask for less, or start the server with a longer time-out."
    return Refused(408, f"the answer was not complete within {seconds:g} seconds: {mend}")


def shape(status: int, sentence: str) -> dict[str, Any]:
    """A sentence as OpenAI's API gives it."""
    kind = "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error"
    return {"error": {"message": sentence, "type": kind, "param": None, "code": CODES.get(status)}}


def refusal_of(error: Exception) -> Refused:
    """What a client is told of an error: 400 for what it asked wrongly, 429 for a full queue, 503 at the end of the
    server, 500 for a fault of the program, of which nothing but its kind is told."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Full):
        return Refused(429, short(str(error), SENTENCE))
    if isinstance(error, Closed):
        return Refused(503, STOPPED)
    if isinstance(error, ValueError | OSError):
        param = error.argument or None if isinstance(error, Advice) else None
        return Refused(400, short(str(error), SENTENCE), param)
    return Refused(500, f"this is a fault of the program ({type(error).__name__}): the server's log has more.")
