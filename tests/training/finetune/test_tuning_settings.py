"""The settings of a fine-tune: what they do, and which are refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel
from tuned import ids_of

from gpt2.base.errors import DiskFailure, Failure, UsageError
from gpt2.checkpoint.files import load
from gpt2.cli.errors import sentence
from gpt2.cli.finetune import Command
from gpt2.cli.main import main, parsed_command
from gpt2.data.examples import Examples
from gpt2.model import GPT2
from gpt2.training.finetune.finetune import FineTune, Settings
from gpt2.training.finetune.optim import TuneOptim
from gpt2.training.finetune.patience import FEW_TOKENS, interval
from gpt2.training.finetune.settings import read_settings
from gpt2.training.recipe import DataRecipe, Recipe, TrainRecipe
from gpt2.training.run.history import read_history
from gpt2.training.run.interrupts import explain_out_of_memory, savers

NEW = {"optim", "lora_targets", "merge", "dropout", "eval_every", "patience", "sample_every", "skip_long"}


def test_dropout_is_off_but_stays_in_the_configuration(base: str, text: str, tmp_path: Path) -> None:
    tuning = FineTune(Settings((text,), model=base, epochs=0.5))
    tuning.model.train()
    ids = torch.tensor([ids_of("12 comes after")])
    assert torch.equal(tuning.model(ids), tuning.model(ids))
    assert load(str(tuning.run(tmp_path / "run").model)).model.config.resid_pdrop == 0.1


def test_dropout_is_the_models_own_four(base: str, text: str) -> None:
    """As a model whose configuration asks for it, number for number."""
    tuning = FineTune(Settings((text,), model=base, dropout=0.25))
    pdrops = {f"{name}_pdrop": 0.25 for name in ("embd", "attn", "resid")}
    twin = GPT2(replace(tuning.model.config, **pdrops))
    twin.load_state_dict(tuning.model.state_dict())
    ids = torch.tensor([ids_of("12 comes after")])
    found = []
    for model in (tuning.model.train(), twin.train()):
        torch.manual_seed(0)
        found.append(model(ids))
    assert torch.equal(*found)
    assert not torch.equal(found[0], tuning.model.eval()(ids))
    assert tuning.recipe.model.dropout == 0.25


def test_settings_of_the_optimiser_are_those_of_a_recipe(base: str, text: str) -> None:
    words = [text, "--model", base, "--optim.weight-decay", "0.5", "--optim.schedule", "constant"]
    command = parsed_command("finetune", [*words, "--optim.lr", "1e-3", "--optim.warmup-steps", "3"])
    tuning = FineTune(command._settings(Path("unused")))
    plain = FineTune(Settings((text,), model=base)).recipe.optim
    assert (plain.schedule, plain.floor, plain.warmup_steps) == ("linear", 0.0, 6)
    changes: dict[str, Any] = {"weight_decay": 0.5, "schedule": "constant", "lr": 1e-3, "warmup_steps": 3}
    assert tuning.recipe.optim == replace(plain, **changes)
    assert parsed_command("finetune", [text, "--lr", "2e-3"])._settings(Path("unused")).optim.lr == 2e-3


def test_patience_ends_a_run_that_is_called_so(base: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "noise.txt").write_bytes(np.random.default_rng(0).integers(33, 126, 200).astype(np.uint8).tobytes())
    settings = Settings((text,), model=base, val=str(tmp_path / "noise.txt"), lr=3e-2, epochs=2, eval_every=4)
    steps = {}
    for patience in (0, 1):
        events: list[dict[str, Any]] = []
        assert FineTune(replace(settings, patience=patience)).run(tmp_path / "run", events.append).finished
        steps[patience] = [event["step"] + 1 for event in events if "val" in event][1:]
    assert steps[0][-1] == FineTune(settings).recipe.train.steps
    assert steps[1] == steps[0][: len(steps[1])] != steps[0]
    history = read_history(tmp_path / "run")
    assert (history.state, history.ending) == ("ended early", "ended early, no better for 1 evaluation")


def test_an_interval_for_a_loss_on_few_tokens(base: str, text: str) -> None:
    tuning = FineTune(Settings((text,), model=base))
    hf, losses = GPT2LMHeadModel.from_pretrained(base).eval(), []
    for example in tuning.val.examples:
        with torch.no_grad():
            log_p = hf(torch.tensor([example.ids[:-1].tolist()])).logits[0].log_softmax(-1)
        losses += [-log_p[place, token].item() for place, token in enumerate(example.ids[1:].tolist())]
    found = interval(tuning.model, tuning.val)
    assert found == pytest.approx(1.96 * np.std(losses, ddof=1) / math.sqrt(len(losses)), rel=1e-4)
    many = Examples(tuning.val.examples * (FEW_TOKENS // tuning.val.tokens + 1))
    assert interval(tuning.model, many) is None


def test_few_tokens_and_samples_are_said(
    base: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["finetune", text, "--model", base, "--out", str(tmp_path / "run"), "--epochs", "0.2", "--prompt", "one"]
    assert main([*words, "--sample-every", "1", "--eval-every", "50"]) == 0
    printed = capsys.readouterr().out
    assert "tokens are few to validate on: they decide which weights are kept and when the run ends early" in printed
    assert "step      1  one" in printed


def test_a_run_keeps_the_rate_that_it_began_with(
    base: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default is computed: a version with another one must not change a run in its middle."""
    out = tmp_path / "run"
    tuning = FineTune(Settings((text,), model=base, epochs=0.2))
    tuning.run(out, stop=lambda: True)
    path = out / "finetune.json"
    old = {name: value for name, value in json.loads(path.read_text()).items() if name not in NEW}
    path.write_text(json.dumps(old))  # as version 0.1 wrote it
    monkeypatch.setattr("gpt2.training.finetune.settings.FULL_RATE", 9.0)
    assert FineTune(read_settings(out)).recipe == tuning.recipe
    assert main(["finetune", "--resume", str(out), "--patience", "3"]) == 2
    assert "keeps the settings that it began with: leave out --patience." in capsys.readouterr().err
    assert main(["finetune", "--resume", str(out), "--lr", "3"]) == 2
    assert "leave out --lr." in capsys.readouterr().err
    assert main(["finetune", "--resume", str(out)]) == 0


