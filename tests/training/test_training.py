"""Optimisers, one step, evaluation, and whole runs on a tiny text."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gpt2.checkpoint.files import load
from gpt2.config import GPT2Config
from gpt2.data.prepare import prepare
from gpt2.data.shards import TokenShards
from gpt2.loss import IGNORED
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.loop import TrainingRun
from gpt2.training.machine.compiler import can_compile
from gpt2.training.optimizer import Muon, build_optimizers, orthogonalize
from gpt2.training.recipe import DataRecipe, ModelRecipe, OptimRecipe, Recipe, TrainRecipe
from gpt2.training.run.metrics import read_metrics
from gpt2.training.run.runner import train
from gpt2.training.task import Task, Windows
from tests.prepared import prepared

TEXT = "The cat sat on the mat. The dog sat on the log. " * 40


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return prepared(tmp_path_factory.mktemp("data"), TEXT)


@pytest.fixture
def recipe(data: str) -> Recipe:
    return Recipe(
        model=ModelRecipe(n_layer=2, n_head=2, n_embd=32, n_positions=32, dropout=0.1),
        data=DataRecipe(train=(data,), val=(data,)),
        optim=OptimRecipe(lr=1e-2, warmup_steps=3),
        train=TrainRecipe(steps=12, batch_size=8, compile=False, eval_every=6, eval_tokens=256),
    )


# optimisers


def test_orthogonalize_brings_singular_values_near_one() -> None:
    g = torch.randn(24, 40, generator=torch.Generator().manual_seed(0))
    for matrix in (g, g.t()):
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        [result] = orthogonalize(matrix[None], (3.4445, -4.7750, 2.0315), 5)
        values = torch.linalg.svdvals(result)
        assert values.min() > 0.5
        assert values.max() < 1.3
        assert torch.nn.functional.cosine_similarity(result.flatten(), (u @ v).flatten(), dim=0) > 0.97


def test_muon_is_pytorchs_where_nothing_is_split() -> None:
    """One matrix over three steps, both orthogonalising in bf16: PyTorch's class is the reference."""
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 48).view(6, 8)) for _ in range(2))
    options = {"lr": 0.05, "weight_decay": 0.1}
    a, b = Muon([ours], set(), torch.bfloat16, **options), torch.optim.Muon([theirs], **options)
    for step in range(3):
        gradient = torch.randn(6, 8, generator=torch.Generator().manual_seed(step))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        a.step()
        b.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=2e-3)


def test_every_parameter_has_one_optimizer_and_decay_spares_vectors() -> None:
    model = GPT2(GPT2Config(vocab_size=50, n_positions=8, n_embd=16, n_layer=2, n_head=2))
    names = {id(p): name for name, p in model.named_parameters()}
    for kind, by_muon in (("adamw", 0), ("muon", 8)):
        optimizers = build_optimizers(model, OptimRecipe(name=kind), bf16=False)
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        held = [names[id(p)] for group in groups for p in group["params"]]
        assert sorted(held) == sorted(names.values())
        assert sum(len(group["params"]) for group in groups if "momentum" in group) == by_muon
        for group in groups:
            assert all((p.dim() >= 2) == (group["weight_decay"] > 0) for p in group["params"])


# runs


def test_one_batch_is_learned_by_heart(recipe: Recipe) -> None:
    train = replace(recipe.train, steps=150, batch_size=4)
    run = TrainingRun(replace(recipe, model=replace(recipe.model, n_embd=64, dropout=0.0), train=train))
    one = run.task.batches.batch(0)
    object.__setattr__(run.task.batches, "batch", lambda step, rows=slice(None): one)
    losses = [run.step(number)["loss"] for number in range(150)]
    assert losses[0] > 5
    assert losses[-1] < 0.05


def test_micro_batches_give_the_gradient_of_the_whole_batch(recipe: Recipe) -> None:
    recipe = replace(recipe, model=replace(recipe.model, dropout=0.0))
    whole = TrainingRun(recipe)
    pieces = TrainingRun(replace(recipe, train=replace(recipe.train, micro_batch_size=3)))
    for number in range(3):
        a, b = whole.step(number), pieces.step(number)
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)


