"""The model, which answers for the names that other libraries' models have: `model.generate` says what to write.

In: gpt2.model.GPT2. Out: the same class; a name that it lacks raises an AttributeError with a hint. It stands outside
of model.py, so that the model is read without it. Read next: base/habits.py, checkpoint/files.py.
"""

from typing import Any

from torch import nn

from gpt2.base.habits import MODEL, Absent, hint
from gpt2.model import GPT2

__all__ = ["GPT2"]


def _missing(model: GPT2, name: str) -> Any:
    """A parameter, buffer or module by its name. Raises AttributeError, with what to write, where there is none."""
    said = hint(MODEL, name) if name not in model.__dict__["_modules"] else ""
    if said:
        raise AttributeError(f"{type(model).__name__!r} object has no attribute {name!r}{said}")
    return nn.Module.__getattr__(model, name)


_from_pretrained = Absent(MODEL)
_from_pretrained.__set_name__(GPT2, "from_pretrained")
for _name, _value in (("__getattr__", _missing), ("from_pretrained", _from_pretrained)):
    setattr(GPT2, _name, _value)
