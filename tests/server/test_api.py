"""`/v1/completions`: each parameter against what the library gives, whole and as a stream."""

import json
import math
from itertools import chain

import pytest

from gpt2.evaluation.token_scores import score
from gpt2.inference.generate import generate
from gpt2.inference.sampling import Sampling
from tests.api_server import serving, tiny
from tests.generating import TOKENIZER

TEXT = "The cat"
ROUTE = "/v1/completions"


@pytest.fixture(scope="module")
def client():
    with serving() as client:
        yield client


def ours(prompt, **settings):
    """What the library gives, with OpenAI's defaults."""
    model, tokenizer, *_ = tiny()
    defaults = {"max_tokens": 16, "temperature": 1.0, "top_p": 1.0, "slide": False}
    return generate(model, tokenizer, [prompt], Sampling(**defaults | settings))[0]


def test_the_answer_has_openais_fields_and_defaults(client):
    answer = client.complete(TEXT, model="tiny", seed=5)
    assert set(answer) == {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}
    assert (answer["object"], answer["model"]) == ("text_completion", "tiny")
    (choice,) = answer["choices"]
    own = ours(TEXT, seed=5)[0]
    reason = "length" if own.finish_reason == "length" else "stop"
    assert choice == {"index": 0, "text": own.text, "logprobs": None, "finish_reason": reason}
    n = len(own.ids)
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": n, "total_tokens": 7 + n}


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 3}, {"temperature": 0}, {"temperature": 1.7}, {"top_p": 0.3}, {"n": 3}, {"stop": ["a", "e"]},
        {"stop": "e"}, {"logit_bias": {"65": 100, "66": -100}}, {"presence_penalty": 2.0}, {"frequency_penalty": -2.0},
        {"top_k": 2}, {"min_p": 0.2}, {"repetition_penalty": 3.0}, {"ignore_eos": True}, {"user": "somebody"},
        {"logprobs": None, "suffix": None, "stop": None}, {"seed": -1},
    ],
    ids=str,
)  # fmt: skip
def test_each_parameter_does_what_the_library_does(client, fields):
    fields = {"seed": 3} | fields
    same = {k: v for k, v in fields.items() if v is not None and k != "user"}
    if "stop" in same:
        same["stop"] = tuple(same["stop"])
    if "logit_bias" in same:
        same["logit_bias"] = {int(k): float(v) for k, v in same["logit_bias"].items()}
    own = ours(TEXT, **same | {"seed": same["seed"] % 2**64})
    assert [c["text"] for c in client.complete(TEXT, **fields)["choices"]] == [one.text for one in own]


def test_without_a_seed_two_answers_differ(client):
    assert client.complete(TEXT)["choices"][0]["text"] != client.complete(TEXT)["choices"][0]["text"]


def test_every_form_of_a_prompt_and_the_order_of_choices(client):
    ids = TOKENIZER.encode(TEXT)
    own = {prompt: [one.text for one in ours(prompt, seed=1, n=2, max_tokens=4)] for prompt in (TEXT, "dog")}
    for prompt, expected in (
        (TEXT, own[TEXT]), (ids, own[TEXT]), ([TEXT, "dog"], own[TEXT] + own["dog"]),
        ([ids, TOKENIZER.encode("dog")], own[TEXT] + own["dog"]),
    ):  # fmt: skip
        answer = client.complete(prompt, seed=1, n=2, max_tokens=4)
        assert [c["text"] for c in answer["choices"]] == expected
        assert [c["index"] for c in answer["choices"]] == list(range(len(expected)))
    own = ours([256], seed=1, max_tokens=4)[0].text
    assert client.post(ROUTE, seed=1, max_tokens=4)["choices"][0]["text"] == own
    assert client.complete("<|endoftext|>", seed=1, max_tokens=4)["choices"][0]["text"] == own
    assert client.complete("<|endoftext|>", seed=1, allow_special=False, max_tokens=1)["usage"]["prompt_tokens"] == 13