class Masked:
    """Batches in which row r has targets in its first r + 1 positions only."""

    def batch(self, step: int, rows: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = torch.randint(0, 256, (8, 33), generator=torch.Generator().manual_seed(step))
        goal = torch.arange(32) <= torch.arange(8)[:, None]
        return tokens[rows, :-1], tokens[:, 1:].where(goal, IGNORED)[rows]


def test_masked_micro_batches_weigh_as_much_as_they_have_targets(recipe: Recipe) -> None:
    """An equal weight for each of them would give other losses and other gradients: here they hold 6, 15 and 15."""
    recipe = replace(recipe, model=replace(recipe.model, dropout=0.0))

    def run(rows: int) -> TrainingRun:
        model = GPT2(recipe.model.config(257), seed=0)
        task = Task(model, Tokenizer.bytes(), Masked(), {}, {}, lambda model, directory: None)
        return TrainingRun(replace(recipe, train=replace(recipe.train, micro_batch_size=rows)), task)

    whole, pieces = run(8), run(3)
    ids, targets = Masked().batch(0)
    mean = whole.model(ids, targets, reduction="none").sum() / 36
    for number in range(3):
        a, b = whole.step(number), pieces.step(number)
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)
        if number == 0:
            assert a["loss"] == pytest.approx(mean.item(), rel=1e-5)


def test_recomputed_blocks_give_the_same_run_bit_for_bit_dropout_included(recipe: Recipe) -> None:
    kept = TrainingRun(recipe)
    again = TrainingRun(replace(recipe, train=replace(recipe.train, activation_checkpointing=True)))
    assert [kept.step(i) for i in range(4)] == [again.step(i) for i in range(4)]
    assert [*kept.model.state_dict()] == [*again.model.state_dict()]


def test_dropout_is_drawn_afresh_in_each_step_and_process(recipe: Recipe) -> None:
    run = TrainingRun(replace(recipe, optim=replace(recipe.optim, warmup_steps=10**9)))  # the weights hardly move
    one = run.task.batches.batch(0)
    object.__setattr__(run.task.batches, "batch", lambda step, rows=slice(None): one)
    losses = [run.step(number)["loss"] for number in range(3)]
    assert len(set(losses)) == 3
    assert run.step(0)["loss"] == pytest.approx(losses[0], rel=1e-6)
    object.__setattr__(run, "world", replace(run.world, rank=1))
    assert run.step(0)["loss"] != pytest.approx(losses[0], rel=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_near_float32(recipe: Recipe, dtype: str) -> None:
    recipe = replace(recipe, model=replace(recipe.model, dropout=0.0))
    full, half = TrainingRun(recipe), TrainingRun(replace(recipe, train=replace(recipe.train, dtype=dtype)))
    if dtype == "float16":  # a scale at which nothing overflows, so that no step is skipped
        half.load_carried({**half.carried(), "scaler": {**half.scaler.state_dict(), "scale": 256.0}})
    a, b = ([run.step(number)["loss"] for number in range(8)] for run in (full, half))
    assert a == pytest.approx(b, rel=5e-3)
    assert a != b
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}


def test_an_overflow_of_float16_skips_the_step_and_halves_the_scale(recipe: Recipe) -> None:
    run = TrainingRun(replace(recipe, train=replace(recipe.train, dtype="float16")))
    run.load_carried({**run.carried(), "scaler": {**run.scaler.state_dict(), "scale": 2.0**40}})
    before = run.model.transformer.wte.weight.clone()
    assert run.step(0)["skipped"] == 1
    assert torch.equal(run.model.transformer.wte.weight, before)
    assert run.scaler.get_scale() == 2.0**39
    for number in range(1, 40):
        run.step(number)
    assert 1 < run.guard.skipped < 40  # it found a scale that fits
    assert not torch.equal(run.model.transformer.wte.weight, before)


@pytest.mark.skipif(not can_compile(torch.device("cpu")), reason="torch.compile needs a C++ compiler")
def test_compiled_is_eager(recipe: Recipe) -> None:
    recipe = replace(recipe, model=replace(recipe.model, dropout=0.0, n_layer=1))
    eager, compiled = TrainingRun(recipe), TrainingRun(replace(recipe, train=replace(recipe.train, compile=True)))
    for number in range(2):
        assert eager.step(number)["loss"] == pytest.approx(compiled.step(number)["loss"], rel=1e-5)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_same_seed_gives_the_same_run(recipe: Recipe, tmp_path: Path, name: str) -> None:
    """Dropout on; evaluation in between does not change what follows."""
    recipe = replace(recipe, optim=replace(recipe.optim, name=name))
    losses = []
    for turn, every in enumerate((6, 4)):
        run = TrainingRun(replace(recipe, train=replace(recipe.train, eval_every=every)))
        directory = train(run, tmp_path / str(turn)).model
        events = read_metrics(tmp_path / str(turn) / "metrics.jsonl")
        losses.append([event["loss"] for event in events if "loss" in event])
        assert events[-1]["val"] == run.evaluate()
        assert losses[turn][-1] < losses[turn][0] - 1
    assert losses[0] == losses[1]
    checkpoint = load(str(directory))
    ids = torch.tensor([checkpoint.tokenizer.encode("The cat sat on")])
    torch.testing.assert_close(checkpoint.model(ids), run.model.eval()(ids))


