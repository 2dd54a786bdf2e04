"""Fixtures for the tests of checkpoints."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small random model as transformers writes it, for adapters."""
    from adapted import write_base  # imports peft, which is slow

    return write_base(tmp_path_factory.mktemp("adapters") / "base")