def test_echoed_log_probabilities_are_those_of_the_library(client):
    text = "One day, é!"
    model, tokenizer, *_ = tiny()
    scored = score(model, tokenizer, text, bos=False)[0].tokens
    for max_tokens in (0, 4):
        answer = client.complete(text, echo=True, logprobs=2, max_tokens=max_tokens, temperature=0)
        (choice,) = answer["choices"]
        own = ours(text, temperature=0, max_tokens=4, logprobs=2)[0]
        assert choice["text"] == text + (own.text if max_tokens else "")
        listed = choice["logprobs"]
        n = len(scored)
        assert len(listed["tokens"]) == n + len(own.ids) * bool(max_tokens)
        assert {len(one) for one in listed.values()} == {len(listed["tokens"])}
        assert listed["token_logprobs"][0] is None
        assert listed["top_logprobs"][0] is None
        for found, expected in zip(listed["token_logprobs"][1:n], scored[1:], strict=True):
            assert found == pytest.approx(expected.log_prob, abs=1e-5)
        for found, expected in zip(listed["token_logprobs"][n:], own.logprobs if max_tokens else [], strict=True):
            assert found == pytest.approx(expected.logprob, abs=1e-5)
        for token, value, top in zip(listed["tokens"], listed["token_logprobs"], listed["top_logprobs"], strict=True):
            if top is not None:
                assert top[token] == value  # the same float
                assert len(top) in (2, 3)
        assert listed["tokens"][9:11] == ["bytes:\\xc3", "bytes:\\xa9"]
        assert listed["text_offset"][:n] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10]


def test_offsets_count_from_the_beginning_of_the_prompt(client):
    bias = {str(TOKENIZER.encode("a")[0]): 100}
    listed = client.complete(TEXT, logprobs=0, max_tokens=3, temperature=0, logit_bias=bias)["choices"][0]
    assert listed["text"] == "aaa"
    assert listed["logprobs"]["text_offset"] == [7, 8, 9]
    assert [set(top) for top in listed["logprobs"]["top_logprobs"]] == [{"a"}] * 3


def joined(events, index=0):
    """The choice that the chunks of a stream make."""
    parts = [c for e in events[:-1] for c in e["choices"] if c["index"] == index]
    listed = [part["logprobs"] for part in parts if part["logprobs"]]
    return {
        "index": index,
        "text": "".join(part["text"] for part in parts),
        "logprobs": {name: [*chain(*(one[name] for one in listed))] for name in listed[0]} if listed else None,
        "finish_reason": parts[-1]["finish_reason"],
    }


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"logprobs": 2}, {"echo": True}, {"echo": True, "logprobs": 1, "n": 2}, {"stop": ["a", "e"]},
        {"echo": True, "max_tokens": 0, "logprobs": 1}, {"max_tokens": 0, "n": 2},
    ],
    ids=str,
)  # fmt: skip
def test_a_stream_is_the_answer_in_parts(client, fields):
    fields = {"prompt": [TEXT, "é"], "seed": 2} | fields
    whole = client.post(ROUTE, **fields)
    events = client.events(ROUTE, **fields)
    assert events[-1] == "[DONE]"
    assert [joined(events, index) for index in range(len(whole["choices"]))] == whole["choices"]
    assert len({event["id"] for event in events[:-1]}) == 1
    assert {event["object"] for event in events[:-1]} == {"text_completion"}
    assert all(part["finish_reason"] is None for e in events[:-1] for part in e["choices"][:-1])


def test_a_stream_says_what_was_used_where_it_is_asked(client):
    *parts, last, done = client.events(ROUTE, prompt=TEXT, seed=2, stream_options={"include_usage": True})
    assert done == "[DONE]"
    assert {part["usage"] for part in parts} == {None}
    assert last["choices"] == []
    assert last["usage"] == client.complete(TEXT, seed=2)["usage"]


def test_the_best_of_several_by_the_mean_log_probability(client):
    own = ours(TEXT, seed=4, n=5, logprobs=0)
    means = [math.fsum(t.logprob for t in one.logprobs) / len(one.logprobs) for one in own]
    order = sorted(range(5), key=lambda k: -means[k])
    answer = client.complete(TEXT, seed=4, n=2, best_of=5)
    assert [c["text"] for c in answer["choices"]] == [own[k].text for k in order[:2]]
    assert answer["choices"][0]["logprobs"] is None
    assert answer["usage"]["completion_tokens"] == sum(len(one.ids) for one in own)


