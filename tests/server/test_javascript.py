"""The page's script without a browser: its unit tests (js/, run by Node), and what it shares with the server.

The program that runs it is conftest.py's.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest
import torch

from gpt2.checkpoint.files import load
from gpt2.explain import reference
from gpt2.server import export, jobs
from gpt2.server.means import Means
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.server.wire import pack

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
HERE = Path(__file__).with_name("js")
WEB = ROOT / "gpt2" / "server" / "web"


def run(node, *words):
    done = subprocess.run([node, *words], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_unit_tests_of_the_script_pass(node):
    files = sorted(HERE.glob("*.test.js"))
    report = run(node, "--test", "--test-reporter=tap", *map(str, files))
    written = sum(len(re.findall(r"^test\(", file.read_text("utf-8"), re.MULTILINE)) for file in files)
    assert f"\n# pass {written}\n" in report
    assert "\n# fail 0\n" in report


def test_the_script_unpacks_what_the_server_packs(node, tmp_path):
    """Every dtype, halves of all sizes from the subnormal to the infinite, and an answer that is deep and uneven."""
    halves = (torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 10 ** torch.linspace(-9, 6, 1000)).half()
    halves[:2] = torch.tensor([float("inf"), -float("inf")])
    answer = {"text": "ä·", "odd": [1.5, float("nan"), {"x": torch.tensor([[1, 2, 3]])}], "small": torch.tensor(0.1)}
    (tmp_path / "answer").write_bytes(pack({**answer, "large": halves.float()}))
    script = """
        import { readFileSync } from "node:fs";
        import { unpack } from "./gpt2/server/web/wire.js";
        const bytes = readFileSync(process.argv[1]);
        const found = unpack(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
        console.log(JSON.stringify(found, (name, x) => (ArrayBuffer.isView(x) ? Array.from(x, String) : x)));
    """
    found = json.loads(run(node, "--input-type=module", "-e", script, str(tmp_path / "answer")))
    assert found["text"] == "ä·"
    assert found["odd"] == [1.5, None, {"x": {"data": ["1", "2", "3"], "shape": [1, 3]}}]
    assert found["small"]["shape"] == []
    assert float(found["small"]["data"][0]) == torch.tensor(0.1).item()
    assert [float(x) for x in found["large"]["data"]] == halves.tolist()


def test_an_exported_page_finds_its_answers_by_the_keys_of_the_server(node):
    parameters = [
        {"text": 'ä "·\n\\', "top_p": 1.0, "temperature": 0.8, "switches": {"b": "off", "a": "mean"}},
        {"count": 16},
        {"seed": 2**40, "x": [1, 2.5, None, True], "switches": {}},
    ]
    script = """
        await import("./tests/server/js/browser.js");
        const { key } = await import("./gpt2/server/web/source.js");
        console.log(JSON.stringify(JSON.parse(process.argv[1]).map((one) => key("draw", one))));
    """
    found = json.loads(run(node, "--input-type=module", "-e", script, json.dumps(parameters)))
    assert found == [export.key("draw", one) for one in parameters]


def interfaces():
    """The fields of each interface of answers.d.ts: {name: {field: whether it is always there}}."""
    found = {}
    source = (WEB / "answers.d.ts").read_text("utf-8")
    for name, base, body in re.findall(r"^export interface (\w+)(?: extends (\w+))? \{\n(.*?)^\}", source, re.M | re.S):
        fields = re.findall(r"^  (\w+)(\??):", body, re.M)
        found[name] = {**found.get(base, {}), **{field: not optional for field, optional in fields}}
    return found


@pytest.fixture(scope="module")
def session():
    checkpoint = load("storyteller")
    means = Means(checkpoint)
    means.text = reference(checkpoint, ["One day a dog found a red ball."])  # so that the test is quick
    return Session(checkpoint, means)


TEXT = "The cat sat on the"
SCENE = {"text": TEXT, "switches": {}}
ASKED = [
    ("model", {}),
    ("picture", SCENE),
    ("lens", {**SCENE, "first": 0, "stop": 16}),
    ("attention", {**SCENE, "block": 1}),
    ("head", {**SCENE, "block": 1, "head": 0}),
    ("attribution", {**SCENE, "row": 4}),
    ("neurons", {**SCENE, "block": 1, "row": 4}),
    ("leave_one_out", {**SCENE, "components": "blocks"}),
    ("continuation", {**SCENE, "tokens": 2}),
    ("patch", {"clean": TEXT, "corrupt": "The dog ran to the", "target": "", "foil": "", "grid": "mlp"}),
    ("positions", {"count": 8}),
    ("neighbours", {"token": 97}),
    ("draw", {**SCENE, "row": 4}),
]


@pytest.mark.parametrize(("name", "parameters"), ASKED, ids=[name for name, _ in ASKED])
def test_the_types_name_every_field_of_an_answer(session, name, parameters):
    """With switches the optional fields are there too."""
    fields = interfaces()["".join(part.capitalize() for part in name.split("_"))]
    seen = set()
    for switches in [{}, {"1.mlp": "off"}] if "switches" in parameters else [None]:
        asked = parameters if switches is None else {**parameters, "switches": switches}
        question = QUESTIONS[name]
        answer = question.answer(session, read_parameters(question, json.dumps(asked)), jobs.silent)
        assert set(answer) <= set(fields)
        assert {field for field, always in fields.items() if always} <= set(answer)
        seen |= set(answer)
    assert seen == set(fields)


def scripts():
    """The project's own JavaScript: the page, the site, these tests, and the settings of the tools."""
    folders = [*(ROOT / "gpt2").rglob("*"), *(ROOT / "docs").rglob("*"), *HERE.glob("*"), *ROOT.glob("*")]
    return [path for path in folders if path.suffix in {".js", ".ts"}]


def test_lines_are_as_long_as_editorconfig_allows():
    limit = int(re.search(r"^max_line_length = (\d+)$", (ROOT / ".editorconfig").read_text(), re.MULTILINE)[1])
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in scripts()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if len(line) > limit
    ]
    assert len(scripts()) > 40
    assert long == []


def test_the_tools_are_pinned_and_no_package_host_is_named():
    """Where packages come from is the machine's setting; npm would write it into the lock file."""
    project = json.loads((ROOT / "package.json").read_text())
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert "dependencies" not in project  # the page needs none
    assert lock[""]["devDependencies"] == project["devDependencies"]
    for name, version in project["devDependencies"].items():
        assert lock[f"node_modules/{name}"]["version"] == version
    assert [name for name, package in lock.items() if name and "integrity" not in package] == []
    assert [name for name, package in lock.items() if "resolved" in package] == []
    for file in ("package.json", "package-lock.json", ".npmrc"):
        text = (ROOT / file).read_text()
        assert not re.search(r"registry\.|\.tgz|^registry", text, re.MULTILINE), file
