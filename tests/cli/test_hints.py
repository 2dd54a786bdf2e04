"""What `gpt2 generate` and `next` say on standard error of a text or an option that was probably meant otherwise."""

import json
import warnings

import pytest

from gpt2.base import notes
from gpt2.checkpoint.files import save
from gpt2.cli.hints import tell_backslashes, tell_file, tell_space_at_the_end
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

WORDS = Tokenizer.train(["the cat saw a cat and a star " * 20], 280)


@pytest.fixture(autouse=True)
def afresh():
    notes.forget()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "small"
    sizes = GPT2Config(vocab_size=WORDS.vocab_size, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    save(GPT2(sizes), WORDS, directory)
    return str(directory)


def said_of(warned):
    return [str(warning.message) for warning in warned]


@pytest.mark.parametrize(
    ("tokenizer", "text", "count"),
    [
        (WORDS, "the ", 1), (WORDS, "the  ", 1), (WORDS, "\n ", 1), (WORDS, "the", 0), (WORDS, "the\n", 0),
        (WORDS, "the\t", 0), (WORDS, "the\u00a0", 0), (Tokenizer.bytes(), "the ", 0),
    ],
)  # fmt: skip
def test_a_space_at_the_end_is_told_where_the_next_token_would_take_it(tokenizer, text, count, recwarn):
    tell_space_at_the_end(tokenizer, text)
    assert len(recwarn) == count
    assert all("ends in a space" in said and said.endswith(".") for said in said_of(recwarn))


@pytest.mark.parametrize(
    ("stop", "typed"),
    [(r"\n", r"$'\n'"), (r"a\tb", r"$'a\tb'"), (r"it's\r\n", r"$'it\'s\r\n'"), ("\n", None), ("\\", None), ("n", None)],
)
def test_a_backslash_in_a_stop_string_is_told_with_what_to_type(stop, typed, recwarn):
    tell_backslashes(["plain", stop])
    assert len(recwarn) == (typed is not None)
    assert all(f"type --stop {typed} (in bash and zsh)." in said for said in said_of(recwarn))


@pytest.mark.parametrize("name", ["next", "generate"])
def test_the_commands_say_it_once_on_standard_error(name, model, capsys):
    words = ["generate", "--max-tokens", "2", "--n", "2", "--stop", r"\n"] if name == "generate" else ["next"]
    assert main([*words, "the cat ", "--model", model, "--json"]) == 0
    shown = capsys.readouterr()
    json.loads(shown.out)
    assert shown.err.count("ends in a space") == 1
    assert shown.err.count("gpt2: ") == len(shown.err.splitlines()) == (2 if name == "generate" else 1)


def test_a_long_text_is_refused_with_the_option_that_cuts_it(model, capsys):
    text = " the cat saw a star" * 20
    ids = WORDS.encode(text)
    words = ["generate", text, "--model", model, "--max-tokens", "4", "--json"]
    assert main(words) == 2
    assert f"has {len(ids)} tokens" in (error := capsys.readouterr().err)
    assert error.endswith(f"shorten it by {len(ids) - 16}, or give --truncate left to keep its last tokens.\n")
    assert main([*words, "--truncate", "left"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["prompt_ids"] == ids[-13:]
    assert f"its first {len(ids) - 13} were left out and its last 13 kept" in shown.err
    assert main([*words, "--truncate", "right"]) == 2
    assert "--truncate is 'right': --truncate left keeps the last tokens" in capsys.readouterr().err


def test_ends_are_ignored_and_sequences_do_not_come_again(model, capsys):
    words = ["generate", "<|endoftext|>", "--allow-special", "--model", model, "--temperature", "0", "--json"]
    more = ["--max-tokens", "12", "--ignore-eos", "--no-repeat-ngram-size", "1"]
    assert main([*words, *more]) == 0
    document = json.loads(capsys.readouterr().out)
    ids = [*document["prompt_ids"], *document["completions"][0]["ids"]]
    assert len(set(ids)) == len(ids) == 13


@pytest.mark.parametrize(("text", "told"), [("missing.txt", True), ("a/rows.jsonl", True), ("the end.", False)])
def test_a_file_name_is_a_text_but_said(text, told):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        tell_file(text)
    said = [str(one.message) for one in seen]
    assert said == ([f"the text is '{text}' itself; to read a file, pipe it in: - < {text}"] if told else [])


@pytest.mark.parametrize("command", ["next", "tokenize", "walk", "explain", "explain lens"])
def test_every_command_for_one_text_says_so(command, model, capsys):
    assert main([*command.split(), "ab.txt", "--model", model]) == 0
    assert "the text is 'ab.txt' itself; to read a file, pipe it in: - < ab.txt" in capsys.readouterr().err


def test_greedy_texts_that_will_be_the_same_are_said(model, capsys):
    words = ["generate", "ab", "--model", model, "--max-tokens", "2", "--temperature"]
    assert main([*words, "0", "--n", "2"]) == 0
    assert "all 2 texts are the same" in capsys.readouterr().err
    assert main([*words, "1", "--n", "2"]) == 0
    assert "the same" not in capsys.readouterr().err
