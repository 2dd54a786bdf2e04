"""Whether the official `openai` client works with `gpt2 serve`: every parameter of both routes, and what comes back.

In: the address of a running server; the client (`pip install openai`), in an environment of its own. Out: a line for
each check; exit code 1 where one fails. The client reads answers into its own types, which `--strict` fields would
refuse; a refusal reaches it as the exception that OpenAI's API would raise.

example: gpt2 serve & python benchmarks/openai_client.py http://127.0.0.1:8000/v1
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import openai

PROMPT = "Once upon a time"
CHECKS: list[Callable[["openai.OpenAI", str], Any]] = []


def check(function: Callable[["openai.OpenAI", str], Any]) -> Callable[["openai.OpenAI", str], Any]:
    """Note a function as one of the checks."""
    CHECKS.append(function)
    return function


def main() -> None:
    """Run all checks against one server."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="such as http://127.0.0.1:8000/v1")
    parser.add_argument("--model", help="default: the first that the server lists")
    options = parser.parse_args()
    client = openai.OpenAI(base_url=options.address, api_key=os.environ.get("GPT2_API_KEY", "none"), timeout=300)
    model = options.model or next(iter(client.models.list())).id
    print(f"openai {openai.__version__}, {model} at {options.address}")
    failed = 0
    for one in CHECKS:
        begun = time.monotonic()
        try:
            one(client, model)
            said = "right"
        except Exception as error:
            failed += 1
            said = f"WRONG: {type(error).__name__}: {error}"
        print(f"{one.__name__:28} {time.monotonic() - begun:6.2f} s  {said}", flush=True)
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} checks are right")
    sys.exit(failed > 0)


def complete(client: Any, model: str, **fields: Any) -> Any:
    """An answer of /v1/completions that always is the same."""
    return client.completions.create(**{"model": model, "prompt": PROMPT, "max_tokens": 8, "seed": 1} | fields)


def texts(answer: Any) -> list[str]:
    """The texts of an answer, whose choices stand in the order of their indices."""
    assert [choice.index for choice in answer.choices] == list(range(len(answer.choices)))
    return [choice.text for choice in answer.choices]


@check
def models(client: Any, model: str) -> None:
    assert client.models.retrieve(model).id == model
    assert refused(openai.NotFoundError, lambda: client.models.retrieve("no/such")).code == "model_not_found"


@check
def defaults(client: Any, model: str) -> None:
    answer = client.completions.create(model=model, prompt=PROMPT)
    assert answer.object == "text_completion"
    assert answer.usage.completion_tokens <= 16
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.choices[0].finish_reason in ("length", "stop")


@check
def seed(client: Any, model: str) -> None:
    assert texts(complete(client, model)) == texts(complete(client, model)) != texts(complete(client, model, seed=2))


@check
def prompts(client: Any, model: str) -> None:
    one, other = texts(complete(client, model))[0], texts(complete(client, model, prompt="The cat"))[0]
    assert texts(complete(client, model, prompt=[PROMPT, "The cat"])) == [one, other]
    assert len(texts(complete(client, model, prompt=[[1, 2], [3]], n=2))) == 4


@check
def temperature_top_p(client: Any, model: str) -> None:
    greedy = texts(complete(client, model, temperature=0))
    assert texts(complete(client, model, temperature=0, seed=9)) == greedy
    assert texts(complete(client, model, top_p=1e-6)) == greedy
    assert texts(complete(client, model, extra_body={"top_k": 1})) == greedy
    assert texts(complete(client, model, extra_body={"min_p": 1.0})) == greedy


@check
def stop(client: Any, model: str) -> None:
    (whole,) = texts(complete(client, model, temperature=0))
    answer = complete(client, model, temperature=0, stop=[whole[5:9], "never"])
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == (whole[: whole.index(whole[5:9])], "stop")


@check
def penalties_and_bias(client: Any, model: str) -> None:
    first = complete(client, model, max_tokens=1, temperature=0, logprobs=1).choices[0]
    (token,) = raw(client, "/tokenize", {"prompt": first.text})["tokens"]
    assert texts(complete(client, model, max_tokens=1, temperature=0, logit_bias={str(token): -100})) != [first.text]
    again = texts(complete(client, model, max_tokens=4, temperature=0, logit_bias={str(token): 100}))
    assert again == [first.text * 4]
    bias = {str(token): 20}
    for fields in ({"presence_penalty": 2}, {"frequency_penalty": 2}, {"extra_body": {"repetition_penalty": 50.0}}):
        complete(client, model, logit_bias=bias, temperature=0, **fields)
    complete(client, model, extra_body={"ignore_eos": True}, user="somebody")


@check
def logprobs_and_echo(client: Any, model: str) -> None:
    answer = complete(client, model, echo=True, logprobs=5, temperature=0).choices[0]
    listed = answer.logprobs
    assert answer.text.startswith(PROMPT)
    assert "".join(listed.tokens) == answer.text
    assert listed.text_offset == [len("".join(listed.tokens[:n])) for n in range(len(listed.tokens))]
    assert listed.token_logprobs[0] is None
    for token, value, top in list(zip(listed.tokens, listed.token_logprobs, listed.top_logprobs, strict=True))[1:]:
        assert top[token] == value <= max(top.values()) <= 0
        assert 5 <= len(top) <= 6
    scored = complete(client, model, echo=True, logprobs=0, max_tokens=0).choices[0]
    assert scored.text == PROMPT
    pairs = zip(scored.logprobs.token_logprobs[1:], listed.token_logprobs[1:])
    assert all(abs(a - b) < 1e-4 for a, b in pairs)


