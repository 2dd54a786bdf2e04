"""A reference text: what a component does on average, so that it can be replaced by just that.

In: a checkpoint and documents (by default the bundled `stories.txt`). Out: the mean of any point over the documents,
over all positions or for each position. Read next: edits.py, whose `mean(reference)` puts it in place of a value.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpt2.addresses import LAYER_POINTS, MODEL_POINTS, PER_HEAD, Key
from gpt2.base.errors import UsageError
from gpt2.base.onednn import forward_only
from gpt2.base.plain import plain
from gpt2.base.twin import in_evaluation
from gpt2.checkpoint.opened import Model, opened
from gpt2.data.documents import documents
from gpt2.explain.run.lacks import Lacking
from gpt2.explain.show.result import Result, table
from gpt2.model import GPT2
from gpt2.probe import Probe

STORIES = Path(__file__).parents[2] / "assets" / "stories.txt"
PATTERNS = ("attn.scores", "attn.pattern")
# What one pass over the text gathers at once: all that has one row per position and is not as wide as the vocabulary.
TOGETHER = [name for name in LAYER_POINTS if name not in (*PATTERNS, "head.out")]
OUTSIDE = [name for name in MODEL_POINTS if name != "logits"]


@dataclass(frozen=True, eq=False, repr=False)
class Reference(Result):
    """Documents, as a model reads them: each alone, `<|endoftext|>` before it where the tokenizer has one.

    name    where the text comes from; `sha256` of the token ids says which text it was
    begins  whether `<|endoftext|>` stands at position 0 of each document
    """

    model: GPT2
    name: str
    rows: tuple[tuple[int, ...], ...]
    begins: bool
    sha256: str
    _means: dict[Key, Tensor] = field(default_factory=dict)
    _by_position: dict[Key, Tensor] = field(default_factory=dict)

    def mean(self, layer: int | None, point: str) -> Tensor:
        """The mean over documents and positions i >= 1: [C], [H, D], or a single number for a scale.

        Position 0 is left out: it attends to itself alone, and much else about it is unlike the rest. Raises UsageError
        for a point that this model, a variant, does not have.
        """
        if (layer, point) not in self._means:
            self.compute()
        if (layer, point) not in self._means:
            raise UsageError(
                f"this model has no {point if layer is None else f'{layer}.{point}'}: name another component."
            )
        return self._means[layer, point]

    def compute(self, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Take all means now, in one pass over each document, and not when the first of them is asked for.

        progress  told how many documents are read, of how many
        """
        self._means.update(self._gather([*((l, p) for l in self._layers for p in TOGETHER), *_outside()], progress))

    def mean_by_position(self, layer: int | None, point: str) -> Tensor:
        """The mean over documents for each position: [T, C], [H, T, D] or [T], T being the longest document's length.

        The last positions are means over few documents.
        """
        if (layer, point) not in self._by_position:
            keys: list[Key] = [(l, point) for l in self._layers] if layer is not None else [(None, point)]
            longest = max(len(row) for row in self.rows)
            sums: dict[Key, Tensor] = {}
            counts = torch.zeros(longest, dtype=torch.float64)
            for probe, T in self._passes(keys):
                counts[:T] += 1
                for key in keys:
                    x = probe.values[key][0].double()  # time first but for heads' points: (H, T, D)
                    x = x.transpose(0, 1) if key[1] in PER_HEAD else x
                    sums.setdefault(key, x.new_zeros(longest, *x.shape[1:]))[:T] += x
            for key, total in sums.items():
                means = total / counts.to(total.device).view(-1, *[1] * (total.dim() - 1))
                means = means.transpose(0, 1) if key[1] in PER_HEAD else means
                self._by_position[key] = means.to(self.model.lm_head.weight.dtype)
        return self._by_position[layer, point]

    @property
    def _layers(self) -> range:
        return range(self.model.config.n_layer)

    def _gather(self, keys: list[Key], progress: Callable[[int, int], None]) -> dict[Key, Tensor]:
        sums: dict[Key, Tensor] = {}
        count = 0
        for done, (probe, T) in enumerate(self._passes(keys), start=1):
            count += T - 1
            progress(done, len(self.rows))
            for key in probe.values:  # a variant may lack some
                x = probe.values[key][0]
                axis = 1 if key[1] in PER_HEAD else 0
                part = x.narrow(axis, 1, T - 1).sum(axis, dtype=torch.float64)
                sums[key] = sums[key] + part if key in sums else part
        return {key: (total / count).to(self.model.lm_head.weight.dtype) for key, total in sums.items()}

    def _passes(self, keys: list[Key]) -> Iterable[tuple[Probe, int]]:
        """One pass per document, its values at these points in the probe; and its length."""
        model = in_evaluation(self.model)
        probe = Probe([point if layer is None else f"{layer}.{point}" for layer, point in keys])
        for row in self.rows:
            with forward_only(self.model.lm_head.weight):
                model.hidden(torch.tensor([row], device=model.lm_head.weight.device), probe=probe)
            yield probe, len(row)

    def table(self) -> Any:
        """What the text is."""
        made = table("reference", "value")
        for name, value in self.to_dict().items():
            made.add_row(name, str(value))
        return made

    def to_dict(self) -> dict[str, Any]:
        """What must be known to find the same text again."""
        tokens = sum(len(row) for row in self.rows)
        return plain({
            "text": self.name, "sha256": self.sha256, "documents": len(self.rows), "tokens": tokens,
            "endoftext_first": self.begins,
        })  # fmt: skip


def reference(model: Model, text: str | Path | Sequence[str] | Sequence[Sequence[int]] = STORIES) -> Reference:
    """The documents over which means are taken.

    text  a file (.txt with `<|endoftext|>` lines between documents, or .jsonl), a list of documents, or of token ids
          (for a bare GPT2; taken as they are). A document is cut at the context length

    Raises UsageError when there is no document of at least two tokens, for a model that reads one at a time, or where
    texts come without a tokenizer; ValueError for a file that cannot be read.
    """
    gpt, tokenizer = opened(model)
    name = Path(text).name if isinstance(text, (str, Path)) else "documents given"
    given: Sequence[Any] = list(documents(text)) if isinstance(text, (str, Path)) else text
    rows: list[tuple[int, ...]] = []
    first = [] if tokenizer is None or tokenizer.eot_id is None else [tokenizer.eot_id]
    begins = bool(first) and any(isinstance(one, str) for one in given)
    for one in given:
        if isinstance(one, str) and tokenizer is None:
            raise UsageError("a bare GPT2 has no tokenizer: give documents as token ids, or a checkpoint as the model.")
        ids = first + tokenizer.encode(one) if isinstance(one, str) and tokenizer else [int(i) for i in one]
        rows.append(tuple(ids[: gpt.config.n_positions]))
    rows = [row for row in rows if len(row) > 1]
    if gpt.config.n_positions == 1:
        what = "this model reads one token at a time (n_positions is 1), and means are taken past the first token"
        raise Lacking(f"{what}: use a model with a longer context.")
    if not rows:
        raise UsageError("the reference has no document of two tokens or more: give some text.")
    digest = hashlib.sha256(repr(rows).encode()).hexdigest()
    return Reference(gpt, name, tuple(rows), begins, digest)


def _outside() -> list[Key]:
    return [(None, point) for point in OUTSIDE]
