"""The forward pass as data: the graph that `torch.export` traced from gpt2/model.py, for the page's own engine.

In: a model. Out: a dictionary of plain values (JSON) that web/engine/graph.js evaluates, so that what runs in the
browser is traced from the one model and never written a second time. It holds no weights, only their names.

    nodes    [operation, arguments] in the order of computation; an argument {"node": n} is the result of node n
    points   where each address of gpt2/addresses.py stands: {"3.attn.pattern": n, ...}
    keys, values   per block the node of all keys and values: a later pass is given them as its earlier ones
    config   vocab_size, n_positions, n_embd, n_layer, n_head, n_inner; what each block divides its scores by, and the
             epsilon of the norms: what no address holds; the kind of the module that gives position vectors, and
             whether the norms subtract the mean, in which variants differ

Operations are those of ATen by their names, and four more: `input` (ids, keys.l, values.l), `weight` (a parameter's
name), `item` (one of several results) and `switch` (x * gate + value at an address, x where nothing is switched).
"""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Node

from gpt2.addresses import DERIVED, LAYER_POINTS, POINTS, Key
from gpt2.base.errors import UsageError
from gpt2.base.twin import in_evaluation
from gpt2.explain.run.lacks import Lacking, without
from gpt2.explain.run.program import export, neutral, points
from gpt2.explain.run.weights import affine
from gpt2.model import GPT2

SWITCHED = (
    "embed.tok", "embed.pos", "*.resid_pre", "*.ln_1.scale", "*.attn.z", "*.attn.out", "*.resid_mid", "*.ln_2.scale",
    "*.mlp.post", "*.mlp.out", "*.block", "*.resid_post", "final.scale",
)  # fmt: skip
OPERATIONS = (
    "add", "arange", "bitwise_not", "cat", "clamp", "cos", "div", "embedding", "erf", "expand", "flatten", "gelu",
    "hardswish", "hardtanh", "layer_norm", "le", "leaky_relu", "linear", "masked_fill", "matmul", "mean", "mish", "mul",
    "pow", "relu", "relu6", "reshape", "sigmoid", "silu", "sin", "size", "slice", "softmax", "softplus", "split",
    "sqrt", "square", "stack", "sub", "tanh", "transpose", "unsqueeze", "var", "view", "zeros",
)  # fmt: skip
NOTHING = ("dropout", "contiguous", "to", "clone", "alias")  # in evaluation they hand on what they are given
FREE = ("device", "pin_memory", "layout", "dtype")  # what the engine decides itself


def graph(model: GPT2) -> dict[str, Any]:
    """The graph of one pass of `model`, see the module's docstring: it is traced, which takes some 10 to 30 seconds.

    Raises UsageError for a model that computes something the page's engine cannot; and for one that computes something
    else where it goes on with the keys and values of earlier positions, since the engine always does.
    """
    if missing := without(model):
        name = _called(model)
        raise Lacking(
            f"the page draws the parts of a plain GPT-2, and {name} is without {missing}: "
            "use gpt2 explain off, lens or stream in the terminal."
        )
    read = [("*." if name in LAYER_POINTS else "") + name for name in POINTS if name not in (*DERIVED, "logits")]
    read.append("*.block")
    program = export(model, SWITCHED, read)
    if not _computes_the_same(model, program):
        raise _refusal(
            f"the live page keeps what it computed of earlier positions, and {_called(model)} computes something else "
            "where it reads a text at once"
        )
    return _Writer(model, program, points(model, SWITCHED), points(model, read)).written()


def _called(model: GPT2) -> str:
    """How a sentence calls a model."""
    variant = getattr(model, "variant", None)
    return "this model" if variant is None else f"the variant {variant['name']!r}"


def _refusal(problem: str) -> UsageError:
    """The error for a model that cannot be live, and can be still."""
    return UsageError(problem, "write the still page, {still}, or give {page}.", still=True, page=True)


def _computes_the_same(model: GPT2, program: torch.export.ExportedProgram) -> bool:
    """Whether the traced pass, which goes on from no earlier positions, predicts what the model does."""
    config, T = model.config, min(3, model.config.n_positions)
    ids = torch.arange(T)[None] % config.vocab_size
    none = [torch.zeros(1, config.n_head, 0, config.head_dim) for _ in range(config.n_layer)]
    with torch.no_grad():
        found = program.module()(ids, none, [x.clone() for x in none], *neutral(model, SWITCHED, T))[0]
        expected = in_evaluation(model)(ids)
    return bool((found - expected).abs().max() <= 1e-3 * expected.abs().max())


