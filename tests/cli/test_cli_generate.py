"""`gpt2 next` and `gpt2 generate`: what they print, for eyes and for machines, and what they refuse."""

import io
import json
import re
import shutil
import sys
from contextlib import contextmanager
from typing import get_type_hints

import pytest
import torch

from gpt2.checkpoint.files import load, save
from gpt2.checkpoint.hub import bundled_directory
from gpt2.cli import generate as command
from gpt2.cli.generate import begun
from gpt2.cli.main import main
from gpt2.cli.terminal import shown_streams
from gpt2.config import GPT2Config
from gpt2.inference.generate import generate
from gpt2.inference.sampling import Sampling
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

CONTEXT = 32


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The directory of a small random model that reads bytes."""
    network = GPT2(GPT2Config(vocab_size=257, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    directory = tmp_path_factory.mktemp("models") / "small"
    save(network, Tokenizer.bytes(), directory)
    return str(directory)


@pytest.fixture
def gpt2(capsys, monkeypatch):
    """Run a command line: (exit code, standard output, standard error)."""

    def run(*words, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([*map(str, words)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def expected(model, text, **options):
    """The completions that the library gives."""
    checkpoint = load(model, dtype=torch.float32)
    return generate(checkpoint.model, checkpoint.tokenizer, [text], Sampling(**options), on_slide=lambda: None)[0]


def table_of(out):
    """Cells of each line of a plain table, header first."""
    return [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]


# gpt2 next


def test_next_as_json(gpt2, model):
    code, out, err = gpt2("next", "The cat", "--model", model, "--top", 4, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert list(document) == ["model", "prompt_ids", "next"]
    checkpoint = load(model, dtype=torch.float32)
    ids = checkpoint.tokenizer.encode("The cat")
    assert document["prompt_ids"] == ids
    assert document["model"] == checkpoint.name
    with torch.no_grad():
        logits = checkpoint.model(torch.tensor([ids]))[0, -1]
    values, best = logits.topk(4)
    assert [list(row) for row in document["next"]] == [["rank", "id", "token", "probability", "logit"]] * 4
    assert [row["rank"] for row in document["next"]] == [1, 2, 3, 4]
    assert [row["id"] for row in document["next"]] == best.tolist()
    assert [row["logit"] for row in document["next"]] == pytest.approx(values.tolist(), abs=1e-5)
    assert [row["probability"] for row in document["next"]] == pytest.approx(logits.softmax(0)[best].tolist(), 1e-5)


def test_next_shows_every_kind_of_token(gpt2, model):
    """The whole vocabulary: a space, a new line, half a character, the end of text; more than there is is all."""
    _, out, _ = gpt2("next", "a", "--model", model, "--top", 999, "--json")
    tokens = {row["id"]: row["token"] for row in json.loads(out)["next"]}
    assert len(tokens) == 257
    tokenizer = Tokenizer.bytes()
    (space,), (line,) = tokenizer.encode(" "), tokenizer.encode("\n")
    assert (tokens[space], tokens[line], tokens[tokenizer.eot_id]) == (" ", "\n", "<|endoftext|>")
    assert tokens[tokenizer.encode("é")[0]] == r"\xc3"
    code, out, err = gpt2("next", "a", "--model", model, "--top", 257)
    assert (code, err) == (0, "")
    shown = {row[1] for row in table_of(out)[1:]}
    assert {"·", r"\n", r"\xc3", "<|endoftext|>", "a"} <= shown


def test_next_as_a_plain_table(gpt2, model):
    _, out, _ = gpt2("next", "The cat", "--model", model, "--top", 3, "--json")
    rows = json.loads(out)["next"]
    code, out, err = gpt2("next", "The cat", "--model", model, "--top", 3)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    header, *lines = table_of(out)
    assert header == ["rank", "token", "probability", "logit"]
    for line, row in zip(lines, rows, strict=True):
        assert (line[0], line[2], line[3]) == (str(row["rank"]), f"{row['probability']:.2%}", f"{row['logit']:.3f}")


def test_next_reads_standard_input(gpt2, model):
    typed = gpt2("next", "The cat", "--model", model)
    assert typed == gpt2("next", "--model", model, stdin=b"The cat\n")
    assert typed == gpt2("next", "-", "--model", model, stdin=b"The cat")


# gpt2 generate


@pytest.mark.parametrize("options", [[], ["--temperature", 0], ["--seed", 9, "--top-k", 20, "--min-p", 0.01]])
def test_generate_prints_the_text_and_its_continuation(gpt2, model, options):
    code, out, err = gpt2("generate", "The cat", "--model", model, "--max-tokens", 12, *options)
    assert (code, err) == (0, "")
    keywords = {str(k)[2:].replace("-", "_"): v for k, v in zip(options[::2], options[1::2])}
    (completion,) = expected(model, "The cat", max_tokens=12, **keywords)
    assert out == f"The cat{completion.text}\n"


def test_generate_is_reproducible_and_the_seed_changes_it(gpt2, model):
    words = ("generate", "The cat", "--model", model, "--max-tokens", 12)
    assert gpt2(*words) == gpt2(*words) == gpt2(*words, "--seed", 0)
    assert gpt2(*words) != gpt2(*words, "--seed", 1)


def test_generate_as_json(gpt2, model):
    words = ("--max-tokens", 6, "--n", 2, "--logprobs", 2, "--seed", 5, "--json")
    code, out, err = gpt2("generate", "The cat", "--model", model, *words)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert list(document) == ["model", "prompt_ids", "completions"]
    assert document["prompt_ids"] == Tokenizer.bytes().encode("The cat")
    completions = expected(model, "The cat", max_tokens=6, n=2, logprobs=2, seed=5)
    assert len(document["completions"]) == 2
    for shown, completion in zip(document["completions"], completions):
        assert list(shown) == ["text", "ids", "finish_reason", "logprobs"]
        assert (shown["text"], shown["ids"]) == (completion.text, completion.ids)
        assert shown["finish_reason"] == completion.finish_reason
        for entry, known in zip(shown["logprobs"], completion.logprobs, strict=True):
            assert entry["id"] == known.id
            assert entry["logprob"] == pytest.approx(known.logprob)
            assert [candidate["id"] for candidate in entry["top"]] == [i for i, _ in known.top]
            assert [candidate["logprob"] for candidate in entry["top"]] == pytest.approx([p for _, p in known.top])


def test_generate_without_logprobs_says_null(gpt2, model):
    _, out, _ = gpt2("generate", "a", "--model", model, "--max-tokens", 2, "--json")
    assert json.loads(out)["completions"][0]["logprobs"] is None


def test_generate_sets_samples_apart(gpt2, model):
    code, out, err = gpt2("generate", "The cat", "--model", model, "--max-tokens", 8, "--n", 3)
    assert (code, err) == (0, "")
    one, two, three = (c.text for c in expected(model, "The cat", max_tokens=8, n=3))
    assert out == f"[1 of 3]\nThe cat{one}\n\n[2 of 3]\nThe cat{two}\n\n[3 of 3]\nThe cat{three}\n"


def test_generate_shows_logprobs_after_the_text(gpt2, model):
    code, out, err = gpt2("generate", "The cat", "--model", model, "--max-tokens", 3, "--logprobs", 2)
    assert (code, err) == (0, "")
    (completion,) = expected(model, "The cat", max_tokens=3, logprobs=2)
    text = f"The cat{completion.text}\n"
    assert out.startswith(text)
    header, *lines = table_of(out[len(text) :])
    assert header == ["token", "logprob", "likeliest"]
    for line, entry in zip(lines, completion.logprobs, strict=True):
        assert line[1] == f"{entry.logprob:.3f}"
        assert [float(word.split()[-1]) for word in line[2:]] == [round(p, 3) for _, p in entry.top]


def test_generate_takes_several_stop_strings(gpt2, model):
    (whole,) = expected(model, "The cat", max_tokens=25, seed=1)
    first, second = whole.text[4], whole.text[9]
    words = ("generate", "The cat", "--model", model, "--max-tokens", 25, "--seed", 1, "--json")
    _, out, _ = gpt2(*words, "--stop", second, "--stop", first)
    (shown,) = json.loads(out)["completions"]
    cut = min(whole.text.index(first), whole.text.index(second))
    assert (shown["text"], shown["finish_reason"]) == (whole.text[:cut], "stop")


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_generate_past_the_context_tells_once(gpt2, model, json_too):
    words = ("generate", "The cat", "--model", model, "--temperature", 0, "--max-tokens", 3 * CONTEXT, *json_too)
    code, out, err = gpt2(*words)
    assert (code, err) == (0, f"gpt2: the context of {CONTEXT} tokens was full: the text went on from its last half.\n")
    code, out, err = gpt2(*words, "--no-slide")
    assert (code, err) == (0, "")
    (completion,) = expected(model, "The cat", temperature=0, max_tokens=3 * CONTEXT, slide=False)
    assert len(completion.ids) + len("The cat") == CONTEXT + 1
    shown = json.loads(out)["completions"][0]["text"] if json_too else out.removeprefix("The cat").removesuffix("\n")
    assert shown == completion.text


def test_generate_reads_standard_input(gpt2, model):
    words = ("--model", model, "--max-tokens", 5)
    assert gpt2("generate", "The cat", *words) == gpt2("generate", *words, stdin=b"The cat\n")


def test_in_a_terminal_the_text_stands_out_and_cannot_steer_it(capsys, monkeypatch):
    """A model may say any byte: an escape sequence of its own is not passed on."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with shown_streams():
        command.open_sample("The\tcat", sample=0, n=1)
        command.write("\x1b[2J\x07é\x9b\n")
    assert capsys.readouterr().out == "\x1b[1mThe\tcat\x1b[0m\\x1b[2J\\x07é\\x9b\n"


