"""GPT2Config, which answers for the names that other libraries' configurations have: `block_size` is n_positions here.

In: gpt2.config.GPT2Config. Out: the same class; a field that it lacks raises a UsageError that names ours. It stands
outside of config.py, so that the core is read without it. Read next: habits.py, which does the same for the model.
"""

from dataclasses import fields
from typing import Any

from gpt2.base.names import check_names
from gpt2.config import GPT2Config

__all__ = ["GPT2Config"]

ELSEWHERE = {
    "dropout": "write embd_pdrop, attn_pdrop and resid_pdrop",
    "bias": "a GPT-2 has its biases always, so leave it out",
    "use_bias": "a GPT-2 has its biases always, so leave it out",
    "model_type": "it is always gpt2, so leave it out",
    "d_head": "it is n_embd / n_head, so leave it out",
    "head_dim": "it is n_embd / n_head, so leave it out",
}
"""What other libraries' settings mean here, where no single field is meant."""


def _new(cls: type[GPT2Config], *_: Any, **named: Any) -> GPT2Config:
    check_names(named, [field.name for field in fields(cls)], "field of GPT2Config", ELSEWHERE)
    return object.__new__(cls)


setattr(GPT2Config, "__new__", staticmethod(_new))  # noqa: B010
