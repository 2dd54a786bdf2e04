"""nanoGPT's and llm.c's files: the logits are transformers' for the same weights; what is not theirs is refused.

The files are written here from a model of transformers', as train.py and train_gpt2.py of those projects write them.
"""

import io
import json
import pickle
import shlex
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import gpt2
from gpt2.base.notes import Note, forget
from gpt2.checkpoint.download import cached
from gpt2.checkpoint.files import load, load_model
from gpt2.checkpoint.hub import model_directory
from gpt2.cli.main import main
from gpt2.text.tokenizer import Tokenizer

ARGUMENTS = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 24, "bias": True, "vocab_size": 257, "dropout": 0.1}
PROJECTIONS = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


@pytest.fixture(autouse=True)
def _afresh():
    forget()


@cache
def make(activation, bias=True, rows=257, dtype=torch.float64):
    """A model of transformers' with random weights, rounded to `dtype`; its biases zero where it has none."""
    config = transformers.GPT2Config(
        vocab_size=rows, n_positions=24, n_embd=32, n_layer=2, n_head=4, activation_function=activation
    )
    model = transformers.GPT2LMHeadModel(config).double().eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            fresh = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3
            parameter.copy_(fresh.to(dtype) if bias or not name.endswith("bias") else 0.0)
    return model


def nano(model, path, prefix="", **arguments):
    """Write nanoGPT's ckpt.pt."""
    args = {k: v for k, v in (ARGUMENTS | arguments).items() if v is not ...}
    state = {
        f"{prefix}{name}": tensor.t().contiguous() if name.endswith(PROJECTIONS) else tensor
        for name, tensor in model.state_dict().items()
        if args.get("bias", True) or not name.endswith("bias")
    }
    content = {"model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.95)}]},
               "model_args": args, "iter_num": 10, "best_val_loss": torch.tensor(1.5),
               "config": {"dataset": "letters", "compile": True, "init_from": "scratch"}}  # fmt: skip
    torch.save(content, path)
    return path


def assert_same(ours, model):
    ids = torch.randint(ours.config.vocab_size, (3, 24), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(ids).logits[..., : ours.config.vocab_size]
        error = (ours(ids) - expected).abs().max() / expected.std()
    assert error <= 1e-10


# nanoGPT


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module._orig_mod."])
def test_nanogpt_gives_the_reference_logits(bias, prefix, tmp_path):
    model = make("gelu", bias)
    path = nano(model, tmp_path / "ckpt.pt", prefix, bias=bias)
    with pytest.warns(Note, match="does not say which GELU .* give activation='gelu_new'"):
        assert_same(load_model(path, torch.float64), model)
    assert load_model(path).config.attn_pdrop == 0.1


def test_the_activation_is_taken_from_the_user(tmp_path, recwarn):
    model = make("gelu_new")
    Tokenizer.bytes().save(tmp_path)
    path = nano(model, tmp_path / "ckpt.pt")
    assert_same(load(str(path), torch.float64, activation="gelu_new").model, model)
    assert not [w for w in recwarn if w.category is Note]
    with pytest.raises(ValueError, match="activation_function is 'gelou'"):
        load(str(path), activation="gelou")


def test_the_oldest_files_have_biases_and_masks(tmp_path):
    model = make("gelu")
    path = nano(model, tmp_path / "model-1.pth", bias=..., dropout=...)
    content = torch.load(path, weights_only=True)
    content["model"]["transformer.h.0.attn.bias"] = torch.ones(1, 1, 24, 24).tril()
    torch.save(content, path)
    assert_same(load_model(path, torch.float64), model)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"n_kv_head": 2}, "'n_kv_head': 2, which nanoGPT does not have"), ({"n_layer": ...}, "no n_layer"),
     ({"n_head": 5}, "n_embd 32 does not divide by n_head 5"), ({"bias": "no"}, "bias in model_args is 'no'"),
     ({"block_size": "24"}, "n_positions is '24'"), ({"n_layer": 3}, r"lacks transformer\.h\.2"),
     ({"n_layer": 1}, r"beyond a GPT-2, transformer\.h\.1"),
     ({"vocab_size": 300}, r"wte\.weight has shape \[257, 32\]")],
)  # fmt: skip
def test_arguments_that_make_no_gpt2_are_named(arguments, said, tmp_path):
    path = nano(make("gelu"), tmp_path / "ckpt.pt", **arguments)
    with pytest.raises(ValueError, match=said) as refusal:
        load_model(path)
    assert str(path) in str(refusal.value)


