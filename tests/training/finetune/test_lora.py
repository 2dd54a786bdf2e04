"""LoRA beside `peft` and transformers: the start, the files in both directions, merging, and what is refused."""

import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2LMHeadModel
from twins import SMALL, twins

from gpt2.base.costs import n_params
from gpt2.base.errors import UsageError
from gpt2.checkpoint.adapter import lora_adapter, read_adapter, write_adapter
from gpt2.checkpoint.adapter_merge import merge
from gpt2.checkpoint.files import load, load_model, save
from gpt2.cli.main import main
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.finetune.lora import LoRALinear, adapter_of, add_lora

IDS = torch.randint(0, 97, (2, 30), generator=torch.Generator().manual_seed(0))
RANK, ALPHA = 4, 12.0


def trained(model: GPT2, seed: int = 1) -> GPT2:
    """A model with LoRA whose B matrices are as large as training might make them."""
    add_lora(model, RANK, ALPHA)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LoRALinear):
                module.lora_b.copy_(torch.randn(module.lora_b.shape, generator=generator) * 0.2)
    return model


@pytest.fixture
def base(tmp_path: Path) -> tuple[Path, GPT2]:
    """A checkpoint directory of a random model in float32, and the model."""
    model, _ = twins(SMALL, 3, IDS, torch.float32)
    directory = save(model, None, tmp_path / "base")
    return directory, model


@pytest.fixture
def adapter(base: tuple[Path, GPT2], tmp_path: Path) -> Path:
    """The directory of an adapter for `base`."""
    directory = tmp_path / "adapter"
    write_adapter(adapter_of(trained(base[1]), str(base[0]), RANK, ALPHA), directory)
    return directory


def logits(model: GPT2) -> Tensor:
    with torch.no_grad():
        return model.eval()(IDS)


# the start


def test_zero_effect_at_the_start() -> None:
    model, _ = twins(SMALL, 0, IDS, torch.float32)
    before = logits(model)
    add_lora(model, RANK, ALPHA, seed=5)
    assert torch.equal(logits(model), before)


