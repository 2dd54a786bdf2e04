"""Checkpoints that other projects write as one file, with the configuration inside: nanoGPT's and llm.c's.

In: a path. Out: whether it is such a file, and what it holds in the words of a Hugging Face checkpoint: a `GPT2Config`,
and tensors as Hugging Face stores them. Nothing here imports torch; the readers do, when they are asked.
Read next: nanogpt.py, llmc.py.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from gpt2.base.errors import Failure
from gpt2.base.lfs import is_pointer, refuse_pointer
from gpt2.base.notes import note
from gpt2.config import GPT2Config

if TYPE_CHECKING:
    from torch import Tensor

NANOGPT_FILE = "ckpt.pt"  # as nanoGPT calls it in its output directory
TORCH_SUFFIXES = (".pt", ".pth", ".ckpt")
LLMC_MAGIC = 20240326  # the first of llm.c's 256 numbers


def foreign_file(path: Path) -> Path | None:
    """The file of another project that `path` is, or that lies in the directory `path`; None for anything else."""
    if path.is_dir():
        inside = path / NANOGPT_FILE
        return inside if inside.is_file() else None
    if not path.is_file():
        return None
    return path if path.suffix in TORCH_SUFFIXES or is_llmc(path) or is_pointer(path) else None


def is_llmc(path: Path) -> bool:
    """Whether a file begins as llm.c's checkpoints do."""
    with path.open("rb") as file:
        return int.from_bytes(file.read(4), "little") == LLMC_MAGIC


def foreign_config(path: Path) -> GPT2Config:
    """The configuration inside a file. ValueError naming the file and what is wrong with it."""
    refuse_pointer(path)
    if is_llmc(path):
        from gpt2.checkpoint.llmc import read_header

        return read_header(path).config
    from gpt2.checkpoint.nanogpt import read_model_args

    return read_model_args(path)


def foreign_tensors(path: Path) -> "dict[str, Tensor]":
    """The tensors of a file, named and laid out as in a Hugging Face checkpoint."""
    refuse_pointer(path)
    if is_llmc(path):
        from gpt2.checkpoint.llmc import read_weights

        return read_weights(path)
    from gpt2.checkpoint.nanogpt import read_state

    return read_state(path)


def say_what_is_assumed(path: Path) -> None:
    """Say once that a nanoGPT file does not tell its activation, and which is taken."""
    if not is_llmc(path):
        said = f"{path} does not say which GELU its model was trained with, so it is read with the one of nanoGPT today"
        mend = "if nanoGPT's first version wrote the file, give {activation}."
        note(Failure(said, mend, activation="gelu_new"))
