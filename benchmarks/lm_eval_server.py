"""Whether lm-eval gets from `gpt2 serve` the log likelihoods of `gpt2 eval`, item by item, and the same greedy flags.

In: LAMBADA's and HellaSwag's files in their published formats; `lm-eval[api]` in this environment, with this package
installed (benchmarks/README.md). Out: the greatest difference of a log likelihood and how many flags differ, on
standard output; exit code 1 above 1e-4, or where a flag differs. The harness runs as its users run it: as a command,
with its own model `local-completions`, which takes log probabilities and the tokenizer from the server.

example: python -m benchmarks.lm_eval_server lambada_test.jsonl hellaswag_val.jsonl.gz --limit 300
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.lm_eval_entry import LIMIT, NAMES, TASKS, samples, write_first
from gpt2.checkpoint.files import load
from gpt2.evaluation import hellaswag, lambada

Found = list[list[tuple[float, bool]]]  # of each item, each continuation: log likelihood, whether it is greedy


def main() -> None:
    """Run both on the first items of each file, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lambada", type=Path)
    parser.add_argument("hellaswag", type=Path)
    parser.add_argument("--model", default="storyteller")
    parser.add_argument("--limit", type=int, default=300, help="the first N items of each file")
    parser.add_argument("--batch-size", type=int, default=8, help="items of one request")
    options = parser.parse_args()
    print(f"lm-eval {version('lm_eval')}, local-completions, {options.model}, fp32", flush=True)
    wrong = False
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_first({"lambada": options.lambada, "hellaswag": options.hellaswag}, options.limit, folder)
        own = ours(options.model, folder)
        with server(options.model) as address:
            context = load(options.model).model.config.n_positions
            found = theirs(address, options.model, context, options.batch_size, folder)
        for task in NAMES:
            pairs = [pair for x, y in zip(found[task], own[task], strict=True) for pair in zip(x, y, strict=True)]
            greatest = max(abs(a - b) for (a, _), (b, _) in pairs)
            flags = sum(x != y for (_, x), (_, y) in pairs)
            wrong = wrong or greatest > LIMIT or flags > 0
            print(f"{task:10} {len(own[task]):5} items {len(pairs):6} log likelihoods, greatest difference "
                  f"{greatest:.1e}, {flags} greedy flags differ", flush=True)  # fmt: skip
    sys.exit(wrong)


@contextmanager
def server(model: str) -> Iterator[str]:
    """The address of a `gpt2 serve` inside this block."""
    words = [sys.executable, "-m", "gpt2", "serve", "--model", model, "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith("serving"))
        log = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            yield line.rpartition(" at ")[2].strip()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            log.wait()


def theirs(address: str, model: str, context: int, batch_size: int, directory: Path) -> dict[str, Found]:
    """What the harness gets from the server."""
    tasks = ",".join(f"local_{task}" for task in NAMES)
    given = f"model={model},base_url={address}/completions,max_length={context},num_concurrent=1"
    words = ["run", "--model", "local-completions", "--model_args", given, "--tasks", tasks]
    words += ["--batch_size", str(batch_size), "--include_path", str(TASKS), "--output_path", "out", "--log_samples"]
    subprocess.run([sys.executable, "-m", "lm_eval", *words], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    return {task: [_pairs(sample) for sample in samples(directory, task)] for task in NAMES}


def _pairs(sample: dict[str, Any]) -> list[tuple[float, bool]]:
    found = [one[0] if isinstance(one[0], list) else one for one in sample["resps"]]
    return [(float(value), str(greedy) == "True") for value, greedy in found]


def ours(model: str, directory: Path) -> dict[str, Found]:
    """What `gpt2 eval` computes of the same files."""
    checkpoint = load(model)
    both = checkpoint.model, checkpoint.tokenizer
    texts, questions = (lambada.read(directory / NAMES["lambada"]), hellaswag.read(directory / NAMES["hellaswag"]))
    return {
        "lambada": [[(one.total, all(one.greedy))] for one in lambada.answers(*both, texts)],
        "hellaswag": [
            [(one.total, all(one.greedy)) for one in row] for row in hellaswag.answers(*both, questions, "harness")
        ],
    }


if __name__ == "__main__":
    main()