@check
def best_of(client: Any, model: str) -> None:
    def mean(choice: Any) -> float:
        return float(sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs))

    every = sorted(complete(client, model, n=4, logprobs=0).choices, key=mean, reverse=True)
    assert texts(complete(client, model, n=2, best_of=4)) == [choice.text for choice in every[:2]]


@check
def stream(client: Any, model: str) -> None:
    chunks = list(complete(client, model, n=2, stream=True, stream_options={"include_usage": True}))
    found = {0: "", 1: ""}
    for chunk in chunks:
        for choice in chunk.choices:
            found[choice.index] += choice.text
    whole = complete(client, model, n=2)
    assert [*found.values()] == texts(whole)
    assert chunks[-1].usage == whole.usage


@check
def refusals(client: Any, model: str) -> None:
    for fields, param in (
        ({"suffix": "x"}, "suffix"), ({"logprobs": 6}, "logprobs"), ({"best_of": 2, "stream": True}, "best_of"),
        ({"extra_body": {"tempreature": 1}}, "tempreature"), ({"temperature": 9}, "temperature"),
    ):  # fmt: skip
        assert refused(openai.BadRequestError, partial(complete, client, model, **fields)).param == param
    long = refused(openai.BadRequestError, lambda: complete(client, model, prompt="a b " * 2000))
    assert long.code == "context_length_exceeded"
    assert refused(openai.NotFoundError, lambda: complete(client, "gpt-4")).code == "model_not_found"


def chat(client: Any, model: str, **fields: Any) -> Any:
    """An answer of /v1/chat/completions that always is the same."""
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who are you?"}]
    given = {"model": model, "messages": messages, "max_completion_tokens": 8, "seed": 1}
    return client.chat.completions.create(**given | fields)


@check
def conversation(client: Any, model: str) -> None:
    answer = chat(client, model, n=2, logprobs=True, top_logprobs=3)
    assert answer.object == "chat.completion"
    for choice in answer.choices:
        assert choice.message.role == "assistant"
        entries = choice.logprobs.content
        text = b"".join(bytes(entry.bytes) for entry in entries).decode("utf-8", "replace")
        assert choice.message.content.strip() in text
        assert all(len(entry.top_logprobs) == 3 for entry in entries)
    parts = [{"type": "text", "text": "Hi"}]
    assert (
        chat(client, model, messages=[{"role": "user", "content": parts}]).choices[0].message.content
        == chat(client, model, messages=[{"role": "user", "content": "Hi"}]).choices[0].message.content
    )


@check
def conversation_streamed(client: Any, model: str) -> None:
    chunks = list(chat(client, model, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    whole = chat(client, model)
    assert said == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage


@check
def conversation_refusals(client: Any, model: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    for fields, param in (
        ({"tools": [tool]}, "tools"), ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"top_logprobs": 2}, "top_logprobs"), ({"messages": []}, "messages"), ({"reasoning_effort": "low"}, None),
    ):  # fmt: skip
        assert refused(openai.BadRequestError, partial(chat, client, model, **fields)).param in (param, *fields)
    chat(client, model, response_format={"type": "text"}, tool_choice="none", max_completion_tokens=None, max_tokens=4)


@check
def edit_and_explain(client: Any, model: str) -> None:
    plain = complete(client, model, temperature=0, max_tokens=12)
    body = {"edit": {"0.mlp": "zero"}, "explain": ["lens", "attribution"]}
    edited = complete(client, model, temperature=0, max_tokens=12, extra_body=body)
    assert texts(edited) != texts(plain)
    (said,) = edited.explain
    assert said["lens"]["points"][0] == "0.resid_pre"
    assert abs(sum(part["value"] for part in said["attribution"]["parts"]) - said["attribution"]["whole"]) < 1e-2
    assert texts(complete(client, model, temperature=0, max_tokens=12)) == texts(plain)


@check
def many_at_once(client: Any, model: str) -> None:
    async def all_of_them() -> list[Any]:
        other = openai.AsyncOpenAI(base_url=str(client.base_url), api_key=client.api_key, timeout=300)
        asked = [other.completions.create(model=model, prompt=PROMPT, max_tokens=8, seed=s) for s in range(16)]
        return await asyncio.gather(*asked)

    found = [texts(answer) for answer in asyncio.run(all_of_them())]
    assert found[:4] == [texts(complete(client, model, seed=s)) for s in range(4)]


@check
def leaving(client: Any, model: str) -> None:
    with complete(client, model, max_tokens=300, stream=True, extra_body={"ignore_eos": True}) as chunks:
        next(iter(chunks))
    until = time.monotonic() + 60
    while any(one["rows"] for one in raw(client, "/health", None)["models"].values()):
        assert time.monotonic() < until
        time.sleep(0.1)


def raw(client: Any, path: str, body: dict[str, Any] | None) -> Any:
    """The JSON of a route that the client does not know; it stands beside /v1."""
    address = str(client.base_url).rstrip("/").removesuffix("/v1") + path
    return client.get(address, cast_to=object) if body is None else client.post(address, body=body, cast_to=object)


def refused(kind: type[Exception], call: Callable[[], Any]) -> Any:
    """The exception that a call raises, which must be of this kind."""
    try:
        found = call()
        if isinstance(found, Iterator):
            list(found)
    except kind as error:
        return error
    raise AssertionError(f"it was answered, and not by {kind.__name__}")


if __name__ == "__main__":
    main()
