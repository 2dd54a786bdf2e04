"""docs/serve.md is true: its request gives its answer, its refusal is the command's, its tables are complete."""

import json
import re
from collections.abc import Iterator

import pytest

from gpt2.cli.main import main
from gpt2.server.api import fields
from scripts.examples import ROOT, blocks, examples
from tests.api_server import Client, serving
from tests.explained import storyteller

TEXT = (ROOT / "docs" / "serve.md").read_text("utf-8")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(storyteller()) as client:
        yield client


def test_the_request_gives_the_answer(client: Client) -> None:
    (asked,) = re.findall(r"curl \S+(/v1/\S+) .* -d '\n(.*?)'\n", TEXT)
    (shown,) = blocks("json", TEXT)
    wanted = re.escape(re.sub(r"\s", "", shown)).replace(re.escape("..."), ".*?")
    answer = client.post(asked[0], **json.loads(asked[1]))
    assert re.fullmatch(wanted, re.sub(r"\s", "", json.dumps(answer)))


def test_the_log_looks_like_this(client: Client) -> None:
    client.complete("a", max_tokens=1)
    (shown,) = (block for block in blocks("text", TEXT) if block.startswith("time="))
    names = [part.partition("=")[0] for part in shown.split()]
    assert [part.partition("=")[0] for part in client.log[-1].split()] == names


def test_the_refusal_is_the_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPT2_API_KEY", raising=False)
    ((command, said),) = [example for block in blocks("console", TEXT) for example in examples(block)]
    assert main(command.split()[1:]) == 2
    assert capsys.readouterr().err == said


def test_every_parameter_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", TEXT)) | set(re.findall(r"`(\w+): ", TEXT))
    assert {*fields.Completion.model_fields, *fields.Chat.model_fields} - named == set()
