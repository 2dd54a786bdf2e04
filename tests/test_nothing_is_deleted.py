"""What a user keeps where a command is to write stays there: the command names it and refuses, `--overwrite` or not."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from gpt2.ablation.results import read_records, writing
from gpt2.base.errors import UsageError
from gpt2.base.notes import Note
from gpt2.base.pictures import save_picture
from gpt2.checkpoint.files import save
from gpt2.checkpoint.target import check_target, whole_directory
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.data.prepare import prepare
from gpt2.data.unfinished import place_for
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.run.directory import check_resumed, check_run, checkpoints, forget, forget_checkpoints, prune

ROOT = Path(__file__).parents[1]
OLD_RUN = ROOT / "tests" / "fixtures" / "version_0_1" / "run"
MINE = "years of work"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with all that one may hold."""
    run = tmp_path / "run"
    shutil.copytree(OLD_RUN, run)
    model = run / "checkpoints" / "step-000002" / "model"
    for place in ("model", "merged", "snapshots/step-000001", "checkpoints/.step-000001.ab12cd34.old/model"):
        shutil.copytree(model, run / place)
    (run / "tensorboard").mkdir()
    (run / "tensorboard" / "events.out.tfevents.1.host.2.0").touch()
    (run / ".lock").touch()
    return run


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MINE)
    return path


