"""A wrong argument from Python is a ValueError of one sentence, whatever was given in place of what is meant."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gpt2
from gpt2 import GPT2, Checkpoint, GPT2Config, Sampling, Tokenizer

CONFIG = GPT2Config(vocab_size=257, n_positions=8, n_embd=16, n_layer=2, n_head=2)
MODEL, WORDS = GPT2(CONFIG).eval(), Tokenizer.bytes()
WHOLE: Any = Checkpoint(MODEL, WORDS, "tiny", Path("tiny"))


def go(prompts: Any, **more: Any) -> Any:
    return gpt2.generate(MODEL, WORDS, prompts, **{"sampling": Sampling(max_tokens=2), **more})


CASES: list[tuple[Callable[[], object], str]] = [
    (lambda: gpt2.load("storyteller", dtype="int8"), "dtype is 'int8': choose float32, bfloat16"),
    (lambda: gpt2.load("storyteller", dtype=torch.int8), r"dtype is torch\.int8: choose"),
    (lambda: gpt2.load("storyteller", device=0), "device is 0: choose cpu"),
    (lambda: gpt2.load("storyteller", device="gpu"), "device is 'gpu': choose cpu"),
    (lambda: gpt2.load("storyteller", torch_dtype="bfloat16"), "no argument 'torch_dtype' of gpt2.load: write dtype"),
    (lambda: gpt2.load("storyteller", trust_remote_code=True), "is never run, so leave it out"),
    (lambda: gpt2.load(model_name="storyteller"), "'model_name' of gpt2.load: write name"),
    (lambda: gpt2.load(), r"name is missing: write gpt2.load\(name\)"),
    (lambda: gpt2.save(MODEL, WORDS, save_directory="x"), "'save_directory' of gpt2.save: write directory"),
    (lambda: GPT2Config(block_size=64), "no field of GPT2Config 'block_size': write n_positions"),
    (lambda: GPT2Config(hidden_size=64), "write n_embd"),
    (lambda: GPT2Config(dropout=0.1), "write embd_pdrop, attn_pdrop and resid_pdrop"),
    (lambda: GPT2Config(n_lyer=2), "did you mean n_layer"),
    (
        lambda: MODEL(torch.tensor([[1]]), labels=torch.tensor([[1]])),
        r"'labels': write targets, .*=ids\[:, 1:\]",
    ),
    (lambda: MODEL(input_ids=torch.tensor([[1]])), "'input_ids': write ids"),
    (lambda: MODEL(torch.tensor([[1]]), attention_mask=None), "have lengths="),
    (lambda: MODEL(torch.tensor([[1]]), xyz=1), "there are ids, targets, reduction, cache"),
    (lambda: gpt2.load("there/is/none"), "there is no model 'there/is/none': a model is"),
    (lambda: gpt2.save(MODEL, WORDS, "x", dtype="int8"), "dtype is 'int8'"),
    (lambda: gpt2.save(WORDS, MODEL, "x"), "a Tokenizer is not a model"),
    (lambda: gpt2.generate(MODEL, "Once", Sampling()), "a str is not a tokenizer"),
    (lambda: go("a", temperature=0.5), "give sampling or temperature, not both"),
    (lambda: gpt2.generate(MODEL, WORDS, "a", max_new_tokens=2), "max_tokens"),
    (lambda: MODEL([1, 2]), "the ids are a list: give a tensor"),
    (lambda: MODEL("The cat"), r"the ids are a text: write model\(torch.tensor\(\[tokenizer.encode\(text\)\]\)\)\.$"),
    (lambda: MODEL(ids="The cat"), "the ids are a text: write model"),
    (lambda: MODEL(["a", "b"]), r"tokenizer.encode\(text\)\]\)\) for each text\.$"),
    (lambda: MODEL.hidden("The cat"), r"the ids are a text: write model.hidden\(torch.tensor\("),
    (
        lambda: gpt2.finetune([{"prompt": "a", "completion": "b"}], "x"),
        r"write gpt2.finetune\(rows=\[...\], out='runs/x'",
    ),
    (lambda: gpt2.finetune(["Once upon a time"], "x"), r"write gpt2.finetune\(rows=\[...\], out='runs/x'\)\.$"),
    (lambda: gpt2.finetune([{"a": 1}]), r"out is missing: write gpt2.finetune\(rows=\[...\], out='runs/x'\)\.$"),
    (lambda: gpt2.finetune([[5, 6]], "x"), r"write gpt2.finetune\(rows=\[tokenizer.decode\(ids\), ...\], out="),
    (lambda: gpt2.finetune([[5, 6]], out="x"), r"texts as gpt2.finetune\(rows=\[tokenizer.decode\(ids\), ...\], out="),
    (lambda: gpt2.finetune("poems.txt", "x"), r"write gpt2.finetune\('poems.txt', out='runs/poems'\)\.$"),
    (lambda: MODEL(torch.tensor([1, 2])), r"the ids are torch.int64 \[2\]: give a tensor \[B, T\]"),
    (
        lambda: MODEL.hidden(torch.tensor([[1.0]])),
        r"the ids are torch.float32 \[1, 1\]: give a tensor \[B, T\] of whole",
    ),
    (lambda: MODEL(torch.tensor([[257]])), "not all in the vocabulary: it has 0 to 256"),
    (lambda: MODEL(torch.tensor([[-1]])), "not all in the vocabulary"),
    (lambda: MODEL(torch.zeros(1, 9, dtype=torch.long)), "9 positions: this model takes 1 to 8"),
    (lambda: MODEL(torch.zeros(1, 2).long(), torch.zeros(1, 2).long(), reduction="avg"), "reduction is 'avg'"),
    (lambda: go(""), "the prompt is empty"),
    (lambda: go([]), "there are no prompts"),
    (lambda: go(None), "there are no prompts"),
    (lambda: go(3), "prompts is of type int: give a text"),
    (lambda: go({"a": 1}), "prompts is of type dict"),
    (lambda: go([1, 2]), "prompts holds bare token ids"),
    (lambda: go(torch.tensor([1, 2])), "prompts holds bare token ids"),
    (lambda: go([[1.5]]), "1.5 is no token id"),
    (lambda: go(torch.tensor([[1.0]])), "1.0 is no token id"),
    (lambda: go([[True]]), "True is no token id"),
    (lambda: go([["a"]]), "'a' is no token id"),
    (lambda: go([[257]]), "there is no token 257"),
    (lambda: go([[-1]]), "there is no token -1"),
    (lambda: go("a text that is long"), "this model's context is 8: shorten it by"),
    (lambda: go("hi", sampling={"n": 2}), "sampling is a dict"),
    (lambda: go("hi", edit={}, probe=gpt2.Probe()), "give edit or probe, not both"),
    (lambda: go("hi", rule=3), "rule is a int: give a function"),
    (lambda: go("hi", rule=lambda scores: scores), r"rule takes other arguments: give a function f\(scores, texts\)"),
    (lambda: go("hi", rule=lambda scores, texts: None), "the rule returned NoneType: it must return the scores"),
    (lambda: go("hi", rule=lambda scores, texts: scores[:, :3]), r"the rule returned \[1, 3\]"),
    (lambda: go("hi", rule=lambda scores, texts: scores - float("inf")), "the rule leaves no token to choose"),
    (lambda: gpt2.generate(WORDS, MODEL, "hi"), "a Tokenizer is not a model"),
    (lambda: gpt2.stream(MODEL, MODEL, "hi"), "a GPT2 is not a tokenizer"),
    (lambda: gpt2.score(MODEL, WORDS, ""), "has no tokens"),
    (lambda: gpt2.score(MODEL, WORDS, None), "texts is of type NoneType"),
    (lambda: gpt2.score(MODEL, WORDS, [1, 2]), "texts holds 1: give texts"),
    (lambda: gpt2.score(MODEL, WORDS, "a", contexts=["a", "b"]), "1 texts and 2 contexts"),
    (lambda: gpt2.trace(MODEL, [1.5]), "1.5 is no token id"),
    (lambda: gpt2.trace(MODEL, 3), "a text is of type int"),
    (lambda: gpt2.trace(MODEL, torch.zeros(1, 1, 1).long()), r"\[0\] is no token id"),
    (lambda: gpt2.trace(MODEL, [[1], [1, 2]]), "the texts have 1 to 2 tokens"),
    (lambda: Sampling(temperature=-1), "temperature is -1: it must be 0"),
    (lambda: Sampling(top_p=1.1), "top_p is 1.1: it must be above 0"),
    (lambda: Sampling(max_new_tokens=3), "'max_new_tokens': write max_tokens"),
    (lambda: Sampling(top_pp=0.5), "'top_pp': did you mean top_p"),
    (lambda: gpt2.sampling_for(MODEL, num_beams=3), "beams are not built"),
    (lambda: WORDS.encode(None), "a text is of type NoneType"),
    (lambda: WORDS.decode(["a"]), "decode takes token ids"),
    (lambda: WORDS.decode([1.5]), "decode takes token ids"),
    (lambda: gpt2.finetune(out="x"), "give files or rows"),
    (lambda: gpt2.finetune("a", rows=["b"], out="x"), "give files or rows"),
    (lambda: gpt2.finetune(rows="abc", out="x"), "rows is a str"),
    (lambda: gpt2.finetune(rows=[], out="x"), "rows is empty"),
    (lambda: gpt2.finetune(rows=[1], out="x"), r"rows\[0\] is of type int"),
    (lambda: gpt2.finetune(rows=["a"], out="x", learning_rate=1), "'learning_rate': write lr"),
    (lambda: gpt2.generate(WHOLE, "Once"), r"generate\(checkpoint.model, checkpoint.tokenizer, prompts\)"),
    (
        lambda: gpt2.generate(MODEL, "Once"),
        r"a str is not a tokenizer: write gpt2.generate\(model, tokenizer, prompts\)",
    ),
    (lambda: gpt2.generate("Once", MODEL, WORDS), r"a str is not a model: write gpt2.generate\(model, tokenizer, prom"),
    (lambda: gpt2.generate(MODEL, WORDS), "prompts is missing: write gpt2.generate"),
    (lambda: gpt2.generate(MODEL, WORDS, "a", Sampling(), 3), "too many arguments without a name: write gpt2.gen"),
    (lambda: gpt2.stream(WHOLE, "Once"), r"gpt2.stream\(checkpoint.model, checkpoint.tokenizer, prompts\)"),
    (lambda: gpt2.score(WHOLE, "a"), r"gpt2.score\(checkpoint.model, checkpoint.tokenizer, texts\)"),
    (lambda: gpt2.score(MODEL, WORDS, "a", word=True), "no argument 'word' of gpt2.score: did you mean words"),
    (lambda: gpt2.save(MODEL, "x"), r"a str is not a tokenizer: write gpt2.save\(model, tokenizer, directory\)"),
    (lambda: gpt2.save(WHOLE, "x"), r"gpt2.save\(checkpoint.model, checkpoint.tokenizer, directory\)"),
    (lambda: gpt2.save(MODEL, WORDS), "directory is missing: write gpt2.save"),
    (lambda: gpt2.save(MODEL, WORDS, None), "directory is a NoneType: give a name or a directory"),
    (lambda: gpt2.sampling_for(WHOLE), r"gpt2.sampling_for\(checkpoint.model, max_tokens=40\)"),
    (lambda: gpt2.trace(MODEL, WORDS, "a"), r"write gpt2.trace\(checkpoint, text\), with checkpoint = gpt2.load"),
    (lambda: gpt2.Chat(WHOLE), r"gpt2.Chat\(checkpoint.tokenizer\)"),
    (lambda: gpt2.load(MODEL), "name is a GPT2: give a name or a directory, such as 'storyteller'"),
    (lambda: gpt2.load("storyteller", tokenizer=WORDS), "tokenizer is a Tokenizer: give a name"),
    (lambda: gpt2.finetune("a.txt"), r"out is missing: write gpt2.finetune\('poems.txt', out='runs/poems'\)"),
    (lambda: gpt2.finetune(MODEL, WORDS, "a.txt", out="x"), "too many arguments without a name: write gpt2.finetune"),
    (lambda: gpt2.finetune(MODEL, out="x"), "files is a GPT2: give names of files, and the name of the model as"),
    (
        lambda: gpt2.finetune(["The cat sat. " * 30], out="x"),
        r"or texts as gpt2.finetune\(rows=",
    ),
    (lambda: gpt2.finetune([{"text": "a"}], out="x"), r"files holds a dict, .* texts as gpt2.finetune\(rows="),
    (lambda: gpt2.finetune("a.txt", model=MODEL, out="x"), "model is a GPT2: give a name or a directory"),
    (lambda: gpt2.finetune("a.txt", val=["b"], out="x"), "val is a list: give a name"),
    (lambda: gpt2.finetune("a.txt", lora=True, out="x"), "lora is True: it must be a whole number"),
    (lambda: gpt2.finetune("a.txt", epochs="3", out="x"), "epochs is '3': it must be a number"),
    (lambda: WORDS("Once"), r"a tokenizer is no function: write tokenizer.encode\(text\)"),
    (lambda: GPT2Config(n_embd=10, n_head=3), "make it a multiple, such as 9"),
]


@pytest.mark.parametrize(("call", "sentence"), CASES, ids=[sentence[:40] for _, sentence in CASES])
def test_one_sentence(call: Callable[[], object], sentence: str, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=sentence) as refusal:
        call()
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("owner", "name", "said"),
    [
        (MODEL, "generate", "'GPT2' object has no attribute 'generate': write gpt2.generate(model, tokenizer, text)."),
        (GPT2, "from_pretrained", "write model, tokenizer, *_ = gpt2.load('storyteller')."),
        (MODEL, "from_pretrained", "write model, tokenizer, *_ = gpt2.load('storyteller')."),
        (MODEL, "save_pretrained", "write gpt2.save(model, tokenizer, 'mine')."),
        (MODEL, "run_with_cache", "write gpt2.trace(checkpoint, text, read='all'), with checkpoint = gpt2.load(name)."),
        (MODEL, "wte", "write model.transformer.wte."),
        (WORDS, "tokenize", "write [tokenizer.label(i) for i in tokenizer.encode(text)]."),
        (Tokenizer, "from_pretrained", "write tokenizer = gpt2.load('storyteller').tokenizer."),
        (WHOLE, "generate", "write gpt2.generate(checkpoint.model, checkpoint.tokenizer, text)."),
        (WHOLE, "config", "write checkpoint.model.config."),
        (WHOLE, "encode", "write checkpoint.tokenizer.encode."),
        (gpt2, "GPT2LMHeadModel", "write model, tokenizer, *_ = gpt2.load('storyteller')."),
        (MODEL, "nothing", "'GPT2' object has no attribute 'nothing'"),
        (WORDS, "nothing", "'Tokenizer' object has no attribute 'nothing'"),
        (WHOLE, "nothing", "'Checkpoint' object has no attribute 'nothing'"),
    ],
)
def test_names_of_other_libraries_are_answered(owner: Any, name: str, said: str) -> None:
    assert not hasattr(owner, name)
    with pytest.raises(AttributeError) as refusal:
        getattr(owner, name)
    assert str(refusal.value).endswith(said)


def test_answers_change_nothing_that_a_model_does() -> None:
    ids = torch.tensor([[5, 6]])
    for one in (copy.deepcopy(MODEL), pickle.loads(pickle.dumps(MODEL)), copy.deepcopy(WHOLE).model):
        assert torch.equal(one(ids), MODEL(ids))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", torch.device("cuda"), torch.device("cuda", 1)])
def test_a_gpu_that_is_not_there(device: Any) -> None:
    with pytest.raises(gpt2.UsageError, match="PyTorch finds no GPU here; choose cpu"):
        gpt2.load("storyteller", device=device)


def test_ids_are_as_good_as_arrays_and_tensors() -> None:
    want = go([[5, 6]])
    assert go(torch.tensor([[5, 6]])) == go(np.array([[5, 6]])) == go([torch.tensor([5, 6])]) == want
    assert go([np.array([5, 6], dtype=np.uint16)]) == go([(np.int64(5), 6)]) == want


def test_a_dtype_may_be_a_string(tmp_path: Any) -> None:
    gpt2.save(MODEL, WORDS, tmp_path / "m", dtype="bf16")
    assert gpt2.load(tmp_path / "m").model.lm_head.weight.dtype == torch.float32
    assert gpt2.load(tmp_path / "m", dtype="bfloat16").model.lm_head.weight.dtype == torch.bfloat16


def test_a_rule_sees_the_text_so_far_and_decides() -> None:
    """A row for each text that still runs, ids of the prompt first; what it forbids is never chosen."""
    seen: list[list[list[int]]] = []

    def only_next(scores: torch.Tensor, texts: Any) -> torch.Tensor:
        seen.append([list(text) for text in texts])
        allowed = torch.full_like(scores, -float("inf"))
        for row, text in zip(allowed, texts):
            row[text[-1] + 1] = 0.0
        return allowed

    found = go([[5], [9, 10]], rule=only_next, sampling=Sampling(max_tokens=3, seed=4))
    assert [one.ids for [one] in found] == [[6, 7, 8], [11, 12, 13]]
    assert seen[0] == [[5], [9, 10]]
    assert seen[2] == [[5, 6, 7], [9, 10, 11, 12]]


def test_a_rule_that_changes_nothing_changes_nothing() -> None:
    for sampling in (Sampling(max_tokens=4, temperature=0), Sampling(max_tokens=4, repetition_penalty=1.3, seed=2)):
        assert go([[5]], sampling=sampling, rule=lambda scores, texts: scores) == go([[5]], sampling=sampling)


def test_an_index_error_of_an_edit_says_nothing_of_the_ids() -> None:
    """The error of a table without such a row is told apart from one that a user's function raises."""
    with pytest.raises(IndexError):
        MODEL(torch.tensor([[1]]), probe=gpt2.Probe(edit={"0.resid_pre": lambda x: x[:, 99]}))
