"""Whether `gpt2 eval` gives the figures of the Language Model Evaluation Harness, item by item, on one checkpoint.

In: a checkpoint directory and files in the published formats of LAMBADA and HellaSwag; `lm-eval` must be installed
(benchmarks/README.md). Out: a JSON document with the harness's figures and log likelihoods, the versions that gave
them and the greatest difference from ours. tests/fixtures/lm_eval/harness.json is one; a test compares with it.

The harness runs its own tasks with its own Hugging Face model, pointed at local files: `lambada_openai`, `hellaswag`,
and a rolling log likelihood of LAMBADA's passages as texts.

example: python -m benchmarks.lm_eval_parity gpt2/assets/storyteller lambada.jsonl hellaswag.jsonl out.json --limit 100
"""

import argparse
import hashlib
import importlib.metadata
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gpt2.checkpoint.files import load
from gpt2.evaluation import hellaswag, lambada
from gpt2.evaluation.items import records

PACKAGES = ("lm_eval", "transformers", "torch", "tokenizers")
ROLLING = """\
task: local_text
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
metadata: {version: 1.0}
"""


def main() -> None:
    """Run both, write the comparison, print the greatest differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("directory", "lambada", "hellaswag", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--limit", type=int, help="only the first N items of each file")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        files = (Path(scratch) / "lambada.jsonl", Path(scratch) / "hellaswag.jsonl")
        texts = [record["text"] for _, record in records(words.lambada, lambada.FORM)][: words.limit]
        items = [published_format(record) for _, record in records(words.hellaswag, hellaswag.FORM)][: words.limit]
        for file, lines in zip(files, ([{"text": text} for text in texts], items), strict=True):
            file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        found = harness(words.directory, *files)
        found["greatest_difference"] = differences(found, ours(words.directory, *files))
    words.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"harness": found["harness"], "greatest_difference": found["greatest_difference"]}, indent=1))


def published_format(record: dict[str, Any]) -> dict[str, Any]:
    """An item with the fields that the harness's task reads; a file may hold the whole context in one."""
    return {"ctx_a": record.get("ctx"), "ctx_b": ""} | record | {"label": str(record["label"])}


def harness(directory: Path, passages: Path, items: Path) -> dict[str, Any]:
    """The harness's figures and its log likelihood of each continuation."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    tasks = Path(lm_eval.__file__).parent / "tasks"
    with tempfile.TemporaryDirectory() as scratch:
        sources = {
            "local_lambada": (f"include: {tasks / 'lambada' / 'lambada_openai.yaml'}\n", passages, "test"),
            "local_hellaswag": (f"include: {tasks / 'hellaswag' / 'hellaswag.yaml'}\n", items, "validation"),
            "local_text": (ROLLING, passages, "test"),
        }
        for name, (text, file, split) in sources.items():
            text += f"task: {name}\n" if "task:" not in text else ""
            text += f"dataset_path: json\ndataset_name: null\ndataset_kwargs: {{data_files: {{{split}: {file}}}}}\n"
            text += "training_split: null\n" if "hellaswag" in name else ""
            (Path(scratch) / f"{name}.yaml").write_text(text)
        run = lm_eval.simple_evaluate(
            model="hf",
            model_args={"pretrained": str(directory), "dtype": "float32", "device": "cpu"},
            tasks=list(sources),
            task_manager=TaskManager(include_path=scratch),
            batch_size=8,
            log_samples=True,
            bootstrap_iters=0,
        )
    samples = {name: sorted(run["samples"][name], key=lambda s: s["doc_id"]) for name in sources}
    return {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "weights_sha256": hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest(),
        "items": {name: len(of) for name, of in samples.items()},
        "harness": {
            name: {key.partition(",")[0]: value for key, value in run["results"][name].items()
                   if isinstance(value, float) and "stderr" not in key}
            for name in sources
        },
        "lambada": [[ll, bool(greedy)] for ((ll, greedy),) in (s["filtered_resps"] for s in samples["local_lambada"])],
        "hellaswag": [[ll for ll, _ in s["filtered_resps"]] for s in samples["local_hellaswag"]],
        "text": [s["filtered_resps"][0] for s in samples["local_text"]],
    }  # fmt: skip


def ours(directory: Path, passages: Path, items: Path) -> dict[str, Any]:
    """The same from this package, and from the harness's adapter to it."""
    from gpt2.evaluation.lm_eval_adapter import Glassbox

    checkpoint = load(str(directory))
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    texts, questions = lambada.read(passages), hellaswag.read(items)
    return {
        "figures": {
            "lambada": lambada.evaluate(model, tokenizer, texts).to_dict()["figures"]["last word"],
            "hellaswag": hellaswag.evaluate(model, tokenizer, questions).to_dict()["figures"]["harness"],
        },
        "lambada": [[a.total, all(a.greedy)] for a in lambada.answers(model, tokenizer, texts)],
        "hellaswag": [[a.total for a in row] for row in hellaswag.answers(model, tokenizer, questions, "harness")],
        "text": Glassbox(model=str(directory)).loglikelihood_rolling([SimpleNamespace(args=(text,)) for text in texts]),
    }


def differences(found: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The greatest difference of a log likelihood, and of a figure, between the harness and us."""
    pairs = {
        "lambada": [(a[0], b[0]) for a, b in zip(found["lambada"], own["lambada"], strict=True)],
        "hellaswag": [p for a, b in zip(found["hellaswag"], own["hellaswag"], strict=True) for p in zip(a, b)],
        "text": list(zip(found["text"], own["text"], strict=True)),
    }
    theirs, figures = found["harness"], own["figures"]
    pairs_of_figures = [
        (theirs["local_lambada"]["acc"], figures["lambada"]["accuracy"]["value"]),
        (theirs["local_lambada"]["perplexity"], figures["lambada"]["perplexity"]["value"]),
        *((theirs["local_hellaswag"][name], figures["hellaswag"][name]["value"]) for name in ("acc", "acc_norm")),
    ]
    greedy = sum(a[1] != b[1] for a, b in zip(found["lambada"], own["lambada"], strict=True))
    return {
        "log_likelihood": {name: max(abs(a - b) for a, b in of) for name, of in pairs.items()},
        "greedy_differs": greedy,
        "figure_relative": max(abs(a - b) / max(abs(a), 1e-9) for a, b in pairs_of_figures),
    }


if __name__ == "__main__":
    main()