@pytest.mark.parametrize(
    ("fields", "status", "param", "words"),
    [
        ({"prompt": ""}, 400, "prompt", "empty"),
        ({"prompt": []}, 400, "prompt", "list of texts"),
        ({"prompt": [["a"]]}, 400, "prompt", "list of texts"),
        ({"prompt": [999]}, 400, None, "no token 999"),
        ({"prompt": "a" * 65}, 400, "prompt", "64 tokens"),
        ({"prompt": "a" * 60, "max_tokens": 5}, 400, "prompt", "shorten the prompt"),
        ({"prompt": "a", "suffix": "b"}, 400, "suffix", "fills no gap"),
        ({"prompt": "a", "tools": []}, 400, "tools", "no tools"),
        ({"prompt": "a", "best_of": 2, "n": 3}, 400, "best_of", "at least as many"),
        ({"prompt": "a", "best_of": 2, "stream": True}, 400, "best_of", "streamed"),
        ({"prompt": "a", "logprobs": 6}, 400, "logprobs", "less than or equal to 5"),
        ({"prompt": "a", "temperature": 3}, 400, "temperature", "less than or equal to 2"),
        ({"prompt": "a", "temperature": "1"}, 400, "temperature", "number"),
        ({"prompt": "a", "stop": ["a"] * 5}, 400, "stop", "up to 4"),
        ({"prompt": "a", "stop": [""]}, 400, "stop", "at least one character"),
        ({"prompt": "a", "logit_bias": {"x": 1}}, 400, "logit_bias", "token ids"),
        ({"prompt": "a", "logit_bias": {"5": 101}}, 400, "logit_bias", "100"),
        ({"prompt": "a", "max_token": 5}, 400, "max_token", "'max_tokens'"),
        ({"prompt": "a", "stream_options": {}}, 400, "stream_options", "stream: true"),
        ({"prompt": "a", "model": "gpt-4"}, 404, "model", "tiny"),
        ({"prompt": "a", "n": 300}, 400, "n", "128"),
        (b"{", 400, None, "no JSON"),
        (b"[]", 400, None, "no object"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict | bytes) else "",
)
def test_a_mistake_is_answered_in_openais_shape(client, fields, status, param, words):
    found, error = client.refused(ROUTE, fields)
    assert (found, error["type"], error["param"]) == (status, "invalid_request_error", param)
    assert words in error["message"]


def test_codes_by_which_programs_tell_errors_apart(client):
    assert client.refused(ROUTE, {"prompt": "a" * 65})[1]["code"] == "context_length_exceeded"
    assert client.refused(ROUTE, {"prompt": "a", "model": "x"})[1]["code"] == "model_not_found"


def test_models_tokens_health_and_metrics(client):
    listed = json.loads(client.request("GET", "/v1/models")[2])
    (card,) = listed["data"]
    assert (card["id"], card["object"], card["max_model_len"]) == ("tiny", "model", 64)
    assert json.loads(client.request("GET", "/v1/models/tiny")[2]) == card
    assert client.request("GET", "/v1/models/other/one")[0] == 404
    for name in ("prompt", "content"):
        answer = client.post("/tokenize", **{name: "é<|endoftext|>"})
        assert answer == {"tokens": [*TOKENIZER.encode("é"), 256], "count": 3, "max_model_len": 64}
        assert client.post("/detokenize", tokens=answer["tokens"])[name] == "é<|endoftext|>"
    assert len(client.post("/tokenize", prompt="<|endoftext|>", parse_special=False)["tokens"]) == 13
    assert client.refused("/tokenize", {})[0] == client.refused("/detokenize", {"tokens": [999]})[0] == 400
    info = json.loads(client.request("GET", "/tokenizer_info")[2])
    assert info == {
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": None,
        "chat_template": None,
    }
    health = json.loads(client.request("GET", "/health")[2])
    assert health["status"] == "ok"
    assert health["models"]["tiny"]["dtype"] == "float64"
    assert health["models"]["tiny"]["way"] == "torch"
    text = client.request("GET", "/metrics")[2].decode()
    assert 'gpt2_requests_total{route="/v1/models",status="200"} 1\n' in text
    assert 'gpt2_engine_rows{model="tiny"} 0\n' in text


def test_the_description_of_the_api_names_every_route(client):
    described = json.loads(client.request("GET", "/openapi.json")[2])
    assert {"/v1/completions", "/v1/chat/completions", "/tokenize"} <= set(described["paths"])
    body = described["paths"]["/v1/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["max_tokens"]["default"] == 16


def test_an_engine_that_has_ended_is_told():
    with serving() as client:
        client.engine.stop()
        status, _, body = client.request("GET", "/health")
    assert (status, json.loads(body)["status"]) == (503, "failed")
