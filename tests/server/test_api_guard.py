"""Who may ask the API, how much, and what becomes of its work: key, origins, limits, clients that leave, the end."""

import json
import threading

import pytest

from gpt2.base.errors import UsageError
from gpt2.inference.engine import Limits
from gpt2.server.api.app import BODY_LIMIT, Settings
from gpt2.server.api.run import check_reach, is_local, listen
from gpt2.server.guard import LOCAL
from tests.api_server import serving, tiny, until

ROUTE = "/v1/completions"
ASK = {"prompt": "a", "max_tokens": 1}
LONG = {"prompt": "a", "max_tokens": 3000, "ignore_eos": True}
ORIGIN = "https://example.org"


@pytest.fixture(scope="module")
def roomy():
    """A model whose texts are long enough to be interrupted."""
    return tiny(4000)


@pytest.fixture(scope="module")
def keyed():
    with serving(settings=Settings(key="schlüssel", origins=(ORIGIN,), max_tokens=8, max_prompt=4, max_texts=3)) as one:
        yield one


RIGHT = {"authorization": "Bearer schlüssel".encode().decode("latin-1")}


def test_without_its_key_only_the_health_is_told(keyed):
    for headers in ({}, {"authorization": "Bearer schluessel"}, {"authorization": RIGHT["authorization"][7:]}):
        status, error = keyed.refused(ROUTE, ASK, **headers)
        assert (status, error["code"]) == (401, "invalid_api_key")
    status, headers, _ = keyed.request("GET", "/v1/models")
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    for path in ("/metrics", "/openapi.json", "/", "/main.js"):
        assert keyed.request("GET", path)[0] == 401
    assert keyed.request("GET", "/health")[0] == 200
    assert keyed.request("POST", ROUTE, ASK, RIGHT)[0] == 200
    assert keyed.request("GET", "/", None, RIGHT)[0] == 404  # the page, which could send no key


def test_a_server_asks_for_a_key_beyond_this_machine():
    assert all(map(is_local, ("127.0.0.1", "localhost", "::1", "127.9.9.9")))
    check_reach("0.0.0.0", "key")
    check_reach("127.0.0.1", None)
    for host in ("0.0.0.0", "::", "192.168.1.5"):
        with pytest.raises(UsageError, match="beyond this machine: give api_key='KEY' as well, or leave host out"):
            check_reach(host, None)
    with pytest.raises(UsageError, match="an address of this machine"):
        check_reach("example.org", None)


