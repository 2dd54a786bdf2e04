"""Hints of the commands that continue a text: what was typed is done, but the user probably meant something else.

In: what was typed. Out: a line on standard error, or none. Read next: generate.py.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2.base.errors import shown
from gpt2.base.notes import note

if TYPE_CHECKING:
    from gpt2.text.tokenizer import Tokenizer

WRITTEN = {"n": "a new line", "r": "a carriage return", "t": "a tab"}
BEGINNINGS = "ast"  # of words that nearly every vocabulary of English has with their space


def tell_space_at_the_end(tokenizer: "Tokenizer", text: str) -> None:
    """Say so where a text ends in a space that the tokenizer would make one token with the word that follows."""
    if not text.endswith(" "):
        return
    ids = tokenizer.encode(text)
    if all(tokenizer.encode(text + letter)[: len(ids)] == ids for letter in BEGINNINGS):
        return
    note(
        "the text ends in a space, but in this model's tokens a space belongs to the word that follows it: leave it "
        "out, because after a lone space the predictions are poor."
    )


def tell_file(text: str) -> None:
    """Say so where a text is no more than the name of a file."""
    if re.fullmatch(r"\S+\.(txt|md|jsonl?|csv|py)", text) or ("/" in text and Path(text).is_file()):
        note(f"the text is {shown(text)} itself; to read a file, pipe it in: - < {text}")


def tell_same(temperature: float, n: int) -> None:
    """Say so where all continuations will be the same text."""
    if n > 1 and temperature == 0:
        note(f"at --temperature 0 all {n} texts are the same: leave out --n, or give a --temperature above 0.")


def tell_backslashes(stops: Sequence[str]) -> None:
    """Say how a new line is typed where a stop string holds a backslash and an n, or the like."""
    for stop in stops:
        if found := re.search(r"\\([nrt])", stop):
            typed = stop.replace("'", r"\'")
            note(
                f"--stop '{stop}' holds a backslash and the letter {found[1]}: for {WRITTEN[found[1]]}, type "
                f"--stop $'{typed}' (in bash and zsh)."
            )
