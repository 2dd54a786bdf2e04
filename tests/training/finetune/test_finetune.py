"""Fine-tuning: whole runs, what they keep, resuming, and how they end."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import GPT2LMHeadModel
from tuned import EOT, PAIRS, TEXT, ids_of, loss_by_transformers

from gpt2 import Sampling, generate
from gpt2.checkpoint.files import load
from gpt2.cli.main import main
from gpt2.training.finetune.finetune import FineTune, Settings
from gpt2.training.guards import Diverged
from gpt2.training.loop import TrainingRun


def everything(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file()}


def test_the_command_on_a_short_text(base: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    argv = ["finetune", text, "--model", base, "--out", str(out), "--lr", "1e-2", "--epochs", "3"]
    assert main([*argv, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["after"] < 0.75 * result["before"]
    assert result["before"] == pytest.approx(loss_by_transformers(base, held_out()), abs=1e-4)
    assert result["after"] == pytest.approx(loss_by_transformers(out / "model", held_out()), abs=1e-4)
    assert result["finished"]
    assert result["model"] == str(out / "model")
    assert result["samples"]["before"] != result["samples"]["after"]
    assert {"recipe.json", "metrics.jsonl", "model.safetensors", "tokenizer.json"} <= everything(out)
    assert not [name for name in everything(out) if "training" in name or "partial" in name]
    assert not (out / "checkpoints").exists()

    assert main(argv) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert main([*argv, "--overwrite"]) == 0
    printed = capsys.readouterr().out
    assert f"validation loss {result['before']:.4f} -> {result['after']:.4f}" in printed
    assert f"--model {out / 'model'}" in printed
    assert "before: " in printed


def held_out() -> list[tuple[list[int], int]]:
    """The last tenth of TEXT in windows of 32, as transformers is asked to score it."""
    ids = [*ids_of(TEXT), EOT]
    ids = ids[-round(0.1 * len(ids)) - 1 :]
    return [(ids[start : start + 33], 1) for start in range(0, len(ids) - 1, 32)]


def test_a_lora_run_leaves_the_base_alone_and_serves_everywhere(
    base: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in Path(base).iterdir()}
    out = tmp_path / "run"
    argv = ["finetune", text, "--model", base, "--out", str(out), "--lora", "4", "--lr", "3e-2", "--epochs", "2"]
    assert main([*argv, "--merge", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {path.name: path.read_bytes() for path in Path(base).iterdir()} == before
    assert everything(out / "model") == {"adapter_config.json", "adapter_model.safetensors"}
    assert result["after"] < result["before"] - 0.2
    assert result["after"] == pytest.approx(loss_by_transformers(out / "merged", held_out()), abs=1e-4)
    ids = torch.tensor([ids_of("12 comes after")])
    with torch.no_grad():
        ours = load(str(out / "model")).model(ids)
        merged = load(str(out / "merged")).model(ids)
        theirs = PeftModel.from_pretrained(GPT2LMHeadModel.from_pretrained(base), out / "model").eval()(ids).logits
    torch.testing.assert_close(ours, merged, rtol=0, atol=1e-6)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_it_learns_where_to_stop(base: str, pairs: str, tmp_path: Path) -> None:
    tuning = FineTune(Settings((pairs,), model=base, val=pairs, lr=1e-2, epochs=100, batch_size=8))
    result = tuning.run(tmp_path / "run")
    model = load(str(result.model)).model
    found = generate(model, tuning.tokenizer, [p["prompt"] for p in PAIRS], Sampling(temperature=0, max_tokens=12))
    right = [c.text == p["completion"] and c.finish_reason == "eos" for (c,), p in zip(found, PAIRS, strict=True)]
    assert all(right)


def test_the_best_weights_are_kept_and_a_rising_loss_ends_the_run(base: str, text: str, tmp_path: Path) -> None:
    """Validated on noise, which only gets worse the more is learned."""
    noise = np.random.default_rng(0).integers(33, 126, 400).astype(np.uint8).tobytes()
    (tmp_path / "noise.txt").write_bytes(noise)
    tuning = FineTune(Settings((text,), model=base, val=str(tmp_path / "noise.txt"), lr=1e-2, epochs=8))
    events: list[dict[str, Any]] = []
    result = tuning.run(tmp_path / "run", events.append)
    losses = {e["step"] + 1: next(iter(e["val"].values())) for e in events if "val" in e}
    assert result.finished
    assert result.steps < tuning.recipe.train.steps
    del losses[0]
    assert (result.after, result.best_step) == min((loss, step) for step, loss in losses.items())
    assert result.best_step < max(losses)
    kept = FineTune(Settings((text,), model=str(result.model), val=str(tmp_path / "noise.txt")))
    assert list(TrainingRun(kept.recipe, kept.task).evaluate().values()) == pytest.approx([result.after])


@pytest.mark.parametrize("lora", [0, 4])
def test_a_stopped_run_resumes_as_if_it_had_not_stopped(base: str, text: str, tmp_path: Path, lora: int) -> None:
    settings = Settings(
        (text,), model=base, lora=lora, lr=5e-3, epochs=1, batch_size=2, lora_dropout=0.1 if lora else 0.0
    )
    whole = FineTune(settings).run(tmp_path / "whole")
    steps = iter(range(9))
    part = FineTune(settings).run(tmp_path / "part", stop=lambda: next(steps) == 7)
    assert (part.finished, part.steps) == (False, 8)
    rest = FineTune(settings).run(tmp_path / "part", go_on=True)
    assert replace(rest, model=whole.model, seconds=whole.seconds) == whole
    a, b = (load(str(tmp_path / name / "model")).model.state_dict() for name in ("whole", "part"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "part")]
    losses = [[json.loads(line).get("loss") for line in log] for log in logs]
    assert losses[0] == losses[1]


def test_every_byte_of_the_rows_of_a_run_counts(base: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    facts = []
    for unread in ("a", "b"):
        rows.write_text("".join(json.dumps({"text": TEXT, "unread": unread}) + "\n" for _ in range(2)))
        facts.append(FineTune(Settings((str(rows),), model=base)).task.facts)
    assert {name for name in facts[0] if facts[0][name] != facts[1][name]} == {f"every byte of {rows}"}


def test_a_stop_during_the_last_step_keeps_the_last_weights(base: str, text: str, tmp_path: Path) -> None:
    settings = Settings((text,), model=base, epochs=0.1, lr=1e-3)
    whole = FineTune(settings).run(tmp_path / "run")
    assert whole.best_step == whole.steps
    stopped = FineTune(settings).run(tmp_path / "run", stop=lambda: True)
    while stopped.steps < whole.steps:
        stopped = FineTune(settings).run(tmp_path / "run", stop=lambda: True, go_on=True)
    assert replace(stopped, seconds=whole.seconds) == whole


def test_the_command_resumes(base: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    settings = Settings((text,), model=base, epochs=1)
    FineTune(settings).run(out, stop=lambda: True)
    assert main(["finetune", "--resume", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finished"]
    assert main(["finetune", "--resume", str(out)]) == 2
    assert f"is finished: its result is --model {out / 'model'}" in capsys.readouterr().err
    shutil.rmtree(out)
    FineTune(settings).run(out, stop=lambda: True)
    (tmp_path / "numbers.txt").write_text(TEXT + "more")
    assert main(["finetune", "--resume", str(out)]) == 1
    assert "is not the one that this run began with" in capsys.readouterr().err
    assert main(["finetune", text, "--resume", str(out)]) == 2
    assert "leave out the files and --out" in capsys.readouterr().err
    assert main(["train", "--resume", str(out)]) == 2
    assert f"is a run of gpt2 finetune: go on with gpt2 finetune --resume {out}\n" in capsys.readouterr().err
    assert main(["finetune", "--resume", str(tmp_path)]) == 2
    assert "holds no fine-tune" in capsys.readouterr().err


def test_an_adapter_goes_on_only_on_the_base_that_it_began_with(
    base: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, out = tmp_path / "mine", tmp_path / "run"
    shutil.copytree(base, mine)
    FineTune(Settings((text,), model=str(mine), lora=2, epochs=1)).run(out, stop=lambda: True)
    content = bytearray((mine / "model.safetensors").read_bytes())
    content[-6] ^= 1
    (mine / "model.safetensors").write_bytes(content)
    assert main(["finetune", "--resume", str(out)]) == 1
    assert f"{mine} is not the model that this run began with, since its weights differ" in capsys.readouterr().err
    shutil.rmtree(mine)
    assert main(["finetune", "--resume", str(out)]) == 2
    assert f"{out} began with the model {mine}, which is not there now: put it back" in capsys.readouterr().err


def test_a_rate_that_explodes_stops_with_the_mend(base: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(
        Diverged, match=r"step \d+: the loss is .*Start again with a lower rate: lr=3\.3e\+29 overwrite=True"
    ):
        FineTune(Settings((text,), model=base, lr=1e30, epochs=3)).run(tmp_path / "run")


def test_memory_that_runs_out_before_the_first_step_names_what_to_change(
    base: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first validation is outside the training loop."""

    def no_room(run: TrainingRun) -> dict[str, float]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(TrainingRun, "evaluate", no_room)
    with pytest.raises(ValueError, match=r"^memory ran out: lower train\.micro_batch_size, now"):
        FineTune(Settings((text,), model=base)).run(tmp_path / "run")
