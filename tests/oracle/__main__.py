"""`python -m tests.oracle --cases 2000 --seed 0 [--json FILE]`: run many cases, show the way, print the table.

`--faults` plants each error of faults.py in turn instead and says how many cases notice it.
"""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tests.oracle import faults
from tests.oracle.compare import judge
from tests.oracle.generator import build
from tests.oracle.reference import be_quiet
from tests.oracle.report import Row, bad, table

Progress = Callable[[int, int], None]


def run(seed: int, numbers: range, directory: Path, progress: Progress | None = None) -> Iterator[Row]:
    """Build, judge and remove each case; the files of those that are wrong stay."""
    for done, number in enumerate(numbers):
        place = directory / f"case-{number}"
        shutil.rmtree(place, ignore_errors=True)
        case = build(seed, number, place)
        row = Row.of(case, judge(case))
        if not bad(row):
            shutil.rmtree(place, ignore_errors=True)
        yield row
        if progress is not None:
            progress(done + 1, len(numbers))


def shown() -> Progress:
    start = time.monotonic()

    def progress(done: int, total: int) -> None:
        passed = time.monotonic() - start
        line = f"\r{done}/{total} cases, {passed:.0f} s, {passed / done * (total - done):.0f} s left "
        if sys.stderr.isatty() or done % 50 == 0 or done == total:
            print(line, end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    return progress


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--start", type=int, default=0, help="the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write every case's result here")
    parser.add_argument("--keep", type=Path, help="where the files of wrong cases stay (default: nowhere)")
    parser.add_argument("--faults", action="store_true", help="plant errors in the loader: each must be noticed")
    options = parser.parse_args()
    be_quiet()
    torch.set_num_threads(1)
    numbers = range(options.start, options.start + options.cases)
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.keep or Path(temporary)
        if options.faults:
            found = faults.hunt(options.seed, numbers, directory, judge)
            print(faults.table(found))
            return 0 if faults.caught(found) == len(found) else 1
        rows: list[Row] = []
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C shows what there is so far
            for row in run(options.seed, numbers, directory, shown()):
                rows.append(row)
    print(table(rows))
    if options.json is not None:
        written: list[dict[str, Any]] = [row.as_dict() for row in rows]
        options.json.write_text(json.dumps(written, indent=1, default=str, ensure_ascii=False))
    return 1 if any(bad(row) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
