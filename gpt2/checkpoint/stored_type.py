"""In which numbers a checkpoint's weights are stored, so that an export keeps them.

In: a directory, or a file of nanoGPT or llm.c. Out: the name of a type. Of safetensors the headers alone are read.
Read next: cli/export.py.
"""

import math
from collections import Counter
from pathlib import Path

from gpt2.base.foreign import parse_json
from gpt2.base.lfs import refuse_pointer
from gpt2.checkpoint.foreign import foreign_tensors
from gpt2.checkpoint.hf_config import weight_files

HEADER = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}  # of safetensors


def stored_dtypes(path: Path) -> dict[str, int]:
    """How many numbers a safetensors file holds of each type, such as {"F16": 13765632}; reads its header alone.

    Source: the safetensors project's description of the format: eight bytes with the header's length, the
    header as JSON, then the data. Raises ValueError naming the file when it is not one, or is cut short.
    """
    refuse_pointer(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = file.read(length) if length < size else b""
    counts: Counter[str] = Counter()
    try:
        tensors = parse_json(head)
        tensors.pop("__metadata__", None)
        for tensor in tensors.values():
            counts[tensor["dtype"]] += math.prod(tensor["shape"])
        end = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        end = -1
    if end != size:
        raise ValueError(f"{path} is truncated or not a safetensors file: fetch it again.")
    return dict(counts)


def stored_dtype(place: Path) -> str:
    """The name of the type in which a model's weights are stored; the widest, where there are several.

    place  a directory or a file of a checkpoint. Raises ValueError as reading it does.
    """
    import torch

    from gpt2.checkpoint.weights import read_tensors

    files = [] if place.is_file() else weight_files(place)
    if files and all(file.suffix == ".safetensors" and file.is_file() for file in files):
        kinds = {getattr(torch, HEADER[code]) for file in files for code in stored_dtypes(file) if code in HEADER}
    else:
        tensors = read_tensors(files) if files else foreign_tensors(place)
        kinds = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    kinds = kinds or {torch.float32}
    if kinds == {torch.float16, torch.bfloat16}:  # neither holds the other's numbers
        return "float32"
    return str(max(kinds, key=lambda kind: kind.itemsize)).removeprefix("torch.")