def test_biases_of_a_model_without_them_are_refused(tmp_path):
    path = nano(make("gelu"), tmp_path / "ckpt.pt")
    content = torch.load(path, weights_only=True)
    content["model_args"]["bias"] = False
    torch.save(content, path)
    with pytest.raises(ValueError, match="though bias in model_args is False"):
        load_model(path)


class Runs:
    """Would make a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


def test_no_code_is_run(tmp_path):
    marker, path = tmp_path / "ran", tmp_path / "ckpt.pt"
    torch.save({"model": {}, "model_args": ARGUMENTS, "config": Runs(marker)}, path)
    with pytest.raises(ValueError, match=r"ckpt\.pt is damaged or holds more than tensors"):
        load_model(path)
    meta = tmp_path / "meta.pkl"
    meta.write_bytes(pickle.dumps({"itos": {0: "a"}, "stoi": Runs(marker)}))
    with pytest.raises(ValueError, match=r"meta\.pkl is damaged or holds more than a vocabulary"):
        load(str(nano(make("gelu"), path)))
    assert not marker.exists()


def test_what_is_no_nanogpt_file_is_named(tmp_path):
    torch.save({"wte.weight": torch.zeros(2)}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="has no model_args beside its model"):
        load_model(tmp_path / "model.pt")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(gpt2.base.errors.UsageError, match="is a file, and not one of nanoGPT or"):
        model_directory(str(tmp_path / "config.json"))


# Its tokenizer


def letters(directory, characters):
    directory.mkdir(parents=True, exist_ok=True)
    itos = dict(enumerate(characters))
    meta = {"vocab_size": len(itos), "itos": itos, "stoi": {char: i for i, char in itos.items()}}
    (directory / "meta.pkl").write_bytes(pickle.dumps(meta))
    return directory


@pytest.mark.parametrize("place", ["beside", "data", "named"])
def test_characters_of_a_data_set(place, tmp_path):
    characters = "\n !abcdefghijklmnopqrstuvwxyzé▁☃"
    out = tmp_path / "out"
    out.mkdir()
    nano(make("gelu", rows=len(characters)), out / "ckpt.pt", vocab_size=len(characters))
    where = {"beside": out, "data": tmp_path / "data" / "letters", "named": tmp_path / "else"}[place]
    letters(where, characters)
    found = load(str(out), tokenizer=str(where) if place == "named" else None).tokenizer
    text = "a snow ☃ né\n▁ end!"
    assert found.encode(text) == [characters.index(char) for char in text]
    assert found.decode(found.encode(text)) == text
    assert found.vocab_size == len(characters)
    with pytest.raises(ValueError, match="the text has 'S', for which this tokenizer has no token"):
        found.encode("no Snow")


@pytest.mark.parametrize(
    ("meta", "said"),
    [({"vocab_size": 2}, "no itos"), ({"itos": {0: "a", 2: "b"}}, "itos has None for 1"),
     ({"itos": {0: "ab"}}, "itos has 'ab' for 0"), ({"itos": ["a", "a"]}, "a character has two ids"),
     ({"itos": {0: "a"}, "stoi": {"a": 1}}, "contradict"), ([1], "no itos")],
)  # fmt: skip
def test_tables_that_are_no_characters_are_refused(meta, said, tmp_path):
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps(meta))
    with pytest.raises(ValueError, match=said):
        load(str(nano(make("gelu"), tmp_path / "ckpt.pt")))


def test_characters_of_another_data_set_are_refused(tmp_path):
    letters(tmp_path, "abc")
    with pytest.raises(ValueError, match=r"has 3 characters, but the model's vocab_size is 257: .* as tokenizer"):
        load(str(nano(make("gelu"), tmp_path / "ckpt.pt")))


def test_gpt2s_tokenizer_is_found_or_asked_for(tmp_path, monkeypatch, gpt2_files):
    """A vocabulary of 50304 is GPT-2's, padded: its rows past 50257 are cut off."""
    path = nano(make("gelu", rows=50304), tmp_path / "ckpt.pt", vocab_size=50304)
    monkeypatch.setattr("gpt2.checkpoint.tokenizer_of.cached", lambda name, weights: None)
    with pytest.raises(ValueError, match=r"GPT-2's is not on this machine: .* as tokenizer"):
        load(str(path))
    monkeypatch.setattr("gpt2.checkpoint.tokenizer_of.cached", lambda name, weights: gpt2_files)
    loaded = load(str(path))
    assert loaded.model.config.vocab_size == 50257
    assert loaded.tokenizer.encode("The cat sat on the") == [464, 3797, 3332, 319, 262]
    assert cached("tests/none") is None


