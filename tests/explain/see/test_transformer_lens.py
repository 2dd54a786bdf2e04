"""Ours against what TransformerLens computed on the same small model; its outputs are a fixture, with its version.

Made by `python benchmarks/transformer_lens_parity.py --write`, in an environment that has TransformerLens.
"""

from pathlib import Path

import pytest
from safetensors import safe_open

from benchmarks.transformer_lens_parity import CONFIG, compare

FIXTURE = Path(__file__).parents[2] / "fixtures" / "transformer_lens" / "outputs.safetensors"


@pytest.fixture(scope="module")
def differences() -> dict[str, float]:
    return compare(str(FIXTURE))


def test_patterns_residuals_and_logits_agree_to_1e_9(differences: dict[str, float]) -> None:
    raw = {name: x for name, x in differences.items() if not name.startswith("dla.")}
    assert len(raw) == 7 * CONFIG.n_layer + 1
    assert max(raw.values()) < 1e-9, raw


def test_direct_logit_attribution_on_its_folded_weights_is_ours_to_1e_6(differences: dict[str, float]) -> None:
    folded = {name: x for name, x in differences.items() if name.startswith("dla.")}
    assert {f"dla.{l}.head.{h}" for l in range(3) for h in range(2)} <= set(folded)
    assert len(folded) == 2 + 3 * 2 + 3 * 2
    assert max(folded.values()) < 1e-6, folded


def test_the_fixture_says_which_release_made_it() -> None:
    with safe_open(FIXTURE, "pt") as stored:
        assert stored.metadata()["transformer_lens"].startswith("3.")
