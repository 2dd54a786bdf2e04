"""Stopped runs that are damaged at random and resumed: is each damage noticed, or without effect?

In: how many cases, and a seed. Out: counts by kind and outcome, and an exit code of 1 when a case is neither.

    python -m benchmarks.damage --cases 500 --seed 0

A tiny run and a tiny fine-tune are stopped half-way. Each case damages a copy of one of them and types the command that
resumes it. A damage is noticed where the command ends with exit code 1 or 2 and one sentence, and the command that the
sentence offers goes on to the end. It is harmless where the run ends with the weights of the undisturbed one, bit for
bit. Each command runs in a fork of this process.
"""

import argparse
import collections
import json
import os
import random
import re
import shlex
import shutil
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from gpt2.checkpoint.files import save
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.data.prepare import prepare
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.finetune.finetune import FineTune
from gpt2.training.run.session import Session

PRELOADED = ("torch._dynamo", "gpt2.cli.train", "gpt2.cli.finetune", "gpt2.cli.finetune_report", FineTune.__module__)
RECIPE = """
[model]
n_layer = 1
n_head = 2
n_embd = 8
n_positions = 16
[data]
train = ["{folder}/set"]
val = ["{folder}/set"]
[train]
steps = 12
batch_size = 2
compile = false
eval_every = 3
eval_tokens = 64
keep_last = 2
"""


def typed(words: list[str], stop_after: int | None = None, folder: Path | None = None) -> tuple[int, str]:
    """Run `gpt2 WORDS` in a fork: its exit code and what it printed to standard error."""
    said = Path(tempfile.mkstemp(dir=folder)[1])
    child = os.fork()
    if child == 0:
        for handle, path in ((1, os.devnull), (2, str(said))):
            os.dup2(os.open(path, os.O_WRONLY), handle)
        code = 99
        try:
            if stop_after is not None:
                _stop_after(stop_after)
            code = main(words)
        except BaseException as error:
            os.write(2, f"Traceback: {error!r}".encode())
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    text = said.read_text(encoding="utf-8")
    said.unlink()
    return os.waitstatus_to_exitcode(status), text


def _stop_after(steps: int) -> None:
    """Have training ask for its stop after so many steps, as a signal would."""
    step = Session.step

    def counted(self: Session) -> None:
        step(self)
        if self.run.steps_done == steps:
            os.kill(os.getpid(), 15)

    Session.step = counted  # type: ignore[method-assign]


# kinds of damage: each changes something in a run's directory


def _files(run: Path) -> list[Path]:
    return sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size)


def flip(run: Path, chance: random.Random) -> str:
    """One bit of a file."""
    path = chance.choice(_files(run))
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return path.name


def cut(run: Path, chance: random.Random) -> str:
    """The end of a file is lost."""
    path = chance.choice(_files(run))
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])
    return path.name


def missing(run: Path, chance: random.Random) -> str:
    """A file is gone."""
    path = chance.choice(_files(run))
    path.unlink()
    return path.name


def garbage(run: Path, chance: random.Random) -> str:
    """Random bytes, or brackets within brackets, in the place of a file."""
    path = chance.choice(_files(run))
    path.write_bytes(chance.choice([chance.randbytes(200), b"[" * 100_000, b"", b"{}", b"null"]))
    return path.name


def field(run: Path, chance: random.Random) -> str:
    """A field of a JSON file has another kind, an impossible value, or is gone."""
    path = chance.choice([path for path in _files(run) if path.suffix == ".json"])
    fields = json.loads(path.read_bytes())
    owners = [fields, *(value for value in fields.values() if isinstance(value, dict) and value)]
    owner = chance.choice(owners)
    name = chance.choice(sorted(owner))
    if chance.random() < 0.3:
        del owner[name]
    else:
        owner[name] = chance.choice([-5, "x", None, [], {}, 10**30, float("nan"), True, 7.5])
    if chance.random() < 0.5:
        fields.pop("sha256", None)  # as in a checkpoint of the first edition
        fields.pop("hashes", None)
    path.write_text(json.dumps(fields))
    return path.name


def hole(run: Path, chance: random.Random) -> str:
    """Lines of metrics.jsonl are gone, or one is garbage."""
    path = run / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    first = chance.randrange(len(lines))
    last = chance.randrange(first + 1, len(lines) + 1)
    lines[first:last] = chance.choice([[], [b"garbage\n"], [b'{"step": -1}\n']])
    path.write_bytes(b"".join(lines))
    return path.name


