"""Figures that others report for OpenAI's checkpoints, to stand beside a measurement of the same kind.

In: a model's sizes, a task, a style and a measure. Out: the number, or None. Sources:

    lambada, last token    Radford et al. 2019, table 3
    lambada, last word     the Language Model Evaluation Harness, task lambada_openai
    hellaswag, completion  the evaluation of Karpathy's build-nanogpt and llm.c, normalised accuracy
    hellaswag, harness     the Language Model Evaluation Harness, task hellaswag, normalised accuracy
"""

from gpt2.base.costs import parameter_counts
from gpt2.base.presets import PRESETS
from gpt2.config import GPT2Config

SIZES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")

FIGURES: dict[tuple[str, str, str], tuple[float | None, float | None, float | None, float | None]] = {
    ("lambada", "last token", "accuracy"): (0.4599, 0.5548, 0.6012, 0.6324),
    ("lambada", "last token", "perplexity"): (35.13, 15.60, 10.87, 8.63),
    ("lambada", "last word", "accuracy"): (0.326, None, None, None),
    ("lambada", "last word", "perplexity"): (40.1, None, None, None),
    ("hellaswag", "completion", "acc_norm"): (0.295, 0.375, 0.432, 0.489),
    ("hellaswag", "harness", "acc_norm"): (0.3114, None, None, 0.5089),
}


def size_of(config: GPT2Config) -> str | None:
    """Which of OpenAI's four models has these sizes; None where none has."""
    return next((size for size in SIZES if parameter_counts(PRESETS[size]) == parameter_counts(config)), None)


def published(config: GPT2Config, task: str, style: str, measure: str) -> float | None:
    """What is reported for OpenAI's checkpoint of these sizes."""
    size = size_of(config)
    return None if size is None else FIGURES.get((task, style, measure), (None,) * 4)[SIZES.index(size)]
