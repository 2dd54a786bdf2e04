"""The exception that a user's own mistake raises.

Goes in: a sentence. Comes out: that sentence on the terminal, with exit code 2 (see `gpt2/cli/main.py`).
Every other `ValueError` of the package is a failure of what was asked (a corrupt file, say): exit code 1.
"""


class UsageError(ValueError):
    """Wrong use: one sentence that names what was wrong and what to type next."""
