"""The notebooks run from top to bottom in a clean kernel, and show what is committed.

Outputs are compared as text, with the liberties of test_readme.py; pictures are drawn anew and not compared. Figures of
models that a notebook trains are another processor's there: of them holds what follows from the components.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from nbclient.exceptions import CellExecutionError

from scripts.run_notebooks import FOLDER, TRAINED, as_markdown, compare, run, texts
from tests.docs.test_readme import agrees

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def notebook(*sources: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    cells = [{**cell, "id": str(i), "source": source} for i, source in enumerate(sources)]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["ablate", "explain"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_is_committed(path: Path) -> None:
    committed = json.loads(path.read_text("utf-8"))
    assert any(cell.get("outputs") for cell in committed["cells"])
    again = run(path)
    differences = list(compare(committed, again, agrees))
    assert differences == [], "\n\n".join([*differences, "python scripts/run_notebooks.py writes them anew"])
    if path.stem == "ablate":
        [table] = [
            text for source, text in texts(again) if source.endswith("read_records(results)\nshow(study, records)")
        ]
        rows = [[float(x) for x in re.findall(r"[+-]\d+\.\d+", line)] for line in table.splitlines()]
        assert all(low <= mean <= high for mean, low, high in rows)
        (without_attention, _, _), (relu, _, _) = rows
        assert without_attention > 0  # no position learns anything of another
        assert abs(relu) < without_attention


def test_a_cell_that_fails_fails_the_notebook_and_a_change_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps(notebook("print(0.12)", "3")))
    again = run(path)
    assert texts(again) == [("print(0.12)", "0.12"), ("3", "3")]
    path.write_text(json.dumps(again))
    fences = [("python", "print(0.12)"), ("text", "0.12"), ("python", "3"), ("text", "3")]
    assert as_markdown(path) == "\n\n".join(f"```{kind}\n{text}\n```" for kind, text in fences) + "\n"
    assert list(compare(again, again, agrees)) == []
    changed = json.loads(json.dumps(again).replace('"0.12\\n"', '"0.15\\n"'))
    assert len(list(compare(changed, again, agrees))) == 1
    changed["cells"][0]["metadata"]["tags"] = [TRAINED]
    assert list(compare(changed, again, agrees)) == []  # another figure
    changed = json.loads(json.dumps(changed).replace('"0.15\\n"', '"many\\n"'))
    assert len(list(compare(changed, again, agrees))) == 1
    path.write_text(json.dumps(notebook("print(1)", "1 / 0", "print(2)")))
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run(path)
