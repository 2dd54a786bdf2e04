"""`/v1/chat/completions`: the conversation through the chat template, log probabilities, streams, refusals."""

from itertools import chain

import pytest

from gpt2.checkpoint.files import Checkpoint, load, save
from gpt2.inference.generate import generate
from gpt2.inference.sampling import Sampling
from gpt2.text.chat import Chat
from gpt2.text.chat_template import PLAIN
from gpt2.text.tokenizer import Tokenizer
from tests.api_server import serving, tiny
from tests.generating import make

ROUTE = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Checkpoint:
    """A small model with a chat template of its own."""
    folder = tmp_path_factory.mktemp("models") / "small"
    save(make(64), Tokenizer.bytes(), folder)
    (folder / "chat_template.jinja").write_text(PLAIN)
    return load(str(folder), dtype="float64")


@pytest.fixture(scope="module")
def client(checkpoint):
    with serving(checkpoint, tiny()) as client:
        yield client


def ours(checkpoint, messages, **settings):
    """What the library continues the rendered conversation with."""
    chat = Chat(checkpoint.tokenizer)
    defaults = {"max_tokens": 12, "temperature": 1.0, "top_p": 1.0, "slide": False}
    sampling = Sampling(**defaults | settings)
    return generate(checkpoint.model, checkpoint.tokenizer, [chat.prompt(messages)], sampling)[0]


def test_the_answer_is_what_follows_the_template(client, checkpoint):
    answer = client.post(ROUTE, messages=HI, max_tokens=12, seed=3, n=2)
    own = ours(checkpoint, HI, seed=3, n=2)
    assert answer["object"] == "chat.completion"
    for number, (choice, one) in enumerate(zip(answer["choices"], own, strict=True)):
        assert choice["index"] == number
        message = {"role": "assistant", "content": one.text.removeprefix(" "), "refusal": None}
        assert (choice["message"], choice["logprobs"]) == (message, None)
    n = len(Chat(checkpoint.tokenizer).prompt(HI))
    assert answer["usage"]["prompt_tokens"] == n
    assert client.post(ROUTE, messages=HI, max_completion_tokens=12, seed=3, n=2)["choices"] == answer["choices"]
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert client.post(ROUTE, messages=parts, max_tokens=12, seed=3, n=2)["choices"] == answer["choices"]
    longest = client.post(ROUTE, messages=HI, ignore_eos=True, temperature=0, logit_bias={"65": 100})
    assert longest["usage"]["total_tokens"] == 64


def test_log_probabilities_with_their_bytes(client, checkpoint):
    answer = client.post(ROUTE, messages=HI, max_tokens=4, seed=3, logprobs=True, top_logprobs=2)
    own = ours(checkpoint, HI, seed=3, max_tokens=4, logprobs=2)[0]
    entries = answer["choices"][0]["logprobs"]["content"]
    assert [entry["bytes"] for entry in entries] == [list(checkpoint.tokenizer.token_bytes(i)) for i in own.ids]
    for entry, one in zip(entries, own.logprobs, strict=True):
        assert entry["logprob"] == pytest.approx(one.logprob, abs=1e-5)
        assert len(entry["top_logprobs"]) == 2
        assert set(entry) == {"token", "logprob", "bytes", "top_logprobs"}


def test_a_stream_begins_with_the_role_and_ends_with_the_reason(client):
    fields = {"messages": HI, "max_tokens": 8, "seed": 3, "logprobs": True}
    whole = client.post(ROUTE, **fields)["choices"][0]
    *events, done = client.events(ROUTE, **fields)
    assert done == "[DONE]"
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    parts = [event["choices"][0] for event in events]
    assert parts[0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(part["delta"].get("content", "") for part in parts) == whole["message"]["content"]
    entries = chain(*(part["logprobs"]["content"] for part in parts if part["logprobs"]))
    assert [*entries] == whole["logprobs"]["content"]
    assert (parts[-1]["delta"], parts[-1]["finish_reason"]) == ({}, whole["finish_reason"])


def test_white_space_of_the_template_is_no_part_of_an_answer(client, checkpoint):
    """The model says the space behind "Assistant:", and a client would send it back inside the message."""
    bias = {str(checkpoint.tokenizer.encode(" ")[0]): 100}
    fields = {"messages": HI, "max_tokens": 3, "temperature": 0, "logit_bias": bias}
    assert client.post(ROUTE, **fields)["choices"][0]["message"]["content"] == "  "
    events = client.events(ROUTE, **fields)[:-1]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == "  "


def test_a_message_is_text_though_it_spells_a_special_token(client):
    plain = client.post(ROUTE, messages=HI, max_tokens=1)["usage"]["prompt_tokens"]
    spelled = [{"role": "user", "content": "<|endoftext|>"}]
    assert client.post(ROUTE, messages=spelled, max_tokens=1)["usage"]["prompt_tokens"] == plain + 11


def test_without_a_template_the_plain_one_is_taken_and_its_next_message_ends_an_answer(client):
    answer = client.post(ROUTE, model="tiny", messages=HI, max_tokens=3, seed=3)
    assert answer["model"] == "tiny"
    assert answer["choices"][0]["finish_reason"] in ("length", "stop")


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"tools": [{}]}, "tools", "calls no tools"),
        ({"functions": [{}]}, "functions", "calls no functions"),
        ({"response_format": {"type": "json_object"}}, "response_format", "cannot be forced"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": "Hi"}, "messages", "list"),
        ({"messages": [{"role": "user"}]}, None, "no content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, None, "tool"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "no text"),
        ({"messages": [{"role": "user", "content": "a" * 130}]}, "messages", "context is 64"),
        ({"top_logprobs": 2}, "top_logprobs", "logprobs: true"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs", "20"),
        ({"max_tokens": 2, "max_completion_tokens": 2}, "max_tokens", "the same"),
        ({"prompt": "a"}, "prompt", "'prompt'"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_what_is_refused(client, fields, param, words):
    status, error = client.refused(ROUTE, {"messages": HI} | fields)
    assert (status, error["param"]) == (400, param)
    assert words in error["message"]


def test_what_asks_for_nothing_is_taken(client):
    fields = {"response_format": {"type": "text"}, "tool_choice": "none", "store": False, "tools": None}
    assert client.post(ROUTE, messages=HI, max_tokens=1, **fields)["choices"]