def test_only_a_and_b_train_and_the_base_is_untouched() -> None:
    model, _ = twins(SMALL, 0, IDS, torch.float32)
    frozen = {name: p.detach().clone() for name, p in model.named_parameters()}
    add_lora(model, RANK, ALPHA)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == {f"transformer.h.{layer}.{where}.lora_{letter}" for layer in range(3) for letter in "ab"
                         for where in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")}  # fmt: skip
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    start = logits(model)
    for _ in range(2):  # A has a gradient only once B is not zero
        model(IDS[:, :-1], IDS[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(torch.equal(model.get_parameter(name), value) for name, value in frozen.items())
    assert all(p.abs().sum() > 0 for name, p in model.named_parameters() if name.endswith("lora_b"))
    assert not torch.allclose(logits(model), start)


def test_gradients_are_those_of_the_full_weight() -> None:
    """dL/dB = scale (dL/dW) A^T and dL/dA = scale B^T (dL/dW), with dL/dW from a plain model of the same function."""
    model = trained(twins(SMALL, 0, IDS)[0])
    model(IDS[:, :-1], IDS[:, 1:]).backward()
    plain, _ = twins(SMALL, 0, IDS)
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            with torch.no_grad():
                plain.get_parameter(f"{name}.weight").add_(ALPHA / RANK * module.lora_b @ module.lora_a)
    plain(IDS[:, :-1], IDS[:, 1:]).backward()
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            full = plain.get_parameter(f"{name}.weight").grad
            assert full is not None
            torch.testing.assert_close(module.lora_b.grad, ALPHA / RANK * full @ module.lora_a.t())
            torch.testing.assert_close(module.lora_a.grad, ALPHA / RANK * module.lora_b.t() @ full)


@pytest.mark.parametrize("rank, alpha, dropout, said", [
    (0, 1.0, 0.0, "lora is 0: choose a rank of 1 to 24"), (25, 1.0, 0.0, "choose a rank of 1 to 24"),
    (4, 0.0, 0.0, "lora_alpha is 0: it must be above 0"),
    (4, 1.0, 1.0, "lora_dropout is 1: it must be at least 0 and below 1"),
])  # fmt: skip
def test_senseless_settings(rank: int, alpha: float, dropout: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        add_lora(GPT2(SMALL), rank, alpha, dropout)


# merging and files


def test_merging_gives_the_adapters_logits(base: tuple[Path, GPT2], adapter: Path) -> None:
    adapted = logits(base[1])  # the fixture wrapped it in place
    plain, _ = twins(SMALL, 3, IDS, torch.float32)
    before = logits(plain)
    merged = logits(merge(plain, read_adapter(adapter)))
    assert (merged - adapted).abs().max() < 1e-5
    assert (merged - before).abs().max() > 0.1


def test_peft_loads_our_adapter_on_transformers_model(base: tuple[Path, GPT2], adapter: Path) -> None:
    hf = GPT2LMHeadModel.from_pretrained(base[0], attn_implementation="eager")
    model = peft.PeftModel.from_pretrained(hf, adapter).eval()
    with torch.no_grad():
        assert (model(IDS).logits - logits(base[1])).abs().max() < 1e-5
        assert (model.merge_and_unload()(IDS).logits - logits(base[1])).abs().max() < 1e-5


@pytest.mark.parametrize("targets, rslora", [(["c_attn"], False), (["c_fc", "c_proj"], True)])
def test_we_load_an_adapter_of_peft(base: tuple[Path, GPT2], tmp_path: Path, targets: list[str], rslora: bool) -> None:
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=3, lora_alpha=7, target_modules=targets, use_rslora=rslora,
                             fan_in_fan_out=True, init_lora_weights=False)  # fmt: skip
    torch.manual_seed(0)
    hf = GPT2LMHeadModel.from_pretrained(base[0], attn_implementation="eager")
    theirs = peft.get_peft_model(hf, config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    found = read_adapter(tmp_path / "theirs")
    assert found.base == str(base[0])
    with torch.no_grad():
        expected = theirs(IDS).logits
    assert (logits(merge(base[1], found)) - expected).abs().max() < 1e-5


def test_an_adapter_directory_is_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """load, tokenize, info and export take it; what export writes is the merged model."""
    tokenizer = Tokenizer.bytes()
    model = GPT2(SMALL.__class__(vocab_size=257, n_positions=40, n_embd=24, n_layer=2, n_head=3))
    directory = save(model, tokenizer, tmp_path / "base")
    write_adapter(adapter_of(trained(model), str(directory), RANK, ALPHA), tmp_path / "adapter")
    name = str(tmp_path / "adapter")
    loaded = load(name)
    assert loaded.name == name
    assert loaded.tokenizer.hash == tokenizer.hash
    torch.testing.assert_close(logits(loaded.model), logits(model))
    assert load(name, dtype=torch.bfloat16).model.lm_head.weight.dtype == torch.bfloat16
    assert main(["tokenize", "abc", "--model", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ids"] == tokenizer.encode("abc")
    assert main(["info", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["total"] == n_params(loaded.model.config)
    assert main(["export", name, str(tmp_path / "merged")]) == 0
    torch.testing.assert_close(logits(load(str(tmp_path / "merged")).model), logits(model))


# what is refused


def test_another_base_is_refused(adapter: Path) -> None:
    other, _ = twins(SMALL, 4, IDS, torch.float32)
    with pytest.raises(ValueError, match="trained on other weights"):
        merge(other, read_adapter(adapter))


def test_wrong_shapes_and_names_are_refused() -> None:
    pair = (torch.zeros(2, 10), torch.zeros(72, 2))
    with pytest.raises(ValueError, match=r"c_attn is \[72, 10\], but \[72, 24\]"):
        merge(GPT2(SMALL), lora_adapter("x", 2, 1.0, {"transformer.h.0.attn.c_attn": pair}))
    with pytest.raises(ValueError, match=r"changes transformer\.h\.9\.attn\.c_attn"):
        merge(GPT2(SMALL), lora_adapter("x", 2, 1.0, {"transformer.h.9.attn.c_attn": pair}))


@pytest.mark.parametrize("field, value, said", [
    ("peft_type", "IA3", "peft_type is 'IA3'"), ("alora_invocation_tokens", [1], "alora_invocation_tokens is"),
    ("r", 0, "r is 0"), ("r", 5, "its rank is not the 5"), ("lora_alpha", None, "lora_alpha is None"),
    ("base_model_name_or_path", None, "does not name its base model"),
    ("base_model_name_or_path", str(Path("nowhere").resolve()), "is not in .*nowhere"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(
    base: tuple[Path, GPT2], adapter: Path, field: str, value: object, said: str
) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(ValueError, match=said):
        merge(load_model(base[0]), read_adapter(adapter))


def test_damaged_weights_are_refused(adapter: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(iter(tensors))
    save_file(tensors | {name: torch.full_like(tensors[name], torch.nan)}, path)
    with pytest.raises(ValueError, match="NaN"):
        read_adapter(adapter)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="truncated"):
        read_adapter(adapter)
    path.unlink()
    with pytest.raises(ValueError, match=r"has no adapter_model\.safetensors"):
        read_adapter(adapter)
