"""An adapter becomes part of its base's weights: the model computes what peft's computes with the adapter beside it.

In: a model and its `Adapter`. Out: the model, changed. The order is peft's: what the start of training took out of the
base, then what the file gives the base, then what the adapter adds. Read next: files.py.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from gpt2.checkpoint.adapter import PREFIX, Adapter, fingerprint
from gpt2.checkpoint.adapter_fields import ON_DISK
from gpt2.checkpoint.adapter_module import Change
from gpt2.checkpoint.adapter_notes import tell
from gpt2.checkpoint.adapter_starts import olora, pissa
from gpt2.checkpoint.adapter_targets import HEAD, WTE, Target, Targets, find_targets, is_projection
from gpt2.checkpoint.adapter_tensors import TABLES, Stored, sort_tensors
from gpt2.checkpoint.adapter_vocabulary import fit_vocabulary
from gpt2.checkpoint.hf_config import settings_of
from gpt2.checkpoint.layout import ADAPTER_CONFIG
from gpt2.model import GPT2

HEADLESS = ("h.", "wte.", "wpe.", "ln_f.")  # how names begin in an adapter of transformers' GPT2Model


@torch.no_grad()
def merge(model: GPT2, adapter: Adapter) -> GPT2:
    """Make the adapter part of the model's weights, in place; return the model.

    Raises ValueError when it was trained on other weights, when its tensors do not fit the model or its fields, and for
    what peft cannot apply to a GPT-2.
    """
    if adapter.fingerprint not in (None, fingerprint(model)):
        raise ValueError(
            f"the adapter was trained on other weights than {adapter.base} has now: name the right base in "
            f"{ADAPTER_CONFIG} (base_model_name_or_path), or fine-tune again."
        )
    try:
        Merge(model, adapter).run()
    except ValueError as error:
        raise ValueError(f"{adapter.where}: {error}") from None
    return model


class Merge:
    """One adapter on its way into one model. Names are those of transformers; `headless` ones lack `transformer.`."""

    def __init__(self, model: GPT2, adapter: Adapter) -> None:
        names = [name.removeprefix(PREFIX) for name in adapter.tensors]
        headless = bool(names) and all(name.startswith(HEADLESS) for name in names)
        self.model, self.adapter, self.fields, self.headless = model, adapter, adapter.fields, headless
        self.tied = model.lm_head.weight is model.transformer.wte.weight
        start = self.fields.get("init_lora_weights", True)
        self.start = start.lower() if isinstance(start, str) else start
        self.dora, self.lora_bias = bool(self.fields.get("use_dora")), bool(self.fields.get("lora_bias"))
        self.targets: Targets = find_targets(self.fields, model.config.n_layer, self.tied, headless)
        if headless and (WTE in map(self._own, self.targets.tokens) or WTE in map(self._own, self._changed_tables())):
            raise ValueError("it changes the embedding of a GPT2Model, which has no head to be tied: name another.")
        self._refuse_half_tied()
        parameters = [name for name, _ in model.named_parameters(remove_duplicate=False)]
        if headless:
            parameters = [name.removeprefix("transformer.") for name in parameters if name != f"{HEAD}.weight"]
        self.stored: Stored = sort_tensors(adapter.tensors, self.targets, parameters, self.dora, self.lora_bias)
        self.taken: dict[str, tuple[Tensor, Tensor]] = {}  # A and B that the start took out of the base

    def _refuse_half_tied(self) -> None:
        """A head of its own under a configuration that ties it: peft goes by the configuration, and changes both."""
        settings = settings_of(self.model)
        said = settings is not None and settings.config.get("tie_word_embeddings", True)
        tables = {*(target.name for target in self.all_targets()), *self.targets.saved, *self.targets.tokens} & {
            WTE,
            HEAD,
        }
        if said and not self.tied and tables:
            names = ", ".join(sorted(tables))
            raise ValueError(
                f"it changes {names} of a base whose lm_head.weight differs from wte.weight, though its config.json "
                "does not say tie_word_embeddings: false. Write that there."
            )

    def begin(self) -> None:
        """Say what a user should know, and give the model the adapter's vocabulary: shapes alone are read."""
        names = [target.name for target in self.all_targets()]
        tell(self.adapter, self.stored, names, self.model.config.n_layer, self.headless)
        fit_vocabulary(self.model, self.stored, self.targets)

    def run(self) -> None:
        """All steps, in peft's order."""
        self.begin()
        for target in (*self.targets.modules, *self.targets.parameters):
            self._take_out(target)
        order = [name for name, _ in self.model.named_parameters(remove_duplicate=False)]
        for name in sorted(self.stored.base, key=lambda name: order.index(self._own(name))):
            self._parameter(name, self.stored.base[name]).copy_(self._as_here(name, self.stored.base[name]))
        if self.targets.tied and any(target.name == HEAD for target in self.targets.modules):
            self._share_with_embedding()
        for target in self.all_targets():
            self._add(target)  # what shared a weight with it, such as the head, keeps the old one
        scales = {target.scale for target in self.targets.modules if target.name in (WTE, HEAD)}
        if self.targets.tied and HEAD in self.stored.parts and len(scales) == 1 and not self.dora:
            self._put(f"{HEAD}.weight", self._weight(WTE).clone())  # the same product, without its rounding twice
        for name in sorted(self.stored.saved, key=lambda name: order.index(self._own(name))):
            self._put(name, self._as_here(name, self.stored.saved[name]).clone())
        if self.targets.tied and f"{HEAD}.weight" in self.stored.saved:
            self._put(f"{WTE}.weight", self._weight(HEAD).clone())
        self._put_tokens()
        self._settle_tie()

    # names and layouts

    def all_targets(self) -> tuple[Target, ...]:
        """What is changed by matrices."""
        return (*self.targets.modules, *self.targets.parameters)

    def _changed_tables(self) -> list[str]:
        return [*(target.name for target in self.all_targets()), *self.targets.saved]

    def _own(self, module: str) -> str:
        """The model's own name of a module."""
        return f"transformer.{module}" if self.headless else module

    def _parameter(self, name: str, given: Tensor) -> Tensor:
        """The model's parameter of this name, if the given tensor has its shape."""
        parameter = self.model.get_parameter(self._own(name))
        shape = list(reversed(parameter.shape)) if self._is_stored_transposed(name) else list(parameter.shape)
        if list(given.shape) != shape:
            raise ValueError(f"{name} is {list(given.shape)}, but {shape} in {self.adapter.base}: wrong base.")
        return parameter

    def _is_stored_transposed(self, name: str) -> bool:
        module, _, last = name.rpartition(".")
        return last == "weight" and is_projection(module)

    def _as_here(self, name: str, tensor: Tensor) -> Tensor:
        """A tensor in this model's layout and type."""
        parameter = self._parameter(name, tensor)
        return (tensor.t() if self._is_stored_transposed(name) else tensor).to(parameter)

    def _weight(self, module: str) -> Tensor:
        return self.model.get_parameter(f"{self._own(module)}.weight").detach()

    def _put(self, name: str, tensor: Tensor) -> None:
        """A parameter of its own: what shares the old one keeps that."""
        module, _, last = self._own(name).rpartition(".")
        owner = self.model.get_submodule(module)
        setattr(owner, last, nn.Parameter(tensor.to(getattr(owner, last)).contiguous()))

    # the three steps

    def _take_out(self, target: Target) -> None:
        """What training took out of the base when it began."""
        start, projection = self.start, is_projection(target.name)
        parameter = target in self.targets.parameters
        if start not in ("pissa", "olora") or (target.name in TABLES and not parameter):
            return
        here = self._weight(target.name)
        if start == "olora" and projection and not parameter and here.size(0) != here.size(1):
            raise ValueError(f"init_lora_weights is 'olora' for {target.name}, which peft cannot run: {ON_DISK}")
        turned = projection and (parameter or start == "olora")  # as the file stores it
        take = pissa if start == "pissa" else olora
        left, a, b = take(here.t() if turned else here, target.rank, target.scale)
        self.taken[target.name] = (a, b)
        here.copy_(left.t() if turned else left)

    def _add(self, target: Target) -> None:
        """What the adapter adds to one module."""
        parts, taken = self.stored.parts.get(target.name, {}), self.taken.get(target.name)
        change = Change(target, parts, target in self.targets.parameters, self.start, taken)
        weight = change.weight(self._weight(target.name), self.dora)
        if weight is not None:
            self._put(f"{target.name}.weight", weight)
        if self.lora_bias:
            bias = change.bias(getattr(self.model.get_submodule(self._own(target.name)), "bias", None))
            if bias is not None:
                self._put(f"{target.name}.bias", bias)

    def _put_tokens(self) -> None:
        for name, ids in self.targets.tokens.items():
            rows, followers = self.stored.tokens[name], (HEAD,) if self.targets.tied and name == WTE else ()
            for table in (name, *followers):
                weight = self._weight(table).clone()
                if min(ids) < 0 or max(ids) >= weight.size(0):
                    raise ValueError(
                        f"trainable_token_indices has an id beyond the {weight.size(0):,} rows of {table}."
                    )
                if list(rows.shape) != [len(ids), weight.size(1)]:
                    raise ValueError(f"the rows of {table} are {list(rows.shape)}, not {[len(ids), weight.size(1)]}.")
                weight[list(ids)] = rows.to(weight)
                self._put(f"{table}.weight", weight)

    def _share_with_embedding(self) -> None:
        """The head's matrices are the embedding's, and stand last in the file's order: they count for both."""
        parts = self.stored.parts.get(HEAD, {})
        if "lora_A" in parts and "lora_B" in parts:
            shared = {"lora_A": parts["lora_B"].t(), "lora_B": parts["lora_A"].t()}
            self.stored.parts[WTE] = self.stored.parts.get(WTE, {}) | shared
        elif parts:
            raise ValueError(f"{HEAD} lacks a matrix, though ensure_weight_tying shares it: save the adapter again.")
        else:
            embedding = self.stored.parts.get(WTE, {})
            if "lora_A" in embedding and "lora_B" in embedding:
                self.stored.parts[HEAD] = {"lora_A": embedding["lora_B"].t(), "lora_B": embedding["lora_A"].t()}

    def _settle_tie(self) -> None:
        """Tie the tables again where the adapter left them equal; else the configuration says that they are not."""
        wte, head = self.model.transformer.wte.weight, self.model.lm_head.weight
        if self.tied and wte is not head and torch.equal(wte, head):
            self.model.tie_weights()
        elif self.tied and wte is not head:
            self.model.config = replace(self.model.config, tie_word_embeddings=False)