def everything(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


PLACES = [
    "notes.md", "mymodel.bin", "checkpoints/best.ckpt", "checkpoints/step-000002/plan.txt", "checkpoints/step-1/x",
    "checkpoints/step-000002/model/notes.txt", "checkpoints/.step-000001.ab12cd34.old/mine", "model/notes.txt",
    "model/training_args.bin", "model/mine.safetensors", "merged/README.md", "snapshots/mine", "tensorboard/mine.csv",
    "snapshots/step-000001/x", ".git/config", "lora/adapter_config.json",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_run_with_something_of_the_users_is_not_replaced(run: Path, place: str) -> None:
    assert check_run(run, overwrite=True) == run
    write(run / place)
    before = everything(run)
    with pytest.raises(UsageError) as refusal:
        check_run(run, overwrite=True)
    named = str(refusal.value).partition(" holds ")[2].partition(",")[0]
    assert place == named or place.startswith(f"{named}/")
    forget(run)  # a check that came too early costs nothing either
    assert (run / place).read_text() == MINE
    assert everything(run).items() <= before.items()


def test_what_is_a_runs_own_is_forgotten(run: Path) -> None:
    forget(run)
    assert sorted(everything(run)) == [".lock", "environment.json", "recipe.json"]


@pytest.mark.parametrize("command", ["train", "finetune"])
@pytest.mark.parametrize("words", [[], ["--overwrite"]])
@pytest.mark.parametrize(
    "place", ["mymodel.bin", "checkpoints/best.ckpt", "model/config.json", "metrics.jsonl", "recipe.json", ".git/HEAD"]
)
def test_what_was_never_a_run_is_left_alone(
    command: str, words: list[str], place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "thesis"
    write(out / place)
    write(tmp_path / "poems.txt")
    before = everything(tmp_path)
    what = str(ROOT / "recipes" / "storyteller.toml") if command == "train" else str(tmp_path / "poems.txt")
    assert main([command, what, "--out", str(out), *words]) == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith(f"gpt2: {out} ")
    assert "choose another --out." in sentence
    assert everything(tmp_path) == before


@pytest.mark.parametrize("words", [[], ["--overwrite"]])
def test_no_run_is_written_into_a_prepared_data_set(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "poems.txt"
    text.write_text("a poem " * 100)
    prepare([text], tmp_path / "set", Tokenizer.bytes())
    before = everything(tmp_path)
    assert main(["finetune", str(text), "--out", str(tmp_path / "set"), *words]) == 2
    assert "set holds doc_starts.npy, which is not part of a run" in capsys.readouterr().err
    assert everything(tmp_path) == before


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_is_the_users(run: Path, tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere" / "x").parent
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").symlink_to(elsewhere)
    with pytest.raises(UsageError, match="holds checkpoints, which is not part of a run"):
        check_run(run, overwrite=True)
    forget(run)
    forget_checkpoints(run)
    assert (run / "checkpoints" / "x").read_text() == MINE
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match="is a link to"):
        check_run(tmp_path / "nowhere", overwrite=False)


def test_checkpoints_with_something_in_them_stay(run: Path) -> None:
    """Pruning, cleaning up and the end of a fine-tune delete what the program wrote alone."""
    steps = run / "checkpoints"
    for step in (4, 6, 8):
        shutil.copytree(steps / "step-000002", steps / f"step-{step:06d}")
    kept = [write(steps / "step-000004" / "plan.txt"), write(steps / "best.ckpt"), write(steps / ".step-notes")]
    kept.append(write(steps / ".step-000009.partial" / "mine"))
    prune(run, keep_last=1)
    assert [*checkpoints(run)] == [4, 8]
    forget_checkpoints(run)
    assert [path.read_text() for path in kept] == [MINE] * 4
    assert {path.name for path in steps.rglob("*") if path.is_file()} == {path.name for path in kept}


@pytest.mark.parametrize("place", ["model/notes.txt", "merged/mine.bin", "snapshots/step-000001/x"])
def test_a_run_does_not_go_on_over_it(run: Path, place: str) -> None:
    check_resumed(run)
    write(run / "notes.md")  # nothing would touch it
    check_resumed(run)
    write(run / place)
    with pytest.raises(UsageError, match=f"holds {place}, which is not part of a run: move it to another place"):
        check_resumed(run)


# checkpoints and adapters


@pytest.fixture
def model() -> GPT2:
    torch.manual_seed(0)
    return GPT2(GPT2Config(n_layer=1, n_head=2, n_embd=8, n_positions=8, vocab_size=257))


@pytest.mark.parametrize(
    "name", ["mymodel.bin", "training_args.bin", "best.safetensors", "README.md", "old/x", ".git/x"]
)
def test_a_checkpoint_with_something_of_the_users_is_not_replaced(model: GPT2, name: str, tmp_path: Path) -> None:
    target = save(model, Tokenizer.bytes(), tmp_path / "out")
    assert check_target(target, overwrite=True) == target
    write(target / name)
    with pytest.raises(UsageError, match=f"holds {name.partition('/')[0]}, which is not part of a checkpoint"):
        save(model, None, target, overwrite=True)
    assert (target / name).read_text() == MINE


@pytest.mark.parametrize(
    ("name", "content"),
    [("model.safetensors", MINE), ("config.json", '{"theme": "dark"}'), ("vocab.json", "{}"),
     ("config.json", '{"model_type": "llama"}'), ("adapter_config.json", "[]")],
)  # fmt: skip
def test_known_names_alone_make_no_checkpoint(model: GPT2, name: str, content: str, tmp_path: Path) -> None:
    write(tmp_path / "app" / name).write_text(content)
    with pytest.raises(UsageError, match="is not empty, and it is not a checkpoint: choose another directory"):
        save(model, None, tmp_path / "app", overwrite=True)
    assert (tmp_path / "app" / name).read_text() == content


def test_what_comes_meanwhile_stays_beside_the_new_one(model: GPT2, tmp_path: Path) -> None:
    target = save(model, Tokenizer.bytes(), tmp_path / "out")
    with whole_directory(target) as temporary:
        (temporary / "config.json").write_text("new")
        write(target / "notes.txt")
    assert everything(tmp_path) == {
        "out": None, "out/config.json": b"new", "out/notes.txt": MINE.encode(),
    }  # fmt: skip


def test_export_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "out" / "mymodel.bin")
    assert main(["export", "storyteller", str(tmp_path / "out"), "--overwrite"]) == 2
    assert "holds mymodel.bin, which is not part of a checkpoint" in capsys.readouterr().err


# data sets


def test_a_half_made_data_set_with_something_in_it(tmp_path: Path) -> None:
    text = write(tmp_path / "text.txt")
    mine = [write(place_for(tmp_path / "set") / "notes"), write(tmp_path / ".set.old" / "notes")]
    with pytest.raises(UsageError, match="notes is in the way, and gpt2 prepare did not write it"):
        prepare([text], tmp_path / "set", Tokenizer.bytes())
    os.rename(mine[0], tmp_path / "notes")
    prepare([text], tmp_path / "set", Tokenizer.bytes())
    prepare([text], tmp_path / "set", Tokenizer.bytes(), overwrite=True)
    assert [path.read_text() for path in (tmp_path / "notes", mine[1])] == [MINE] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [".set.old", "notes", "set", "text.txt"]


# files


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_picture_replaces_only_one_of_ours(suffix: str, tmp_path: Path) -> None:
    path, figure = tmp_path / "new" / f"curve.{suffix}", Figure(figsize=(1, 1))
    save_picture(figure, path)
    save_picture(figure, path)
    figure.savefig(path)  # as the user's own program would
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is not a picture that this program drew, so it is not replaced"):
        save_picture(figure, path)
    assert everything(tmp_path / "new") == {path.name: before}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["explain", "The cat", "--png"], "photo.png"),
        (["explain", "lens", "The cat", "--png"], "photo.png"),
        (["explain", "The cat", "--html"], "site.html"),
        (["runs", str(OLD_RUN), "--png"], "photo.png"),
    ],
)
def test_a_command_spares_a_file_of_the_users(
    words: list[str], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / name)
    assert main([*words, str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{path} is there already and is not a p" in shown.err
    assert path.read_text() == MINE


def test_results_of_a_study_are_not_cut_from_another_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(MINE)  # one line without an end: no record that was cut off
    with pytest.raises(UsageError, match="line 1 is not the result of a run"):
        read_records(path)
    about = {
        "study": "s",
        "contestant": "wide",
        "purpose": "tune",
        "seed": 0,
        "rate": 1.0,
        "share": 0.5,
        "diverged_at": 2,
    }
    whole = json.dumps({"key": "a", **about})
    path.write_text(f'{whole}\n{{"key": "b", "val')
    with pytest.warns(Note, match="the last line was cut off"):
        assert list(read_records(path)) == ["a"]
    path.write_text(whole)  # saved by an editor that writes no last line end
    with writing(path) as results:
        results.append({"key": "b", **about})
    assert list(read_records(path)) == ["a", "b"]


def test_adapters_are_checkpoints_here(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    write(folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    write(folder / "adapter_model.safetensors")
    assert check_target(folder, overwrite=True) == folder
