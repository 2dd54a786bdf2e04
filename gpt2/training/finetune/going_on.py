"""An adapter that a fine-tune goes on with: its base unmerged, its own matrices training beside it.

In: a directory with a LoRA that this project or `peft` wrote. Out: `GoingOn`: the base, what to wrap in it, and the
adapter after training, whose configuration is the old one's. Read next: finetune.py.

It is what `PeftModel.from_pretrained(base, directory, is_trainable=True)` trains; what that would train beside the
matrices of projections, such as biases, is refused by the field's name.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gpt2.base.errors import Failure, UsageError
from gpt2.checkpoint.adapter import Adapter, fingerprint, named_pairs, read_adapter
from gpt2.checkpoint.adapter_merge import Merge
from gpt2.checkpoint.adapter_targets import is_projection
from gpt2.checkpoint.files import load, load_model
from gpt2.checkpoint.hf_config import adapter_base
from gpt2.checkpoint.hub import base_directory, own_directory
from gpt2.checkpoint.tokenizer_of import adapter_tokenizer
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from gpt2.text.tokenizer_files import has_tokenizer
from gpt2.training.finetune.lora import LoRALinear, learned, wrap
from gpt2.training.finetune.settings import Settings, chosen

STARTS = (True, False, "gaussian", "eva", "orthogonal")  # of A and B alone, before the file's matrices replace them


@dataclass(frozen=True)
class GoingOn:
    """model      the base
    tokenizer  the adapter's own, else the base's
    adapter    as it was read
    own        whether the tokenizer's files stand beside the adapter
    dropout    the rate before the adapter
    """

    model: GPT2
    tokenizer: Tokenizer
    adapter: Adapter
    own: bool
    dropout: float

    @property
    def mark(self) -> str:
        """SHA-256 of the matrices that training goes on with."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.adapter.tensors.items()):
            digest.update(name.encode() + tensor.float().cpu().numpy().tobytes())
        return digest.hexdigest()

    def begin(self) -> GPT2:
        """The base with the adapter beside its projections, in place; the adapter alone trains."""
        step = Merge(self.model, self.adapter)
        step.begin()
        wrap(self.model, step.targets.modules, self.dropout)
        with torch.no_grad():
            for name, parts in step.stored.parts.items():
                module = self.model.get_submodule(name)
                assert isinstance(module, LoRALinear)
                for letter, mine in (("lora_A", module.lora_a), ("lora_B", module.lora_b)):
                    if letter not in parts or parts[letter].shape != mine.shape:
                        found = list(parts[letter].shape) if letter in parts else "missing"
                        raise ValueError(
                            f"{self.adapter.where}: {letter} of {name} is {found}, not {list(mine.shape)} as its base "
                            "and its fields say: copy the adapter again."
                        )
                    mine.copy_(parts[letter])
        return self.model

    def after(self, model: GPT2) -> Adapter:
        """The adapter with what its matrices have become."""
        fields = dict(self.adapter.fields) | {"lora_dropout": self.dropout, "inference_mode": True}
        return replace(self.adapter, fields=fields, tensors=named_pairs(learned(model)))


def adapter_named(model: str) -> Path | None:
    """The directory of the adapter that a model's name means; None for a model. Raises as `gpt2.load` does."""
    directory = own_directory(model)
    return None if adapter_base(directory) is None else directory


def open_adapter(directory: Path, settings: Settings) -> GoingOn:
    """The adapter to go on with, beside its base.

    Raises UsageError where `settings` ask for another rank, alpha or other targets, Failure for an adapter that has
    more to train than matrices of projections, ValueError as `gpt2.load` does.
    """
    adapter, base = read_adapter(directory), base_directory(directory)
    _check_settings(adapter, settings)
    model = load(str(base)).model if adapter.fingerprint else load_model(base)
    if adapter.fingerprint not in (None, fingerprint(model)):
        raise ValueError(
            f"the adapter {directory} was trained on other weights than {adapter.base} has now: name the right base in "
            "its adapter_config.json (base_model_name_or_path), or fine-tune again."
        )
    try:
        step = Merge(model, adapter)
    except ValueError as error:
        raise ValueError(f"{directory}: {error}") from None
    field = next(_more_to_train(step), None)
    if field is not None:
        what = f"{directory} has {field}, and only matrices A and B of projections are trained on here"
        mend = f"merge it first, gpt2 export {directory} DIR, then use DIR."
        raise Failure(what, mend)
    words = adapter_tokenizer(directory, base, model.config)
    dropout = chosen(settings.lora_dropout, float(adapter.fields.get("lora_dropout") or 0.0))
    return GoingOn(model, words, adapter, has_tokenizer(directory), dropout)


def _check_settings(adapter: Adapter, settings: Settings) -> None:
    rank, alpha = adapter.fields.get("r", 8), adapter.fields.get("lora_alpha", 8)
    has = f"the adapter {settings.model} has"
    if settings.lora != rank:
        mend = f"{has} rank {rank}, and training goes on with that, so give {{lora}}."
        raise UsageError(argument="lora", value=settings.lora, mend=mend, lora=rank)
    if settings.lora_alpha not in (None, alpha):
        mend = f"{has} {alpha}, and training goes on with that, so leave it out."
        raise UsageError(argument="lora_alpha", value=settings.lora_alpha, mend=mend)
    targets: Any = adapter.fields.get("target_modules") or ["c_attn"]  # peft's default for a GPT-2
    if settings.lora_targets and set(settings.lora_targets) != set([targets] if isinstance(targets, str) else targets):
        shown = targets if isinstance(targets, str) else ", ".join(targets)
        mend = f"{has} {shown}, and training goes on with these, so leave it out."
        raise UsageError(argument="lora_targets", value=" ".join(settings.lora_targets), mend=mend)


def _more_to_train(step: Merge) -> Iterator[str]:
    """What peft would train besides, or train in another way, or load into the base: fields, then tensors."""
    fields, targets = step.fields, step.targets
    values: dict[str, Any] = {
        "target_modules": not all(is_projection(target.name) for target in targets.modules),
        "task_type": fields.get("task_type") not in (None, "CAUSAL_LM") or step.headless,
        "use_dora": step.dora,
        "lora_bias": step.lora_bias,
        "modules_to_save": bool(targets.saved),
        "trainable_token_indices": bool(targets.tokens),
        "target_parameters": bool(targets.parameters),
        "bias": fields.get("bias") not in (None, "none"),
        "init_lora_weights": step.start not in STARTS,
        "velora_config": bool(fields.get("velora_config")),
        "monteclora_config": bool(fields.get("monteclora_config")),
    }
    for name, more in values.items():
        if more:
            yield f"{name} {fields.get(name)!r}"
    for name in step.stored.base:
        yield f"{name} of its base"
