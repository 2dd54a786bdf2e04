"""Whether a model can be trained in this machine's memory at all: asked before anything of it is built.

In: a configuration. Out: nothing, or a refusal that names its size and what to lower. Read next: task.py, trial.py of
gpt2/ablation, which ask.
"""

import torch

from gpt2.base.costs import n_params
from gpt2.base.errors import UsageError
from gpt2.base.foreign import shortened
from gpt2.base.memory import memory as machine_memory
from gpt2.config import GPT2Config

TRAINED = 16  # bytes per parameter: a float32 each of its value, its gradient and AdamW's two means
BUILT = 4  # bytes per parameter where an accelerator trains it: it is built here first
BLOCK = 30_000  # bytes of a block's Python objects


def check_fits(config: GPT2Config) -> None:
    """Raise UsageError for a model whose weights cannot be trained in the memory of this machine.

    Activations are not counted: what passes may still run out of memory, and is told then.
    """
    have, n = machine_memory(), n_params(config)
    need = n * (BUILT if torch.accelerator.is_available() else TRAINED) + config.n_layer * BLOCK
    if have is None or need <= have:
        return
    gib = 2**30
    count, size = (f"{k:,}" if k < 10**18 else shortened(k, 30) for k in (n, -(-need // gib)))
    what = f"the model has {count} parameters, which take {size} GiB of memory"
    sizes = {"n_layer": config.n_layer, "n_embd": config.n_embd, "n_inner": config.n_inner or 0}
    first, then = sorted(sizes, key=lambda name: -sizes[name])[:2]
    raise UsageError(f"{what}, and this machine has {have // gib}", f"lower model.{first} or model.{then}.")
