"""`gpt2 chat`: what it prints through a pipe and in a terminal, its commands and keys, and what it refuses."""

import builtins
import fcntl
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from gpt2.base.notes import forget
from gpt2.checkpoint.files import load, save
from gpt2.cli.main import main
from gpt2.inference import conversation
from gpt2.inference.conversation import Conversation
from gpt2.inference.sampling import Sampling
from gpt2.text.chat_template import PLAIN
from gpt2.text.tokenizer import Tokenizer
from tests.generating import make

Run = Callable[..., tuple[int, str, str]]
NO_TEMPLATE = "has no chat template, so it was probably not trained to chat; the plain one is used"
CUT = "gpt2: the answer was cut after 8 tokens: --max-tokens sets how many.\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small random model that reads bytes, with the plain template as its own."""
    folder = tmp_path_factory.mktemp("models") / "small"
    save(make(160, layers=1), Tokenizer.bytes(), folder)
    (folder / "chat_template.jinja").write_text(PLAIN)
    return str(folder)


@pytest.fixture
def chat(model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `gpt2 chat` with this standard input: exit code, standard output, standard error."""

    def run(stdin: str | bytes | io.StringIO, *words: Any, name: str = model) -> tuple[int, str, str]:
        forget()
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)) if isinstance(data, bytes) else data)
        code = main(["chat", "--model", name, "--max-tokens", "8", *map(str, words)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def answers(model: str, *messages: str, **settings: Any) -> list[str]:
    """Those of the library."""
    checkpoint = load(model)
    talk = Conversation(checkpoint.model, checkpoint.tokenizer, Sampling(**{"max_tokens": 8} | settings))
    return ["".join(talk.ask(message)) for message in messages]


# Through a pipe


def test_only_answers_go_to_standard_output(chat: Run, model: str) -> None:
    code, out, err = chat("Hi\n\nAnd then?\r\n", "--seed", 3)
    assert code == 0
    assert out == "".join(f"{answer}\n" for answer in answers(model, "Hi", "And then?", seed=3))
    assert err == f"gpt2: {model}: the conversation is written by its own chat template.\n{CUT}{CUT}"
    assert chat("Hi\n\nAnd then?", "--seed", 3) == (code, out, err)
    assert chat("Hi\n\nAnd then?", "--seed", 4)[1] != out


def test_as_json(chat: Run, model: str) -> None:
    code, out, _ = chat("Hi\nAnd then?\n", "--json", "--system", "Be kind.", "--temperature", 0)
    assert code == 0
    theirs, messages = AutoTokenizer.from_pretrained(model), [{"role": "system", "content": "Be kind."}]
    for line, message in zip(map(json.loads, out.splitlines()), ["Hi", "And then?"], strict=True):
        assert list(line) == ["message", "prompt_ids", "ids", "finish_reason", "left_out"]
        messages.append({"role": "user", "content": message})
        ids = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert line["prompt_ids"] == ids
        assert (line["finish_reason"], len(line["ids"]), line["left_out"]) == ("length", 8, 0)
        assert theirs.decode(line["ids"]).removeprefix(" ") == line["message"]["content"]
        messages.append(line["message"])


def test_commands_in_a_pipe(chat: Run, model: str) -> None:
    code, out, err = chat("a\n/retry\n/undo\n//b \\\nc\n/CLEAR\na\n/help\n/bye\na\n")
    assert code == 0
    first = answers(model, "a")[0]
    expected = [first, answers(model, "a", seed=1)[0], answers(model, "/b \nc")[0], first]
    assert out == "".join(f"{answer}\n" for answer in expected)
    assert "gpt2: took back 'a' and its answer.\n" in err
    assert "gpt2: the conversation begins again.\n" in err
    assert err.endswith("gpt2: /exit ended the conversation: 1 line after it was not read.\n")
    assert "/undo   take back the last message and its answer\n" in err
    assert "the answer is always the same" in chat("a\n/retry\n", "--temperature", 0)[2]


def test_what_is_left_out_is_said(chat: Run) -> None:
    long = "x" * 40
    code, out, err = chat("".join(f"{long}{i}\n" for i in range(4)) + f"{long * 2}\n/retry\n", "--json")
    assert code == 0
    assert [json.loads(line)["left_out"] for line in out.splitlines()] == [0, 0, 1, 2, 4, 4]
    assert err.count("gpt2: the context is full: the oldest message and its answer were left out.\n") == 2
    assert err.count("gpt2: the context is full: the oldest 2 messages and their answers were left out.\n") == 1


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("/foo", "there is no command /foo: type /retry, /undo, /clear, /help or /exit, or //foo to send it as a"),
        ("/undo 2", "/undo stands alone on its line: leave out '2', or type //undo to send a message."),
        ("/retry", "there is no message yet: write one first."),
        ("x" * 150, "the message is too long: with what the chat template adds it has 168 tokens, and this model's "
         "context of 160 keeps 8 for the answer: shorten it by 16 tokens."),
        (b"\xff", "line 1 is not UTF-8: convert it"),
    ],
)  # fmt: skip
def test_a_line_that_is_refused_loses_nothing(chat: Run, model: str, line: str | bytes, sentence: str) -> None:
    """The lines after it are answered all the same; the exit code tells."""
    data = line if isinstance(line, bytes) else line.encode()
    code, out, err = chat(data + b"\na\nb\n")
    assert code == 2
    assert out == "".join(f"{answer}\n" for answer in answers(model, "a", "b"))
    assert f"gpt2: {sentence}" in err


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("--system", " "), "--system is empty: give a text, or leave it out."),
        (("--system", "x" * 160), "the system message is too long: "),
        (("--temperature", -1), "--temperature is -1: "),
        (("--stop", ""), "--stop is empty: "),
    ],
)
def test_wrong_use_is_one_sentence_before_anything_is_read(chat: Run, words: tuple[Any, ...], sentence: str) -> None:
    code, out, err = chat("a\n", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"gpt2: {sentence}")
    assert err.count("\n") == 1


def test_an_empty_pipe(chat: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = chat("\n\n")
    assert (code, out) == (2, "")
    assert err == "gpt2: standard input holds no message: pipe in a line for each.\n"
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["chat"]) == 2
    assert capsys.readouterr().err.startswith("gpt2: there is no standard input")


def test_more_tokens_than_an_answer_has_are_told(chat: Run) -> None:
    note = "gpt2: an answer has at most half of the context (80 tokens).\n"
    assert note in chat("a\n", "--max-tokens", 81)[2]
    assert note not in chat("a\n", "--max-tokens", 80)[2]


def test_a_model_without_a_template(chat: Run, tmp_path: Path) -> None:
    save(make(160, layers=1), Tokenizer.bytes(), tmp_path / "base")
    code, out, err = chat("a<|endoftext|>\n", name=str(tmp_path / "base"))
    assert (code, out.count("\n")) == (0, 1)
    assert NO_TEMPLATE in err
    assert "spells <|endoftext|> once, read as ordinary text: --allow-special reads it as the token." in err


# In a terminal


@pytest.fixture
def typed(chat: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `gpt2 chat` as in a terminal whose lines are these; an exception among them is a key."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def run(lines: list[Any], *words: Any) -> tuple[int, str, str]:
        left: Iterator[Any] = iter([*lines, EOFError()])

        def read(prompt: str = "") -> str:
            line = next(left)
            if isinstance(line, BaseException):
                raise line
            return line

        monkeypatch.setattr(builtins, "input", read)
        return chat(Terminal(), *words)

    return run


def test_keys_in_a_terminal(typed: Run, model: str) -> None:
    hint = "gpt2: Ctrl-C once more, Ctrl-D or /exit leaves.\n"
    first = f"{answers(model, 'a')[0]}\n"
    assert typed(["a"])[:2] == (0, first)
    assert typed(["/foo", "a", "/exit", "b"])[:2] == (0, first)
    code, out, err = typed([KeyboardInterrupt(), "a", KeyboardInterrupt(), KeyboardInterrupt(), "b"])
    assert (code, out, err.count(hint)) == (0, first, 2)
    assert "Ctrl-C ends an answer, Ctrl-D leaves, /help lists the commands." in err
    assert "> " in err


def test_ctrl_c_ends_an_answer_and_the_conversation_goes_on(
    typed: Run, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's step is finished; what was said is the answer, and a second Ctrl-C at the prompt leaves."""
    stream, times = conversation.stream, []

    def interrupted(*arguments: Any, **more: Any) -> Iterator[Any]:
        for number, piece in enumerate(stream(*arguments, **more)):
            if number == 3 and not times:
                times.append(1)
                signal.raise_signal(signal.SIGINT)
            yield piece

    monkeypatch.setattr(conversation, "stream", interrupted)
    before = signal.getsignal(signal.SIGINT)
    code, out, err = typed(["a", "b"], "--json")
    first, second = map(json.loads, out.splitlines())
    assert (code, first["finish_reason"], len(first["ids"])) == (0, "stopped", 4)
    assert "gpt2: stopped: the model remembers its answer up to here. Ctrl-C once more leaves.\n" in err
    said = first["message"]["content"]
    assert f"Assistant: {said}<|endoftext|>\n\nUser: b" in Tokenizer.bytes().decode(second["prompt_ids"])
    times.clear()
    assert typed(["a", KeyboardInterrupt(), "b"], "--json")[1].count("\n") == 1
    assert signal.getsignal(signal.SIGINT) is before


def listening() -> None:
    """Make standard input the terminal that Ctrl-C comes from, and hear it: a shell's background job ignores it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_real_terminal(model: str) -> None:
    """Ctrl-C at the prompt, a message, /retry, /undo and Ctrl-D, typed into a pseudo-terminal."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "gpt2", "chat", "--model", model, "--max-tokens", "8"]
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": root, "TERM": "dumb", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True, preexec_fn=listening
    )
    os.close(theirs)
    seen = b""

    def until(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            for _ in range(300):
                if select.select([ours], [], [], 1)[0]:
                    break
                process.send_signal(signal.SIGWINCH)  # wakes Python, which may have missed a Ctrl-C before it waited
            else:
                pytest.fail(f"{text!r} never came; since the last: {seen!r}")
            seen += os.read(ours, 4096)
        seen = seen[seen.index(text) + len(text) :]

    until(b"> ")
    for keys, answer in (
        (b"typed\x03", b"gpt2: Ctrl-C once more"),
        (b"Hi\n", b"--max-tokens sets how many."),
        (b"/retry\n", b"--max-tokens sets how many."),
        (b"/undo\n", b"took back 'Hi' and its answer."),
    ):
        os.write(ours, keys)
        until(answer)
        until(b"> ")
    os.write(ours, b"\x04")
    assert process.wait(60) == 0
    os.close(ours)
