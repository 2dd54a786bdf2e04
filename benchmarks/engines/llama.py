"""llama.cpp through llama-cpp-python: a GGUF file as `gpt2 export` writes it, and `Llama.generate`, one text at a time.

Key/value cache and batch sizes are its defaults. Its high-level interface continues one text only, so that batches
are not run.
"""

from itertools import islice

import llama_cpp

import gpt2
from benchmarks.engines import NotRun, Place, package_versions
from gpt2.checkpoint.gguf import save_gguf

KINDS = {"fp32": "f32", "int8": "q8_0"}


def versions() -> dict[str, str]:
    """The binding (it carries its own llama.cpp) and the writer of GGUF."""
    return package_versions("llama-cpp-python", "gguf")


def prepare(place: Place, precision: str) -> None:
    """Write the checkpoint as GGUF; int8 is Q8_0 for the matrices and the token embedding."""
    checkpoint = gpt2.load(place.checkpoint)
    file = place.converted("llama-cpp", precision)
    save_gguf(checkpoint.model, checkpoint.tokenizer, file, KINDS[precision], overwrite=True)


class Decoder:
    """`Llama.generate(temp=0)`, which yields ids and never stops by itself."""

    def __init__(self, place: Place, precision: str) -> None:
        self.model = llama_cpp.Llama(
            str(place.converted("llama-cpp", precision)),
            n_ctx=0,  # the model's own
            n_threads=place.threads,
            n_threads_batch=place.threads,
            verbose=False,
        )

    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        """As `benchmarks.engines.Decoder`, for one prompt."""
        if len(prompts) > 1:
            raise NotRun("llama-cpp-python's high-level interface continues one text at a time")
        self.model.reset()  # otherwise it would reuse the prompt of the last call
        ids = self.model.generate(prompts[0], temp=0.0)
        return [list(islice(ids, new))]