def test_a_port_that_is_taken_is_named():
    with listen("127.0.0.1", 0) as taken, pytest.raises(UsageError, match="any that is free"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_hosts_and_origins(keyed):
    status, _, body = keyed.request("GET", "/health", None, {"host": "evil.example"})
    assert status == 421
    assert LOCAL[0] in json.loads(body)["error"]["message"]
    assert keyed.request("POST", ROUTE, ASK, RIGHT | {"origin": "https://evil.example"})[0] == 403
    status, headers, _ = keyed.request("POST", ROUTE, ASK, RIGHT | {"origin": ORIGIN})
    assert (status, headers["access-control-allow-origin"], headers["vary"]) == (200, ORIGIN, "origin")
    wanted = {"origin": ORIGIN, "access-control-request-method": "POST",
              "access-control-request-headers": "authorization,content-type"}  # fmt: skip
    status, headers, _ = keyed.request("OPTIONS", ROUTE, None, wanted)
    assert (status, headers["access-control-allow-headers"]) == (204, "authorization,content-type")
    assert keyed.request("OPTIONS", ROUTE, None, wanted | {"origin": "https://evil.example"})[0] == 403
    status, headers, _ = keyed.request("POST", ROUTE, ASK, {"origin": ORIGIN})  # a refusal can be read there too
    assert (status, headers["access-control-allow-origin"]) == (401, ORIGIN)


def test_limits_of_a_request(keyed):
    for fields, words in (
        ({"prompt": "abcde"}, "reads 4"), ({"prompt": "a", "max_tokens": 9}, "gives 8"),
        ({"prompt": ["a"] * 2, "n": 2}, "gives 3 to a request"),
    ):  # fmt: skip
        status, error = keyed.refused(ROUTE, ASK | fields, **RIGHT)
        assert status == 400
        assert words in error["message"]
    status, _, body = keyed.request("POST", ROUTE, b'{"prompt": "' + b"a" * BODY_LIMIT + b'"}', RIGHT)
    assert status == 413
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert keyed.request("POST", ROUTE, b"prompt=a", RIGHT | {"content-type": "text/plain"})[0] == 415
    assert keyed.request("GET", ROUTE, None, RIGHT)[0] == 405


def test_an_answer_that_takes_too_long_is_ended(roomy):
    with serving(roomy, settings=Settings(timeout=0.05)) as client:
        status, error = client.refused(ROUTE, LONG)
        assert (status, "0.05 seconds" in error["message"]) == (408, True)
        assert "error" in client.events(ROUTE, **LONG)[-1]
        until(lambda: client.engine.state["rows"] == 0)


def test_a_client_that_leaves_leaves_no_work_behind(roomy):
    with serving(roomy) as client:
        streams = [client.begun(**LONG, n=2) for _ in range(3)]
        until(lambda: client.engine.state["rows"] == 6)
        for stream in streams:
            stream.leave()
        until(lambda: client.engine.state["rows"] == 0)
        until(lambda: len(client.log) == 3)
        assert all(line.endswith("left=yes") for line in client.log)


def test_a_full_queue_says_when_to_come_again(roomy):
    with serving(roomy, limits=Limits(rows=1, waiting=1)) as client:
        running = client.begun(**LONG)
        until(lambda: client.engine.state["rows"] == 1)
        waiting = threading.Thread(target=client.request, args=("POST", ROUTE, ASK))
        waiting.start()
        until(lambda: client.engine.state["waiting"] == 1)
        status, headers, body = client.request("POST", ROUTE, ASK)
        assert (status, headers["retry-after"]) == (429, "1")
        assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"
        assert client.request("POST", ROUTE, {**ASK, "prompt": ["a", "b"]})[0] == 429
        running.leave()
        waiting.join()
        until(lambda: client.engine.state["rows"] == 0)


def test_at_the_end_streams_end_with_an_error_and_nothing_new_is_taken(roomy):
    with serving(roomy, moment=0.2) as client:
        stream = client.begun(**LONG)
        client.server.should_exit = True
        rest = stream.rest().decode()
        assert '"message": "the server has stopped answering' in rest.rpartition("data: ")[2]
        assert "[DONE]" not in rest
        until(lambda: client.models.running == 0)


def test_a_stream_that_ends_within_the_moment_is_whole(roomy):
    with serving(roomy, moment=60.0) as client:
        stream = client.begun(prompt="a", max_tokens=60, ignore_eos=True)
        client.server.should_exit = True
        assert stream.rest().endswith(b"data: [DONE]\n\n")


def test_the_log_has_a_line_for_each_request_and_no_text():
    with serving() as client:
        client.complete("a secret", max_tokens=2, ignore_eos=True)
        client.request("POST", "/v1/another secret".replace(" ", "%20"), ASK)
        client.engine.submit = None  # a fault of the program
        status, error = client.refused(ROUTE, ASK)
        until(lambda: len(client.log) == 3)
        assert (status, error["type"]) == (500, "server_error")
        first, second, third = client.log
        assert " route=/v1/completions status=200 model=tiny prompt_tokens=8 completion_tokens=2 seconds=" in first
        assert " status=405 " in second or " status=404 " in second
        assert ' error=500 what="TypeError at running.py:' in third
        assert "secret" not in "".join(client.log)
        text = client.request("GET", "/metrics")[2].decode()
        assert 'gpt2_prompt_tokens_total{model="tiny"} 8\n' in text
        assert "gpt2_request_seconds_count 1\n" in text
