"""`python -m scripts.guides.claim T5`: measure what one statement of the ledger rests on, and judge it again.

In: ids of statements. Out, for each: its verdict, and what was measured, as docs/ledger.md has it. What comes from the
bundled weights is measured anew; what comes from long trainings is read from results/ablation. Read next:
check_ledger.py, which does this for all of them.
"""

import argparse
import json

from scripts.guides.measure import Measured, output
from scripts.guides.render import LINES, Renderer


def renderer(want_output: bool = True) -> Renderer:
    """One that measures when a number is asked for."""
    lines = {} if want_output else json.loads(LINES.read_text("utf-8"))
    return Renderer(Measured(), {}, output if want_output else None, lines=lines)


def said(by: Renderer, id: str) -> str:
    """What the command prints of a statement."""
    claim = by.book.cite(id)
    return f"{id}: {by.judged(claim)}\n{by.measured(claim)}"


def main(arguments: list[str] | None = None) -> None:
    """Print them."""
    parser = argparse.ArgumentParser(prog="python -m scripts.guides.claim", description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="+", metavar="ID", help="of a statement of docs/ledger.md, such as T5")
    by = renderer(want_output=False)
    known = by.book.claims
    for id in parser.parse_args(arguments).ids:
        if id not in known:
            parser.error(f"there is no statement {id}: docs/ledger.md has {', '.join(known)}.")
        print(said(by, id))


if __name__ == "__main__":
    main()
