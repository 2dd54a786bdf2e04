"""What an adapter is, without its base's weights: how much it trains and where, and the sizes of the model it makes.

In: an `Adapter` and the configuration of its base. Out: `AdapterFacts`. No weight of the base is read: the model is
made of shapes alone. Read next: cli/info.py, which prints them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from gpt2.checkpoint.adapter import Adapter
from gpt2.checkpoint.adapter_merge import Merge
from gpt2.checkpoint.adapter_targets import HEAD, WTE
from gpt2.checkpoint.weights import NoDraws
from gpt2.config import GPT2Config
from gpt2.model import GPT2


@dataclass(frozen=True)
class AdapterFacts:
    """An adapter in figures.

    base     the name of its base
    config   of the model that base and adapter make
    method   "LoRA" or "DoRA"
    ranks    of its matrices, each once
    modules  how many are changed by matrices
    saved    the modules that it stores whole
    rows     table -> how many rows it stores
    biases   whether it stores biases of the base
    trained  how many numbers training changed
    """

    base: str
    config: GPT2Config
    method: str
    ranks: tuple[int, ...]
    modules: int
    saved: tuple[str, ...]
    rows: Mapping[str, int]
    biases: bool
    trained: int

    def plain(self) -> dict[str, Any]:
        """The figures as JSON has them, without the configuration."""
        return {name: value for name, value in vars(self).items() if name != "config"}

    def sentence(self) -> str:
        """The same in words."""
        ranks = " and ".join(map(str, self.ranks)) if len(self.ranks) < 3 else f"{self.ranks[0]} to {self.ranks[-1]}"
        parts = [f"{self.method} of rank {ranks} on {self.modules} modules"] if self.modules else []
        parts += (
            [f"{', '.join(self.saved[:3])}{' and more' if len(self.saved) > 3 else ''} whole"] if self.saved else []
        )
        parts += [f"{n:,} rows of {table}" for table, n in self.rows.items()]
        parts += ["biases"] if self.biases else []
        return f"{'; '.join(parts)}; {self.trained:,} trained parameters"


def adapter_facts(adapter: Adapter, base: GPT2Config) -> AdapterFacts:
    """The figures of an adapter. A table that it stores counts as the head's own, even if it equals the base's.

    Raises ValueError as `gpt2.checkpoint.adapter_merge.merge` does for its fields.
    """
    with torch.device("meta"), NoDraws():
        model = GPT2(base)
    try:
        step = Merge(model, adapter)
        step.begin()
    except ValueError as error:
        raise ValueError(f"{adapter.where}: {error}") from None
    stored, targets = step.stored, step.targets
    products = [target for target in step.all_targets() if stored.parts.get(target.name)]
    biases = {name: tensor for name, tensor in stored.base.items() if name.endswith(".bias")}
    biases = biases if adapter.fields.get("bias", "none") != "none" else {}
    tensors = [tensor for parts in stored.parts.values() for tensor in parts.values()]
    tensors += [*stored.saved.values(), *stored.tokens.values(), *biases.values()]
    tables = (WTE, HEAD, WTE.removeprefix("transformer."))
    changed = {f"{target.name}.weight" for target in products} | {f"{name}.weight" for name in targets.tokens}
    changed |= set(stored.saved)
    config = model.config
    if config.tie_word_embeddings and not targets.tied and changed & {f"{table}.weight" for table in tables}:
        config = replace(config, tie_word_embeddings=False)
    return AdapterFacts(
        adapter.base, config, "DoRA" if adapter.fields.get("use_dora") else "LoRA",
        tuple(sorted({target.rank for target in products})), len(products), targets.saved,
        {name: len(ids) for name, ids in targets.tokens.items()}, bool(biases),
        sum(tensor.numel() for tensor in tensors),
    )  # fmt: skip