def test_an_evaluation_reads_every_target_once(recipe: Recipe) -> None:
    """The end that fills no window included, where all is asked for; whatever the rows computed at once."""
    run = TrainingRun(replace(recipe, train=replace(recipe.train, eval_tokens=0, micro_batch_size=3)))
    [(name, rows)] = run.task.val.items()
    ids, targets = rows.rows(0, len(rows))
    shards = TokenShards(name)
    assert (targets != IGNORED).sum() == len(shards) - 1
    assert targets[targets != IGNORED].tolist() == shards[1 : len(shards)].tolist()
    with torch.no_grad():
        losses = run.model.eval().double()(ids, targets, reduction="none")
    expected = (losses.sum() / (len(shards) - 1)).item()
    run.model.float()
    assert run.evaluate() == {name: pytest.approx(expected, rel=1e-6)}


def test_a_stated_part_of_a_validation_set() -> None:
    tokens = np.arange(100, dtype=np.uint16)
    part = Windows(tokens, context=8, limit=20)
    assert len(part) == 3
    ids, targets = part.rows(1, 3)
    assert targets.tolist() == [[*range(9, 17)], [17, 18, 19, 20, *[IGNORED] * 4]]
    assert ids[:, 0].tolist() == [8, 16]


def test_a_loss_that_explodes_stops_the_run(recipe: Recipe) -> None:
    run = TrainingRun(replace(recipe, optim=replace(recipe.optim, lr=1e30, clip=0.0, warmup_steps=0)))
    run.step(0)
    with pytest.raises(ValueError, match=r"step 1: the loss is nan.*Lower optim.lr"):
        run.step(1)


def test_without_a_compiler_a_run_is_eager_and_says_so(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", "")
    run = TrainingRun(replace(recipe, train=replace(recipe.train, compile=True)))
    assert "needs a C++ compiler" in run.mode
    assert run.step(0)["loss"] > 5


def test_a_compiler_that_fails_is_left_out_and_the_run_goes_on(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    from torch._inductor.exc import InductorError

    eager = TrainingRun(recipe)
    run = TrainingRun(recipe)
    run.mode = "compiled"

    def broken(*args: object, **options: object) -> None:
        raise InductorError(RuntimeError("no such instruction\nmore"), None)

    monkeypatch.setattr(run, "forward", broken)
    train(run, out)
    events = read_metrics(out / "metrics.jsonl")
    assert [e["note"] for e in events if "note" in e] == ["eager: torch.compile failed (no such instruction)"]
    assert events[0]["loss"] == eager.step(0)["loss"]


def test_a_library_that_a_killed_process_left_half_written_is_deleted(recipe: Recipe, tmp_path: Path) -> None:
    """`file too short`: every later run failed on it until somebody emptied the compiler's cache."""
    from torch._inductor.exc import InductorError

    run = TrainingRun(recipe)
    damaged, expected = tmp_path / "kernel.so", run.forward
    damaged.touch()
    run.mode = "compiled"

    def first_damaged(*args: object, **options: object) -> torch.Tensor:
        run.forward = expected
        raise InductorError(ImportError("file too short", path=str(damaged)), None)

    run.forward = first_damaged
    assert run.step(0)["loss"] > 5
    assert run.mode == "compiled"
    assert not damaged.exists()


def test_changed_data_is_refused_at_the_start(recipe: Recipe, tmp_path: Path) -> None:
    shutil.copytree(recipe.data.train[0], tmp_path / "set")
    shard = tmp_path / "set" / "shard-00000.bin"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ValueError, match=r"shard-00000\.bin"):
        TrainingRun(replace(recipe, data=DataRecipe(train=(str(tmp_path / "set"),))))


def test_a_run_may_start_from_a_checkpoint(recipe: Recipe, tmp_path: Path) -> None:
    first = TrainingRun(replace(recipe, model=replace(recipe.model, dropout=0.0)))
    directory = str(train(first, tmp_path / "first").model)
    model = replace(recipe.model, dropout=0.0)
    second = TrainingRun(replace(recipe, model=model, train=replace(recipe.train, init=directory)))
    assert second.evaluate() == first.evaluate()
    wider = replace(recipe, model=replace(model, n_embd=64), train=replace(recipe.train, init=directory))
    with pytest.raises(ValueError, match=r"model\.n_embd is 64, but it is 32 in train\.init"):
        TrainingRun(wider)


def test_sets_with_different_tokenizers_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    prepare([tmp_path / "text.txt"], tmp_path / "other", Tokenizer.train([TEXT], 300))
    with pytest.raises(ValueError, match="another tokenizer"):
        TrainingRun(replace(recipe, data=replace(recipe.data, val=(str(tmp_path / "other"),))))
