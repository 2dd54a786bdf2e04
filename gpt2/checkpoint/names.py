"""What the tensors of a checkpoint are called: the many spellings of files, and this model's own.

In: a name as a file has it. Out: the name in this model's state dict. Read next: tensor_files.py.
"""

import re
from collections.abc import Iterable

HEAD, WTE = "lm_head.weight", "transformer.wte.weight"
CONV1D = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")  # [in, out] in Hugging Face's files, [out, in] here
MASKS = re.compile(r"\bh\.\d+\.attn\.(bias|masked_bias)$")  # causal masks that old files carry as buffers

# What torch.compile, DistributedDataParallel, FSDP, checkpointed activations and DeepSpeed add, anywhere in a name.
WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
OUTER = re.compile(r"^(model\.)+(?=(transformer|lm_head|wte|wpe|h|ln_f)\.)")  # the attribute of a trainer's own class
# transformers leaves out one `transformer.` where the rest is a name of its own, and adds it where it is missing.
DOUBLE = re.compile(r"^transformer\.(?=(transformer|lm_head)\.)")
BARE = re.compile(r"(wte|wpe|h|ln_f)\.")  # how names begin in a file of the model without its head


def own_name(name: str) -> str:
    """This model's name of a tensor: no wrapper's prefix, and `transformer.` where a file leaves it out."""
    name = ".".join(part for part in name.split(".") if part not in WRAPPERS)
    name = DOUBLE.sub("", OUTER.sub("", name))
    return f"transformer.{name}" if BARE.match(name) else name


def beside_the_model(names: Iterable[str]) -> list[str]:
    """Of a file's names those that belong to something else than a language model, such as a classifier's head."""
    return [name for name in names if name != HEAD and not name.startswith("transformer.")]
