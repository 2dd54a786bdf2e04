"""Glassbox GPT-2: one readable GPT-2 that loads, trains, generates and explains itself.

Nothing heavy is imported here: `from gpt2 import GPT2` loads torch at that moment and not before.
"""

from typing import TYPE_CHECKING

from gpt2.base.lazy import lazily

if TYPE_CHECKING:
    from gpt2.base.presets import PRESETS
    from gpt2.cache import KVCache
    from gpt2.checkpoint.files import load, save
    from gpt2.config import GPT2Config
    from gpt2.evaluation.token_scores import TextScore, TokenScore, score
    from gpt2.evaluation.word_scores import WordScore
    from gpt2.inference.defaults import sampling_for
    from gpt2.inference.generate import generate
    from gpt2.inference.sampling import Sampling
    from gpt2.model import GPT2
    from gpt2.probe import Probe
    from gpt2.text.tokenizer import Tokenizer

__version__ = "0.1.0"

__all__ = [
    "GPT2",
    "PRESETS",
    "GPT2Config",
    "KVCache",
    "Probe",
    "Sampling",
    "TextScore",
    "TokenScore",
    "Tokenizer",
    "WordScore",
    "__version__",
    "generate",
    "load",
    "sampling_for",
    "save",
    "score",
]  # fmt: skip

__getattr__, __dir__ = lazily(
    __name__,
    {
        "gpt2.cache": "KVCache",
        "gpt2.checkpoint.files": "load save",
        "gpt2.base.presets": "PRESETS",
        "gpt2.config": "GPT2Config",
        "gpt2.evaluation.token_scores": "TextScore TokenScore score",
        "gpt2.evaluation.word_scores": "WordScore",
        "gpt2.inference.defaults": "sampling_for",
        "gpt2.inference.generate": "generate",
        "gpt2.inference.sampling": "Sampling",
        "gpt2.model": "GPT2",
        "gpt2.probe": "Probe",
        "gpt2.text.tokenizer": "Tokenizer",
    },
)
