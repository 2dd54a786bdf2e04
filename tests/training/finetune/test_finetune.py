"""Fine-tuning: what is learned from and what is held out, the loss on completions, whole runs, resuming, refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from peft import PeftModel
from transformers import AutoTokenizer, GPT2LMHeadModel

from gpt2 import Sampling, generate
from gpt2.base.errors import DiskFailure, Failure, UsageError
from gpt2.base.notes import Note
from gpt2.checkpoint.files import load, save
from gpt2.cli.errors import sentence
from gpt2.cli.finetune import Command
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.data.completions import completions
from gpt2.data.conversations import conversations
from gpt2.data.examples import Examples
from gpt2.model import GPT2
from gpt2.text.chat import Chat
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.finetune.finetune import FineTune, Settings
from gpt2.training.guards import Diverged
from gpt2.training.loop import TrainingRun
from gpt2.training.recipe import DataRecipe, Recipe, TrainRecipe
from gpt2.training.run.interrupts import explain_out_of_memory, savers

TEXT = "".join(f"{n} comes after {n - 1}.\n" for n in range(1, 70))
WORDS = ("apple", "bread", "candle", "door", "elephant", "flower", "grass", "hat")
PAIRS = [{"prompt": f"{word[0]} is for", "completion": f" {word}"} for word in WORDS]
ids_of = Tokenizer.bytes().encode
EOT = 256


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small model with fresh weights and the bytes as its tokenizer; its configuration asks for dropout."""
    config = GPT2Config(vocab_size=257, n_positions=32, n_embd=32, n_layer=2, n_head=2, attn_pdrop=0.1, resid_pdrop=0.1)
    return str(save(GPT2(config, seed=1), Tokenizer.bytes(), tmp_path_factory.mktemp("base") / "model"))


@pytest.fixture(autouse=True)
def few_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writes a checkpoint and waits for the disk."""
    monkeypatch.setattr("gpt2.training.finetune.settings.EVALUATIONS", 4)


@pytest.fixture
def text(tmp_path: Path) -> str:
    (tmp_path / "numbers.txt").write_text(TEXT)
    return str(tmp_path / "numbers.txt")


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    (tmp_path / "words.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    return str(tmp_path / "words.jsonl")


def loss_by_transformers(directory: Path | str, examples: list[tuple[list[int], int]]) -> float:
    """The mean of -log p over the ids from `first` on, each sequence alone and unpadded."""
    hf = GPT2LMHeadModel.from_pretrained(directory).eval()
    losses = []
    for ids, first in examples:
        with torch.no_grad():
            log_p = hf(torch.tensor([ids[:-1]])).logits[0].log_softmax(-1)
        losses += [-log_p[place - 1, ids[place]].item() for place in range(first, len(ids))]
    return sum(losses) / len(losses)


# what is learned from


def test_the_end_of_a_text_is_held_out(base: str, text: str) -> None:
    tuning = FineTune(Settings((text,), model=base))
    ids = [*ids_of(TEXT), EOT]
    held = round(0.1 * len(ids))
    train = [token for e in tuning.train.examples for token in e.ids[e.first :].tolist()]
    val = [token for e in tuning.val.examples for token in e.ids[e.first :].tolist()]
    assert [ids[0], *train, *val] == ids
    assert len(val) == held


def test_whole_documents_are_held_out(base: str, tmp_path: Path) -> None:
    stories = [f"story {n} " * 5 for n in range(30)]
    path = tmp_path / "stories.jsonl"
    path.write_text("".join(json.dumps({"story": story}) + "\n" for story in stories))
    tuning = FineTune(Settings((str(path),), model=base, field="story"))
    found = []
    for examples in (tuning.train, tuning.val):
        first, *others = examples.examples
        ids = [*first.ids.tolist(), *(token for e in others for token in e.ids[1:].tolist())]
        found.append(Tokenizer.bytes().decode(token for token in ids if token != EOT))
    assert sorted(len(part) for part in found)[0] <= 0.1 * sum(map(len, stories))
    assert [story for story in stories if story in found[0]] == [story for story in stories if story not in found[1]]
    assert found[1]


def test_a_file_to_validate_on(base: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("something else")
    tuning = FineTune(Settings((text,), model=base, val=str(tmp_path / "val.txt")))
    assert tuning.val.examples[0].ids.tolist() == [*ids_of("something else"), EOT]
    assert tuning.train.tokens == len(TEXT)


# the loss on completions


def test_only_completions_count(base: str, pairs: str) -> None:
    """The validation loss, and the loss of a training step with micro-batches, beside transformers'."""
    settings = Settings((pairs,), model=base, val=pairs, batch_size=len(PAIRS), micro_batch_size=3)
    tuning = FineTune(settings)
    expected = loss_by_transformers(
        base,
        [([*ids_of(p["prompt"] + p["completion"]), EOT], len(p["prompt"])) for p in PAIRS],
    )
    run = TrainingRun(tuning.recipe, tuning.task)
    assert list(run.evaluate().values()) == pytest.approx([expected], abs=1e-5)
    assert run.step(0)["loss"] == pytest.approx(expected, abs=1e-5)


