"""Clients that are slow, gone or hostile, over a plain socket: each gets one sentence, and the log stays empty."""

import json
import logging
import socket
import struct
import threading

import pytest
from page_server import request, serving

from benchmarks.random_model import make_checkpoint
from gpt2.checkpoint.files import load
from gpt2.server import connection, questions
from gpt2.server.answers.model import Model
from gpt2.server.guard import origin_of

HOST = b"Host: 127.0.0.1\r\n"
API = b"api"
ASK = b"POST /" + API + b"/model HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
PLAIN = ASK + b"Content-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tiny")
    make_checkpoint(directory, {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 16, "vocab_size": 300}, 0)
    return load(str(directory))


@pytest.fixture(scope="module")
def port(checkpoint):
    with serving(checkpoint) as port:
        yield port


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog):
    with caplog.at_level(logging.WARNING):
        yield
    assert [record.getMessage() for record in caplog.records] == []


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=300)


def sent(port, data):
    """All that comes back until the server closes; the client sends everything first."""
    with connect(port) as client:
        client.sendall(data)
        answer = b""
        while part := client.recv(65536):
            answer += part
    return answer


def refusal(answer):
    """(status, sentence)."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    assert b"connection: close" in head.lower()
    sentence = json.loads(body)["error"]
    assert sentence.endswith(".")
    return int(head.split()[1]), sentence


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"\x16\x03\x01\x02\x00\x01\xff\r\n\r\n", 400, "no HTTP request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "no HTTP request"),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400, "no HTTP request"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n", 400, "no HTTP request"),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431, "16 KB"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 5000 + b"\r\n", 431, "16 KB"),
        (ASK + b"Content-Length: -1\r\n\r\n", 400, "no HTTP request"),
        (ASK + b"Content-Length: many\r\n\r\n", 400, "no HTTP request"),
        (ASK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "no HTTP request"),
        (ASK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}", 400, "no HTTP request"),
        (ASK + b"Transfer-Encoding: gzip\r\n\r\n{}", 400, "no HTTP request"),
        (ASK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}", 400, "no HTTP request"),
        (ASK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, "two ways"),
        (ASK + b"Content-Length: 200000\r\nExpect: 100-continue\r\n\r\n", 413, "128 KB"),
        (ASK + b"Content-Length: 9999999999\r\n\r\n{}", 413, "128 KB"),
        (ASK + b"Content-Length: 3000000\r\n\r\n" + b" " * 3_000_000, 413, "128 KB"),
        (ASK + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 65536 + b"\r\n", 413, "128 KB"),
    ],
)
def test_what_cannot_be_read_gets_its_sentence_and_no_reset(port, data, status, words):
    """A client that had sent more than was read saw a reset in place of the 413."""
    more = (b"10000\r\n" + b" " * 65536 + b"\r\n") * 20 if b"10000" in data else b""
    found, sentence = refusal(sent(port, data + more))
    assert found == status
    assert words in sentence


@pytest.mark.parametrize("at", [1, 20, len(ASK), len(PLAIN) - 1])
def test_a_client_that_leaves_in_the_middle_is_no_error(port, at):
    """Starlette's ClientDisconnect was logged with its traceback; nothing_is_logged looks."""
    for reset in (False, True):
        client = connect(port)
        client.sendall(PLAIN[:at])
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert request(port, "POST", "api/model", {})[0] == 200


@pytest.mark.parametrize("begun", [b"GET / HT", ASK + b"Content-Length: 2\r\n\r\n{"])
def test_a_request_that_does_not_arrive_whole_is_told_so(port, begun, monkeypatch):
    monkeypatch.setattr(connection, "REQUEST", 0.05)
    status, sentence = refusal(sent(port, begun))
    assert status == 408
    assert "send it again" in sentence


def test_a_connection_without_a_request_is_closed(port, monkeypatch):
    monkeypatch.setattr(connection, "IDLE", 0.05)
    assert sent(port, b"") == b""


