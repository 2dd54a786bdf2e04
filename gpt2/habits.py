"""The model, which answers for the names that other libraries' models have: `model.generate` says what to write.

In: gpt2.model.GPT2. Out: the same class; a name that it lacks raises an AttributeError with a hint. A call of the model
with an argument that there is not, such as `labels`, or with ids that it cannot read, raises a UsageError. It stands
outside of model.py, so that the model is read without it. Read next: base/habits.py, checkpoint/opened.py.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any

from torch import Tensor, nn

from gpt2.base.errors import UsageError
from gpt2.base.habits import MODEL, Absent, hint
from gpt2.base.names import check_names
from gpt2.forward_pass import Pass
from gpt2.model import GPT2

__all__ = ["GPT2"]

ARGUMENTS = ("ids", "targets", "reduction", *(field.name for field in fields(Pass)))
"""What a call of the model takes."""
ELSEWHERE = {
    "labels": "write targets, which are the tokens that follow: model(ids[:, :-1], targets=ids[:, 1:])",
    "attention_mask": "rows that are padded on the right have lengths=[...], how many tokens each has",
    "past_key_values": "write cache=gpt2.KVCache(model.config, batch_size, capacity)",
    "use_cache": "write cache=gpt2.KVCache(model.config, batch_size, capacity)",
    "past": "write cache=gpt2.KVCache(model.config, batch_size, capacity)",
    "position_ids": "write positions",
    "output_attentions": "gpt2.trace(model, ids, read='*.attn.pattern') keeps them",
    "output_hidden_states": "gpt2.trace(model, ids, read='*.resid_post') keeps them",
    "return_dict": "the logits are returned alone, so leave it out",
    "return_type": "the logits are returned, or with targets the loss, so leave it out",
    "prepend_bos": "put tokenizer.bos_id before the ids",
    "hook": "gpt2.trace(model, ids, edit={'5.resid_pre': f}) has its place, with f(x, at) that returns the new value",
    "token_type_ids": "there are none here, so leave it out",
    "inputs_embeds": "the model takes ids; an edit of embed.out puts other vectors in their place",
}
"""What other libraries' arguments of such a call mean here."""


def _missing(model: GPT2, name: str) -> Any:
    """A parameter, buffer or module by its name. Raises AttributeError, with what to write, where there is none."""
    said = hint(MODEL, name) if name not in model.__dict__["_modules"] else ""
    if said:
        raise AttributeError(f"{type(model).__name__!r} object has no attribute {name!r}{said}")
    return nn.Module.__getattr__(model, name)


def _told(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward pass, which refuses an argument that there is not by the name that it has here, and what is no ids of
    this model: a text, a list, another shape or type, an id outside the vocabulary."""

    @wraps(forward)
    def told(model: GPT2, *args: Any, **named: Any) -> Any:
        for name in named:
            if name not in ARGUMENTS:
                check_names(named, ARGUMENTS, "argument of model()", ELSEWHERE)
        ids: Any = args[0] if args else named.get("ids")
        several = isinstance(ids, list | tuple)
        if isinstance(ids[0] if several and ids else ids, str):
            each = " for each text" if several else ""
            call = "model" if forward.__name__ == "forward" else f"model.{forward.__name__}"
            raise UsageError(f"the ids are a text: write {call}(torch.tensor([tokenizer.encode(text)])){each}.")
        if (args or "ids" in named) and not _are_ids(ids):
            what = f"{ids.dtype} {[*ids.shape]}" if isinstance(ids, Tensor) else f"a {type(ids).__name__}"
            raise UsageError(f"the ids are {what}: give a tensor [B, T] of whole numbers, as in torch.tensor([[5]]).")
        try:
            return forward(model, *args, **named)
        except IndexError:  # a table of vectors has no such row; on a GPU the device says so itself
            last = model.config.vocab_size - 1
            if int(ids.min()) >= 0 and int(ids.max()) <= last:
                raise
            raise UsageError(f"ids are not all in the vocabulary: it has 0 to {last}.") from None

    return told


def _are_ids(value: object) -> bool:
    """Whether it is a tensor of two axes, without fractions."""
    return isinstance(value, Tensor) and value.dim() == 2 and not value.is_floating_point()


_from_pretrained = Absent(MODEL)
_from_pretrained.__set_name__(GPT2, "from_pretrained")
for _name, _value in (
    ("__getattr__", _missing), ("from_pretrained", _from_pretrained), ("forward", _told(GPT2.forward)),
    ("hidden", _told(GPT2.hidden)),
):  # fmt: skip
    setattr(GPT2, _name, _value)