@pytest.mark.parametrize("name", ["next", "generate"])
def test_the_special_token_is_read_where_it_is_allowed(gpt2, model, name):
    plain, special = Tokenizer.bytes().encode("<|endoftext|>"), Tokenizer.bytes().eot_id
    assert len(plain) == 13
    for option, ids in (((), plain), (("--allow-special",), [special])):
        code, out, err = gpt2(name, "<|endoftext|>", "--model", model, "--json", *option)
        assert code == 0, err
        assert json.loads(out)["prompt_ids"] == ids
    words = ("generate", "<|endoftext|>", "--model", model, "--allow-special", "--max-tokens", "5")
    checkpoint = load(model, dtype=torch.float32)
    sampling = Sampling(max_tokens=5)
    text = generate(checkpoint.model, checkpoint.tokenizer, [[special]], sampling)[0][0].text
    assert gpt2(*words)[1] == f"<|endoftext|>{text}\n"


def test_the_help_says_the_defaults_of_the_library():
    hints = get_type_hints(command.Command, include_extras=True)
    shown = {"max_tokens": "200", "temperature": "0.8", "top_p": "0.95; 1 is off", "n": "1"}
    for name, words in shown.items():
        assert getattr(command.Command(), name) is None
        assert any(
            getattr(mark, "help_behavior_hint", "") == f"(default: {words})" for mark in hints[name].__metadata__
        )
        assert float(words.split(";")[0]) == getattr(Sampling(), name)


