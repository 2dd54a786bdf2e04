"""The live page in a browser, from disk with the network off, against PyTorch; and how long a reader waits.

In: a file of text; browsers; where puppeteer-core is installed (`npm install puppeteer-core`), which drives both. Out:
the largest difference between what the page computes and what the server computes in float32, over texts of 1 to all
tokens of the context and over edits; the texts that both write from the same seeds; waiting times.

    python -m benchmarks.page_engine TEXT --puppeteer node_modules --browser chromium=/usr/bin/chromium [--json FILE]

Weights are those of the bundled model, which are stored in half precision: the page's arithmetic is compared, not a
rounding. With `--weights int8` the page is compared with the model whose weights its codes stand for. Words have to be
equal, and whole numbers (a rank, an order, a count) too, unless the two values that decide one are a tie: where one
differs, the margin between them is printed (page_margins.py). A margin above rounding, or anything else that is unlike,
is a failure: exit code 1.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import gpt2
from benchmarks.machine import describe
from benchmarks.page_answers import Unlike, apart, forget_ties
from benchmarks.page_margins import ROUNDING, margins
from gpt2.explain.live.rounded import rounded
from gpt2.server.live import Brings, write_live
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session

SCRIPT = Path(__file__).with_name("page_engine.mjs")
LENGTHS = (1, 2, 3, 5, 8, 12, 17, 17, 24, 30, 40, 50, 60, 60, 80, 100, 150, 250, 400, 512)
EDITS: tuple[dict[str, str], ...] = (
    {}, {"6.head.5": "off"}, {"0.mlp": "off"}, {"0.head.1": "mean", "0.head.3": "off"}, {"embed.pos": "off"},
    {"3.attn": "half", "2.mlp": "double"}, {"4.block": "off"}, {"7.mlp": "mean", "final.scale": "mean"},
    {"embed.pos": "mean"},
    {"1.ln_1.scale": "mean", "2.ln_2.scale": "mean", "5.attn": "off"},
)  # fmt: skip
LEFT_OUT = {0: "parts", 3: "heads", 7: "blocks"}  # with which of the edits they are left out
SEEDS, WRITTEN = 10, 200


def asked(session: Session, text: str, texts: int = len(LENGTHS)) -> list[tuple[str, dict[str, Any]]]:
    """The questions of every comparison."""
    ids = session.tokenizer.encode(text)
    found: list[tuple[str, dict[str, Any]]] = []
    for k, n in enumerate(LENGTHS[:texts]):
        start = k * 600
        part = session.tokenizer.decode(ids[start : start + n])
        T = len(session.tokenizer.encode(part))
        for j, switches in enumerate(EDITS):
            scene = {"text": part, "switches": switches}
            found.append(("picture", scene))
            found.append(("lens", {**scene, "first": max(0, T - 8), "stop": T}))
            found.append(("attention", {**scene, "block": j % 8}))
            found.append(("head", {**scene, "block": (j + 3) % 8, "head": j % 11}))
            found.append(("attribution", {**scene, "row": T - 1}))
            found.append(("neurons", {**scene, "block": (j + 5) % 8, "row": T - 1}))
            number = {**scene, "row": T - 1, "index": T // 2}
            found.append(("calculation", {**number, "address": f"{j % 8}.attn.scores", "head": j % 11}))
            found.append(("calculation", {**number, "address": ("probability", "3.ln_2.out", "5.resid_post")[j % 3]}))
            if j in LEFT_OUT and T <= 60:  # a pass for each component
                how = {"components": LEFT_OUT[j], "kind": ("zero", "mean")[k % 2]}
                found.append(("leave_one_out", {**scene, **how}))
    for seed in range(SEEDS):
        scene = {"text": session.tokenizer.decode(ids[seed * 50 : seed * 50 + 12]), "switches": {}}
        found.append(("continuation", {**scene, "tokens": WRITTEN, "temperature": 0.8, "top_p": 0.95, "seed": seed}))
    return found


def compare(
    session: Session, questions: list[tuple[str, dict[str, Any]]], answers: list[dict[str, Any]]
) -> dict[str, Any]:
    """The largest difference by question; what is unlike."""
    worst: dict[str, float] = {}
    ties: list[str] = []
    unlike: list[str] = []
    for (name, parameters), found in zip(questions, answers, strict=True):
        question = QUESTIONS[name]
        expected = question.answer(session, read_parameters(question, json.dumps(parameters)), lambda *a: None)
        shown = f"{name}, {len(session.tokenizer.encode(parameters['text']))} tokens, {parameters['switches']}"
        try:
            if "answer" not in found:
                raise Unlike(found["error"])
            if name == "picture":
                for arcs in ("mean", "written"):
                    forget_ties(expected["arcs"][arcs], found["answer"]["arcs"][arcs])
            worst[name] = max(worst.get(name, 0.0), apart(expected, found["answer"], name))
        except Unlike as error:
            found_margins = margins(session, name, parameters, expected, found["answer"]) if "answer" in found else []
            said = "; ".join(f"{where} by a margin of {margin:.1e}" for where, margin in found_margins)
            near = found_margins and all(margin <= ROUNDING for _, margin in found_margins)
            (ties if near else unlike).append(f"{shown}: {said or error}")
    return {"questions": len(questions), "largest difference": worst, "ties": ties, "unlike": unlike}


def main() -> int:
    """Print and keep what was found; 1 where an answer differs by more than a tie."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--puppeteer", type=Path, required=True, help="the node_modules that hold puppeteer-core")
    parser.add_argument("--browser", action="append", default=[], help="NAME=PATH, chromium or firefox")
    parser.add_argument("--texts", type=int, default=len(LENGTHS), help="how many of the texts, the shortest first")
    parser.add_argument("--weights", choices=("float16", "int8"), default="float16", help="how the page holds them")
    parser.add_argument("--only-times", action="store_true", help="compare nothing")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = gpt2.load("storyteller")
    session = Session(rounded(checkpoint).checkpoint if given.weights == "int8" else checkpoint)
    questions = [] if given.only_times else asked(session, given.text.read_text("utf-8")[:200_000], given.texts)
    result: dict[str, Any] = {"machine": describe(), "browsers": {}}
    with tempfile.TemporaryDirectory() as folder:
        page = write_live(
            checkpoint, "The cat had a blue spoon. One day, the cat lost the blue", Path(folder) / "p.html",
            brings=Brings(given.weights),
        )  # fmt: skip
        result["bytes"] = page.stat().st_size
        (Path(folder) / "asked.json").write_text(json.dumps(questions))
        for name, path in (one.split("=", 1) for one in given.browser):
            words = ["node", str(SCRIPT), str(given.puppeteer.resolve()), name, path, str(page), f"{folder}/asked.json"]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(done.stdout)
            compared = compare(session, questions, found.pop("answers"))
            result["browsers"][name] = {**found, **compared}
            print(name, json.dumps(result["browsers"][name], indent=1), flush=True)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(any(found["unlike"] for found in result["browsers"].values()))


if __name__ == "__main__":
    sys.exit(main())