class _Writer:
    """One graph being written: the nodes so far, and where each of the program's stands among them."""

    def __init__(self, model: GPT2, program: torch.export.ExportedProgram, switches: list[Key], read: list[Key]):
        self.model, self.program, self.switches, self.read = model, program, switches, read
        self.nodes: list[list[Any]] = []
        self.place: dict[Node, int] = {}
        self.sizes: dict[str, int] = {}  # a symbol -> the node that knows it

    def written(self) -> dict[str, Any]:
        """The dictionary."""
        graph, config = self.program.graph, self.model.config
        names = self._inputs()
        for node in graph.nodes:
            if node.op == "placeholder":
                self._placeholder(node, names[node.name])
            elif node.op == "call_function":
                self._call(node)
        (returned,) = next(node for node in graph.nodes if node.op == "output").args
        found = [self.place[node] for node in returned]
        L = config.n_layer
        addresses = [point if layer is None else f"{layer}.{point}" for layer, point in self.read]
        named = dict(zip([*addresses], found[1 : -2 * L], strict=True))
        sizes = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
        return {
            "nodes": self.nodes,
            "points": {**named, "logits": found[0]},
            "keys": found[-2 * L : -L],
            "values": found[-L:],
            "config": {
                **{name: getattr(config, name) for name in sizes},
                "n_inner": config.inner_dim,
                "divisors": [block.attn.divisor for block in self.model.transformer.h],
                "epsilon": config.layer_norm_epsilon,
                "positions": type(self.model.transformer.wpe).__name__,
                "centred": affine(self.model)[2],
            },
        }  # fmt: skip

    def _inputs(self) -> dict[str, tuple[str, str]]:
        """What each placeholder is: ("weight", its name), ("input", "ids"), ("gate", an address), ..."""
        signature = self.program.graph_signature
        names = {k: ("weight", v.removeprefix("model.")) for k, v in signature.inputs_to_parameters.items()}
        given: list[str] = [str(name) for name in signature.user_inputs]
        L = self.model.config.n_layer
        kinds = [("input", "ids")]
        kinds += [("input", f"{kind}.{l}") for kind in ("keys", "values") for l in range(L)]
        for kind in ("gate", "value"):
            kinds += [(kind, point if layer is None else f"{layer}.{point}") for layer, point in self.switches]
        return names | dict(zip(given, kinds, strict=True))

    def _placeholder(self, node: Node, what: tuple[str, str]) -> None:
        kind, name = what
        if kind in ("weight", "input"):
            self._add(node, kind, [name])
        node.meta["what"] = what
        if kind == "input":  # T and P, by the symbols that the compiler gave them
            axis = 1 if name == "ids" else 2
            symbol = str(node.meta["val"].shape[axis])
            if symbol not in self.sizes:
                self.sizes[symbol] = self._append("size", [{"node": self.place[node]}, axis])

    def _call(self, node: Node) -> None:
        """One operation; a multiplication by a gate and the addition behind it are one switch."""
        if node.target is operator.getitem:
            return self._add(node, "item", self._plain([*node.args]))
        if node.target in (operator.add, operator.sub, operator.mul):
            return self._add(node, node.target.__name__, self._plain([*node.args]))
        name = str(node.target).split(".")[1]
        if name == "sym_size":
            self.place[node] = self.sizes[str(node.meta["val"])]
            return None
        if name in NOTHING:
            self.place[node] = self.place[self._node(node.args[0])]
            return None
        kind, address = self._switch(node)
        if kind == "gate":
            self.place[node] = self.place[self._node(node.args[0])]
            return None
        if kind == "value":
            return self._add(node, "switch", [*self._plain(node.args[:1]), address])
        if name not in OPERATIONS:
            raise _refusal(f"the live page cannot compute {name!r}, which {_called(self.model)} needs")
        options = {key: value for key, value in node.kwargs.items() if key not in FREE and value is not None}
        arguments = self._plain([*node.args])
        return self._add(node, name, [*arguments, options] if options else arguments)

    def _switch(self, node: Node) -> tuple[str, str]:
        """Whether this multiplies by a gate or adds a value, and of which switch."""
        whats = [argument.meta.get("what", ("", "")) for argument in node.args if isinstance(argument, Node)]
        return next((what for what in whats if what[0] in ("gate", "value")), ("", ""))

    def _node(self, argument: Any) -> Node:
        assert isinstance(argument, Node)
        return argument

    def _plain(self, value: Any) -> Any:
        """An argument as JSON has it."""
        if isinstance(value, Node):
            return {"node": self.place[value]}
        if isinstance(value, (list, tuple)):
            return [self._plain(one) for one in value]
        if isinstance(value, Mapping):
            return {key: self._plain(one) for key, one in value.items()}
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            return "-inf" if value < 0 else "inf"
        return value

    def _add(self, node: Node, operation: str, arguments: list[Any]) -> None:
        self.place[node] = self._append(operation, arguments)

    def _append(self, operation: str, arguments: list[Any]) -> int:
        self.nodes.append([operation, *arguments])
        return len(self.nodes) - 1
