"""The notebooks of notebooks/: `python scripts/run_notebooks.py` runs each from a clean kernel and keeps its outputs.

In: notebooks in Jupyter's format. Out: the same with the outputs of this machine. `compare` says where a run differs
from what is committed, and `as_markdown` shows a notebook on a page of the site.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
SECONDS = 1800  # a cell that takes longer hangs, on a busy machine too
TRAINED = "trained"  # the tag of a cell that shows models which the notebook trained: other figures on each processor
FIGURES = re.compile(r"[+-]?\d+\.\d+|\b(?:hit|miss|undecided)\b")
ROUNDING = re.compile(r"\d[\d.]*e-(0[6-9]|1\d)")
Notebook = dict[str, Any]


def run(path: Path) -> Notebook:
    """The notebook after all its cells ran in a new kernel. nbclient's CellExecutionError when one fails."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=where, record_timing=False).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _merged(cell.outputs)
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


def _merged(outputs: list[Any]) -> list[Any]:
    """What a cell prints comes in pieces, cut wherever a moment passed: as one."""
    merged: list[Any] = []
    for one in outputs:
        if merged and one.output_type == "stream" and merged[-1].get("name") == one.name:
            merged[-1].text += one.text
        else:
            merged.append(one)
    return merged


def texts(notebook: Notebook) -> list[tuple[str, str]]:
    """(source, all that it prints and shows, as text) of each code cell."""
    found = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            shown = [_joined(one.get("text", one.get("data", {}).get("text/plain", ""))) for one in cell["outputs"]]
            found.append((_joined(cell["source"]), "\n".join(text.rstrip("\n") for text in shown)))
    return found


def compare(committed: Notebook, again: Notebook, agrees: Callable[[str, str], bool]) -> Iterator[str]:
    """A sentence for each cell whose outputs are not what is committed. Rounding errors are alike, however small.

    Of a cell that is tagged TRAINED the lines are compared without their figures and verdicts.
    """
    code = [cell for cell in committed["cells"] if cell["cell_type"] == "code"]
    for cell, (source, want), (_, got) in zip(code, texts(committed), texts(again), strict=True):
        trained = TRAINED in cell["metadata"].get("tags", [])
        free = re.compile(rf"{FIGURES.pattern}| +") if trained else ROUNDING
        if not agrees(*(free.sub("#", text) for text in (want, got))):
            yield f"the cell\n{source}\nshows\n{want}\nbut gives\n{got}"


def as_markdown(path: Path) -> str:
    """Text, code and outputs as one page of Markdown."""
    parts = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts += [f"```python\n{source}\n```", *map(_shown, cell["outputs"])]
    return "\n\n".join(parts) + "\n"


def _shown(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="figure" src="data:image/png;base64,{"".join(_joined(data["image/png"]).split())}">'
    if "text/html" in data:
        return f'<div class="output">{_joined(data["text/html"]).strip()}</div>'
    return f"```text\n{_joined(output.get('text', data.get('text/plain', ''))).rstrip()}\n```"


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def main(names: list[str]) -> None:
    """Run the notebooks of these names, or all, and write them."""
    import nbformat

    for path in sorted(FOLDER.glob("*.ipynb")):
        if not names or path.stem in names:
            print(path.name, flush=True)
            notebook = run(path)
            path.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
