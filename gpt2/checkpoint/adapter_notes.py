"""What a user should know of an adapter that loads: what of it has no effect, or is not what it was trained for.

In: an adapter, and what its tensors are for. Out: notes, or a refusal where it belongs to another base.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from gpt2.base.foreign import shortened
from gpt2.base.notes import note
from gpt2.checkpoint.adapter import PREFIX, Adapter
from gpt2.checkpoint.adapter_fields import ON_DISK, TASKS
from gpt2.checkpoint.adapter_tensors import Stored
from gpt2.checkpoint.hf_config import GENERATION_FILE
from gpt2.checkpoint.weights import MASKS


def tell(adapter: Adapter, stored: Stored, modules: Sequence[str], n_layer: int, headless: bool) -> None:
    """Say what is worth knowing.

    modules   that the fields mean
    headless  whether it is an adapter of transformers' GPT2Model

    Raises ValueError when its tensors are those of another model.
    """
    where, task = adapter.where, adapter.fields.get("task_type")
    if (Path(where) / GENERATION_FILE).is_file():
        note(
            f"{where}: {GENERATION_FILE} beside an adapter is not read, as in peft and transformers; the base's counts."
        )
    if headless:
        note(f"{where} was trained without a head: the base's is used.")
    elif task in TASKS:
        note(f"{where} was trained for {TASKS[task]}: the language model is loaded, without the head for that.")
    if adapter.fields.get("init_lora_weights") == "lora_ga":
        note(f"{where}: init_lora_weights is 'lora_ga'; unless its base is the one that training left, {ON_DISK}")
    unread = [name for name in stored.unread if not MASKS.search(name) and (task not in TASKS or ".lora_" in name)]
    for name in unread:
        block = re.search(r"\bh\.(\d+)\.", name)
        if block and int(block[1]) >= n_layer:
            changed = name.removeprefix(PREFIX).partition(".lora_")[0]
            raise ValueError(f"it changes {changed}, which {adapter.base} does not have: wrong base.")
    if unread and len(stored.unread) == len(adapter.tensors):
        raise ValueError(f"none of its tensors fits the base and its fields, {shortened(unread[0])} for one.")
    if unread:
        what = f"{shortened(unread[0])}{_more(unread)} fits no module that is adapted"
        note(f"{where}: {what}, and peft passes over it too.")
    bare = [name for name in modules if not stored.parts.get(name)]
    if bare:
        note(f"{where} has no matrices for {bare[0]}{_more(bare)}: as in peft, the base's weight is used there.")


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
