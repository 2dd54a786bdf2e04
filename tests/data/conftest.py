"""A file of stories."""

import gzip

import pytest
from stories import SEP, TEXTS


@pytest.fixture
def stories(tmp_path):
    """A .txt.gz file with every document followed by the separator."""
    path = tmp_path / "stories.txt.gz"
    path.write_bytes(gzip.compress("".join(text + SEP for text in TEXTS).encode()))
    return path