def test_a_tokenizer_of_the_users_choice(tmp_path):
    """A directory, a prepared data set, or a model by name."""
    path = str(nano(make("gelu"), tmp_path / "ckpt.pt"))
    with pytest.raises(ValueError, match="vocabulary of 257 is not GPT-2's"):
        load(path)
    Tokenizer.bytes().save(tmp_path / "prepared" / "tokenizer")
    for name in ("prepared", "prepared/tokenizer"):
        assert load(path, tokenizer=str(tmp_path / name)).tokenizer.vocab_size == 257
    with pytest.raises(ValueError, match=r"entries, more than vocab_size 257"):
        load(path, tokenizer="storyteller")


# llm.c


def llmc(model, path, version=3, rows=272):
    """Write llm.c's format: a header of 256 numbers, then each kind of tensor for all layers."""
    config, state = model.config, model.state_dict()
    header = np.zeros(256, dtype="<i4")
    sizes = (config.n_positions, config.vocab_size, config.n_layer, config.n_head, config.n_embd)
    header[:8] = (20240326, version, *sizes, 0 if version == 1 else rows)
    rows = config.vocab_size if version == 1 else rows
    out = io.BytesIO()
    dtype = torch.bfloat16 if version == 5 else torch.float32

    def put(tensor):
        out.write(tensor.to(dtype).contiguous().view(torch.uint8).numpy().tobytes())

    put(torch.nn.functional.pad(state["transformer.wte.weight"], (0, 0, 0, rows - config.vocab_size)))
    put(state["transformer.wpe.weight"])
    for part in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"):
        for kind in ("weight", "bias"):
            for layer in range(config.n_layer):
                tensor = state[f"transformer.h.{layer}.{part}.{kind}"]
                put(tensor.t() if tensor.dim() == 2 else tensor)
    put(state["transformer.ln_f.weight"])
    put(state["transformer.ln_f.bias"])
    path.write_bytes(header.tobytes() + out.getvalue())
    return path


@pytest.mark.parametrize("version", [1, 3, 5])
def test_llmc_gives_the_reference_logits(version, tmp_path, recwarn):
    model = make("gelu_new", dtype=torch.bfloat16 if version == 5 else torch.float32)
    assert_same(load_model(llmc(model, tmp_path / "gpt2.bin", version), torch.float64), model)
    assert not [w for w in recwarn if w.category is Note]


