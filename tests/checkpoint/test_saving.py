"""Saving a checkpoint: `transformers` reads it, and it is there whole or not at all."""

import json
import os
from pathlib import Path

import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file

from gpt2.base.errors import UsageError
from gpt2.checkpoint import saving
from gpt2.checkpoint.files import load, load_model, save
from gpt2.evaluation.bits_per_byte import loss_of_each
from gpt2.inference.generate import generate
from gpt2.inference.sampling import Sampling
from gpt2.text.tokenizer import Tokenizer
from tests.checkpoints import SIZES, random_gpt2


@pytest.fixture
def ours():
    return random_gpt2()


def test_transformers_loads_what_we_save(ours, tmp_path):
    save(ours, Tokenizer.bytes(), tmp_path / "out")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float64)
    ids = torch.arange(24)[None] * 7
    with torch.no_grad():
        expected, got = ours.double()(ids), theirs.eval()(ids).logits
    assert (expected - got).abs().max() <= 1e-10 * got.std()
    assert theirs.config.eos_token_id == theirs.generation_config.eos_token_id == 256
    text = "Once upon a time, 12 cafés\n\n  said: <|endoftext|> 'll"
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert auto.encode(text, split_special_tokens=True) == Tokenizer.bytes().encode(text)
    assert auto.eos_token_id == 256


def test_a_saved_checkpoint_loads_bit_for_bit(ours, tmp_path):
    directory = save(ours, Tokenizer.bytes(), tmp_path / "out")
    again = load(str(directory))
    assert again.name == str(directory)
    assert again.directory == directory
    assert again.tokenizer.hash == Tokenizer.bytes().hash
    assert again.model.config == ours.config
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, ours, tmp_path):
    save(ours, Tokenizer.bytes(), tmp_path / "out", dtype=dtype)
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert {t.dtype for t in stored.values()} == {dtype}
    fields = json.loads((tmp_path / "out" / "config.json").read_text())
    assert fields["dtype"] == fields["torch_dtype"] == str(dtype).removeprefix("torch.")
    assert ours.lm_head.weight.dtype == torch.float32  # the model itself is left alone
    model = load_model(tmp_path / "out")
    assert torch.equal(model.lm_head.weight, ours.lm_head.weight.to(dtype).float())


def test_the_files_say_what_others_need(ours, tmp_path):
    save(ours, Tokenizer.bytes(), tmp_path / "out")
    fields = json.loads((tmp_path / "out" / "config.json").read_text())
    assert fields["architectures"] == ["GPT2LMHeadModel"]
    assert fields["model_type"] == "gpt2"
    assert fields["bos_token_id"] == fields["eos_token_id"] == 256
    header = safe_open(tmp_path / "out" / "model.safetensors", framework="pt")
    assert header.metadata() == {"format": "pt"}
    assert "lm_head.weight" not in set(header.keys())
    assert header.get_slice("transformer.h.0.attn.c_attn.weight").get_shape() == [32, 96]
    if os.name == "posix":  # safetensors writes for its owner alone; others are to read it too, as umask says
        modes = {path.stat().st_mode for path in (tmp_path / "out").iterdir()}
        assert len(modes) == 1


@pytest.mark.parametrize("layout", ["tokenizer.json", "vocab.json"])
def test_another_end_of_text(layout, ours, tmp_path):
    """A directory that transformers wrote, whose texts end with </s> and start with <s>."""
    from tokenizers import AddedToken

    source, out = tmp_path / "source", tmp_path / "out"
    Tokenizer.train(["the cat sat"], 260).save(source)
    theirs = transformers.AutoTokenizer.from_pretrained(source, local_files_only=True)
    theirs.add_special_tokens({"eos_token": AddedToken("</s>"), "bos_token": AddedToken("<s>")})
    bos, eos = theirs.bos_token_id, theirs.eos_token_id
    config = transformers.GPT2Config(
        **SIZES | {"vocab_size": len(theirs)}, bos_token_id=bos, eos_token_id=eos, pad_token_id=eos
    )
    torch.manual_seed(0)  # transformers draws from the global generator, which other tests have moved
    hf = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():  # from some position on </s> wins
        hf.transformer.wpe.weight[12:] = 60 * hf.transformer.wte.weight[eos]
        hf.transformer.h[0].attn.c_proj.weight.zero_()
    hf.save_pretrained(source)
    theirs.save_pretrained(source)
    if layout == "vocab.json":
        (source / "vocab.json").write_text(json.dumps(theirs.get_vocab() | {"</s>": eos}))
        (source / "tokenizer.json").unlink()

    loaded = load(str(source))
    assert (loaded.tokenizer.bos_id, loaded.tokenizer.eot_id) == (bos, eos)
    assert loaded.model.config.vocab_size == len(theirs)
    prompt = loaded.tokenizer.encode("the cat")
    ((completion,),) = generate(loaded.model, loaded.tokenizer, [prompt], Sampling(max_tokens=15, temperature=0))
    reference = hf.generate(torch.tensor([prompt]), max_new_tokens=15, do_sample=False)[0, len(prompt) :].tolist()
    assert completion.finish_reason == "eos"
    assert completion.ids == reference
    assert loss_of_each(loaded.model, loaded.tokenizer, ["the cat sat"]).tokens == len(theirs.encode("the cat sat"))

    save(loaded.model, loaded.tokenizer, out)
    again = transformers.AutoTokenizer.from_pretrained(out, local_files_only=True)
    assert (again.bos_token, again.eos_token) == ("<s>", "</s>")
    kept = transformers.GenerationConfig.from_pretrained(out)
    assert (kept.bos_token_id, kept.eos_token_id) == (bos, eos)
    assert json.loads((out / "config.json").read_text())["eos_token_id"] == eos
    assert load(str(out)).tokenizer.hash == loaded.tokenizer.hash


