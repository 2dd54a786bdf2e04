"""The sections of the guide, docs/component_functions.md, that explain the steps of a walk, by their headings.

Read next: page.py, which prints one below each step.
"""

from enum import StrEnum

GUIDE = "docs/component_functions.md"


class Section(StrEnum):
    """A heading of the guide, in its order."""

    TOKENS = "Tokens"
    TOKEN_EMBEDDINGS = "Token embeddings"
    POSITIONS = "Position embeddings"
    ATTENTION = "Multi-head attention"
    MLP = "MLP"
    RESIDUAL = "Residual connections"
    NORM = "Layer normalisation"
    HEAD = "Language model head"
    TRAINING = "Training against inference"
    DROPOUT = "Dropout"
