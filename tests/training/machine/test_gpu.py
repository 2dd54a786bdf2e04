"""What only a GPU can show; a machine without one skips this file."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from gpt2 import Sampling, explain, generate, load
from gpt2.ablation.job import run_job
from gpt2.ablation.study import Job, load_study
from gpt2.cli.main import main
from gpt2.loss import linear_cross_entropy
from gpt2.training.loop import TrainingRun
from gpt2.training.recipe import DataRecipe, ModelRecipe, OptimRecipe, Recipe, TrainRecipe
from gpt2.training.run.metrics import read_metrics
from gpt2.training.run.runner import resume, train
from tests.page_server import answers_of
from tests.prepared import prepared

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
Dtype = Literal["float32", "bfloat16", "float16"]
TEXT = "The cat sat on the mat. The dog sat on the log, and\n<|endoftext|>\n" * 60


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    data = prepared(tmp_path_factory.mktemp("data"), TEXT)
    return Recipe(
        model=ModelRecipe(n_layer=2, n_head=2, n_embd=64, n_positions=32, dropout=0.1),
        data=DataRecipe(train=(data,), val=(data,)),
        optim=OptimRecipe(lr=1e-2, warmup_steps=3),
        train=TrainRecipe(steps=20, batch_size=8, micro_batch_size=4, compile=False, eval_every=10, eval_tokens=420),
    )


def losses(run: Path) -> list[float]:
    return [event["loss"] for event in read_metrics(run / "metrics.jsonl") if "loss" in event]


def test_storyteller_predicts_and_writes_the_same_on_the_gpu() -> None:
    here, there = load("storyteller"), load("storyteller")
    there.model.cuda()
    ids = torch.tensor([here.tokenizer.encode("Once upon a time there was a little girl")])
    with torch.no_grad():
        expected, got = here.model(ids), there.model(ids.cuda()).cpu()
    assert (got - expected).abs().max() < 1e-3 * expected.std()
    sampling = Sampling(max_tokens=40, temperature=0)
    [[a]] = generate(here.model, here.tokenizer, [ids[0].tolist()], sampling)
    [[b]] = generate(there.model, there.tokenizer, [ids[0].tolist()], sampling)
    assert a.ids == b.ids


def numbers(value: Any) -> list[int | float]:
    """All numbers in what a command printed as JSON, in their order; truth values are among the whole ones."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize(
    "words",
    [
        ["next", "The cat sat on the"],
        ["generate", "The cat sat on the", "--max-tokens", "20", "--temperature", "0"],
        ["walk", "The cat sat on the", "--target", " mat"],
        ["eval", "FILE"],
        ["explain", "The cat sat on the"],
        *(["explain", name, "The cat sat on the"] for name in ("trace", "lens", "attribution", "attention", "stream")),
        ["explain", "effects", "The cat sat on the"],
        ["explain", "off", "3.head.1,4.mlp", "--text", "FILE"],
        ["explain", "patch", "The cat sat on the", "The dog sat on the", "--target", " mat", "--foil", " log"],
        ["explain", "neurons", "2.mlp.post#123", "--text", "FILE"],
        ["explain", "neighbours", " cat"],
        ["explain", "positions"],
        ["explain", "heads", "--no-causal", "--text", "FILE"],
    ],
)
def test_a_command_prints_the_processors_numbers(words: list[str], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    words = [str(tmp_path / "text.txt") if word == "FILE" else word for word in words]
    found = []
    for device in ("cpu", "cuda"):
        assert main([*words, "--device", device, "--json"]) == 0, capsys.readouterr().err
        found.append(numbers(json.loads(capsys.readouterr().out)))
    for ours, theirs in zip(*found, strict=True):
        assert type(theirs) is type(ours)
        assert theirs == (ours if isinstance(ours, int) else pytest.approx(ours, rel=1e-2, abs=1e-3))


def test_a_page_as_a_file_holds_the_processors_numbers(tmp_path: Path) -> None:
    answers = []
    for device in ("cpu", "cuda"):
        file = tmp_path / f"{device}.html"
        assert main(["explain", "The cat sat", "--html", str(file), "--device", device]) == 0
        answers.append(answers_of(file.read_text("utf-8")))
    here, there = answers
    assert here.keys() == there.keys()
    names = [name for name in here if name.startswith("picture")]
    assert names
    for name in names:
        assert there[name]["top"].tolist() == here[name]["top"].tolist()
        for field in ("norms", "writes", "losses"):
            torch.testing.assert_close(there[name][field], here[name][field], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("vocabulary", [61, 64, 1000])
def test_the_loss_and_its_gradients_are_the_processors(vocabulary: int) -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(100, 32, dtype=torch.float64), torch.randn(vocabulary, 32, dtype=torch.float64)
    targets = torch.randint(vocabulary, (100,))
    targets[::7] = -100
    results = []
    for device in ("cpu", "cuda"):
        h, w = (t.detach().clone().to(device).requires_grad_() for t in (hidden, weight))
        loss = linear_cross_entropy(h, w, targets.to(device))
        loss.backward()
        assert h.grad is not None
        assert w.grad is not None
        results.append((loss.detach().cpu(), h.grad.cpu(), w.grad.cpu()))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_run_goes_on_as_if_never_stopped(recipe: Recipe, tmp_path: Path, dtype: Dtype, compiled: bool) -> None:
    changed = replace(recipe, train=replace(recipe.train, dtype=dtype, compile=compiled))
    train(TrainingRun(changed), tmp_path / "whole")
    whole = losses(tmp_path / "whole")
    assert whole[-1] < 0.7 * whole[0]
    train(TrainingRun(changed), tmp_path / "halved", stop=iter([False] * 9 + [True] * 20).__next__)
    again = TrainingRun(changed)
    resume(again, tmp_path / "halved")
    assert again.steps_done == 10
    train(again, tmp_path / "halved")
    assert losses(tmp_path / "halved") == whole


def test_muon_and_recomputed_blocks_train(recipe: Recipe, tmp_path: Path) -> None:
    changed = replace(
        recipe,
        optim=replace(recipe.optim, name="muon"),
        train=replace(recipe.train, activation_checkpointing=True),
    )
    train(TrainingRun(changed), tmp_path / "run")
    found = losses(tmp_path / "run")
    assert found[-1] < 0.5 * found[0]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_nccl_gives_the_losses_of_one_process(recipe: Recipe, tmp_path: Path, parallel: str) -> None:
    """One process under torchrun: nccl is there, gradients are exchanged with nobody."""
    data = recipe.data.train[0]
    (tmp_path / "recipe.toml").write_text(
        "[model]\nn_layer = 2\nn_head = 2\nn_embd = 64\nn_positions = 32\n"
        f'[data]\ntrain = ["{data}"]\nval = ["{data}"]\n'
        "[optim]\nlr = 0.01\nwarmup_steps = 3\n"
        '[train]\nsteps = 20\nbatch_size = 8\ncompile = false\ndtype = "float32"\neval_tokens = 420\n'
    )
    words = ["train", str(tmp_path / "recipe.toml")]
    alone = [sys.executable, "-m", "gpt2", *words, "--out", str(tmp_path / "alone")]
    subprocess.run(alone, check=True, capture_output=True)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", "-m", "gpt2", *words]
    spread = [*torchrun, "--out", str(tmp_path / "spread"), "--train.parallel", parallel]
    done = subprocess.run(
        spread, check=False, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert losses(tmp_path / "spread") == pytest.approx(losses(tmp_path / "alone"), abs=1e-5)
    assert (tmp_path / "spread" / "model" / "model.safetensors").is_file()


def test_a_trace_and_an_edit_give_the_processors_numbers() -> None:
    here, there = load("storyteller"), load("storyteller")
    there.model.cuda()
    plain = [explain.trace(m, "The cat sat on the", read="all") for m in (here, there)]
    edited = [run.edited({"2.attn.out": explain.zero}) for run in plain]
    for ours, theirs in (plain, edited):
        torch.testing.assert_close(theirs.logits.cpu(), ours.logits, rtol=0, atol=1e-3)
        torch.testing.assert_close(theirs["3.attn.pattern"].cpu(), ours["3.attn.pattern"], rtol=0, atol=1e-4)
    adds, same = (explain.attribution(run, " mat", " floor").values for run in plain)
    torch.testing.assert_close(same.cpu(), adds, rtol=0, atol=1e-3, check_dtype=False)


def test_a_study_runs_there(recipe: Recipe, tmp_path: Path) -> None:
    data = recipe.data.train[0]
    (tmp_path / "small.toml").write_text(
        "[baseline]\nmodel = { n_layer = 1, n_head = 2, n_embd = 16, n_positions = 16 }\n"
        f'data = {{ train = ["{data}"], val = ["{data}"] }}\n'
        "optim = { lr = 0.01, warmup_steps = 1 }\ntrain = { steps = 4, batch_size = 2, compile = false }\n"
        '[contestants.no-mask]\nvariant = "no-mask"\nexpect = "<= -0.1"\n'
    )
    record = run_job(load_study(tmp_path / "small.toml"), Job("no-mask", "report", 0))
    assert record["val_loss"] > 0
    assert record["val_loss_with_mask"] > 0
