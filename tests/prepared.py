"""A text as a prepared data set, a byte a token, for tests that train."""

from pathlib import Path

from gpt2.data.prepare import prepare
from gpt2.text.tokenizer import Tokenizer


def prepared(folder: Path, text: str) -> str:
    """Write `text` into `folder`, prepare it there, and return the set's directory."""
    (folder / "text.txt").write_text(text)
    prepare([folder / "text.txt"], folder / "set", Tokenizer.bytes())
    return str(folder / "set")
