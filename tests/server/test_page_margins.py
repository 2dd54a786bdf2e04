"""benchmarks/page_margins.py: a whole number that differs is a tie only where the two values that decide it are one."""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.page_margins import ROUNDING, margins
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from tests.server.test_live_variants import made

SCENE = {"text": "The cat saw Tom", "switches": {}}
CHANGES = {
    "picture": ("top", "next"), "lens": ("rank", "top"), "neurons": ("active",),
    "leave_one_out": ("first", "first_without"),
}  # fmt: skip


def plain(value: Any) -> Any:
    """An answer as a browser's comes."""
    if isinstance(value, Tensor):
        return {"data": value.flatten().tolist(), "shape": list(value.shape), "whole": not value.is_floating_point()}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def test_a_wrong_number_has_a_margin_above_rounding_and_a_tie_has_not(tmp_path: Path) -> None:
    checkpoint = made("untied-head", tmp_path)
    with torch.no_grad():
        checkpoint.model.lm_head.weight[5] = checkpoint.model.lm_head.weight[4]  # two tokens that always tie
    session = Session(checkpoint)

    def answer(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        question = QUESTIONS[name]
        return question.answer(session, read_parameters(question, json.dumps(parameters)), lambda *a: None)

    cases: list[tuple[str, dict[str, Any]]] = [
        ("picture", SCENE), ("lens", {**SCENE, "first": 0, "stop": 16}), ("neurons", {**SCENE, "block": 1, "row": 3}),
        ("leave_one_out", {**SCENE, "components": "blocks", "kind": "zero"}),
    ]  # fmt: skip
    for name, parameters in cases:
        ours = answer(name, parameters)
        theirs = plain(ours)
        for change in CHANGES[name]:
            wrong = copy.deepcopy(theirs)
            if change == "next":
                wrong["next"]["ids"]["data"][:2] = wrong["next"]["ids"]["data"][1::-1]
            elif change == "active":
                wrong["active"] += 3
            else:
                wrong[change]["data"][0] = (wrong[change]["data"][0] + 7) % 200
            (found,) = margins(session, name, parameters, ours, wrong)[:1]
            assert found[1] > ROUNDING, (name, change)
    ours = answer("picture", SCENE)
    ours["top"][2], theirs = 4, plain({**ours, "top": ours["top"].clone()})
    theirs["top"]["data"][2] = 5
    assert margins(session, "picture", SCENE, ours, theirs) == [("top[2]", 0.0)]
    assert margins(session, "attention", {**SCENE, "block": 0}, {}, {}) == [("attention", float("inf"))]
