"""What a user should know though nothing failed: said once, as a warning in Python and as a line of a command.

In: a sentence. Out: a `Note`, a warning that Python's filters understand; `gpt2/cli/main.py` prints it as its own line.
"""

import warnings

_said: set[str] = set()


class Note(UserWarning):
    """Something that a user should know; `warnings.filterwarnings("ignore", category=Note)` hides it."""


def note(sentence: str) -> None:
    """Say it, unless this process has said the very same before."""
    if sentence not in _said:
        _said.add(sentence)
        warnings.warn(sentence, Note, stacklevel=3)


def forget() -> None:
    """Say everything again from now on; for tests."""
    _said.clear()
