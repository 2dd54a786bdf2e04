"""What reaches a terminal when a model, a tokenizer or a name is hostile: every byte, recorded and judged.

In: nothing; tiny random models are made, whose likeliest tokens would steer or deceive a terminal. Out, on standard
output: for each of them and each command how many bytes came, and what of them a terminal would act on; exit code 1
where there is any. Each command runs behind a pseudo-terminal, in a fork of this process, once with TERM=dumb, in which
the program itself sends no sequence at all, and once with TERM=xterm, whose colours and bars are taken out first.

example: OMP_NUM_THREADS=1 python -m benchmarks.terminal_bytes --only generate,errors
"""

import argparse
import json
import os
import pty
import re
import sys
import tempfile
import termios
import time
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

HOSTILE = {
    "clear the screen": "\x1b[2J\x1b[H",
    "conceal": "\x1b[8mhidden\x1b[31m",
    "bell and title": "\x07\x1b]0;owned\x07",
    "a link": "\x1b]8;;http://example.org\x1b\\here\x1b]8;;\x1b\\",
    "carriage return": "bad\rgood",
    "backspace and delete": "bad\x08\x08\x08\x7f",
    "C1": "\x9b2J\x90q\x9c\x85",
    "directions": "\u202eevil\u2066\u200f\u061c",
    "NUL and no width": "\x00\u200b\u2028\ufeff\u2060",
    "no UTF-8": "",  # bytes 0x9b, 0x1b, 0xff, each a token of its own
    "markup": "[link=http://example.org][/bold]:smile:",
}
"""The tokens that a model says, by what they would do."""
WIDTH, CONTEXT = 16, 64
OWN = re.compile(
    r"\x1b\[(?!8m)(?:[0-79]|[0-9]{2,3}|;)*m|\x1b\[\?25[lh]|\r?\x1b\[[12]K|\x1b\[1?A|\r(?=\x1b\[(?:2K|1?A)|$)"
)
"""What rich and this program send themselves: colours, the cursor hidden and shown, a line erased, a line up."""


