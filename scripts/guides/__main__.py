"""`python -m scripts.guides`: measure, draw, render, write.

In: the repository. Out: docs/guide/measured.json, docs/guide/*.svg, docs/component_functions.md and the other guide.
"""

import argparse
import json
from typing import Any

from scripts.guides.render import DOCS, DOCUMENTS, GUIDE, LINES, MEASURED, Renderer
from scripts.guides.teaching import measure as teaching
from scripts.guides.teaching.gallery import TEACHING


def run(arguments: list[str] | None = None) -> None:
    """Render the guides; with --text from what was measured before."""
    parser = argparse.ArgumentParser(prog="python -m scripts.guides", description="Render the guides in docs/.")
    parser.add_argument("--text", action="store_true", help="measure nothing anew: only texts, tables and verdicts")
    options = parser.parse_args(arguments)
    from scripts.guides.measure import numbers, output

    kept = json.loads(MEASURED.read_text("utf-8")) if options.text else {"numbers": numbers(), "outputs": {}}
    write(kept)
    if not options.text:
        TEACHING.write_text(json.dumps(teaching.numbers(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    lines = json.loads(LINES.read_text("utf-8")) if options.text and LINES.exists() else {}
    renderer = Renderer(kept["numbers"], kept["outputs"], output, lines=lines)
    texts = {name: renderer.document(name) for name in DOCUMENTS}
    kept["outputs"] = {command: renderer.outputs[command] for command in dict.fromkeys(renderer.used)}
    write(kept)
    used = {key: renderer.lines[key] for key in sorted(renderer.quoted)}
    LINES.write_text(json.dumps(used, indent=1, ensure_ascii=False) + "\n", "utf-8")
    renderer.gallery.write(GUIDE)
    for name, text in texts.items():
        (DOCS / name).write_text(text, "utf-8")
        print(f"docs/{name}: {len(text.splitlines())} lines")
    print(f"statements: {renderer.tally()}")


def write(kept: dict[str, Any]) -> None:
    """Keep what was measured."""
    MEASURED.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    run()
