"""CTranslate2: its own converter from the transformers directory, and `Generator.generate_batch`."""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import ctranslate2

from benchmarks.engines import Place, package_versions

QUANTIZATION = {"fp32": "float32", "int8": "int8"}


def versions() -> dict[str, str]:
    """CTranslate2."""
    return package_versions("ctranslate2")


def prepare(place: Place, precision: str) -> None:
    """Convert, quantising where asked. The converter reads with transformers, which must be installed."""
    converter = ctranslate2.converters.TransformersConverter(str(place.checkpoint))
    converter.convert(str(place.converted("ctranslate2", precision)), quantization=QUANTIZATION[precision])


class Decoder:
    """Greedy search (beam 1); the prompt is computed in one pass, since it is left out of the result."""

    def __init__(self, place: Place, precision: str) -> None:
        self.generator = ctranslate2.Generator(
            str(place.converted("ctranslate2", precision)),
            device="cpu",
            compute_type=QUANTIZATION[precision],
            inter_threads=1,
            intra_threads=place.threads,
        )
        vocabulary = json.loads((place.checkpoint / "vocab.json").read_text(encoding="utf-8"))
        self.tokens = {i: token for token, i in vocabulary.items()}

    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        """As `benchmarks.engines.Decoder`."""
        results = self.generator.generate_batch(
            [[self.tokens[i] for i in ids] for ids in prompts],
            max_length=new,
            min_length=new,  # no token ends a text
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        return [list(result.sequences_ids[0]) for result in results]