def make_model(directory: Path, hostile: str) -> None:
    """A model that says little but these tokens, and its tokenizer."""
    import torch

    from gpt2.checkpoint.files import save
    from gpt2.config import GPT2Config
    from gpt2.model import GPT2
    from gpt2.text.byte_level import EOT, byte_alphabet, gpt2_content

    alphabet = {char: n for n, char in enumerate(byte_alphabet())}
    tokens = [hostile] if hostile else []
    content = gpt2_content(alphabet | {EOT: 256}, [])
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    content["added_tokens"] += [
        {"id": 257 + n, "content": token, "special": False, **plain} for n, token in enumerate(tokens)
    ]
    by_byte = {byte: alphabet[char] for char, byte in byte_alphabet().items()}
    said = [257] if tokens else [by_byte[byte] for byte in (0x9B, 0x1B, 0xFF, 0x07, 0xE2)]
    config = GPT2Config(vocab_size=257 + len(tokens), n_positions=CONTEXT, n_embd=WIDTH, n_layer=2, n_head=2)
    model = GPT2(config, seed=5)
    with torch.no_grad():
        model.transformer.ln_f.bias.copy_(torch.linspace(-1, 1, WIDTH))
        model.transformer.wte.weight.mul_(10)
        model.transformer.wte.weight[said] += 0.6 * model.transformer.ln_f.bias
    save(model, None, directory)
    (directory / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


def commands(model: str, folder: Path, hostile: str) -> Iterator[tuple[str, list[str]]]:
    """Command lines, each under the name of its group."""
    given = ["--model", model]
    text = f"ab {hostile.replace(chr(0), '')} c"
    file = str(folder / "texts.jsonl")
    few = ["--max-tokens", "12"]
    yield "generate", ["generate", text, *given, *few]
    yield "generate", ["generate", "ab", *given, *few, "--n", "2", "--logprobs", "3", "--temperature", "2"]
    yield "generate", ["generate", text, *given, *few, "--json"]
    yield "chat", ["chat", *given, *few]
    yield "chat", ["chat", *given, *few, "--json", "--system", text]
    yield "next", ["next", text, *given]
    yield "next", ["next", text, *given, "--json"]
    yield "tokenize", ["tokenize", text, *given]
    yield "tokenize", ["tokenize", text, *given, "--json"]
    for form in ([], ["--words"], ["--csv"], ["--json"]):
        yield "score", ["score", "--context-file", file, *given, *form]
    yield "score", ["score", "--pairs", str(folder / "blimp.jsonl"), *given]
    yield "eval", ["eval", file, *given]
    yield "info", ["info", model]
    yield "info", ["info", model, "--json"]
    yield "walk", ["walk", text, *given, "--target", "b"]
    for name in ("trace", "lens", "attribution", "effects", "attention", "stream"):
        yield "explain", ["explain", name, text, *given]
    yield "explain", ["explain", text, *given]
    yield "explain", ["explain", text, *given, "--json"]
    yield "explain", ["explain", "lens", text, *given, "--png", str(folder / "lens.png")]
    yield "explain", ["explain", text, *given, "--html", str(folder / f"page{len(hostile)}.html")]
    yield "explain", ["explain", "off", "1.mlp", "--text", file, *given, "--prompt", text]
    yield "explain", ["explain", "patch", "ab", "ac", "--target", "x", "--foil", "y", *given]
    yield "explain", ["explain", "neurons", "0.mlp.post#1", *given, "--text", file]
    yield "explain", ["explain", "neighbours", "b", *given]
    yield "explain", ["explain", "points", *given]
    yield "errors", ["generate", "a", "--model", f"no{text}"]
    yield "errors", ["explain", "attribution", "ab", *given, "--target", text]
    yield "errors", ["explain", text + "z" * CONTEXT, *given]
    yield "errors", ["explain", "trace", "ab", *given, "--read", text]
    yield "errors", ["walk", "ab", *given, "--target", f"{text}{text}"]
    yield "errors", ["score", f"{text}.txt"]
    yield "errors", ["eval", f"{text}.txt"]
    yield "errors", ["prepare", f"{text}.txt", "--out", str(folder / "out")]
    yield "errors", ["info", str(folder / "config")]
    yield "errors", ["runs", f"{text}.d"]
    yield "errors", [f"--{text}"]
    yield "errors", ["next", f"--{text}"]
    yield "errors", ["generate", "a", *given, "--stop", f"\\n{text}", *few]


def write_files(folder: Path, hostile: str) -> None:
    """Texts, pairs and a configuration in which the same characters stand."""
    ids = [f"{n}{hostile}" for n in range(2)]
    rows = [{"id": i, "text": f"ab cd {hostile} ef"} for i in ids]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pair = {"sentence_good": f"ab{hostile}", "sentence_bad": "ac", "UID": hostile or "u", "pairID": "0",
            "linguistics_term": hostile or "t", "field": hostile or "f", "simple_LM_method": True}  # fmt: skip
    (folder / "blimp.jsonl").write_text(json.dumps(pair) + "\n", encoding="utf-8")
    (folder / "config").mkdir(exist_ok=True)
    config = {"model_type": "gpt2", "n_layer": hostile, f"field{hostile}": hostile, "activation_function": hostile}
    (folder / "config" / "config.json").write_text(json.dumps(config), encoding="utf-8")


def quiet(terminal: int) -> None:
    """A terminal that shows what is written to it alone: no echo, and a new line stays one byte."""
    modes = termios.tcgetattr(terminal)
    modes[1] &= ~termios.OPOST
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


def record(argv: Sequence[str], term: str, limit: float = 120.0) -> bytes:
    """All bytes that a terminal gets from one command line; two messages are typed into it."""
    child, master = pty.fork()
    if child == 0:
        code = 1
        try:
            quiet(1)
            os.environ["TERM"] = term
            sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
            from gpt2.cli.main import main

            code = main(list(argv))
            sys.stdout.flush()
        finally:
            os._exit(code)
    quiet(master)  # before anything is typed
    if argv[:1] == ["chat"]:
        os.write(master, b"hello\n/undo\nagain\n/retry\n/exit\n")
    came, ends = b"", time.monotonic() + limit
    while time.monotonic() < ends:
        try:
            data = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        came += data
    os.close(master)
    os.waitpid(child, 0)
    return came


def offending(came: bytes, term: str) -> list[str]:
    """What a terminal would act on: control characters but newline and tab, characters that are not seen, bytes that
    are no UTF-8; a traceback counts too."""
    text = came.decode("utf-8", "surrogateescape")
    if term != "dumb":
        text = OWN.sub("", text)
    kinds = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    found = [repr(c) for c in text if unicodedata.category(c) in kinds and c not in "\n\t\u200c\u200d"]
    return sorted(set(found)) + (["a traceback"] if "Traceback (most recent call last)" in text else [])


def main() -> None:
    """Make the models, run every command on each, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="groups of commands: generate,chat,next,explain,errors ...")
    parser.add_argument("--hostile", default="", help="one kind of tokenizer, such as 'a link'")
    parser.add_argument("--show", action="store_true", help="print what came, as Python writes it")
    options = parser.parse_args()
    import torch

    import gpt2.explain  # noqa: F401  (once, before the forks)
    from gpt2.cli.main import main as _  # noqa: F401

    torch.set_num_threads(1)
    runs = total = bad = 0
    with tempfile.TemporaryDirectory() as name:
        for number, (kind, hostile) in enumerate(HOSTILE.items()):
            if options.hostile not in ("", kind):
                continue
            folder = Path(name, str(number))
            spelled = hostile.replace("\0", "").replace("/", "") or "\udc9b\udcff"
            model = folder / f"m{spelled}"
            folder.mkdir()
            make_model(model, hostile)
            write_files(folder, hostile)
            for group, argv in commands(str(model), folder, hostile):
                if options.only and group not in options.only.split(","):
                    continue
                for term in ("dumb", "xterm"):
                    came = record([word.replace("\0", "") for word in argv], term)
                    wrong = offending(came, term)
                    runs, total, bad = runs + 1, total + len(came), bad + bool(wrong)
                    line = f"{kind:<22}{term:<6}{len(came):>8} bytes  {ascii(' '.join(argv[:3]))[:60]}"
                    print(f"{line}  {'  '.join(wrong)}".rstrip(), flush=True)
                    if options.show:
                        print(ascii(came.decode("utf-8", "surrogateescape")), flush=True)
    print(f"{runs} command lines, {total:,} bytes: {bad} of them with something that a terminal would act on")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
