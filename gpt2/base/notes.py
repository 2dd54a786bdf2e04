"""What a user should know though nothing failed: said once, as a warning in Python and as a line of a command.

In: a sentence. Out: a `Note`, a warning that Python's filters understand; `gpt2/cli/main.py` prints it as its own line.
"""

import warnings

from gpt2.base.errors import Advice

_said: set[str] = set()


class Note(UserWarning):
    """Something that a user should know; `warnings.filterwarnings("ignore", category=Note)` hides it.

    `said` is the sentence.

    Attributes:
        advice: the same with the names of arguments apart from the text, for a command, which spells them as options.
    """

    def __init__(self, said: str | Advice) -> None:
        self.advice = said if isinstance(said, Advice) else Advice(said)
        super().__init__(str(self.advice))


def note(said: str | Advice) -> None:
    """Say it, unless this process has said the very same before."""
    if str(said) not in _said:
        _said.add(str(said))
        warnings.warn(Note(said), stacklevel=3)


def forget() -> None:
    """Say everything again from now on; for tests."""
    _said.clear()