def test_a_client_that_never_reads_is_closed(checkpoint, monkeypatch):
    """It held the answer, and the thread's place, for ever."""
    monkeypatch.setattr(connection, "STALLED", 0.05)
    monkeypatch.setattr(connection, "LINGER", 0.05)
    large = lambda session, parameters, tell: {"text": "a" * 50_000_000}  # noqa: E731
    monkeypatch.setitem(questions.QUESTIONS, "large", questions.Question(Model, large))
    closed = threading.Event()
    lost = connection.Connection.connection_lost
    monkeypatch.setattr(connection.Connection, "connection_lost", lambda self, e: (lost(self, e), closed.set()))
    with serving(checkpoint) as port, connect(port) as client:
        client.sendall(PLAIN.replace(b"model", b"large"))
        assert closed.wait(300)


def test_too_many_connections_are_told_so(checkpoint, monkeypatch):
    monkeypatch.setattr(connection, "MOST", 3)
    with serving(checkpoint) as port:
        held = [connect(port) for _ in range(3)]
        for one in held:
            one.sendall(PLAIN)
            assert b" 200 " in one.recv(1000)
        status, sentence = refusal(sent(port, b""))
        assert status == 429
        assert "3 connections" in sentence
        for one in held:
            one.close()


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "TRACE", "PATCH", "get", "NONSENSE"])
def test_other_methods_are_refused(port, method):
    status, _, body = request(port, method, "api/model")
    assert status == 405
    assert "for the page, or POST" in json.loads(body)["error"]


def test_older_and_other_ways_to_ask(port):
    status, headers, body = request(port, "HEAD", "main.js")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 100
    assert sent(port, b"GET / HTTP/1.0\r\n" + HOST + b"\r\n").startswith(b"HTTP/1.1 200")
    upgrade = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    assert sent(port, b"GET / HTTP/1.1\r\n" + HOST + upgrade + b"\r\n").startswith(b"HTTP/1.1 200")
    assert refusal_status(sent(port, b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")) == 404
    last = PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert sent(port, PLAIN * 3 + last).count(b"HTTP/1.1 200 OK") == 4  # pipelined


def refusal_status(answer):
    return int(answer.split()[1])


def test_another_scheme_is_another_origin(port):
    """The scheme was not looked at."""
    for origin in (f"https://127.0.0.1:{port}", f"ftp://127.0.0.1:{port}", f"127.0.0.1:{port}", "http://127.0.0.1", ""):
        assert request(port, "POST", "api/model", {}, {"Origin": origin or "null"})[0] == 403
    assert request(port, "POST", "api/model", {}, {"Origin": f"HTTP://127.0.0.1:{port}"})[0] == 200
    assert origin_of("http", "localhost:80") == "http://localhost"
    assert origin_of("https", "localhost:80") == "https://localhost:80"


@pytest.mark.parametrize("more", [b"", PLAIN, b"GET / HT"])
def test_a_client_that_leaves_is_seen_whatever_it_sent_besides(checkpoint, monkeypatch, more):
    """Behind further requests nothing was read, so the work went on."""
    begun, ended = threading.Event(), threading.Event()

    def endless(session, parameters, tell):
        begun.set()
        try:
            while True:
                session.model.transformer.wte.weight.sum()
        finally:
            ended.set()

    monkeypatch.setitem(questions.QUESTIONS, "endless", questions.Question(Model, endless))
    with serving(checkpoint) as port:
        with connect(port) as client:
            client.sendall(PLAIN.replace(b"model", b"endless") + more)
            assert begun.wait(300)
        assert ended.wait(300)


def test_the_end_of_the_server_stops_what_runs(checkpoint, monkeypatch):
    """It waited for every question that ran, and for every connection."""
    begun, ended = threading.Event(), threading.Event()

    def endless(session, parameters, tell):
        begun.set()
        try:
            while True:  # torch alone, without `tell`
                session.model.transformer.wte.weight.sum()
        finally:
            ended.set()

    monkeypatch.setitem(questions.QUESTIONS, "endless", questions.Question(Model, endless))
    with serving(checkpoint) as port:
        client, idle = connect(port), connect(port)
        client.sendall(PLAIN.replace(b"model", b"endless"))
        assert begun.wait(300)
    assert ended.wait(300)
    assert b"has been ended" in client.recv(10_000)
    client.close()
    idle.close()
