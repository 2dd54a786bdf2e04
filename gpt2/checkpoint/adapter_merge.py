"""An adapter becomes part of its base's weights: the model computes what peft's computes with the adapter beside it.

In: a model and its `Adapter`. Out: the model, changed. The order is peft's: what the start of training took out of the
base, then what the file gives the base, then what the adapter adds. Read next: files.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from gpt2.base.fields import shortened
from gpt2.base.notes import note
from gpt2.checkpoint.adapter import PREFIX, Adapter, fingerprint
from gpt2.checkpoint.adapter_fields import ON_DISK, TASKS
from gpt2.checkpoint.adapter_starts import olora, pissa
from gpt2.checkpoint.adapter_targets import HEAD, WTE, Target, Targets, find_targets, is_projection
from gpt2.checkpoint.adapter_tensors import TABLES, Stored, sort_tensors
from gpt2.checkpoint.adapter_vocabulary import fit_vocabulary
from gpt2.checkpoint.hub import ADAPTER_CONFIG
from gpt2.checkpoint.weights import MASKS
from gpt2.model import GPT2

DRAWN = ("orthogonal", "mica")  # starts after which a matrix that the file lacks is not zero; false is another
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
    names = [name.removeprefix(PREFIX) for name in adapter.tensors]
    headless = bool(names) and all(name.startswith(HEADLESS) for name in names)
    try:
        _Merge(model, adapter, headless).run()
    except ValueError as error:
        raise ValueError(f"{adapter.where}: {error}") from None
    return model


@dataclass
class _Pair:
    """A and B of one module as a file or the start of training gives them; None where neither does."""

    a: Tensor | None
    b: Tensor | None


class _Merge:
    """One adapter on its way into one model. Names are those of transformers; `headless` ones lack `transformer.`."""

    def __init__(self, model: GPT2, adapter: Adapter, headless: bool) -> None:
        self.model, self.adapter, self.fields, self.headless = model, adapter, adapter.fields, headless
        self.tied = model.lm_head.weight is model.transformer.wte.weight
        self.start = self.fields.get("init_lora_weights", True)
        self.dora, self.lora_bias = bool(self.fields.get("use_dora")), bool(self.fields.get("lora_bias"))
        self.targets: Targets = find_targets(self.fields, model.config.n_layer, self.tied, headless)
        if headless and (WTE in map(self._own, self.targets.tokens) or WTE in map(self._own, self._changed_tables())):
            raise ValueError("it changes the embedding of a GPT2Model, which has no head to be tied: name another.")
        parameters = [name for name, _ in model.named_parameters(remove_duplicate=False)]
        if headless:
            parameters = [name.removeprefix("transformer.") for name in parameters if name != f"{HEAD}.weight"]
        self.stored: Stored = sort_tensors(adapter.tensors, self.targets, parameters, self.dora, self.lora_bias)
        self.taken: dict[str, _Pair] = {}  # A and B that the start took out of the base

    def run(self) -> None:
        self._tell()
        fit_vocabulary(self.model, self.stored, self.targets)
        for target in (*self.targets.modules, *self.targets.parameters):
            self._take_out(target)
        order = [name for name, _ in self.model.named_parameters(remove_duplicate=False)]
        for name in sorted(self.stored.base, key=lambda name: order.index(self._own_parameter(name))):
            self._parameter(name, self.stored.base[name]).copy_(self._as_here(name, self.stored.base[name]))
        if self.targets.tied and any(target.name == HEAD for target in self.targets.modules):
            self._share_with_embedding()
        bases = {target.name: self._weight(target.name).double() for target in self._all()}
        for target in self._all():
            self._add(target, bases[target.name])
        scales = {target.scale for target in self.targets.modules if target.name in (WTE, HEAD)}
        if self.targets.tied and HEAD in self.stored.parts and len(scales) == 1 and not self.dora:
            self._put(f"{HEAD}.weight", self._weight(WTE).clone())  # the same product, without its rounding twice
        for name in (*sorted(self.stored.saved, key=lambda name: order.index(self._own_parameter(name))),):
            self._put(name, self._as_here(name, self.stored.saved[name]).clone())
        if self.targets.tied and f"{HEAD}.weight" in self.stored.saved:
            self._put(f"{WTE}.weight", self._weight(HEAD).clone())
        self._put_tokens()
        self._settle_tie()

    # what is said

    def _tell(self) -> None:
        where, task = self.adapter.where, self.fields.get("task_type")
        if task in TASKS and not self.headless:
            note(f"{where} was trained for {TASKS[task]}: the language model is loaded, without the head for that.")
        if self.headless:
            note(f"{where} was trained without a head: the base's is used.")
        if self.start == "lora_ga":
            note(f"{where}: init_lora_weights is 'lora_ga'; unless its base is the one that training left, {ON_DISK}")
        heads = task in TASKS  # whose tensors the first note covers
        unread = [n for n in self.stored.unread if not MASKS.search(n) and not (heads and ".lora_" not in n)]
        for name in unread:
            block = re.search(r"\bh\.(\d+)\.", name)
            if block and int(block[1]) >= self.model.config.n_layer:
                changed = name.removeprefix(PREFIX).partition(".lora_")[0]
                raise ValueError(f"it changes {changed}, which {self.adapter.base} does not have: wrong base.")
        if unread and len(self.stored.unread) == len(self.adapter.tensors):
            raise ValueError(f"none of its tensors fits the base, {shortened(unread[0])} for one: wrong base.")
        if unread:
            more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
            note(f"{where}: {shortened(unread[0])}{more} fits no module that is adapted, and peft passes over it too.")
        bare = [target.name for target in self._all() if not self.stored.parts.get(target.name)]
        if bare:
            more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
            note(f"{where} has no matrices for {bare[0]}{more}: as in peft, the base's weight is used there.")

    # names and layouts

    def _all(self) -> tuple[Target, ...]:
        return (*self.targets.modules, *self.targets.parameters)

    def _changed_tables(self) -> list[str]:
        return [*(target.name for target in self._all()), *self.targets.saved]

    def _own(self, module: str) -> str:
        """The model's own name of a module."""
        return f"transformer.{module}" if self.headless else module

    _own_parameter = _own

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
        is_parameter = target in self.targets.parameters
        if not isinstance(self.start, str) or (target.name in TABLES and not is_parameter):
            return
        here = self._weight(target.name)
        if self.start == "pissa":
            left, a, b = pissa(here.t() if is_parameter and is_projection(target.name) else here, *_of(target))
        elif self.start.lower() == "olora":
            left, a, b = olora(here.t() if is_projection(target.name) else here, *_of(target))
            if is_projection(target.name) and not is_parameter and here.size(0) != here.size(1):
                raise ValueError(f"init_lora_weights is 'olora' for {target.name}, which peft cannot run: {ON_DISK}")
        else:
            return
        self.taken[target.name] = _Pair(a, b)
        turned = left.shape != here.shape or (self.start != "pissa" and is_projection(target.name))
        turned = turned or (is_parameter and is_projection(target.name))
        here.copy_(left.t() if turned else left)

    def _add(self, target: Target, base: Tensor) -> None:
        """What the adapter adds to one module, or what it makes of it with magnitudes: base [out, in]."""
        name, parts = target.name, self.stored.parts.get(target.name, {})
        is_parameter = target in self.targets.parameters
        is_table = not is_parameter and name in TABLES
        pair = self._pair(target, base, is_parameter, is_table)
        turned = is_table or (is_parameter and is_projection(name))
        delta = self._product(pair, target.scale)
        changed = base
        if delta is not None:
            changed = base + (delta.t() if turned else delta)
        if self.dora:
            axis = 0 if is_table else 1
            magnitude = parts.get("magnitude")
            norm = torch.linalg.vector_norm(changed, dim=axis)
            if magnitude is None:
                magnitude = self._first_magnitude(target, base, axis)
            if magnitude.shape != norm.shape:
                shapes = f"{list(magnitude.shape)}, but {list(norm.shape)}"
                raise ValueError(f"the magnitudes of {name} are {shapes} in {self.adapter.base}: wrong base.")
            changed = changed * (magnitude.double() / norm).unsqueeze(axis)
        if delta is not None or self.dora:
            if not changed.isfinite().all():
                raise ValueError(f"{name} becomes infinite: the adapter is damaged.")
            self._put(f"{name}.weight", changed)
        if self.lora_bias:
            self._add_bias(target, parts.get("bias"), is_table)

    def _pair(self, target: Target, base: Tensor, is_parameter: bool, is_table: bool) -> _Pair:
        """A and B of the file, else of the start; shapes checked."""
        name, parts = target.name, self.stored.parts.get(target.name, {})
        taken = self.taken.get(name, _Pair(None, None))
        a, b = parts.get("lora_A", taken.a), parts.get("lora_B", taken.b)
        out, into = base.shape if not (is_table or (is_parameter and is_projection(name))) else reversed(base.shape)
        rank = min(target.rank, base.size(0), base.size(1)) if taken.a is not None else target.rank
        for letter, matrix, shape in (("A", a, [rank, into]), ("B", b, [out, rank])):
            if matrix is None or list(matrix.shape) == shape:
                continue
            if a is not None and b is not None and (b.size(0), a.size(-1)) != (out, into):
                found = [b.size(0), a.size(-1)]
                raise ValueError(
                    f"the adapter's {name} is {found}, but {[out, into]} in {self.adapter.base}: wrong base."
                )
            what = f"{letter} of {name} is {list(matrix.shape)} and not {shape}"
            raise ValueError(f"{what}: its rank is not the {rank} of {ADAPTER_CONFIG}.")
        first, second = (a, b) if not is_table else (b, a)  # the second is zero at the start of training
        drawn = not self.start or (isinstance(self.start, str) and self.start.lower() in DRAWN and not is_table)
        if (second is None and drawn) or (first is None and second is not None and bool(second.any())):
            raise ValueError(f"{name} lacks a matrix, which peft would draw at random: save the adapter again.")
        return _Pair(a, b)

    @staticmethod
    def _product(pair: _Pair, scale: float) -> Tensor | None:
        if pair.a is None or pair.b is None:
            return None
        return scale * (pair.b.double() @ pair.a.double())

    def _first_magnitude(self, target: Target, base: Tensor, axis: int) -> Tensor:
        """The magnitudes that training began with."""
        taken = self.taken.get(target.name)
        product = None if taken is None else self._product(taken, target.scale)
        return torch.linalg.vector_norm((base if product is None else base + product).float(), dim=axis)

    def _add_bias(self, target: Target, bias: Tensor | None, is_table: bool) -> None:
        if is_table:
            raise ValueError(f"lora_bias does not go with {target.name} in peft: train without one of them.")
        if bias is None:
            if self.start is not True:
                raise ValueError(
                    f"{target.name} lacks a bias, which peft would draw at random: save the adapter again."
                )
            return
        owner = self.model.get_submodule(self._own(target.name))
        if getattr(owner, "bias", None) is None:
            if bias.any():
                raise ValueError(
                    f"lora_bias adds a bias to {target.name}, and a GPT-2's head has none: use peft for it."
                )
            return
        old = self.model.get_parameter(f"{self._own(target.name)}.bias")
        if old.shape != bias.shape:
            raise ValueError(f"the bias of {target.name} is {list(bias.shape)}, but {list(old.shape)} in the base.")
        self._put(f"{target.name}.bias", old.double() + target.scale * bias.double())

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
        elif self.tied and wte is not head and "tie_word_embeddings" in {one.name for one in fields(self.model.config)}:
            untied: Mapping[str, bool] = {"tie_word_embeddings": False}
            self.model.config = replace(self.model.config, **untied)  # type: ignore[arg-type]


def _of(target: Target) -> tuple[int, float]:
    return target.rank, target.scale
