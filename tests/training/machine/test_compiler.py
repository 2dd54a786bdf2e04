"""The compiler's cache is each processor's own, and what was compiled is compared once before it trains."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gpt2.training.loop import TrainingRun
from gpt2.training.machine import compiler
from gpt2.training.machine.compiler import Miscompiled, can_compile, keep_cache_apart, processor_folder
from gpt2.training.machine.first_step import FirstStep
from gpt2.training.recipe import DataRecipe, ModelRecipe, OptimRecipe, Recipe, TrainRecipe
from gpt2.training.run.metrics import read_metrics
from gpt2.training.run.runner import train
from tests.prepared import prepared

TEXT = "The cat sat on the mat. The dog sat on the log. " * 40
needs_compiler = pytest.mark.skipif(not can_compile(torch.device("cpu")), reason="torch.compile needs a C++ compiler")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return prepared(tmp_path_factory.mktemp("data"), TEXT)


@pytest.fixture(params=[0.0, 0.1], ids=["plain", "dropout"])
def recipe(data: str, request: pytest.FixtureRequest) -> Recipe:
    return Recipe(
        model=ModelRecipe(n_layer=1, n_head=2, n_embd=32, n_positions=32, dropout=request.param),
        data=DataRecipe(train=(data,), val=(data,)),
        optim=OptimRecipe(lr=1e-2, warmup_steps=3),
        train=TrainRecipe(steps=4, batch_size=4, micro_batch_size=2, compile=False, eval_tokens=64),
    )


# the cache


def python(code: str, cache: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    ours = {"TORCHINDUCTOR_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.run([sys.executable, "-c", code], env=os.environ | ours, capture_output=True, text=True)


def test_unlike_processors_and_versions_have_unlike_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [processor_folder()]
    for module, name, value in (
        (torch, "__version__", "2.99.0"),
        (torch.backends.cpu, "get_cpu_capability", lambda: "AVX1024"),
        (torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_tile": True}),
        (compiler.platform, "machine", lambda: "another"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            names.append(processor_folder())
    assert len({*names}) == 5
    assert processor_folder() == names[0]


def test_what_the_user_says_of_the_instructions_names_the_folder(tmp_path: Path) -> None:
    code = "from gpt2.training.machine.compiler import processor_folder; print(processor_folder())"
    found = python(code, tmp_path, ATEN_CPU_CAPABILITY="default", TORCHINDUCTOR_VEC_ISA_OK="1").stdout.strip()
    assert "-default-" in found
    assert found != processor_folder() or torch.backends.cpu.get_cpu_capability().lower() == "default"


@pytest.mark.parametrize("chosen", [True, False])
def test_the_folder_lies_in_the_users_or_in_torchs(
    chosen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    if not chosen:
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
        monkeypatch.setattr("torch._inductor.runtime.cache_dir_utils.default_cache_dir", lambda: str(tmp_path))
    for _ in range(2):  # what is apart already stays where it is
        keep_cache_apart()
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / processor_folder())


COMPILE = """
import os
import torch
import torch._inductor.cpu_vec_isa as isa
from torch._inductor.async_compile import AsyncCompile
from gpt2.training.machine.compiler import compiled
isa.VecISA.__bool__ = lambda self: True  # that a trial program compiles is taken for granted
if WIDE:
    torch.backends.cpu.get_cpu_capability()  # torch's own kernels are chosen now, for this processor
    os.environ["ATEN_CPU_CAPABILITY"] = "avx512"
    has = isa.x86_isa_checker()
    isa.x86_isa_checker = lambda: [*has, "avx512"]
    assert "avx512" in str(isa.pick_vec_isa())
    AsyncCompile.cpp_pybinding = lambda self, types, source: lambda *args: None  # what it wrote is not run here
model = torch.nn.GELU("tanh")
x = torch.linspace(-3, 3, 64)
print((compiled(model)(x) - model(x)).abs().max().item())
"""


@needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="instructions of x86 processors")
def test_what_was_compiled_for_wider_registers_is_not_taken(tmp_path: Path) -> None:
    """Loops over 16 numbers, compiled again for registers of 8, left every other 8 unwritten.

    The first process believes that its processor has AVX-512, and only fills the cache: its C++ is never compiled.
    """
    wide = python(COMPILE.replace("WIDE", "True"), tmp_path, ATEN_CPU_CAPABILITY="avx2")
    assert [*tmp_path.glob("*avx512*/fxgraph")], wide.stderr
    narrow = python(COMPILE.replace("WIDE", "False"), tmp_path, ATEN_CPU_CAPABILITY="avx2")
    assert narrow.returncode == 0, narrow.stderr
    assert float(narrow.stdout) < 1e-6


# the first step


def wrong(model: nn.Module, change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda *args, **options: change(model(*args, **options))


@pytest.mark.parametrize("change", [lambda loss: loss * 1.001, lambda loss: loss * torch.nan], ids=["0.1%", "nan"])
def test_a_compiled_step_that_is_not_the_eager_one_is_left_out(
    recipe: Recipe, change: Callable[[Tensor], Tensor], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    eager, run = TrainingRun(recipe), TrainingRun(recipe)
    run.mode, run.forward = "compiled", wrong(run.model, change)
    train(run, out)
    events = read_metrics(out / "metrics.jsonl")
    [note] = [event["note"] for event in events if "note" in event]
    assert note.startswith("eager: torch.compile failed (its first loss is ")
    assert [e["loss"] for e in events if "loss" in e] == [eager.step(number)["loss"] for number in range(4)]


def test_the_comparison_changes_no_bit_of_a_run(recipe: Recipe) -> None:
    """It draws no random number, and is made once."""
    eager, run = TrainingRun(recipe), TrainingRun(recipe)
    calls: list[bool] = []

    def same(*args: Any, **options: Any) -> Tensor:
        calls.append(run.model.training)
        return run.model(*args, **options)

    run.mode, run.forward = "compiled", same
    assert [run.step(number) for number in range(3)] == [eager.step(number) for number in range(3)]
    assert run.mode == "compiled"
    compared = [False] if recipe.model.dropout else []  # without dropout it is the first step's own pass
    assert calls == compared + [True] * 6


def test_processes_end_the_comparison_alike() -> None:
    model = nn.Linear(1, 1)
    loss = torch.tensor(2.0)
    alone, among = FirstStep(model, torch.float32, lambda x: (x,)), FirstStep(model, torch.float32, lambda x: (x + 1,))
    for step in (alone, among):
        step.eager, step.counted = 2.0, 1
    alone.compare(loss)
    assert alone.done
    with pytest.raises(Miscompiled):  # another process found its own loss wrong
        among.compare(loss)


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-6), (torch.bfloat16, 3e-3), (torch.float16, 1e-3)])
def test_rounding_passes_and_ten_times_the_limit_does_not(dtype: torch.dtype, near: float) -> None:
    step = FirstStep(nn.Linear(1, 1), dtype, lambda x: (x,))
    step.eager, step.counted = 50.0, 10
    step.compare(torch.tensor(50.0 * (1 + near)))
    step.eager = 50.0
    with pytest.raises(Miscompiled, match=r"its first loss is .*, that of the model without it 5"):
        step.compare(torch.tensor(50.0 * 1.1))
