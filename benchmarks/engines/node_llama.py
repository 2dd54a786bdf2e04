"""llama.cpp through the npm package node-llama-cpp, which carries it built for each family of processors.

In: the directory in which npm installed it. Out: a GGUF file as `gpt2 export` writes it, and the command of a worker
that continues ids. Keys and values are in 16 bits, its default.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.engines import NotRun, Place

SCRIPT = Path(__file__).with_suffix(".mjs")


def prepare(place: Place, precision: str) -> None:
    """Write the checkpoint as GGUF of a type of numbers: f32, bf16, q8_0 or q4_0."""
    import gpt2
    from gpt2.checkpoint.gguf import save_gguf

    checkpoint = gpt2.load(place.checkpoint)
    save_gguf(checkpoint.model, checkpoint.tokenizer, place.converted("llama", precision), precision, overwrite=True)


def command(place: Place, precision: str, directory: Path | None, options: dict[str, Any]) -> list[str]:
    """The words that start the worker. NotRun, saying what to install, where something is not there."""
    if directory is None:
        raise NotRun("needs --llama DIR, the directory in which npm installed node-llama-cpp")
    node = shutil.which("node")
    if node is None:
        raise NotRun("needs the program node, version 20 or later")
    modules = directory if directory.name == "node_modules" else directory / "node_modules"
    library = modules / "node-llama-cpp" / "dist" / "index.js"
    if not library.is_file():
        raise NotRun("the directory of --llama holds no node-llama-cpp: run `npm install node-llama-cpp` in it")
    files = {"library": str(library.resolve()), "model": str(place.converted("llama", precision).resolve())}
    return [node, str(SCRIPT), json.dumps(files | {"threads": place.threads} | options)]