def not_finite(run: Path, chance: random.Random) -> str:
    """A weight or a number of the optimiser is NaN or infinite; the hashes may be lost too."""
    import torch
    from safetensors.torch import load_file, save_file

    path = chance.choice([path for path in _files(run) if path.name == "training.safetensors"])
    tensors = load_file(path)
    tensor = tensors[chance.choice(sorted(tensors))].view(-1)
    tensor[chance.randrange(len(tensor))] = chance.choice([torch.nan, torch.inf])
    save_file(tensors, path)
    if chance.random() < 0.5:
        facts = json.loads((path.parent / "training.json").read_text())
        kept = {k: v for k, v in facts.items() if k not in ("sha256", "hashes", "settings", "log")}
        (path.parent / "training.json").write_text(json.dumps(kept))
    return path.name


KINDS = (flip, cut, missing, garbage, field, hole, not_finite)


def weights(run: Path) -> bytes | None:
    """What the run came to."""
    path = run / "model" / "model.safetensors"
    return path.read_bytes() if path.is_file() else None


def judge(command: str, run: Path, expected: bytes | None) -> str:
    """What became of a damaged run: "harmless", "noticed", or what is wrong with the answer."""
    code, said = typed([command, "--resume", str(run)])
    if "Traceback" in said:
        return f"TRACEBACK {said.strip()[-300:]}"
    if code == 0:
        return "harmless" if weights(run) == expected else "UNNOTICED"
    if code not in (1, 2) or said.count("\n") != 1:
        return f"ODD ANSWER ({code}) {said.strip()[:300]}"
    offered = re.search(r"gpt2 (finetune|train) (--resume .*|.* --overwrite)$", said.strip())
    if offered is None:
        return f"noticed without a command: {re.sub(r'/[^ ]*', 'PATH', said.strip())[:110]}"
    if "RECIPE.toml" in offered[0] or " FILE " in offered[0]:
        return "noticed, to be started again by the user"
    code, more = typed(shlex.split(offered[0])[1:])
    if code:
        return f"THE COMMAND FAILS ({code}): {offered[0]}: {more.strip()[:300]}"
    return "noticed, started again" if "--overwrite" in offered[0] else "noticed, gone on"


def prepared(folder: Path) -> dict[str, tuple[Path, bytes | None]]:
    """For each command a run that was stopped half-way, and the weights of one that was not."""
    text = "".join(f"The cat number {n} sat on the mat, and the dog ran {n} times.\n" for n in range(60))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    prepare([folder / "text.txt"], folder / "set", Tokenizer.bytes())
    (folder / "recipe.toml").write_text(RECIPE.format(folder=folder), encoding="utf-8")
    for module in PRELOADED:
        import_module(module)
    tokenizer = Tokenizer.bytes()
    config = GPT2Config(vocab_size=tokenizer.vocab_size, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    save(GPT2(config), tokenizer, folder / "base")
    usual = ["--eval-every", "3", "--batch-size", "4", "--patience", "0"]
    tune = ["finetune", str(folder / "text.txt"), "--model", str(folder / "base"), "--epochs", "0.25"]
    words = {
        "train": ["train", str(folder / "recipe.toml")],
        "finetune": [*tune, *usual],
    }
    found = {}
    for name, command in words.items():
        code, said = typed([*command, "--out", str(folder / f"whole-{name}")])
        stopped, _ = typed([*command, "--out", str(folder / f"stopped-{name}")], stop_after=8)
        if code or stopped != 143:
            raise RuntimeError(f"{name}: exit codes {code} and {stopped} {said}")
        found[name] = (folder / f"stopped-{name}", weights(folder / f"whole-{name}"))
    return found


def run_cases(cases: int, seed: int) -> dict[tuple[str, str], int]:
    """The outcomes of so many damaged copies, counted by kind and outcome."""
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        runs = prepared(folder)
        for number in range(cases):
            chance = random.Random(f"{seed} {number}")
            command = chance.choice(sorted(runs))
            source, expected = runs[command]
            copy = folder / f"case-{number}"
            shutil.copytree(source, copy)
            kind = KINDS[number % len(KINDS)]
            where = kind(copy, chance)
            outcome = judge(command, copy, expected)
            counts[kind.__name__, outcome] += 1
            if outcome.split(" ")[0].isupper():
                print(f"case {number}, {command}, {kind.__name__} of {where}: {outcome}", flush=True)
            shutil.rmtree(copy)
    return counts


def start() -> int:
    """Read the options, run the cases, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    counts = run_cases(options.cases, options.seed)
    for (kind, outcome), n in sorted(counts.items()):
        print(f"{n:5}  {kind:11} {outcome}")
    bad = sum(n for (_, outcome), n in counts.items() if outcome.split(" ")[0].isupper())
    print(f"{options.cases} cases in {time.monotonic() - began:.0f} s: {bad} neither noticed nor harmless")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(start())
