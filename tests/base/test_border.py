"""The border to files of others: JSON within bounds, panics as errors, tensors that are none, impossible sizes."""

import json
import os

import pytest
import torch

from gpt2.base.foreign import (
    DEEPEST,
    check_lengths,
    in_words,
    off_the_terminal,
    panics_are_errors,
    parse_json,
    plain_name,
)
from gpt2.checkpoint.files import load_model
from gpt2.checkpoint.hf_config import adapter_base, weight_files
from gpt2.checkpoint.weights import check_tensor, read_tensors
from gpt2.text.tokenizer import Tokenizer
from tests.checkpoints import hub_format, set_field


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested"),
        ("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), "nested too deeply"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested too deeply"),
        ("[1,\n2,", "line 2"),
        ("[1e400]", "1e400 is not finite"),
        ("[NaN]", "NaN is not finite"),
        (f"[{'9' * 5000}]", "thousands of digits"),
        (b"[\xff]", "UTF-8"),
    ],
)
def test_json_out_of_bounds_has_a_reason(text, said):
    with pytest.raises(ValueError, match=said):
        parse_json(text)


def test_json_within_bounds_is_read_as_it_is():
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert json.dumps(parse_json(deep)) == deep
    assert parse_json('{"model_max_length": 1000000000000000019884624838656}')["model_max_length"] == int(1e30)


class PanicException(BaseException):
    """As pyo3 calls it; no module exports it."""


def test_a_panic_is_an_error_and_other_exceptions_pass():
    with pytest.raises(ValueError, match="cannot encode"), panics_are_errors("cannot encode this"):
        raise PanicException("index out of bounds\nnote: run with RUST_BACKTRACE=1")
    with pytest.raises(KeyboardInterrupt), panics_are_errors("cannot encode this"):
        raise KeyboardInterrupt


def test_a_librarys_own_words_do_not_reach_the_terminal(capfd):
    with off_the_terminal():
        os.write(2, b"thread panicked")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


# A subword prefix longer than a token: the library cuts the token there and panics.
BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]], "continuing_subword_prefix": "##éé"}


def test_a_tokenizer_on_which_the_library_panics_is_refused(tmp_path, capfd):
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": [], "model": BPE}))
    with pytest.raises(ValueError, match=r"tokenizer\.json is not a usable tokenizer") as caught:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("offsets", [[], [0], [8, 0], [-8, 0], [0, 2**70], "x", [0.5, 8], [0, 4]])
def test_a_hostile_safetensors_header_is_refused(offsets, tmp_path):
    head = json.dumps({"wte.weight": {"dtype": "F32", "shape": [2], "data_offsets": offsets}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(8))
    with pytest.raises(ValueError, match="not a safetensors file"):
        read_tensors([path])


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.eye(2).to_sparse(), "sparse_coo"),
        (torch.empty(2, device="meta"), "no numbers"),
        (torch.zeros(2, dtype=torch.complex64), "complex"),
        ([1.0], "not a tensor"),
    ],
)
def test_what_is_no_plain_tensor_is_named(tensor, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        check_tensor(tmp_path, "wte.weight", tensor)


def test_a_nested_tensor_is_named(tmp_path):
    with pytest.raises(ValueError, match="nested"):
        check_tensor(tmp_path, "wte.weight", torch._nested_tensor_from_tensor_list([torch.ones(1), torch.ones(2)]))


@pytest.mark.parametrize("size", [10**9, 10**30])
@pytest.mark.parametrize("field", ["n_layer", "vocab_size", "n_positions", "n_inner"])
def test_impossible_sizes_are_refused_before_anything_is_built(field, size, tmp_path):
    set_field(hub_format(tmp_path), **{field: size})
    with pytest.raises(ValueError, match=r"fetch|asks for"):
        load_model(tmp_path)


@pytest.mark.parametrize("value", [10**30, -(10**30), "x" * 5000, ["x"], {"x": 1}])
def test_a_value_that_no_model_has_is_cut_in_the_sentence(value):
    with pytest.raises(ValueError, match=r"n_embd is .*which no model has") as caught:
        check_lengths("config.json", {"n_layer": 2, "n_inner": None, "n_embd": value})
    assert len(str(caught.value)) < 200


def test_a_librarys_error_is_one_short_printable_line():
    said = in_words(ValueError(f"Token `{'e' * 5000}\x1b[31m\x07` out of vocabulary\nsecond line"))
    assert said.isprintable()
    assert len(said) <= 140
    assert said.endswith("out of vocabulary")
    assert in_words(ValueError("")) == "ValueError"


def test_a_librarys_plain_exception_is_an_error_too():
    with pytest.raises(ValueError, match=r"cannot encode this \(Missing \[UNK\] token\)"):
        with panics_are_errors("cannot encode this"):
            raise Exception("Missing [UNK] token")


def test_words_without_their_unknown_token_are_refused(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    (tmp_path / "vocab.txt").write_text("[CLS]\n[SEP]\n[PAD]\n[MASK]\nthe\n")
    with pytest.raises(ValueError, match=r"\[UNK\]"):
        Tokenizer.load(tmp_path).encode("a")


@pytest.mark.parametrize("name", ["a" * 5000, "\u202ex", "\x1b[31m", "a\nb", "x/" * 600])
def test_names_of_other_files_that_no_system_has_are_refused(name, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"wte.weight": name}}))
    with pytest.raises(ValueError, match="weight_map"):
        weight_files(tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": name}))
    with pytest.raises(ValueError, match="which is no name") as caught:
        adapter_base(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["\0", "\x1b[31m", "a" * 5000, "\u202e", "a'b"])
def test_a_name_from_a_file_is_shown_short_and_printable(name):
    assert plain_name(name).isprintable()
    assert len(plain_name(name)) <= 80
    assert plain_name("transformer.h.0.ln_1.weight") == "transformer.h.0.ln_1.weight"


@pytest.mark.parametrize("name", ["vocab_size", "n_positions", "n_embd", "n_inner"])
def test_sizes_past_any_file_are_refused_before_a_model_is_built(name, tmp_path):
    set_field(hub_format(tmp_path), **{name: 2**30})
    if name == "n_embd":
        set_field(tmp_path, n_head=2)
    with pytest.raises(ValueError, match=r"belong together|asks for"):
        load_model(tmp_path)


def test_more_tensors_than_any_model_has_are_refused(tmp_path, monkeypatch):
    hub_format(tmp_path)
    monkeypatch.setattr("gpt2.checkpoint.weights.MOST_TENSORS", 3)
    with pytest.raises(ValueError, match="tensors, and no GPT-2 has more than 3"):
        load_model(tmp_path)
    index = {"weight_map": {f"h.{i}": "a.safetensors" for i in range(4)}}
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    monkeypatch.setattr("gpt2.checkpoint.hf_config.MOST_TENSORS", 3)
    with pytest.raises(ValueError, match="names 4 tensors"):
        weight_files(tmp_path)


def test_an_id_that_would_need_a_table_of_gigabytes_is_refused(tmp_path):
    """One changed id of a small vocabulary took more than a minute to open."""
    Tokenizer.train(["a b"], 258).save(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"]["vocab"]["a"] = 2**31 - 1
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(ValueError, match="2147483647, and an id is a whole number"):
        Tokenizer.load(tmp_path)
