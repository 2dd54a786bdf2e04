"""Components switched off in a trained baseline: as if they had been taken out of its weights by hand."""

import json
from pathlib import Path

import pytest
import torch

from gpt2.ablation.conduct import conduct, read_records
from gpt2.ablation.job import validation
from gpt2.ablation.measure import position_losses
from gpt2.ablation.statistics import paired
from gpt2.ablation.study import Job, Study, load_study
from gpt2.ablation.switched_off import read_switched_off, switch_off, write_switched_off
from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import load
from gpt2.cli.main import main
from gpt2.data.prepare import prepare
from gpt2.model import GPT2
from gpt2.probe import Probe
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.task import pretraining

STUDY = """
[study]
seeds = [0, 1]
tune_seeds = [100]
budgets = []
[baseline]
model = { n_layer = 2, n_head = 2, n_embd = 16, n_positions = 16 }
data = { train = ["DATA"], val = ["DATA"] }
optim = { lr = 0.01, warmup_steps = 1 }
train = { steps = 6, batch_size = 4, compile = false, dtype = "float32", eval_tokens = 1600 }
[contestants.no-positions]
variant = "no-positions"
kind = "primary"
expect = ">= 0"
[contestants.wide-no-mlp]
variant = "no-mlp"
set.model.n_embd = 32
expect = ">= 0"
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A study whose baseline is trained and kept, in the folder that is returned."""
    folder = tmp_path_factory.mktemp("off")
    (folder / "text.txt").write_text("\n\n".join(f"{n} comes after {n - 1}." for n in range(1, 200)))
    prepare([folder / "text.txt"], folder / "data", Tokenizer.bytes())
    (folder / "tiny.toml").write_text(STUDY.replace("DATA", str(folder / "data")))
    study = load_study(folder / "tiny.toml")
    conduct(study, folder / "tiny.jsonl", only=("baseline",), keep=folder / "kept")
    found = switch_off(study, read_records(folder / "tiny.jsonl"), folder / "kept")
    write_switched_off(found, folder / "tiny-off.json")
    return study, folder


def by_hand(study: Study, folder: Path, seed: int, component: str, kind: str) -> float:
    """The loss with a component's writes replaced in the weights themselves: no probe takes part in that pass."""
    task = pretraining(study.recipe("baseline"))
    ids, targets = validation(study, Job("baseline", "report", 0), task).all(torch.device("cpu"))
    others, _ = validation(study, Job("baseline", "tune", 0), task).all(torch.device("cpu"))
    model: GPT2 = load(folder / "kept" / f"baseline-{seed}").model.eval()
    probe = Probe(["*.attn.out", "*.mlp.out"])
    with torch.no_grad():
        model(others, probe=probe)
        if component == "position vectors":
            mean = model.transformer.wpe.weight[1:16].mean(dim=0)
            model.transformer.wpe.weight.copy_(torch.zeros(16, 16) if kind == "zero" else mean.expand(16, 16))
        for layer, block in enumerate(model.transformer.h):
            name = "attn.out" if component.startswith("attention") else "mlp.out"
            value = probe[f"{layer}.{name}"][:, 1:].mean(dim=(0, 1))
            if component in ("attention, every block", "MLP, every block", f"MLP of block {layer}"):
                out = block.attn.c_proj if component.startswith("attention") else block.mlp.c_proj
                out.weight.zero_()
                out.bias.copy_(torch.zeros(16) if kind == "zero" else value)
    losses = position_losses(model, ids, targets)
    return sum(losses) / len(losses)


@pytest.mark.parametrize(
    ("component", "kind"),
    [
        ("attention, every block", "mean"), ("attention, every block", "zero"), ("MLP, every block", "mean"),
        ("MLP, every block", "zero"), ("position vectors", "mean"), ("position vectors", "zero"),
        ("MLP of block 1", "mean"),
    ],
)  # fmt: skip
def test_a_component_off_is_the_model_with_its_weights_taken_out(
    trained: tuple[Study, Path], component: str, kind: str
) -> None:
    study, folder = trained
    (off,) = [o for o in read_switched_off(folder / "tiny-off.json").off if (o.title, o.kind) == (component, kind)]
    want = {seed: by_hand(study, folder, seed, component, kind) for seed in (0, 1)}
    assert off.losses == pytest.approx(want, abs=2e-5)
    plain = read_switched_off(folder / "tiny-off.json").losses
    assert off.change.mean == pytest.approx(sum(want[s] - plain[s] for s in (0, 1)) / 2, abs=2e-5)
    assert abs(off.change.mean) > 1e-4


def test_with_everything_on_the_loss_is_the_one_on_record(trained: tuple[Study, Path]) -> None:
    _, folder = trained
    records = read_records(folder / "tiny.jsonl").values()
    recorded = {r["seed"]: r["val_loss"] for r in records if r["purpose"] == "report"}
    assert read_switched_off(folder / "tiny-off.json").losses == pytest.approx(recorded, abs=1e-6)


def test_intervals_are_over_seeds(trained: tuple[Study, Path]) -> None:
    off = read_switched_off(trained[1] / "tiny-off.json")
    one = off.off[0]
    assert one.change == paired(list(one.losses.values()), list(off.losses.values()))


def test_only_the_same_component_of_the_same_model_is_a_counterpart(trained: tuple[Study, Path]) -> None:
    study, folder = trained
    off = read_switched_off(folder / "tiny-off.json")
    found = off.counterpart(study.contestants["no-positions"])
    assert found is not None
    assert (found.title, found.kind) == ("position vectors", "mean")
    assert off.counterpart(study.contestants["wide-no-mlp"]) is None
    assert off.counterpart(study.contestants["baseline"]) is None


def test_weights_of_another_study_and_files_of_another_kind_are_refused(
    trained: tuple[Study, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, folder = trained
    records = read_records(folder / "tiny.jsonl")
    wrong = {key: {**r, "val_loss": r["val_loss"] + 0.1} for key, r in records.items()}
    with pytest.raises(ValueError, match="weights of another study"):
        switch_off(study, wrong, folder / "kept")
    with pytest.raises(UsageError, match="holds no baseline-SEED"):
        switch_off(study, records, tmp_path)
    (tmp_path / "bad.json").write_text(json.dumps({"losses": 1}))
    with pytest.raises(UsageError, match="is not what gpt2 ablate off writes"):
        read_switched_off(tmp_path / "bad.json")
    words = ["ablate", "off", str(folder / "tiny.toml"), "--results", str(folder / "tiny.jsonl")]
    assert main([*words, "--kept", str(folder / "kept"), "--out", str(tmp_path / "off.json")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "off.json")
    again = json.loads((tmp_path / "off.json").read_text())
    assert again["off"] == json.loads((folder / "tiny-off.json").read_text())["off"]
