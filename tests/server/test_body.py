"""What is no body of a question, for every question: always one sentence."""

import json

import pytest

from gpt2.base.errors import UsageError
from gpt2.server.body import read_object, short
from gpt2.server.export import Export, answer
from gpt2.server.questions import QUESTIONS, Question, read_parameters

ALL = {**QUESTIONS, "export": Question(Export, answer)}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is empty"),
        (b" \n", "the body is empty"),
        (b"{", "no JSON (line 1, column 2)"),
        (b"\xff\xfe", "not UTF-8 (byte 0)"),
        ('{"text": "a"}'.encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "no JSON"),
        (b"[1]", "no object"),
        (b"null", "no object"),
        (b'{"text": "a", "text": "b"}', "'text' 2 times"),
        (b'{"switches": {"0.mlp": "off", "0.mlp": "mean"}}', "'0.mlp' 2 times"),
        (b'{"text": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\udfff": 1}', "half of a surrogate pair"),
        (b'{"row": NaN}', "NaN is out of range"),
        (b'{"row": -Infinity}', "-Infinity is out of range: send a finite number, or null"),
        (b'{"row": 1e400}', "1e400 is out of range"),
        (b'{"row": ' + b"9" * 5000 + b"}", "out of range"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 20_000, "nested too deeply"),
    ],
)
def test_a_body_that_is_no_object_is_refused(body, words):
    with pytest.raises(UsageError) as refused:
        read_object(body)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("name", ALL)
def test_every_question_refuses_what_it_does_not_know(name):
    """A question without parameters had no nearest one to name: an IndexError."""
    for unknown in ("zz", "", "\0", "x" * 3000):
        with pytest.raises(UsageError, match=r"there is no parameter|field required"):
            read_parameters(ALL[name], json.dumps({unknown: 1}))


WRONG = (None, True, "3", "", [], {}, [[1]], -1, 0.5, 2**31, 10**19, 1e300)


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_refuses_values_of_another_kind(name):
    """A number as text is one: "0.8" was taken for a temperature."""
    fields = ALL[name].parameters.model_fields
    needed = {
        one: "a" if one in ("text", "clean", "corrupt", "address") else 1 for one in fields if fields[one].is_required()
    }
    for field, about in fields.items():
        default = about.get_default() if not about.is_required() else needed[field]
        fits = {int: (), float: (), str: ("3", ""), dict: ({},), type(None): (None,)}[type(default)]
        for value in WRONG:
            share = type(default) is float and type(value) in (int, float) and 0 < value <= 1
            seed = field == "seed" and type(value) is int and value > 0
            if value in fits or share or seed:
                continue
            with pytest.raises(UsageError, match=field):
                read_parameters(ALL[name], json.dumps(needed | {field: value}))


def test_a_long_value_is_cut():
    assert short("a" * 60) == "a" * 60
    assert short("a" * 1000 + "b" * 1000, 30) == "a" * 20 + "..." + "b" * 7