# What is refused: one sentence, exit code 2, nothing on standard output.


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("generate", "a", "--top-p", 0), "--top-p is 0: it must be above 0"),
        (("generate", "a", "--temperature", -1), "--temperature is -1: it must be 0 (greedy) or more"),
        (("generate", "a", "--top-k", -1), "--top-k is -1: it must be a whole number of at least 1"),
        (("generate", "a", "--max-tokens", 0), "--max-tokens is 0"),
        (("generate", "a", "--n", 0), "--n is 0"),
        (("generate", "a", "--top-k", 2.5), "--top-k is '2.5': it must be a whole number."),
        (("generate", "a", "--temperature", "hot"), "--temperature is 'hot': it must be a number."),
        (("generate", "a", "--stop", ""), "--stop is empty: give a text of at least one character."),
        (("generate", ""), "the text is empty"),
        (("generate", "x" * 33), "the prompt has 33 tokens and this model's context is 32: shorten it by 1"),
        (("generate", "x" * 33, "--json"), "the prompt has 33 tokens"),
        (("generate", "a", "--dtype", "int3"), "--dtype is 'int3': choose float32"),
        (("next", ""), "the text is empty"),
        (("next", "Once", "upon"), "unrecognised: upon; put the whole text in quotation marks: `gpt2"),
        (
            ("generate", "Once", "upon", "--n", 2, "a"),
            "unrecognised: upon a; put the whole text in quotation marks: `gpt2",
        ),
        (("next", "x" * 33), "the prompt has 33 tokens and this model's context is 32: shorten it by 1"),
        (("next", "a", "--top", 0), "--top is 0: it must be at least 1"),
    ],
)
def test_wrong_use_is_one_sentence(gpt2, model, words, sentence):
    code, out, err = gpt2(*words, "--model", model)
    assert (code, out) == (2, "")
    assert err.startswith(f"gpt2: {sentence}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["next", "generate"])
def test_standard_input_that_is_empty_or_no_text(gpt2, model, name):
    assert gpt2(name, "--model", model)[0] == 2
    code, out, err = gpt2(name, "--model", model, stdin=b"\xff\xfe")
    assert (code, out) == (2, "")
    assert "not UTF-8" in err


def test_a_setting_that_is_not_supported_can_be_left_aside(capsys, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(bundled_directory(), folder)
    fields = json.loads((folder / "generation_config.json").read_text()) | {"num_beams": 4}
    (folder / "generation_config.json").write_text(json.dumps(fields))
    words = ["generate", "Once", "--model", str(folder), "--max-tokens", "2"]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "num_beams is 4, which is not supported: only 1 is; --own-defaults leaves the file aside." in shown.err
    assert main([*words, "--own-defaults"]) == 0


def test_a_sign_stands_while_a_long_text_is_read(monkeypatch):
    """The first piece is computed inside it, and nothing is printed then; the others come as they did."""
    seen = []

    @contextmanager
    def progress(what):
        seen.append(what)
        yield
        seen.append("over")

    def pieces():
        for number in range(3):
            seen.append(number)
            yield number

    monkeypatch.setattr("gpt2.cli.generate.progress", progress)
    assert list(begun(pieces())) == [0, 1, 2]
    assert seen == ["reading the text", 0, "over", 1, 2]
