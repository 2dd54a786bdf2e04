"""What benchmarks/reading.py counts: calls of a pass, lines of source. No count of the package itself is judged."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.reading import Calls, core, forwards, shown

ROOT = Path(__file__).parents[1]


def make_package(folder: Path) -> Path:
    """A checkout with a core of three files, one of them behind another, and one that only type checking needs."""
    files = {
        "model.py": "from typing import TYPE_CHECKING\n\nfrom gpt2.parts import block\n"
        "if TYPE_CHECKING:\n    from gpt2.far import Away\n",
        "parts/__init__.py": "",
        "parts/block.py": "def half(x):\n    return x / 2\n\n\ndef outer(x):\n    return half(x) + 1\n\n\n"
        'class Block:\n    def forward(self, x, tap):\n        """Two\n        lines.\n        """\n'
        "        # a comment\n        x = tap(x)\n\n        return x\n",
        "far.py": "class Away: ...\n",
    }
    for name, text in files.items():
        path = folder / "gpt2" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_the_core_is_the_model_and_what_it_imports_at_run_time(tmp_path):
    package = make_package(tmp_path)
    assert core(package) == {"gpt2/model.py": 5, "gpt2/parts/__init__.py": 0, "gpt2/parts/block.py": 17}


def test_a_forward_is_counted_without_docstring_comments_and_empty_lines(tmp_path):
    package = make_package(tmp_path)
    assert forwards(package, ["gpt2/parts/block.py"], re.compile("tap")) == {"Block.forward": [2, 1]}


def test_functions_are_entered_and_module_bodies_are_imported(tmp_path):
    package = make_package(tmp_path)
    file = package / "gpt2" / "parts" / "block.py"
    space: dict = {"__name__": "block"}
    code = compile(file.read_text(), str(file), "exec")
    with Calls(package) as calls:
        exec(code, space)
        space["outer"](1)
    assert calls.found() == {
        "imported": ["gpt2/parts/block.py"],
        "entered": ["gpt2/parts/block.py"],
        "functions": ["gpt2/parts/block.py: half", "gpt2/parts/block.py: outer"],
        "lines": {"gpt2/parts/block.py": 4},
    }
    with Calls(package, within="outer") as calls:
        space["half"](1)
    assert calls.found()["functions"] == []
    with Calls(package, within="outer") as calls:
        space["outer"](1)
        space["Block"]().forward(1, float)
    assert calls.found()["functions"] == ["gpt2/parts/block.py: half", "gpt2/parts/block.py: outer"]


def test_the_python_of_a_page_is_counted_and_no_other_block(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```py\nx = tap(1)\n\n# tap\n```\n\n```text\ntap\n```\n\n```python\ny = 2\n```\n", encoding="utf-8")
    assert shown(page, re.compile("tap")) == [2, 1]


def test_the_command_follows_a_pass_of_this_package(tmp_path):
    out = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.reading", "--only", "forward,next", "--json", str(out)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| one GPT2.forward without a probe: entered |" in done.stdout
    (found,) = json.loads(out.read_text()).values()
    followed = found["cases"]["forward"]
    assert {"gpt2/attention.py", "gpt2/block.py", "gpt2/model.py"} <= set(followed["entered"])
    assert "gpt2/attention.py: CausalSelfAttention.forward" in followed["functions"]
    assert followed["imported"] == []
    assert {"gpt2/cli/main.py", "gpt2/cli/next.py", *followed["entered"]} <= set(found["cases"]["next"]["imported"])
    assert set(found["core"]) >= set(followed["entered"])
