"""What `gpt2 info` and `gpt2 quantise` say of the weight files of a model: bytes, types, and what quantising cost.

In: a directory, the facts in its config.json. Out: figures, and lines for eyes. It needs no torch but for adapters.
"""

from collections import Counter
from pathlib import Path
from typing import Any

NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8", "U8": "int4"}


def stored(directory: Path) -> dict[str, Any]:
    """The weight files of a model or adapter: names, bytes, and types where the header of the format tells them."""
    from gpt2.base.lfs import refuse_pointer
    from gpt2.checkpoint.hf_config import adapter_base, weight_files
    from gpt2.checkpoint.layout import ADAPTER_WEIGHTS
    from gpt2.checkpoint.stored_type import stored_dtypes

    if adapter_base(directory) is None:
        files = weight_files(directory)
    else:
        files = [directory / name for name in ADAPTER_WEIGHTS if (directory / name).is_file()][:1]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ValueError(f"{directory / missing[0]} is missing, but the index names it: download or copy it again.")
    for file in files:
        refuse_pointer(file)
    numbers: Counter[str] = Counter()
    for file in files:
        if file.suffix == ".safetensors":
            numbers.update({NAMES.get(code, code): n for code, n in stored_dtypes(file).items()})
    numbers["int4"] *= 2  # two in a byte
    return {
        "files": [file.name for file in files],
        "bytes": sum(file.stat().st_size for file in files),
        "dtypes": sorted(+numbers),
        "numbers": dict(+numbers),
    }


def quantised_line(kind: str, numbers: dict[str, int]) -> str:
    """How many numbers of a quantised checkpoint are of each kind, and where the higher ones lie."""
    counts = ", ".join(f"{numbers[name]:,} in {name}" for name in ("int4", "int8", "float32") if name in numbers)
    where = "token table and head are int8, " if kind == "int4" else ""
    return f"{counts}; {where}positions, norms, biases and scales float32"


def cost_line(cost: dict[str, Any]) -> str:
    """What quantising did to the bits per byte."""
    share = cost["after"] / cost["before"] - 1
    return f"bits per byte on {cost['text']}: {cost['before']:.4f} before, {cost['after']:.4f} after ({share:+.2%})"
