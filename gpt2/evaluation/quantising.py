"""Quantise a model and measure what that costs: bits per byte on a text, before and after.

In: a checkpoint as `load` returns it, a kind, documents. Out: the same checkpoint with quantised weights, which `save`
writes with what was measured. Read next: checkpoint/quantised.py, cli/quantise.py.
"""

import hashlib
from collections.abc import Callable, Sequence

from gpt2.base.costs import n_params
from gpt2.base.notes import note
from gpt2.checkpoint.files import Checkpoint
from gpt2.checkpoint.quantisation import Cost, Original, Quantisation, mark
from gpt2.checkpoint.quantised import check_kind
from gpt2.evaluation.bits_per_byte import Progress, loss_of_each, loss_of_joined
from gpt2.kernels.linear import quantise_model
from gpt2.kernels.quantised import Kind


def quantise_checkpoint(
    checkpoint: Checkpoint,
    kind: Kind,
    documents: Sequence[str],
    text: str,
    progress: Progress = lambda done, total: None,
) -> Quantisation:
    """Quantise a checkpoint's model, itself and not a copy, and measure its bits per byte before and after.

        checkpoint = gpt2.load("storyteller")
        print(quantise_checkpoint(checkpoint, "int8", documents, "stories.txt").cost)
        gpt2.save(checkpoint.model, checkpoint.tokenizer, "small")

    kind       "int8" or "int4", as in `gpt2.kernels.linear.quantise_model`
    documents  the text to measure on, `text` being its name; each stands alone, as in `loss_of_each`, but for a
               tokenizer without <|endoftext|>, with which they are read as one
    progress   told the tokens computed so far, of all of both passes

    Returns what was done, which also stands on the model as `quantisation`. Raises UsageError for a model that is
    quantised already and for int4 where it would change nothing, ValueError for no documents.
    """
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    check_kind(model, kind)
    measure = loss_of_each
    if tokenizer.bos_id is None:
        note(f"the tokenizer has no <|endoftext|> to stand before a document, so all of {text} is read as one.")
        measure = loss_of_joined
    before = measure(model, tokenizer, documents, progress=_half(progress, 0))
    quantise_model(model, kind)
    after = measure(model, tokenizer, documents, progress=_half(progress, 1))
    digest = hashlib.sha256("\0".join(documents).encode()).hexdigest()
    cost = Cost(text, digest, before.bytes, before.bits_per_byte, after.bits_per_byte)
    done = Quantisation(kind, Original(checkpoint.name, 4 * n_params(model.config)), cost)
    mark(model, done)
    return done


def _half(progress: Progress, number: int) -> Callable[[int, int], None]:
    """The progress of one of two passes of the same length."""
    return lambda done, total: progress(number * total + done, 2 * total)
