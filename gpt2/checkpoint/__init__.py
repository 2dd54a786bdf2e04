"""A model in Hugging Face's format: loaded from a directory or from the hub, and saved."""

from typing import TYPE_CHECKING

from gpt2.base.lazy import lazily

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Builder, Checkpoint, load, save

__all__ = ["Builder", "Checkpoint", "load", "save"]

__getattr__, __dir__ = lazily(__name__, {"gpt2.checkpoint.files": "Builder Checkpoint load save"})
