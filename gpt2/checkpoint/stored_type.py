"""In which numbers a checkpoint's weights are stored, so that an export keeps them.

In: a directory, or a file of nanoGPT or llm.c. Out: the name of a type. Of safetensors the headers alone are read.
Read next: cli/export.py.
"""

from pathlib import Path

import torch

from gpt2.checkpoint.foreign import foreign_tensors
from gpt2.checkpoint.hf_config import stored_dtypes
from gpt2.checkpoint.layout import weight_files
from gpt2.checkpoint.tensor_files import read_tensors

HEADER = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}  # of safetensors


def stored_dtype(place: Path) -> str:
    """The name of the type in which a model's weights are stored; the widest, where there are several.

    place  a directory or a file of a checkpoint. Raises ValueError as reading it does.
    """
    files = [] if place.is_file() else weight_files(place)
    if files and all(file.suffix == ".safetensors" and file.is_file() for file in files):
        kinds = {HEADER[code] for file in files for code in stored_dtypes(file) if code in HEADER}
    else:
        tensors = read_tensors(files) if files else foreign_tensors(place)
        kinds = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    kinds = kinds or {torch.float32}
    if kinds == {torch.float16, torch.bfloat16}:  # neither holds the other's numbers
        return "float32"
    return str(max(kinds, key=lambda kind: kind.itemsize)).removeprefix("torch.")
