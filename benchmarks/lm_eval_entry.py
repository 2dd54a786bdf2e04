"""Whether the harness with this project's adapter gives the log likelihoods of `gpt2 eval`, item by item.

In: LAMBADA's and HellaSwag's files in their published formats; `lm-eval` in this environment, with this package
installed (benchmarks/README.md). Out: the greatest difference of a log likelihood, on standard output; exit code 1
above 1e-4. The harness runs as its users run it: as a command, on the task files of benchmarks/lm_eval.

--by entry-point  python -m lm_eval: a harness that reads the entry points of the group lm_eval.models
--by wrapper      python -m gpt2.evaluation.lm_eval_adapter: lm-eval 0.4.13 too

example: python -m benchmarks.lm_eval_entry lambada_test.jsonl hellaswag_val.jsonl.gz --by wrapper --limit 300
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gpt2.evaluation import hellaswag, lambada
from gpt2.evaluation.items import records

MODULES = {"entry-point": "lm_eval", "wrapper": "gpt2.evaluation.lm_eval_adapter"}
TASKS = Path(__file__).parent / "lm_eval"
NAMES = {"lambada": "lambada_test.jsonl", "hellaswag": "hellaswag_val.jsonl.gz"}
FORMS = {"lambada": lambada.FORM, "hellaswag": hellaswag.FORM}
STYLES = {"lambada": "last word", "hellaswag": "harness"}
LIMIT = 1e-4


def main() -> None:
    """Run both on the first items of each file, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lambada", type=Path)
    parser.add_argument("hellaswag", type=Path)
    parser.add_argument("--by", choices=sorted(MODULES), default="wrapper")
    parser.add_argument("--model", default="storyteller")
    parser.add_argument("--limit", type=int, default=300, help="the first N items of each file")
    options = parser.parse_args()
    import lm_eval

    print(f"lm-eval {version('lm_eval')} ({Path(lm_eval.__file__).parent}), by {options.by}, {options.model}, fp32")
    worst = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        write_first({"lambada": options.lambada, "hellaswag": options.hellaswag}, options.limit, Path(scratch))
        found = theirs(MODULES[options.by], options.model, Path(scratch))
        for task in NAMES:
            own = ours(task, options.model, Path(scratch))
            differences = [abs(a - b) for x, y in zip(found[task], own, strict=True) for a, b in zip(x, y, strict=True)]
            worst = max(worst, *differences)
            greatest = f"greatest difference {max(differences):.1e}"
            print(f"{task:10} {len(own):5} items {len(differences):6} log likelihoods, {greatest}", flush=True)
    sys.exit(worst > LIMIT)


def write_first(sources: dict[str, Path], limit: int, directory: Path) -> None:
    """Write the first items of each file into the directory, under the names that the tasks read."""
    for task, source in sources.items():
        rows = [record for _, record in records(source, FORMS[task])][:limit]
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        (directory / NAMES[task]).write_bytes(gzip.compress(data) if NAMES[task].endswith(".gz") else data)


def theirs(module: str, model: str, directory: Path) -> dict[str, list[list[float]]]:
    """The harness's log likelihoods, a list for each item, by task."""
    tasks = ",".join(f"local_{task}" for task in NAMES)
    words = ["run", "--model", "glassbox", "--model_args", f"model={model}", "--tasks", tasks, "--device", "cpu"]
    words += ["--include_path", str(TASKS), "--output_path", "out", "--log_samples"]
    subprocess.run([sys.executable, "-m", module, *words], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    return {task: [_numbers(sample) for sample in samples(directory, task)] for task in NAMES}


def samples(directory: Path, task: str) -> list[dict[str, Any]]:
    """What the harness says of each item of a task, in their order."""
    (file,) = directory.glob(f"out/**/samples_local_{task}_*.jsonl")
    return sorted(map(json.loads, file.read_text("utf-8").splitlines()), key=lambda sample: int(sample["doc_id"]))


def _numbers(sample: dict[str, Any]) -> list[float]:
    return [float(one[0]) for one in sample["filtered_resps"]]


def ours(task: str, model: str, directory: Path) -> list[list[float]]:
    """What `gpt2 eval --items` writes of the same files."""
    words = ["eval", "--model", model, "--task", task, NAMES[task], "--items", "rows.jsonl"]
    subprocess.run([sys.executable, "-m", "gpt2", *words], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    rows = map(json.loads, (directory / "rows.jsonl").read_text("utf-8").splitlines())
    return [row.get("log_probs", [row.get("log_prob")]) for row in rows if row["style"] == STYLES[task]]


if __name__ == "__main__":
    main()
