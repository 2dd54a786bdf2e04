"""What a checkpoint's files say of generation: ends and sampling, against transformers' `generate` on those files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from gpt2.base import notes
from gpt2.base.errors import UsageError
from gpt2.checkpoint import load, save
from gpt2.checkpoint.generation_fields import ALWAYS, SAMPLING
from gpt2.checkpoint.hf_config import Settings
from gpt2.inference.defaults import sampling_for
from gpt2.inference.generate import ends_of, generate
from gpt2.inference.sampling import Sampling, distribution
from gpt2.text.tokenizer import Tokenizer
from tests.checkpoints import hub_format, random_gpt2, set_field

PROMPT = [10, 20, 30]


@pytest.fixture(autouse=True)
def afresh():
    notes.forget()


def directory(folder: Path, generation: dict[str, Any] | None, **config: Any) -> Path:
    """A checkpoint with these fields of config.json (None: absent), and this generation_config.json (None: none)."""
    hub_format(folder)
    Tokenizer.bytes().save(folder)
    set_field(folder, **config)
    (folder / "generation_config.json").unlink()
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def both(folder: Path):
    ours = load(str(folder), dtype=torch.float64)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float64).eval()
    return ours, theirs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("generation", "config"),
    [
        (None, {"eos_token_id": 7}), (None, {"eos_token_id": [7, 8]}), (None, {"eos_token_id": None}),
        ({}, {"eos_token_id": 7}), ({"eos_token_id": None}, {"eos_token_id": 7}),
        ({"eos_token_id": 9}, {"eos_token_id": 7}), ({"eos_token_id": [9, 256]}, {"eos_token_id": 7}),
        ({"eos_token_id": []}, {}), ({"_from_model_config": True}, {"eos_token_id": 7}),
    ],
)  # fmt: skip
def test_the_ends_are_those_of_transformers(generation, config, tmp_path):
    ours, theirs = both(directory(tmp_path / "x", generation, **config))
    expected = theirs.generation_config.eos_token_id
    expected = [] if expected is None else [expected] if isinstance(expected, int) else expected
    assert list(ends_of(ours.model, ours.tokenizer)) == expected


@pytest.mark.filterwarnings("ignore")
def test_without_an_end_in_either_file_there_is_none(tmp_path):
    folder = directory(tmp_path / "x", None)
    fields = json.loads((folder / "config.json").read_text())
    del fields["eos_token_id"]
    (folder / "config.json").write_text(json.dumps(fields))
    ours, theirs = both(folder)
    assert ends_of(ours.model, ours.tokenizer) == ()
    assert theirs.generation_config.eos_token_id is None


@pytest.mark.filterwarnings("ignore")
def test_any_of_a_list_ends_a_text(tmp_path):
    whole = (
        both(directory(tmp_path / "free", {}))[1].generate(torch.tensor([PROMPT]), max_new_tokens=12)[0, 3:].tolist()
    )
    end = whole[5]
    ours, theirs = both(directory(tmp_path / "x", {"eos_token_id": [255, end]}))
    expected = theirs.generate(torch.tensor([PROMPT]), max_new_tokens=12, do_sample=False)[0, 3:].tolist()
    ((got,),) = generate(ours.model, ours.tokenizer, [PROMPT], sampling_for(ours.model, temperature=0, max_tokens=12))
    assert got.ids == expected == whole[: whole.index(end) + 1]
    assert got.finish_reason == "eos"


def test_an_end_of_the_tokenizer_that_the_files_do_not_name_is_said_once(tmp_path, recwarn):
    ours = load(str(directory(tmp_path / "x", {"eos_token_id": 9})))
    for _ in range(2):
        generate(ours.model, ours.tokenizer, [PROMPT], Sampling(max_tokens=2))
    (said,) = [w for w in recwarn if isinstance(w.message, notes.Note)]
    assert "the tokenizer ends texts with <|endoftext|>" in str(said.message)


@pytest.mark.parametrize("end", ["9", 1.5, [1, "2"], {"a": 1}, True])
def test_an_end_that_is_no_id_is_named(end, tmp_path):
    with pytest.raises(ValueError, match=r"generation_config\.json: eos_token_id is"):
        load(str(directory(tmp_path / "x", {"eos_token_id": end})))


SAMPLED = [
    {"do_sample": True}, {"do_sample": True, "temperature": 0.5}, {"do_sample": True, "top_k": 0, "top_p": 0.6},
    {"do_sample": True, "top_k": 5, "min_p": 0.1}, {"do_sample": True, "top_k": None, "repetition_penalty": 1.7},
    {"do_sample": True, "typical_p": 1.0, "top_p": 1.0},
]  # fmt: skip


@pytest.mark.parametrize("generation", SAMPLED, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_the_distribution_is_that_of_transformers(generation, tmp_path):
    ours, theirs = both(directory(tmp_path / "x", generation))
    ids = torch.tensor([PROMPT])
    out = theirs.generate(ids, max_new_tokens=1, output_scores=True, return_dict_in_generate=True)
    expected = out.scores[0].double().softmax(-1)
    with torch.no_grad():
        logits = ours.model(ids)[:, -1].float()
    got = distribution(logits, [PROMPT], sampling_for(ours.model))
    assert torch.allclose(got.double(), expected, atol=1e-6)
    assert bool(((got > 0) == (expected > 0)).all())


@pytest.mark.filterwarnings("ignore")
def test_without_the_file_the_fields_of_config_json_count(tmp_path):
    ours, theirs = both(directory(tmp_path / "x", None, do_sample=True, temperature=0.5, max_length=9, n_inner=None))
    assert sampling_for(ours.model) == Sampling(
        max_tokens=9, max_length=9, temperature=theirs.generation_config.temperature, top_k=50, top_p=1.0
    )
    ours, theirs = both(directory(tmp_path / "y", {}, do_sample=True, temperature=0.5))
    assert sampling_for(ours.model) == Sampling()
    assert theirs.generation_config.temperature is None


def test_settings_of_sampling_count_only_with_do_sample(tmp_path):
    for sample in ({}, {"do_sample": False}, {"do_sample": None}):
        ours = load(str(directory(tmp_path / f"{sample}", {**sample, "temperature": 0.1, "top_k": 3, "top_p": 0.2})))
        assert sampling_for(ours.model) == Sampling()
    assert sampling_for(load("storyteller").model) == Sampling()


def test_limits_stops_and_penalty_always_count_and_an_option_wins(tmp_path):
    file = {"max_length": 9, "stop_strings": "abc", "repetition_penalty": 1.5, "num_return_sequences": 2}
    file["no_repeat_ngram_size"] = 3
    model = load(str(directory(tmp_path / "x", file))).model
    expected = Sampling(max_tokens=9, max_length=9, stop=("abc",), repetition_penalty=1.5, no_repeat_ngram_size=3, n=2)
    assert sampling_for(model) == expected
    typed = sampling_for(model, max_tokens=4, repetition_penalty=1.0, no_repeat_ngram_size=0, n=1)
    assert typed == Sampling(max_tokens=4, stop=("abc",))
    model = load(str(directory(tmp_path / "y", file | {"max_new_tokens": 5}))).model
    assert sampling_for(model).max_tokens == 5
    assert sampling_for(model).max_length is None


def test_max_length_counts_the_prompt(tmp_path):
    ours = load(str(directory(tmp_path / "x", {"max_length": 6})))
    assert [len(c.ids) for (c,) in generate(ours.model, ours.tokenizer, [PROMPT, [1, 2, 3, 4, 5]])] == [3, 1]
    with pytest.raises(UsageError, match="max_length is 6: the longest prompt has 7 tokens already"):
        generate(ours.model, ours.tokenizer, [[1] * 7])


REFUSED = [
    {"num_beams": 4}, {"no_repeat_ngram_size": -2}, {"min_new_tokens": 3}, {"suppress_tokens": [1]},
    {"bad_words_ids": [[1]]}, {"forced_eos_token_id": 3}, {"guidance_scale": 2.0}, {"encoder_repetition_penalty": 1.2},
    {"do_sample": True, "typical_p": 0.5}, {"do_sample": True, "epsilon_cutoff": 0.1}, {"do_sample": "yes"},
    {"do_sample": True, "temperature": "hot"}, {"max_new_tokens": 0}, {"do_sample": True, "top_p": 7},
]  # fmt: skip


@pytest.mark.parametrize("generation", REFUSED, ids=str)
def test_what_is_not_supported_stops_generation_and_nothing_else(generation, tmp_path):
    ours = load(str(directory(tmp_path / "x", generation)))
    name = list(generation)[-1]
    with pytest.raises(ValueError, match=rf"generation_config.json.*{name}"):
        generate(ours.model, ours.tokenizer, [PROMPT])
    generate(ours.model, ours.tokenizer, [PROMPT], Sampling(max_tokens=1))


def test_every_field_of_transformers_is_in_the_tables():
    known = {field.name for field in (*ALWAYS, *SAMPLING)}
    assert set(vars(transformers.GenerationConfig())) - known == set()
    assert set(transformers.GenerationConfig._get_default_generation_params()) - known == set()


def test_the_file_is_carried_through(tmp_path):
    file = {"do_sample": True, "eos_token_id": [9, 256], "pad_token_id": 3, "num_beams": 4, "something": {"else": 1}}
    config = {
        "pad_token_id": 5,
        "task_specific_params": {"a": 1},
        "id2label": {"0": "x"},
        "hidden_size": 32,
        "own": 2,
    }
    folder = directory(tmp_path / "x", file, **config)
    ours = load(str(folder))
    save(ours.model, ours.tokenizer, tmp_path / "y")
    assert json.loads((tmp_path / "y" / "generation_config.json").read_text()) == file
    before = transformers.AutoConfig.from_pretrained(folder).to_dict()
    after = transformers.AutoConfig.from_pretrained(tmp_path / "y").to_dict()
    differing = {name for name in before | after if before.get(name) != after.get(name)}
    assert differing <= {"dtype", "transformers_version", "_name_or_path"}
    again = load(str(tmp_path / "y"))
    save(again.model, again.tokenizer, tmp_path / "z")
    assert (tmp_path / "z" / "config.json").read_text() == (tmp_path / "y" / "config.json").read_text()


def test_no_generation_file_is_written_where_there_was_none(tmp_path):
    ours = load(str(directory(tmp_path / "x", None)))
    save(ours.model, ours.tokenizer, tmp_path / "y")
    assert not (tmp_path / "y" / "generation_config.json").exists()


@pytest.mark.parametrize("field", ["num_return_sequences", "max_new_tokens", "max_length"])
@pytest.mark.parametrize("digits", [9, 30, 4200])
def test_a_number_that_would_never_be_written_is_refused_by_its_field(field, digits):
    model = random_gpt2()
    model.settings = Settings(generation={field: 10**digits})
    most = "1,024" if field == "num_return_sequences" else "1,000,000"
    with pytest.raises(ValueError, match=rf"generation_config.json cannot be followed: {field} is .*at most {most}\.$"):
        sampling_for(model)
