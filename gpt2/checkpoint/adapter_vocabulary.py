"""An adapter that was trained after the vocabulary was resized: the base gets as many rows as the adapter stores.

In: a model and the `Stored` tensors. Out: the model, with tables of the adapter's size. Read next: adapter_merge.py.
A row that the base lacks and the adapter does not store was drawn at random: that adapter is refused.
"""

from dataclasses import replace

import torch
from torch import nn

from gpt2.checkpoint.adapter_targets import HEAD, WTE, Targets
from gpt2.checkpoint.adapter_tensors import Stored
from gpt2.model import GPT2


def fit_vocabulary(model: GPT2, stored: Stored, targets: Targets) -> None:
    """Give both tables the number of rows that the adapter's tensors have, in place.

    Raises ValueError when the tensors disagree, or leave new rows open.
    """
    old = model.config.vocab_size
    rows = _rows(stored, targets)
    if len(rows) > 1:
        sizes = ", ".join(f"{size:,} in {name}" for size, name in sorted(rows.items()))
        raise ValueError(f"the size of the vocabulary is {sizes}: the adapter was not saved as a whole.")
    new = next(iter(rows), old)
    for name in (WTE, HEAD):
        ids = targets.tokens.get(name, ())
        new = max(new, *(i + 1 for i in ids)) if ids and not rows else new
    if new == old:
        return
    if new > old:
        _check_new_rows(model, stored, targets, range(old, new))
    tied = model.lm_head.weight is model.transformer.wte.weight
    for table in (model.transformer.wte, model.lm_head):
        weight = table.weight.detach()
        wider = torch.cat([weight[:new], weight.new_zeros(max(0, new - old), weight.size(1))])
        table.weight = nn.Parameter(wider)
    model.transformer.wte.num_embeddings = model.lm_head.out_features = new
    model.config = replace(model.config, vocab_size=new)
    if tied:
        model.tie_weights()


def _rows(stored: Stored, targets: Targets) -> dict[int, str]:
    """The sizes of the vocabulary that the tensors tell, each with a tensor that has it."""
    found: dict[int, str] = {}
    for tables in (stored.base, stored.saved):
        for name in (f"{WTE}.weight", f"{HEAD}.weight"):
            if name in tables and tables[name].dim() == 2:
                found[tables[name].size(0)] = name
    embedded = any(target.name == WTE for target in targets.modules)
    for name in (WTE, HEAD):
        part, axis = ("lora_A", 1) if name == WTE and embedded else ("lora_B", 0)
        tensor = stored.parts.get(name, {}).get(part)
        if tensor is not None and tensor.dim() == 2:
            found[tensor.size(axis)] = f"{name}, {part}"
    return found


def _check_new_rows(model: GPT2, stored: Stored, targets: Targets, new: range) -> None:
    """Refuse rows that nothing gives."""
    whole = {name for tables in (stored.base, stored.saved) for name in tables}
    tied = model.lm_head.weight is model.transformer.wte.weight
    for table in (WTE, HEAD):
        followed = WTE if tied and targets.tied and table == HEAD else table
        by_base = tied and any(f"{name}.weight" in stored.base for name in (WTE, HEAD))
        by_rows = set(new) <= set(targets.tokens.get(followed, ()))
        if not (f"{table}.weight" in whole or by_base or by_rows):
            raise ValueError(
                f"it has {new.stop:,} tokens and its base {new.start:,}, but no row of {table} for the new ones, which "
                "began at random: save it in peft with save_embedding_layers=True."
            )
