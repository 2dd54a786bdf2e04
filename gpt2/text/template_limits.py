"""A checkpoint's chat template runs in a process of its own, with limits on its memory and time.

In: a question about a template. Out: the answer, or a refusal that names the limit. A sandbox keeps a template from
files and from Python's insides, but no sandbox keeps a program from running for ever or filling the memory.
"""

from typing import Any

from gpt2.base.limited import Limited
from gpt2.text.template_machine import answer

MEMORY = 2**30
"""Bytes that reading or rendering a template may take."""
SECONDS = 10
"""Of processor time, for one conversation; of the clock `CLOCK` times as many (gpt2/base/limited.py)."""


def within_limits(question: str, *given: Any) -> Any:
    """`answer` of template_machine.py, asked in the process that all templates share.

    Raises ValueError for what the template refuses or cannot do, and for more than the limits.
    """
    return _TEMPLATES.ask(SECONDS, question, *given)


def _refusal(seconds: float) -> str:
    return (
        f"the chat template needs more than {seconds} seconds or {MEMORY // 2**30} GiB of memory, which are the most "
        "here: mend it, or take it away."
    )


_TEMPLATES = Limited(answer, MEMORY, _refusal)
