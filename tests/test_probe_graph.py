"""A model without a probe knows nothing of it: its graph is that of a model from which the taps were cut out."""

import ast
import inspect
import sys
import types
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from gpt2.config import GPT2Config
from gpt2.model import GPT2

CONFIG = GPT2Config(vocab_size=53, n_positions=24, n_embd=24, n_layer=3, n_head=3)


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(53, (2, 11), generator=torch.Generator().manual_seed(8))


class _NoTaps(ast.NodeTransformer):
    """What a component asks of its pass becomes what it is without a probe: `here.tap(name, x)` becomes `x`."""

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Attribute) or ast.unparse(node.func.value) not in ("here", "here.at(layer)"):
            return node
        match node.func.attr:
            case "tap" | "heads":
                return node.args[-1]  # the value itself
            case "qkv":
                return ast.Tuple(node.args, ast.Load())
            case "norm":
                return ast.Call(node.args[0], node.args[1:], [])  # norm(x)
            case "through":
                return ast.Call(node.args[0], [node.args[1], ast.Name("here", ast.Load())], [])  # block(x, here)
            case "wants":
                return ast.Constant(False)
        return node


def without_taps(monkeypatch: pytest.MonkeyPatch) -> type[GPT2]:
    """The class GPT2 from the same source files, every tap cut out."""
    for name in ("gpt2.attention", "gpt2.block", "gpt2.model"):
        tree = ast.fix_missing_locations(_NoTaps().visit(ast.parse(inspect.getsource(sys.modules[name]))))
        assert "here.tap" not in ast.unparse(tree)
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(tree, name, "exec"), module.__dict__)
    return sys.modules["gpt2.model"].GPT2


def graph(model: GPT2, ids: Tensor) -> list[tuple[str, str, str]]:
    nodes = make_fx(model)(ids).graph.nodes
    return [(n.op, str(n.target), str(n.args)) for n in nodes]


def test_the_graph_without_a_probe_has_no_trace_of_it(monkeypatch: pytest.MonkeyPatch, ids: Tensor) -> None:
    model = GPT2(CONFIG, seed=1).eval()
    plain = graph(model, ids)
    bare_class = without_taps(monkeypatch)
    bare = bare_class(CONFIG, seed=1).eval()
    assert type(bare) is not GPT2
    assert graph(bare, ids) == plain
    assert len(plain) > 100


def test_the_compiler_meets_no_graph_break(ids: Tensor) -> None:
    model = GPT2(CONFIG, seed=1).eval()
    for arguments in ({"ids": ids}, {"ids": ids, "targets": ids, "reduction": "sum"}):
        for bf16 in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                explanation = torch._dynamo.explain(model)(**arguments)
            assert (explanation.graph_count, explanation.graph_break_count) == (1, 0)