def test_sentences_of_the_loop_name_the_options_of_this_command() -> None:
    for train, rows, expected in (
        (
            TrainRecipe(),
            8,
            "lower --micro-batch-size, now 8, to 4 (the batch stays the same), or lower --context, now ",
        ),
        (TrainRecipe(), 1, "lower --context, now "),
    ):
        with pytest.raises(Failure) as error, explain_out_of_memory(savers(train, rows, 64, bf16=True, processes=2)):
            raise MemoryError
        said = sentence(error.value, Command(), "gpt2 finetune")
        assert said == f"memory ran out: {expected}64, to 32."
    full = DiskFailure("the disk is full.", "Go on with {again}", again={"resume": "runs/a", "override": True})
    assert sentence(full, Command(), "gpt2 finetune") == ("the disk is full. Go on with gpt2 finetune --resume runs/a")
    with pytest.raises(UsageError) as wrong:
        Recipe(data=DataRecipe(train=("a",)), train=TrainRecipe(batch_size=0)).check()
    assert sentence(wrong.value, Command(), "gpt2 finetune") == "--batch-size is 0: it must be at least 1."


@pytest.mark.parametrize("options, said", [
    ({"files": ()}, "no files"), ({"epochs": 0.0}, "epochs is 0"), ({"batch_size": 0}, "batch_size is 0"),
    ({"lora": -1}, "lora is -1: choose a rank"), ({"lr": 0.0}, "lr is 0"),
    ({"lora_alpha": 8.0}, "lora_alpha is 8: it belongs to an adapter, so give its rank too, such as lora=16"),
    ({"patience": -1}, "patience is -1"), ({"eval_every": 0}, "eval_every is 0"), ({"dropout": 1.0}, "dropout is 1"),
    ({"lora_targets": ("c_fc",)}, r"lora_targets is \('c_fc',\): it belongs to an adapter"),
    ({"lr": 1e-3, "optim": TuneOptim(lr=2e-3)}, "the rate is given twice, as 0.001 and as 0.002: leave out one of lr"),
    ({"context": 33}, "context is 33: this model takes 1 to 32"), ({"model": "nowhere"}, "no model 'nowhere'"),
])  # fmt: skip
def test_senseless_settings(base: str, text: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        FineTune(Settings(**{"files": (text,), "model": base} | options))


@pytest.mark.parametrize("words, said", [
    (["missing.txt"], (1, "missing.txt does not exist")),
    ([], (2, "name the text to fine-tune on")),
    (["TEXT", "--model", "storyteler"], (2, "did you mean storyteller")),
    (["TEXT", "--merge"], (2, "a full fine-tune is one plain checkpoint already: leave out --merge, or give")),
    (["TEXT", "--lora", "0"], (2, "--lora is 0: choose a rank of 1 or more")),
    (["TEXT", "--lora", "-1"], (2, "--lora is -1: choose a rank of 1 or more")),
    (["TEXT", "--lr", "0"], (2, "--lr is 0")),
])  # fmt: skip
def test_refusals_of_the_command(
    text: str, base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: tuple[int, str]
) -> None:
    argv = [text if word == "TEXT" else word for word in words]
    model = [] if "--model" in argv else ["--model", base]
    assert main(["finetune", *argv, *model, "--out", str(tmp_path / "run")]) == said[0]
    assert said[1] in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
