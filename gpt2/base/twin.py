"""The same weights in modules of their own, so that a model in training can be run without dropout and left alone.

In: a model. Out: one that shares its parameters. Read next: whoever runs passes, such as explain/run/trace.py.
"""

import copy

from gpt2.model import GPT2


def twin(model: GPT2) -> GPT2:
    """A copy with modules of its own and the very same parameters: its mode and its rates can be set freely."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]})


def in_evaluation(model: GPT2) -> GPT2:
    """The model in evaluation mode: itself where it is in that mode, otherwise a twin."""
    return twin(model).eval() if model.training else model
