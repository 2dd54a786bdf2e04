"""What may be given as a model: the bare `GPT2`, or a checkpoint, which has a tokenizer with it.

In: one of them. Out: the model and the tokenizer. `gpt2.load` and `gpt2.save`, as Python has them, stand here too: they
refuse an argument that there is not by the name that it has here, and the model answers for the names that other
libraries' models have. Read next: explain/run/trace.py.
"""

from typing import TypeAlias

from gpt2.base.calls import one_sentence
from gpt2.base.errors import UsageError
from gpt2.checkpoint import files
from gpt2.checkpoint.files import Checkpoint
from gpt2.checkpoint.quantisation import quantisation_of
from gpt2.habits import GPT2
from gpt2.text.tokenizer import Tokenizer

Model: TypeAlias = GPT2 | Checkpoint
load = one_sentence("gpt2.load(name)")(files.load)
save = one_sentence("gpt2.save(model, tokenizer, directory)")(files.save)


def opened(model: Model) -> tuple[GPT2, Tokenizer | None]:
    """The model itself and, of a checkpoint, its tokenizer. UsageError for what is none, and for quantised weights."""
    found, tokenizer = (model.model, model.tokenizer) if isinstance(model, Checkpoint) else (model, None)
    if not isinstance(found, GPT2):
        raise UsageError(f"a {type(model).__name__} is not a model: give a GPT2, or what gpt2.load(name) returns.")
    if quantisation_of(found) is not None:
        raise UsageError(
            "the model is quantised, and this needs its weights as floats", "load it with {dtype}.", dtype="float32"
        )
    return found, tokenizer