def test_prompts_are_read_and_not_predicted(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('\ufeff{"prompt": "ab", "completion": "cd"}\n\n{"completion": "c", "prompt": "a", "id": 7}\n')
    examples = Examples(completions(path, Tokenizer.bytes(), 32))
    ids, targets = examples.rows(0, 2)
    a, b, c, d = ids_of("abcd")
    assert ids.tolist() == [[a, b, c, d], [a, c, 0, 0]]
    assert targets.tolist() == [[-100, c, d, EOT], [c, EOT, -100, -100]]
    assert examples.tokens == 5


def test_a_completion_past_the_context_is_cut(base: str, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(f'{{"prompt": "{"a" * 30}", "completion": "{"b" * 30}"}}\n{{"prompt": "a", "completion": "b"}}\n')
    tuning = FineTune(Settings((str(path),), model=base, val=str(path)))
    assert tuning.cut == 2  # once in what is learned, once in what validates
    assert tuning.train.examples[0].ids.tolist() == ids_of("a" * 30 + "b" * 3)


# whole runs


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
    assert "is not the set that this run began with" in capsys.readouterr().err
    assert main(["finetune", text, "--resume", str(out)]) == 2
    assert "leave out the files and --out" in capsys.readouterr().err
    assert main(["train", "--resume", str(out)]) == 2
    assert f"is a run of gpt2 finetune: go on with gpt2 finetune --resume {out}\n" in capsys.readouterr().err
    assert main(["finetune", "--resume", str(tmp_path)]) == 2
    assert "holds no fine-tune" in capsys.readouterr().err


def test_dropout_is_off_but_stays_in_the_configuration(base: str, text: str, tmp_path: Path) -> None:
    tuning = FineTune(Settings((text,), model=base, epochs=0.5))
    tuning.model.train()
    ids = torch.tensor([ids_of("12 comes after")])
    assert torch.equal(tuning.model(ids), tuning.model(ids))
    assert load(str(tuning.run(tmp_path / "run").model)).model.config.resid_pdrop == 0.1


# what is refused


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


@pytest.mark.parametrize("content, said", [
    ("", "holds no document"),
    ("too short", "has 10 tokens, too few to learn from: give at least 32"),
])  # fmt: skip
def test_texts_without_text(base: str, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(ValueError, match=said):
        FineTune(Settings((str(tmp_path / "a.txt"),), model=base))


def test_a_text_shorter_than_a_window_is_learned_all_the_same(base: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("forty characters are enough for a try.")
    tuning = FineTune(Settings((str(tmp_path / "a.txt"),), model=base))
    assert (tuning.train.tokens, tuning.val.tokens, len(tuning.train)) == (34, 4, 2)
    result = tuning.run(tmp_path / "run")
    assert result.finished


@pytest.mark.parametrize("line, said", [
    ('{"prompt": "a"}', r'line 3, has no text in "completion" \(it has prompt\)'),
    ('{"completion": "a", "prompt": 5}', r'line 3, has the number 5 in "prompt"'),
    ('{"prompt": "a", "completion": ""}', "line 3, has an empty completion"),
    ('{"prompt": "", "completion": "a"}', "line 3, has an empty prompt"),
    ('{"prompt": "a" "completion": ""}', "line 3, is not JSON"),
    ('["a", "b"]', "line 3, is not an object"),
    (json.dumps({"prompt": "a" * 33, "completion": "b"}), "line 3, has a prompt of 33 tokens, but the context is 32"),
])  # fmt: skip
def test_lines_that_are_no_prompt_and_completion(base: str, tmp_path: Path, line: str, said: str) -> None:
    good = '{"prompt": "a", "completion": "b"}\n'
    (tmp_path / "a.jsonl").write_text(f"{good}\n{line}\n{good}")
    with pytest.raises(ValueError, match=said):
        FineTune(Settings((str(tmp_path / "a.jsonl"),), model=base))


def test_one_example_cannot_validate_itself(base: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(ValueError, match="has one example, and none to validate on"):
        FineTune(Settings((str(tmp_path / "a.jsonl"),), model=base))


def test_text_and_completions_do_not_mix(base: str, text: str, pairs: str) -> None:
    with pytest.raises(UsageError, match=r"words\.jsonl does not hold text"):
        FineTune(Settings((text, pairs), model=base))
    with pytest.raises(UsageError, match=r"numbers\.txt does not hold prompts and completions"):
        FineTune(Settings((pairs,), model=base, val=text))


@pytest.mark.parametrize("options, said", [
    ({"files": ()}, "no files"), ({"epochs": 0.0}, "epochs is 0"), ({"batch_size": 0}, "batch_size is 0"),
    ({"lora": -1}, "lora is -1: choose a rank"), ({"lr": 0.0}, "lr is 0"),
    ({"lora_alpha": 8.0}, "lora_alpha is 8: it belongs to an adapter, so give its rank too, such as lora=16"),
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


# conversations

CHATS = [
    {"messages": [
        {"role": "user", "content": f"say {word}"}, {"role": "assistant", "content": word},
        {"role": "user", "content": "on"}, {"role": "assistant", "content": "no"},
    ]} for word in WORDS
]  # fmt: skip
ALPACA = [
    {"instruction": "say", "input": "b", "output": "c"},
    {"instruction": "say", "input": "", "output": "c"},
    {"instruction": "say", "output": "c", "text": "all of it"},
]


@pytest.fixture
def chat_base(tmp_path: Path) -> str:
    config = GPT2Config(vocab_size=257, n_positions=128, n_embd=32, n_layer=2, n_head=2)
    return str(save(GPT2(config, seed=1), Tokenizer.bytes(), tmp_path / "base"))


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_every_answer_of_a_conversation_counts_and_nothing_else(chat_base: str, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"chats.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(CHATS), path)
    else:
        path.write_text(json.dumps(CHATS) if kind == "json" else "\n".join(map(json.dumps, CHATS)))
    tuning = FineTune(Settings((str(path),), model=chat_base, val=str(path)))
    ids, targets = tuning.val.rows(0, len(CHATS))
    for row, word in enumerate(WORDS):
        said = [*ids_of(f" {word}"), EOT, *ids_of(" no"), EOT]
        assert targets[row][targets[row] != -100].tolist() == said
        text = tuning.tokenizer.decode(ids[row].tolist())
        assert text.startswith(f"User: say {word}\n\nAssistant: {word}<|endoftext|>\n\nUser: on\n\nAssistant: no")
    assert tuning.val.tokens == int((targets != -100).sum())
    assert (tuning.kind, tuning.cut) == ("conversations", 0)


def test_a_fine_tune_on_conversations_from_the_command_line(
    chat_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "chats.jsonl", tmp_path / "run"
    (tmp_path / "empty.jsonl").touch()
    rows = [*CHATS, {"messages": [{"role": "user", "content": "<|endoftext|>"}, {"role": "assistant", "content": "x"}]}]
    path.write_text("\n".join(map(json.dumps, rows)))
    words = ["finetune", str(path), str(tmp_path / "empty.jsonl"), "--model", chat_base, "--out", str(out)]
    assert main([*words, "--epochs", "1"]) == 0
    stdout, err = capsys.readouterr()
    assert "conversations, " in stdout
    assert "tokens of answers to learn from" in stdout
    hint = next(line for line in stdout.splitlines() if line.startswith("try: "))
    assert "endoftext" not in hint
    assert "spells <|endoftext|> once, read as ordinary text: --allow-special reads it as the token." in err
    assert "1 file holds no document: " in err
    theirs = AutoTokenizer.from_pretrained(out / "model")
    ours = Chat(Tokenizer.load(out / "model")).encode(CHATS[0]["messages"])
    encoded = theirs.apply_chat_template(CHATS[0]["messages"], return_dict=True, return_assistant_tokens_mask=True)
    assert (ours.ids, ours.answer.astype(int).tolist()) == (encoded["input_ids"], encoded["assistant_masks"])


def test_alpaca_rows_are_conversations(chat_base: str, tmp_path: Path) -> None:
    path = tmp_path / "alpaca.json"
    path.write_text(json.dumps(ALPACA))
    examples = Examples(conversations(path, Chat(Tokenizer.bytes()), 64))
    asked = ["say\n\nb", "say", "say"]
    for example, text in zip(examples.examples, asked):
        assert example.ids.tolist() == [*ids_of(f"User: {text}\n\nAssistant: c"), EOT, *ids_of("\n\n")]
        assert example.first == len(f"User: {text}\n\nAssistant:")
        assert example.counted == 3
    assert FineTune(Settings((str(path),), model=chat_base)).kind == "conversations"


def say(**changes: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"} | changes]}


@pytest.mark.parametrize(
    "row, pattern",
    [
        (say(content=5), 'line 2, has the number 5 in "content" of message 2: write a text there, between quotes'),
        (say(content=None), 'line 2, has null in "content" of message 2'),
        (say(content=["b"]), 'line 2, has a list in "content" of message 2'),
        (say(content=True), 'line 2, has true in "content" of message 2'),
        (say(role=1), 'line 2, has the number 1 in "role" of message 2'),
        (say(role="bot"), r'has no message of the role "assistant" \(it has user, bot\)'),
        ({"messages": "a"}, 'line 2, has a text in "messages"'),
        ({"messages": []}, 'line 2, has an empty list in "messages"'),
        ({"messages": ["a"]}, "line 2, has a text as message 1"),
        ({"messages": [{"from": "human"}]}, r'line 2, has no "role" of message 1 \(it has from\)'),
        ([1], "line 2, is a list"),
        ({"instruction": "a", "input": 5, "output": "b"}, 'line 2, has the number 5 in "input"'),
        ({"instruction": "a", "output": 3.5}, 'line 2, has the number 3.5 in "output"'),
        ({"instruction": "a", "output": " "}, "line 2, has an empty output"),
        ({"text": "a"}, 'line 2, has "text", while the first row has "messages"'),
        (say(content="x" * 300) | {"messages": [{"role": "user", "content": "x" * 300}, say()["messages"][1]]},
         "line 2, has 323 tokens, 318 of them before its first answer, but the context is 128: shorten"),
    ],
)  # fmt: skip
def test_rows_that_are_no_conversation(tmp_path: Path, row: Any, pattern: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(say()) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=pattern):
        list(conversations(path, Chat(Tokenizer.bytes()), 128))


def test_a_long_conversation_is_cut_and_counted(chat_base: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(say(content="b" * 300)) + "\n" + json.dumps(say()))
    tuning = FineTune(Settings((str(path),), model=chat_base, val=str(path)))
    assert (tuning.cut, tuning.val.longest) == (2, 128)


def test_special_tokens_in_a_text_to_fine_tune_on(base: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello there<|endoftext|>you all\n" * 20)
    with pytest.warns(Note, match="spells <|endoftext|> 20 times"):
        plain = FineTune(Settings((str(path),), model=base, val=str(path)))
    special, split = (
        FineTune(Settings((str(path),), model=base, val=str(path), **{name: True}))
        for name in ("allow_special", "split_inline")
    )
    counts = []
    for tuning in (plain, special, split):
        ids = np.concatenate([example.ids[1:] for example in tuning.val.examples])
        counts.append(int((ids == EOT).sum()))
        assert "endoftext" not in tuning.samples.hint(tuning.samples.prompt())[0]
    assert counts == [1, 21, 21]
    assert special.samples.hint([EOT, *ids_of("ab"), EOT, 97]) == ("ab", False)