def test_a_wrapped_model_is_saved_as_the_model_inside(ours, tmp_path):
    save(ours, None, tmp_path / "plain")
    save(torch.nn.DataParallel(torch.compile(ours)), None, tmp_path / "wrapped")
    ours.transformer.h[0] = torch.compile(ours.transformer.h[0])
    save(ours, None, tmp_path / "by block")
    plain = (tmp_path / "plain" / "model.safetensors").read_bytes()
    assert plain == (tmp_path / "wrapped" / "model.safetensors").read_bytes()
    assert plain == (tmp_path / "by block" / "model.safetensors").read_bytes()


def test_a_full_directory_is_replaced_only_when_asked(ours, tmp_path):
    target = tmp_path / "out"
    target.mkdir()  # an empty one may be filled
    save(ours, Tokenizer.bytes(), target)
    with pytest.raises(UsageError, match=r"is not empty: .*overwrite=True"):
        save(ours, None, target)
    assert (target / "tokenizer.json").exists()
    save(ours, None, target, overwrite=True)
    assert not (target / "tokenizer.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_overwriting_spares_what_is_no_checkpoint(ours, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        save(ours, None, tmp_path / "home", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        save(ours, None, tmp_path / "file", overwrite=True)


def test_nothing_is_left_of_a_failed_save(ours, tmp_path, monkeypatch):
    save(ours, None, tmp_path / "out")
    before = (tmp_path / "out" / "model.safetensors").read_bytes()

    def disk_full(stored, path, metadata):
        Path(path).write_bytes(b"half")
        raise saving.SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr(saving, "save_file", disk_full)
    with pytest.raises(OSError, match="No space left on device"):
        save(ours, None, tmp_path / "out", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


def test_a_failed_save_leaves_no_directories(ours, tmp_path, monkeypatch):
    def disk_full(*_, **__):
        (tmp_path / "a" / "kept.txt").write_text("somebody else's")
        raise saving.SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(saving, "save_file", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save(ours, None, tmp_path / "a" / "b" / "c" / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "kept.txt"]


def test_a_failed_rename_brings_the_old_checkpoint_back(ours, tmp_path, monkeypatch):
    save(ours, None, tmp_path / "out")
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    rename, target = os.rename, tmp_path / "out"

    def refuses_new(source, destination):
        if str(source).endswith(".partial"):
            raise PermissionError(13, "Permission denied", str(destination))
        rename(source, destination)

    monkeypatch.setattr("gpt2.base.ours.os.rename", refuses_new)
    with pytest.raises(PermissionError):
        save(ours, None, target, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (target / "model.safetensors").read_bytes() == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_no_write_permission_names_the_target(ours, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(PermissionError) as refusal:
        save(ours, None, tmp_path / "locked" / "out")
    assert refusal.value.filename == str(tmp_path / "locked" / "out")


def test_weights_that_are_not_finite_are_not_saved(ours, tmp_path):
    with torch.no_grad():
        ours.transformer.h[1].mlp.c_fc.weight[0, 0] = 1e9
    with pytest.raises(ValueError, match=r"h\.1\.mlp\.c_fc\.weight does not fit into float16"):
        save(ours, None, tmp_path / "out", dtype=torch.float16)
    with torch.no_grad():
        ours.transformer.h[1].mlp.c_fc.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"h\.1\.mlp\.c_fc\.weight holds NaN"):
        save(ours, None, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
