"""What the parameters of all questions share.

In: JSON from the page. Out: checked values; unknown fields are refused. Read next: picture.py.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Whole = Annotated[int, Field(ge=0, lt=2**31)]
"""A whole number: a row, a block, a token, a count."""

Word = Annotated[str, Field(max_length=200)]
"""A token by its text, or the address of a component."""


class Parameters(BaseModel):
    """Strict: an unknown field or a wrong type is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Scene(Parameters):
    """A text, and the state of each switch that is not on: {"3.head.7": "off", "final.scale": "mean"}."""

    text: str
    switches: dict[Word, Word] = {}
