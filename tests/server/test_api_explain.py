"""Edits and explanations in the API are what the Python calls give, and edits are nobody else's."""

import threading

import pytest

from gpt2.base.plain import plain
from gpt2.explain import attribution, keep_constant, lens, to_first, trace, zero
from gpt2.inference.generate import generate
from gpt2.inference.sampling import Sampling
from gpt2.server.api.explaining import edit_key
from tests.api_server import serving, tiny
from tests.generating import TOKENIZER

ROUTE = "/v1/completions"
API = "api"  # of the page
TEXT = "The cat sat"


@pytest.fixture(scope="module")
def client():
    with serving() as client:
        yield client


def ours(edit, **settings):
    sampling = Sampling(**{"max_tokens": 12, "temperature": 0, "slide": False} | settings)
    return generate(tiny().model, TOKENIZER, [TEXT], sampling, edit=edit)[0][0].text


@pytest.mark.parametrize(
    ("given", "edit"),
    [
        ({"0.mlp": "zero"}, {"0.mlp": zero}),
        ({"1.head.2": "zero", "0.head.1": "constant"}, {"1.head.2": zero, "0.head.1": keep_constant()}),
        ({"1.head.0": "first"}, {"1.head.0": to_first()}),
        ({"*.mlp": "zero"}, {"0.mlp": zero, "1.mlp": zero}),
    ],
    ids=["zero", "two", "first", "all"],
)
def test_an_edit_is_what_the_python_call_does(client, given, edit):
    assert client.complete(TEXT, max_tokens=12, temperature=0, edit=given)["choices"][0]["text"] == ours(edit)


def test_the_same_prompt_with_and_without_edits_at_the_same_time(client):
    found = {}

    def ask(number, edit):
        found[number] = client.complete(TEXT, max_tokens=12, temperature=0, edit=edit)["choices"][0]["text"]

    edits = [{}, {"0.mlp": "zero"}, {"1.mlp": "zero"}] * 2
    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(edits)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own = [ours(None), ours({"0.mlp": zero}), ours({"1.mlp": zero})]
    assert len(set(own)) == 3
    assert [found[number] for number in range(6)] == own * 2


def test_equal_edits_have_one_name():
    assert edit_key({"a": "zero", "b": "first"}) == edit_key({"b": "first", "a": "zero"}) != edit_key({"a": "zero"})


def test_an_explanation_is_the_python_calls(client):
    edit = {"0.mlp": "zero"}
    answer = client.complete([TEXT, "dog"], edit=edit, explain=["lens", "attribution"], max_tokens=1)
    for said, text in zip(answer["explain"], (TEXT, "dog"), strict=True):
        run = trace(tiny(), TOKENIZER.encode(text), edit={"0.mlp": zero})
        assert said == {"lens": plain(lens(run).to_dict()), "attribution": plain(attribution(run).to_dict())}
    assert "explain" not in client.complete(TEXT, max_tokens=1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"edit": {"9.mlp": "zero"}}, "no layer 9"),
        ({"edit": {"0.mpl": "zero"}}, "0.mpl"),
        ({"edit": {"0.mlp": "off"}}, "zero, mean, constant, first"),
        ({"edit": {"0.mlp": "constant"}}, "cannot be switched off by 'constant'"),
        ({"edit": {"0.mlp": 0}}, "string"),
        ({"explain": ["trace"]}, "'lens' or 'attribution'"),
        ({"explain": ["lens"], "stream": True}, "leave out stream"),
    ],
    ids=str,
)
def test_what_cannot_be_edited_or_explained_is_said(client, fields, words):
    status, error = client.refused(ROUTE, {"prompt": TEXT} | fields)
    assert status == 400
    assert words in error["message"]


def test_the_explain_page_is_there(client):
    status, headers, body = client.request("GET", "/")
    assert (status, b"main.js" in body) == (200, True)
    assert "script-src 'self'" in headers["content-security-policy"]
    assert client.request("POST", f"/{API}/model", {})[0] == 200
    status, _, body = client.request("POST", f"/{API}/modell", {})
    assert (status, b'"error":"there is no question' in body) == (404, True)