def test_llmc_files_of_other_kinds_are_refused(tmp_path):
    path = llmc(make("gelu_new"), tmp_path / "gpt2.bin")
    whole = path.read_bytes()
    for content, said in (
        (whole[:4] + b"\2\0\0\0" + whole[8:], "of version 2"),
        (whole[:-4], "fetch it again"),
        (whole[:100], "truncated"),
        (whole[:20] + b"\5\0\0\0" + whole[24:], "n_embd 32 does not divide by n_head 5"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=said):
            load_model(path)


# OpenAI's


def test_openais_tensorflow_directory_is_named(tmp_path):
    (tmp_path / "hparams.json").write_text(json.dumps({"n_vocab": 50257}))
    (tmp_path / "model.ckpt.index").write_bytes(b"x")
    with pytest.raises(gpt2.base.errors.UsageError, match=r"OpenAI's TensorFlow checkpoint: .* docs/checkpoints\.md"):
        load(str(tmp_path))


# The commands


def test_every_command_takes_the_file(tmp_path, capsys):
    path = str(nano(make("gelu"), tmp_path / "ckpt.pt"))
    Tokenizer.bytes().save(tmp_path / "tok")
    words, note = ["--tokenizer", str(tmp_path / "tok")], "does not say which GELU"
    assert main(["next", "once", "--model", path, *words, "--json"]) == 0
    said = capsys.readouterr().err
    assert note in said
    assert "--activation gelu_new" in said
    assert main(["info", path, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["configuration"]["activation_function"] == "gelu"
    assert facts["tokenizer"] is None
    assert facts["stored"]["files"] == ["ckpt.pt"]
    assert main(["next", "once", "--model", path]) == 1
    assert "--tokenizer" in capsys.readouterr().err
    assert main(["tokenize", "ab", "--model", path, *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ids"] == Tokenizer.bytes().encode("ab")
    assert main(["export", path, str(tmp_path / "hf"), *words, "--dtype", "float64"]) == 0
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float64)
    assert exported.config.activation_function == "gelu"
    assert_same(load_model(path, torch.float64), exported)
    shutil.copytree(tmp_path / "tok", tmp_path, dirs_exist_ok=True)
    assert main(["tokenize", "ab", "--model", path, "--json"]) == 0
    (tmp_path / "text.txt").write_text("once upon a time")
    words = [str(tmp_path / "text.txt"), "--activation", "gelu_new"]
    assert main(["eval", "--model", str(tmp_path), *words]) == 0


def test_the_commands_of_the_document(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text("utf-8")
    commands = [line for line in page.splitlines() if line.startswith("gpt2 ") and "out-shakespeare-char" in line]
    assert len(commands) == 2
    monkeypatch.chdir(tmp_path)
    characters = "\n :EMORabcdefghijklmnopqrst"
    letters(tmp_path / "out-shakespeare-char", characters)
    nano(make("gelu", rows=len(characters)), tmp_path / "out-shakespeare-char" / "ckpt.pt", vocab_size=len(characters))
    for command in commands:
        assert main(shlex.split(command, comments=True)[1:]) == 0, capsys.readouterr().err
    assert transformers.AutoModelForCausalLM.from_pretrained("my-model").config.vocab_size == len(characters)


def test_a_finetune_from_a_file(tmp_path, capsys):
    path, text = str(nano(make("gelu"), tmp_path / "ckpt.pt")), tmp_path / "text.txt"
    text.write_text("once upon a time there was a cat. " * 20)
    Tokenizer.bytes().save(tmp_path / "tok")
    start = ["finetune", str(text), "--model", path, "--tokenizer", str(tmp_path / "tok"), "--out", str(tmp_path / "r")]
    assert main([*start, "--epochs", "0.1", "--batch-size", "2", "--json"]) == 0
    assert load(str(tmp_path / "r" / "model")).model.config.activation_function == "gelu"
    capsys.readouterr()
    assert main([*start, "--overwrite", "--lora", "2"]) == 2
    assert f"gpt2 export {path}" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", ["ckpt.pt", "pytorch_model.bin", "gpt2.bin"])
def test_an_export_keeps_the_type(kind, dtype, tmp_path, capsys):
    """Once what was no safetensors file became float32."""
    model, source = make("gelu"), tmp_path / kind
    if kind == "ckpt.pt":
        content = torch.load(nano(model, source, bias=False), weights_only=True)
        content["model"] = {name: tensor.to(dtype) for name, tensor in content["model"].items()}
        torch.save(content, source)
    elif kind == "gpt2.bin":
        llmc(model, source, version=5 if dtype == torch.bfloat16 else 3)
    else:
        model.config.save_pretrained(tmp_path)
        state = {name: tensor.to(dtype) for name, tensor in model.state_dict().items()}
        torch.save(state | {"transformer.h.0.attn.bias": torch.ones(1, 1, 24, 24, dtype=torch.uint8)}, source)
        source = tmp_path
    Tokenizer.bytes().save(tmp_path / "tok")
    assert main(["export", str(source), str(tmp_path / "out"), "--tokenizer", str(tmp_path / "tok"), "--json"]) == 0
    kept = torch.float32 if kind == "gpt2.bin" and dtype != torch.bfloat16 else dtype
    assert json.loads(capsys.readouterr().out)["dtype"] == str(kept).removeprefix("torch.")


def test_info_takes_a_tokenizer_and_an_activation(tmp_path, capsys):
    path = str(nano(make("gelu"), tmp_path / "ckpt.pt"))
    Tokenizer.bytes().save(tmp_path / "tok")
    words = ["info", path, "--tokenizer", str(tmp_path / "tok"), "--activation", "gelu_new", "--json"]
    assert main(words) == 0
    out, errors = capsys.readouterr()
    facts = json.loads(out)
    assert (facts["tokenizer"]["entries"], facts["configuration"]["activation_function"]) == (257, "gelu_new")
    assert errors == ""
    assert main([*words[:2], "--tokenizer", "storyteller"]) == 1
    assert "name that with --tokenizer" in capsys.readouterr().err
    assert main([*words[:2], "--activation", "gelou"]) == 1
    assert "activation_function is 'gelou'" in capsys.readouterr().err


def test_characters_without_an_end_are_refused_with_what_to_do(tmp_path, capsys):
    """Nothing separates documents for such a model, and a separator of our own would be another model's text."""
    letters(tmp_path, "\n abcdefghijklmnopqrstuvwxyz")
    path = str(nano(make("gelu", rows=28), tmp_path / "ckpt.pt", vocab_size=28))
    text = tmp_path / "text.txt"
    text.write_text("once upon a time there was a cat\n" * 9)
    assert main(["finetune", str(text), "--model", path, "--out", str(tmp_path / "run")]) == 1
    said = "has no <|endoftext|> to end a text with: train it on with the program that made it, or use another --model."
    assert said in capsys.readouterr().err
    assert main(["eval", str(text), "--model", path]) == 1
    assert "read all documents as one text, with --joined." in capsys.readouterr().err
    assert main(["eval", str(text), "--model", path, "--joined", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] > 100
