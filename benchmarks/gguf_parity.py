"""Compare this project's model with llama.cpp's reading of the GGUF file that `gpt2 export` makes of it.

In: a model and the directory in which npm installed node-llama-cpp, which carries a built llama.cpp. Out: for each type
of numbers at how many positions the likeliest token is the same, how far log probabilities lie apart, what the loss
is; and whether both make the same ids of texts. Exit code 1 if ids differ, or the likeliest token does in f32.

    npm install node-llama-cpp @node-llama-cpp/linux-x64                # in a directory of its own, DIR
    python -m benchmarks.gguf_parity DIR [--model storyteller] [--positions 1000] [--json OUT.json]

The texts are the bundled stories, cut to rows of at most 250 tokens, and random strings of all Unicode. llama.cpp runs
with its defaults: keys and values in 16 bits, and GELU from a table of 16-bit numbers, also where weights are f32.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import gpt2
from benchmarks.tokenizer_parity import random_text
from gpt2.checkpoint.files import Checkpoint
from gpt2.checkpoint.gguf import KINDS, save_gguf
from gpt2.data.documents import documents
from gpt2.explain.run.reference import STORIES

ROW = 250


def rows_of(checkpoint: Checkpoint, positions: int) -> list[list[int]]:
    """Beginnings of the bundled stories, `<|endoftext|>` first, with so many positions together."""
    first = [] if checkpoint.tokenizer.eot_id is None else [checkpoint.tokenizer.eot_id]
    rows: list[list[int]] = []
    left = positions
    for text in documents(STORIES):
        row = (first + checkpoint.tokenizer.encode(text))[: min(left, ROW, checkpoint.model.config.n_positions)]
        rows += [row] if len(row) > 1 else []
        left -= len(row)
        if left < 2:
            break
    return rows


def ask(node_modules: Path, file: Path, texts: list[str], rows: list[list[int]]) -> dict[str, Any]:
    """llama.cpp's answer: {"ids", "back", "system", "release", "logits" [positions, V]}."""
    library = node_modules / "node-llama-cpp" / "dist" / "index.js"
    with tempfile.TemporaryDirectory() as directory:
        asked, answer, logits = (Path(directory, name) for name in ("asked.json", "answer.json", "logits"))
        question = {"library": str(library.resolve()), "model": str(file.resolve()), "texts": texts, "rows": rows}
        files = {"logits": str(logits), "answer": str(answer)}
        asked.write_text(json.dumps(question | {"threads": 1} | files))
        script = Path(__file__).with_suffix(".mjs")
        done = subprocess.run(["node", str(script), str(asked)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"llama.cpp did not answer: {done.stderr.strip()[-600:]}")
        found = np.fromfile(logits, dtype=np.float32).reshape(sum(map(len, rows)), -1)
        said: dict[str, Any] = json.loads(answer.read_text())
        return said | {"logits": torch.from_numpy(found)}


def compare(ours: Tensor, theirs: Tensor, rows: list[list[int]]) -> dict[str, float]:
    """Figures over positions; ours and theirs are log probabilities [positions, V] in float64."""
    apart = (ours - theirs).abs()
    ends = np.cumsum([len(row) for row in rows]).tolist()
    inside = [p for p in range(ends[-1]) if p + 1 not in ends]
    targets = torch.tensor([i for row in rows for i in row])[[p + 1 for p in inside]]
    likely = ours > np.log(1e-3)
    return {
        "positions": len(ours),
        "same_top": int((ours.argmax(-1) == theirs.argmax(-1)).sum()),
        "largest_difference": apart.max().item(),
        "largest_difference_likely": apart[likely].max().item(),
        "mean_kl": (ours.exp() * (ours - theirs)).sum(-1).mean().item(),
        "loss_change": (ours - theirs)[inside].gather(1, targets[:, None]).mean().item(),
    }


def main() -> int:
    """Print the table; 1 where something differs that should not."""
    parser = argparse.ArgumentParser(description="llama.cpp beside this project")
    parser.add_argument("directory", type=Path, help="where npm installed node-llama-cpp")
    parser.add_argument("--model", default="storyteller")
    parser.add_argument("--positions", type=int, default=1000)
    parser.add_argument("--texts", type=int, default=2000, help="random strings to tokenise")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    checkpoint = gpt2.load(options.model)
    rng = random.Random(0)
    texts = [*documents(STORIES), *(random_text(rng) for _ in range(options.texts))]
    rows = rows_of(checkpoint, options.positions)
    with torch.inference_mode():
        ours = torch.cat([checkpoint.model(torch.tensor([row]))[0] for row in rows]).double().log_softmax(-1)
    report: dict[str, Any] = {"model": options.model, "types": {}}
    wrong = False
    print(f"{'type':6}{'bytes':>13}{'same top':>14}{'largest':>11}{'likely':>11}{'mean KL':>11}{'loss':>11}")
    with tempfile.TemporaryDirectory() as directory:
        for kind in options.kinds:
            file = save_gguf(checkpoint.model, checkpoint.tokenizer, Path(directory, f"{kind}.gguf"), kind).path
            first = kind == options.kinds[0]
            found = ask(options.directory / "node_modules", file, texts if first else [], rows)
            figures = compare(ours, found["logits"].double().log_softmax(-1), rows)
            report["types"][kind] = figures | {"bytes": file.stat().st_size}
            wrong |= kind == "f32" and figures["same_top"] != figures["positions"]
            same = f"{figures['same_top']}/{figures['positions']}"
            print(
                f"{kind:6}{file.stat().st_size:>13,}{same:>14}{figures['largest_difference']:>11.5f}"
                f"{figures['largest_difference_likely']:>11.5f}{figures['mean_kl']:>11.2e}"
                f"{figures['loss_change']:>+11.5f}", flush=True,
            )  # fmt: skip
            if first:
                differ = [t for t, ids in zip(texts, found["ids"]) if ids != checkpoint.tokenizer.encode(t)]
                back = sum(a != b for a, b in zip(texts, found["back"]))
                said = {"texts": len(texts), "ids_differ": len(differ), "decoding_differs": back}
                report |= {"tokenizer": said, "llama.cpp": found["release"], "system": found["system"]}
                wrong |= bool(differ)
                for text in differ[:10]:
                    print(f"ids differ: {text!r}")
    print(f"tokenizer: {report['tokenizer']}; llama.cpp {report['llama.cpp']}, {report['system']}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
