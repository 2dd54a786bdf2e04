"""`python -m scripts.guides.check_ledger`: run every command of docs/ledger.md, and compare with what it says.

    python -m scripts.guides.check_ledger              every statement, and every command of gpt2 that is quoted
    python -m scripts.guides.check_ledger T5 R7        these alone
    python -m scripts.guides.check_ledger --clone      in a fresh clone of the last commit, in a process of its own

In: the ledger as it stands in docs/, the bundled model, results/ablation. Out: what differs, and the time that it took;
exit code 1 where something does. A statement's command runs in this process, so that a measurement that several
statements rest on is taken once. A number with decimals may differ by 2% or by one in its last digit, and a percentage
by one, since processors round differently; everything else must be the same. The trainings are not repeated.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.guides.claim import renderer, said
from scripts.guides.measure import output
from scripts.guides.render import DOCS, LEDGER
from scripts.guides.subject import ROOT

NUMBER = re.compile(r"[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?%?")
SLOW = ("gpt2 explain behaviours", "gpt2 explain heads")  # minutes each


def stated(text: str) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """By id, what the ledger says of a statement (as its command prints it), and its (command, quoted line) pairs."""
    found = {}
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        id, _, rest = part.partition("\n")
        body = re.search(r"^\*\*(.+?)\.\*\* (.*?)(?=^- `)", rest, re.MULTILINE | re.DOTALL)
        if body is None:
            raise ValueError(f"docs/ledger.md: {id} has no verdict.")
        lines = " ".join(rest.split())
        quoted = re.findall(r"- `(gpt2 (?!ablate|fetch)[^`]+)`(?: prints `(.+?)`)?(?= -|$| ##| $)", lines)
        found[id.strip()] = (f"{id.strip()}: {body[1]}\n{' '.join(body[2].split())}", quoted)
    return found


def agree(want: str, got: str) -> bool:
    """Whether two texts are the same, up to rounding in their numbers."""
    words = [NUMBER.sub("0", text) for text in (want, got)]
    if words[0] != words[1]:
        return False
    return all(close(a, b) for a, b in zip(NUMBER.findall(want), NUMBER.findall(got), strict=True))


def close(a: str, b: str) -> bool:
    """Whether two numbers as they are printed may be one: whole numbers are compared exactly."""
    if a == b:
        return True
    exact = not any(mark in a + b for mark in (".", "e", "%"))
    x, y = (float(text.replace(",", "").rstrip("%")) for text in (a, b))
    if "e" in a or "e" in b:
        return x * y > 0 and 0.1 < x / y < 10  # a number that small is rounding, or its first digit
    unit = 10.0 ** -len(a.rstrip("%").partition(".")[2])
    return not exact and abs(x - y) <= max(1.01 * unit, 0.02 * abs(x))


def differences(ids: list[str] | None, slow: bool) -> Iterator[str]:
    """What differs, a text each; every statement is checked as its turn comes."""
    ledger = stated((DOCS / LEDGER).read_text("utf-8"))
    by, outputs = renderer(), dict[str, str]()
    missing = set(by.book.claims) ^ set(ledger)
    if missing:
        yield f"docs/ledger.md and docs/claims.toml do not hold the same statements: {', '.join(sorted(missing))}"
    for id in ids or ledger:
        want, quoted = ledger[id]
        got = said(by, id)
        if not agree(want, got):
            yield f"{id}: the ledger says\n{want}\nand its command prints\n{got}"
        for command, line in quoted:
            if command in SLOW and not slow:
                continue
            outputs[command] = outputs.get(command) or output(command)
            printed = [" ".join(text.split()) for text in outputs[command].splitlines()]
            if line and not any(agree(line, text) for text in printed):
                yield f"{id}: `{command}` prints no line\n{line}"


def in_clone(arguments: list[str]) -> int:
    """Run this in a fresh clone of the last commit; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
        command = [sys.executable, "-m", "scripts.guides.check_ledger", *arguments]
        return subprocess.run(command, cwd=clone, env={**os.environ, "PYTHONPATH": str(clone)}, check=False).returncode


def main() -> None:
    """Check, and exit."""
    parser = argparse.ArgumentParser(prog="python -m scripts.guides.check_ledger", description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="*", metavar="ID", help="these statements alone")
    parser.add_argument("--clone", action="store_true", help="in a fresh clone of the last commit")
    parser.add_argument("--slow", action="store_true", help="also the commands that take minutes")
    options = parser.parse_args()
    if options.clone:
        sys.exit(in_clone([*options.ids, *(["--slow"] if options.slow else [])]))
    started, found = time.perf_counter(), 0
    for difference in differences(options.ids or None, options.slow):
        found += 1
        print(difference, end="\n\n")
    count = len(options.ids) or len(stated((DOCS / LEDGER).read_text("utf-8")))
    print(f"{count} statements in {time.perf_counter() - started:.0f} s, {found} differences")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
