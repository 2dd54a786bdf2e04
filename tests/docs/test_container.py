"""The Containerfile: it copies what is there, and starts a server that others reach."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "Containerfile").read_text("utf-8")


def test_the_container_is_made_of_what_the_repository_has():
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", LINES, re.MULTILINE) for name in line.split()]
    assert {"pyproject.toml", "gpt2", "constraints.txt"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_the_container_serves_without_rights():
    started = [json.loads(re.search(rf"^{word} (.+)$", LINES, re.MULTILINE)[1]) for word in ("ENTRYPOINT", "CMD")]
    assert started[0] == ["gpt2"]
    assert started[1][:3] == ["serve", "--host", "0.0.0.0"]
    assert re.search(r"^USER (\w+)$", LINES, re.MULTILINE)[1] != "root"
