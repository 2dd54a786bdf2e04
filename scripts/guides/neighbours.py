"""Who is nearest to five words while a model is trained: from its token vectors at some steps.

    python -m scripts.guides.neighbours WTE.safetensors

In: tensors `step-N` [V, C], taken from the snapshots of the run that trained the bundled model (`train.snapshots`).
Step 0 is drawn again from the recipe's seed, the last is the bundled model. Out: docs/guide/neighbours.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpt2.text.words import label
from scripts.guides.subject import ROOT, Subject, rounded

WORDS = ("cat", "mother", "red", "said", "three")
COUNT = 5
PATH = ROOT / "docs" / "guide" / "neighbours.json"


def nearest(s: Subject, table: Tensor, word: str) -> list[list[Any]]:
    """The COUNT tokens whose vectors have the largest cosine with ` word`: [token, cosine] each."""
    own = s.token(f" {word}")
    cosines = torch.cosine_similarity(table, table[own].expand_as(table), dim=-1)
    cosines[own] = -torch.inf
    best = cosines.topk(COUNT)
    return [[label(s.tokenizer, i), value] for i, value in zip(best.indices.tolist(), best.values.tolist())]


def to_final(s: Subject, table: Tensor, final: Tensor, word: str) -> float:
    """The mean cosine in `table` between ` word` and the tokens that are nearest to it in `final`."""
    own = s.token(f" {word}")
    end = torch.cosine_similarity(final, final[own].expand_as(final), dim=-1)
    end[own] = -torch.inf
    ids = end.topk(COUNT).indices
    return float(torch.cosine_similarity(table[ids], table[own].expand(COUNT, -1), dim=-1).mean())


def snapshot(s: Subject, step: int, table: Tensor) -> dict[str, Any]:
    """One step's entry."""
    final = s.model.transformer.wte.weight.detach()
    return {
        "step": step,
        "nearest": {word: nearest(s, table, word) for word in WORDS},
        "to_final": {word: to_final(s, table, final, word) for word in WORDS},
    }


def ends(s: Subject, steps: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first and the last entry, which need no snapshots: what the recipe's seed draws, and the bundled model."""
    first, last = (m.transformer.wte.weight.detach() for m in (s.untrained, s.model))
    return rounded(snapshot(s, 0, first)), rounded(snapshot(s, steps, last))


def main() -> None:
    """Write the JSON."""
    import tomllib

    from safetensors.torch import load_file

    from scripts.guides.subject import RECIPE

    parser = argparse.ArgumentParser(prog="python -m scripts.guides.neighbours", description=__doc__.splitlines()[0])
    parser.add_argument("tensors", type=Path, help="a .safetensors file of token vectors, named step-N")
    s = Subject.load()
    steps = int(tomllib.loads(RECIPE.read_text("utf-8"))["train"]["steps"])
    first, last = ends(s, steps)
    tables = {int(name.removeprefix("step-")): t.float() for name, t in load_file(parser.parse_args().tensors).items()}
    between = [rounded(snapshot(s, step, tables[step])) for step in sorted(tables)]
    record = {"words": list(WORDS), "snapshots": [first, *between, last]}
    PATH.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
