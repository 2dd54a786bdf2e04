"""Glassbox GPT-2: one readable GPT-2 that loads, trains, generates and explains itself.

Nothing heavy is imported here: `from gpt2 import GPT2` loads torch at that moment and not before.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "GPT2": "gpt2.model",
    "GPT2Config": "gpt2.config",
    "KVCache": "gpt2.cache",
    "PRESETS": "gpt2.config",
    "Probe": "gpt2.probe",
    "Tokenizer": "gpt2.tokenizer",
    "Sampling": "gpt2.inference.sampling",
    "generate": "gpt2.inference.generate",
    "load": "gpt2.checkpoint",
    "save": "gpt2.checkpoint",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gpt2' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
