"""GGUF: what llama.cpp's own reader finds in a file, which models are refused, and that a file is whole or absent."""

import math
from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch

from gpt2.base.errors import Failure, UsageError
from gpt2.checkpoint.gguf import check_gguf_target, save_gguf
from gpt2.checkpoint.hf_config import Settings
from gpt2.config import GPT2Config
from gpt2.explain.change.folded import fold
from gpt2.model import GPT2
from gpt2.text.tokenizer import EOT, Tokenizer

WORDS = Tokenizer.train(["the cat sat on the mat, the cat that sat"] * 9, 270)
CONFIG = GPT2Config(vocab_size=WORDS.vocab_size, n_positions=16, n_embd=32, n_layer=2, n_head=2, n_inner=48)


def made(tmp_path, kind="f32", config=CONFIG, tokenizer=WORDS, model=None) -> gguf.GGUFReader:
    model = GPT2(config, seed=5) if model is None else model
    return gguf.GGUFReader(save_gguf(model, tokenizer, tmp_path / "a.gguf", kind, overwrite=True, name="small").path)


def numbers(reader: gguf.GGUFReader) -> dict[str, np.ndarray]:
    return {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}


def test_fields_and_tensors_are_those_of_the_model(tmp_path):
    model = GPT2(CONFIG, seed=5)
    reader = made(tmp_path, model=model)
    found = {name: field.contents() for name, field in reader.fields.items() if "." in name}
    assert found["general.architecture"] == "gpt2"
    assert found["general.name"] == "small"
    assert found["gpt2.context_length"] == 16
    assert found["gpt2.feed_forward_length"] == 48
    assert found["gpt2.attention.layer_norm_epsilon"] == pytest.approx(1e-5)
    assert (found["tokenizer.ggml.model"], found["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    assert found["tokenizer.ggml.eos_token_id"] == found["tokenizer.ggml.bos_token_id"] == WORDS.eot_id
    assert found["tokenizer.ggml.add_bos_token"] is False
    tokens, kinds = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    assert tokens[WORDS.eot_id] == EOT
    assert [i for i, kind in enumerate(kinds) if kind == gguf.TokenType.CONTROL] == [WORDS.eot_id]
    assert tokens[WORDS.encode(" the")[0]] == "Ġthe"
    assert (
        found["tokenizer.ggml.merges"][0].replace(" ", "") == tokens[256]
    )  # the first merge makes the first token past the bytes
    arrays, state = numbers(reader), model.state_dict()
    assert len(arrays) == len(state) - 1  # the head is the token table
    for ours, theirs in (
        ("transformer.wte.weight", "token_embd.weight"),
        ("transformer.wpe.weight", "position_embd.weight"),
        ("transformer.h.1.attn.c_attn.weight", "blk.1.attn_qkv.weight"),
        ("transformer.h.1.attn.c_proj.bias", "blk.1.attn_output.bias"),
        ("transformer.h.0.mlp.c_fc.weight", "blk.0.ffn_up.weight"),
        ("transformer.h.0.mlp.c_proj.weight", "blk.0.ffn_down.weight"),
        ("transformer.h.0.ln_2.weight", "blk.0.ffn_norm.weight"),
        ("transformer.ln_f.bias", "output_norm.bias"),
    ):
        assert np.array_equal(arrays[theirs], state[ours].numpy()), theirs


@pytest.mark.parametrize("kind, step", [("bf16", 2**-8), ("f16", 2**-11), ("q8_0", 1 / 127), ("q4_0", 1 / 8)])
def test_types_and_how_near_their_numbers_are(kind, step, tmp_path):
    model = GPT2(CONFIG, seed=5)
    reader = made(tmp_path, kind, model=model)
    types = {t.name: t.tensor_type.name for t in reader.tensors}
    assert types["blk.0.attn_qkv.weight"] == kind.upper()
    assert types["blk.0.attn_qkv.bias"] == types["position_embd.weight"] == types["output_norm.weight"] == "F32"
    assert types["token_embd.weight"] == ("Q8_0" if kind == "q4_0" else kind.upper())
    assert types["blk.0.ffn_down.weight"] == ("F16" if kind[0] == "q" else kind.upper())  # its rows hold 48 numbers
    ours = model.transformer.h[0].attn.c_attn.weight.detach().numpy()
    assert np.abs(numbers(reader)["blk.0.attn_qkv.weight"] - ours).max() <= step * np.abs(ours).max()


@pytest.mark.parametrize("choices", [{"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_weights": False}])
def test_other_divisors_of_scores_become_part_of_the_queries(choices, tmp_path):
    model = GPT2(replace(CONFIG, **choices), seed=5)
    arrays = numbers(made(tmp_path, model=model))
    for l, block in enumerate(model.transformer.h):
        factor = math.sqrt(16) / block.attn.divisor
        for name in ("weight", "bias"):
            ours = getattr(block.attn.c_attn, name).detach()
            theirs = torch.tensor(arrays[f"blk.{l}.attn_qkv.{name}"])
            torch.testing.assert_close(theirs[:32], ours[:32] * factor)
            assert torch.equal(theirs[32:], ours[32:])
    assert factor != 1


def test_a_head_of_its_own_several_ends_and_what_is_off(tmp_path):
    model = fold(GPT2(replace(CONFIG, tie_word_embeddings=False), seed=5), "1.head.0", "zero")
    model.settings = Settings({}, {"eos_token_id": [WORDS.eot_id, 7]})
    reader = made(tmp_path, model=model)
    assert np.array_equal(numbers(reader)["output.weight"], model.lm_head.weight.detach().numpy())
    assert reader.fields["tokenizer.ggml.eot_token_id"].contents() == 7
    assert reader.fields["general.description"].contents() == "switched off in the weights: 1.head.0 (zero)"


@pytest.mark.parametrize(
    "changes, tokenizer, sentence",
    [
        ({"activation_function": "relu"}, WORDS, "'relu'"),
        ({"activation_function": "gelu"}, WORDS, "'gelu'"),
        ({"vocab_size": 257}, Tokenizer.bytes(), "no merges"),
        ({"vocab_size": 265}, WORDS, "past the 265 rows"),
        ({"vocab_size": 300}, WORDS, "stand for no token"),
        ({}, None, "there is none"),
    ],
)
def test_what_llama_cpp_would_read_otherwise_is_refused(changes, tokenizer, sentence, tmp_path):
    with pytest.raises(Failure, match=sentence):
        made(tmp_path, config=replace(CONFIG, **changes), tokenizer=tokenizer)
    assert not list(tmp_path.iterdir())


def test_a_variant_and_quantised_weights_are_refused(tmp_path):
    model = GPT2(CONFIG)
    model.transformer.h[1].attn.c_attn = torch.nn.Identity()
    with pytest.raises(Failure, match="load it with dtype='float32'"):
        made(tmp_path, model=model)
    model.variant = {"name": "leaky-relu"}
    with pytest.raises(Failure, match="variant 'leaky-relu'"):
        made(tmp_path, model=model)


def test_tokenizers_of_another_kind_are_refused(tmp_path, letters):
    with pytest.raises(Failure, match="not of GPT-2's kind"):
        made(tmp_path, config=replace(CONFIG, vocab_size=letters.vocab_size), tokenizer=letters)


@pytest.fixture
def letters(tmp_path_factory) -> Tokenizer:
    """A tokenizer of single characters, as nanoGPT's."""
    import tokenizers

    folder = tmp_path_factory.mktemp("letters")
    library = tokenizers.Tokenizer(tokenizers.models.BPE({c: i for i, c in enumerate("abcdef\n ")}, []))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    library.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return Tokenizer.load(folder)


def test_numbers_that_do_not_fit_leave_no_file(tmp_path):
    model = GPT2(CONFIG, seed=5)
    model.transformer.h[0].mlp.c_fc.weight.data[3, 3] = 1e5
    for kind in ("f16", "q8_0"):
        with pytest.raises(ValueError, match="does not fit"):
            made(tmp_path, kind, model=model)
    model.transformer.h[0].mlp.c_fc.weight.data[3, 3] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        made(tmp_path, model=model)
    assert not list(tmp_path.iterdir())


def test_only_a_gguf_file_of_a_gpt2_is_replaced(tmp_path):
    made(tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        check_gguf_target(tmp_path / "a.gguf")
    assert check_gguf_target(tmp_path / "a.gguf", overwrite=True) == tmp_path / "a.gguf"
    for content in (b"mine", (tmp_path / "a.gguf").read_bytes().replace(b"gpt2", b"bert", 1)):
        (tmp_path / "b.gguf").write_bytes(content)
        with pytest.raises(UsageError, match="is not replaced"):
            check_gguf_target(tmp_path / "b.gguf", overwrite=True)
    with pytest.raises(UsageError, match="choose f32"):
        save_gguf(GPT2(CONFIG), WORDS, tmp_path / "c.gguf", "q5_0")


def test_without_the_library_the_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(UsageError, match=r"glassbox-gpt2\[gguf\]"):
        save_gguf(GPT2(CONFIG), WORDS, tmp_path / "a.gguf")
