"""Checkpoints: every layout met in the wild, old names, tokenizers, variants, a padded vocabulary."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
import transformers

from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import load, load_model, save
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from tests.checkpoints import (
    LAYOUTS,
    SIZES,
    assert_same_logits,
    hub_format,
    only_config,
    random_gpt2,
    reference,
    set_field,
)


@pytest.fixture
def hub_directory(tmp_path):
    return hub_format(tmp_path / "hf")


@pytest.fixture
def ours():
    return random_gpt2()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_reference_logits(layout, tmp_path):
    layout(reference().model, only_config(tmp_path))
    model = load_model(tmp_path, torch.float64)
    assert_same_logits(model)
    assert not model.training
    assert model.lm_head.weight is model.transformer.wte.weight
    assert all(p.requires_grad and p.is_contiguous() for p in model.parameters())


def test_weights_do_not_depend_on_the_file_afterwards(hub_directory):
    model = load_model(hub_directory, torch.float64)
    for path in hub_directory.glob("*.safetensors"):
        path.write_bytes(b"\0" * path.stat().st_size)  # in place: a mapping would see it
    assert_same_logits(model)


def test_default_dtype_is_float32_whatever_the_file_holds(hub_directory):
    assert {p.dtype for p in load_model(hub_directory).parameters()} == {torch.float32}


def test_loading_imports_no_compiler(ours, tmp_path):
    """The meta device's normal_ imports sympy and some 800 modules: half of the start-up time of a command."""
    save(ours, None, tmp_path / "out")
    words = f"import sys; from gpt2.checkpoint.files import load_model; load_model({str(tmp_path / 'out')!r})"
    words += "; assert 'torch' in sys.modules; assert 'sympy' not in sys.modules"
    subprocess.run([sys.executable, "-c", words], check=True)


def test_harmless_fields_and_old_names_are_accepted(hub_directory):
    path = hub_directory / "config.json"
    fields = json.loads(path.read_text())
    fields["n_ctx"] = 7  # transformers does not read it
    fields["max_position_embeddings"] = fields.pop("n_positions")
    fields["n_head"], fields["num_attention_heads"] = 1, fields["n_head"]  # the common name wins
    fields["hidden_size"] = fields.pop("n_embd")
    fields["num_hidden_layers"] = fields.pop("n_layer")
    fields |= {
        "summary_type": "mean",
        "task_specific_params": {"text-generation": {}},
        "gradient_checkpointing": True,
    }
    fields |= {"activation_function": "gelu_pytorch_tanh", "use_cache": False, "unheard_of": [1]}
    del fields["model_type"]  # OpenAI's first conversions have none
    path.write_text(json.dumps(fields))
    assert_same_logits(load_model(hub_directory, torch.float64))


# The tokenizer


def test_a_checkpoint_needs_a_tokenizer_that_fits(ours, tmp_path):
    save(ours, None, tmp_path / "bare")
    with pytest.raises(ValueError, match="no tokenizer"):
        load(str(tmp_path / "bare"))
    load_model(tmp_path / "bare")
    Tokenizer.train(["abcdefgh " * 50, "once upon a time there was a cat and a dog. " * 9], 290).save(tmp_path / "bare")
    small = set_field(tmp_path / "bare", vocab_size=260)
    with pytest.raises(ValueError, match=r"the tokenizer has \d+ entries, more than vocab_size 260"):
        load(str(small))


def test_saving_refuses_a_tokenizer_that_does_not_fit(tmp_path):
    model = GPT2(GPT2Config(**SIZES | {"vocab_size": 100}))
    with pytest.raises(ValueError, match="256 entries exceed vocab_size 100"):
        save(model, Tokenizer.bytes(), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


# Variants


class Untied(GPT2):
    """A variant whose head is a tensor of its own."""

    def __init__(self, config, variant):
        self.variant = variant
        super().__init__(config)

    def tie_weights(self):
        pass


def test_a_variant_needs_its_builder_and_stays_itself(tmp_path):
    variant = {"name": "untied", "arguments": {}}
    model = Untied(GPT2Config(**SIZES), variant).eval()
    save(model, Tokenizer.bytes(), tmp_path / "out")
    with pytest.raises(ValueError, match="variant 'untied'"):
        load_model(tmp_path / "out")
    with pytest.raises(ValueError, match="glassbox_gpt2"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    again = load(str(tmp_path / "out"), build=Untied).model
    assert again.variant == variant
    assert again.lm_head.weight is not again.transformer.wte.weight
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_a_builder_gets_plain_checkpoints_too(ours, tmp_path):
    save(ours, None, tmp_path / "out")
    built = []

    def build(config, **variant):
        built.append(variant)
        return GPT2(config)

    load_model(tmp_path / "out", build=build)
    assert built == [{}]


def test_a_copy_of_a_directory_is_as_good(ours, tmp_path):
    save(ours, Tokenizer.bytes(), tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b c")
    assert torch.equal(load(str(tmp_path / "b c")).model.lm_head.weight, ours.lm_head.weight)


def test_rows_that_pad_the_vocabulary_are_cut_off(tmp_path):
    """A row of zeros would win wherever the real logits lie below 0; exported again, the model is as it should be."""
    padded = GPT2(GPT2Config(**SIZES | {"vocab_size": 320})).eval()
    with torch.no_grad():
        padded.transformer.wte.weight[257:] = 0
    save(padded, Tokenizer.bytes(), tmp_path / "padded")
    model = load(str(tmp_path / "padded")).model
    ids = torch.arange(20)[None]
    assert model.config.vocab_size == 257
    torch.testing.assert_close(model(ids), padded(ids)[..., :257])
    assert model.lm_head.weight is model.transformer.wte.weight
    save(model, Tokenizer.bytes(), tmp_path / "cut")
    assert load_model(tmp_path / "cut").config.vocab_size == 257
    assert load_model(tmp_path / "padded").config.vocab_size == 320  # without a tokenizer nobody knows


@pytest.mark.parametrize("read", [load, load_model])
def test_a_device_that_means_nothing_is_refused(read, ours, tmp_path):
    directory = save(ours, Tokenizer.bytes(), tmp_path / "model")
    with pytest.raises(UsageError, match="device is 'gpu': choose cpu, cuda, cuda:N, mps or auto"):
        read(directory, device="gpu")
