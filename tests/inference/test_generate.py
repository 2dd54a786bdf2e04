"""Generation: equal to transformers', to an uncached loop, alone and in a batch, past the context too."""

import random
import warnings

import pytest
import torch
from transformers import GPT2Config as TheirConfig
from transformers import GPT2LMHeadModel

from gpt2.base import notes
from gpt2.base.errors import UsageError
from gpt2.inference.generate import generate, stream
from gpt2.inference.sampling import Sampling
from gpt2.model import GPT2
from tests.generating import EOT, GREEDY, TOKENIZER, loop, make, prompts_of, script

# What is generated


@pytest.mark.parametrize(
    ("seed", "new", "options"),
    [
        (0, 200, {}), (1, 200, {}), (2, 200, {}), (1, 40, {"no_repeat_ngram_size": 1}),
        (2, 40, {"no_repeat_ngram_size": 2}), (3, 40, {"no_repeat_ngram_size": 2, "repetition_penalty": 0.4}),
    ],
)  # fmt: skip
def test_greedy_text_is_that_of_transformers(seed, new, options):
    """In float32, token for token."""
    model = make(256, torch.float32, seed)
    config = TheirConfig(vocab_size=257, n_positions=256, n_embd=32, n_layer=2, n_head=4)
    theirs = GPT2LMHeadModel(config).eval()
    conv1d = ("c_attn.weight", "attn.c_proj.weight", "c_fc.weight", "mlp.c_proj.weight")
    theirs.load_state_dict({n: t.t() if n.endswith(conv1d) else t for n, t in model.state_dict().items()})
    prompts = prompts_of([1, 5, 40])
    ours = generate(model, TOKENIZER, prompts, Sampling(max_tokens=new, **GREEDY, **options))
    for prompt, (completion,) in zip(prompts, ours):
        ids = theirs.generate(
            torch.tensor([prompt]), max_new_tokens=new, do_sample=False, eos_token_id=EOT, pad_token_id=EOT, **options
        )[0, len(prompt) :]
        assert completion.ids == ids.tolist()
        assert options or len(set(completion.ids)) > 20
        assert len(completion.ids) == new or completion.ids[-1] == EOT


@pytest.mark.parametrize("context", [1, 2, 3, 15, 16])
@pytest.mark.parametrize(
    "options",
    [
        GREEDY,
        {"temperature": 1.0, "top_k": 40, "top_p": 0.9, "repetition_penalty": 1.2},
        {"temperature": 0.5, "repetition_penalty": 0.5, "no_repeat_ngram_size": 2},
    ],
)
def test_cached_is_uncached_past_the_context_too(context, options):
    """Unequal prompts in one batch, several samples, through two slides: the ids and logits of a loop without cache."""
    model = make(context, seed=4)
    prompts = prompts_of(sorted({1, min(2, context), max(1, context // 2), context - 1 or 1, context}))
    sampling = Sampling(max_tokens=2 * context + 3, n=2, logprobs=3, seed=5, **options)
    found = generate(model, TOKENIZER, prompts, sampling, on_slide=lambda: None)
    for prompt, completions in zip(prompts, found):
        for sample, completion in enumerate(completions):
            ids, logits = loop(model, prompt, sampling, sample)
            assert completion.ids == ids
            logprobs = logits.log_softmax(dim=-1)
            for entry, row in zip(completion.logprobs, logprobs, strict=True):
                assert entry.logprob == pytest.approx(row[entry.id].item(), abs=1e-4)
                assert [i for i, _ in entry.top] == row.topk(3).indices.tolist()


def test_the_same_seed_is_the_same_text_alone_and_in_a_batch():
    """100 prompts in float32, beyond the context for some."""
    model = make(64, torch.float32)
    lengths = random.Random(1).choices(range(1, 60), k=100)
    prompts = prompts_of(lengths, seed=2)
    sampling = Sampling(max_tokens=20, temperature=1.0, top_p=1.0, seed=7)
    together = generate(model, TOKENIZER, prompts, sampling, on_slide=lambda: None)
    for prompt, completions in zip(prompts, together):
        assert generate(model, TOKENIZER, [prompt], sampling, on_slide=lambda: None) == [completions]


def test_samples_differ_and_share_the_prefill(monkeypatch):
    model = make()
    shapes = []
    hidden = model.hidden
    monkeypatch.setattr(model, "hidden", lambda ids, **kw: shapes.append(tuple(ids.shape)) or hidden(ids, **kw))
    prompts = prompts_of([3, 6])
    options = {"max_tokens": 8, "temperature": 1.5, "top_p": 1.0, "seed": 2}
    three = generate(model, TOKENIZER, prompts, Sampling(n=3, **options))
    assert shapes[:2] == [(2, 6), (6, 1)]
    assert all(rows <= 6 and columns == 1 for rows, columns in shapes[1:])
    assert [len(samples) for samples in three] == [3, 3]
    assert len({tuple(completion.ids) for completion in three[0]}) == 3
    one = generate(model, TOKENIZER, prompts, Sampling(n=1, **options))
    assert [samples[0] for samples in three] == [samples[0] for samples in one]
    assert generate(model, TOKENIZER, prompts, Sampling(n=3, **options | {"seed": 3})) != three


def test_another_seed_is_another_text():
    options = {"max_tokens": 20, "temperature": 1.0}
    texts = [generate(make(), TOKENIZER, "seed", Sampling(seed=s, **options))[0][0].ids for s in (0, 0, 1, 2)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2] != texts[3]


def test_finished_rows_leave_the_batch(monkeypatch):
    """Each row runs until its own end, and no longer."""
    model = make(200)
    rows = []
    hidden = model.hidden
    monkeypatch.setattr(model, "hidden", lambda ids, **kw: rows.append(ids.size(0)) or hidden(ids, **kw))
    prompts = [[1] * 4, [1] * 1, [1] * 7]  # the script goes by position: a longer prompt leaves less of it
    found = generate(model, TOKENIZER, prompts, Sampling(max_tokens=50, **GREEDY), edit=script("_0123456789"))
    assert [c.text for (c,) in found] == ["3456789", "0123456789", "6789"]
    assert [c.finish_reason for (c,) in found] == ["eos"] * 3
    assert rows == [3] * 5 + [2] * 3 + [1] * 3


def test_training_mode_is_set_aside_and_restored():
    """Dropout never reaches generated text."""
    model = make(seed=9)
    sampling = Sampling(max_tokens=10, **GREEDY)
    expected = generate(model, TOKENIZER, "text", sampling)
    try:
        model.train()
        assert generate(model, TOKENIZER, "text", sampling) == expected
        assert model.training
        assert model.transformer.h[0].mlp.dropout.training
    finally:
        model.eval()


def test_prompts_as_text_or_ids():
    sampling = Sampling(max_tokens=5)
    by_text = generate(make(), TOKENIZER, ["one", "eleven"], sampling)
    by_ids = generate(make(), TOKENIZER, [TOKENIZER.encode("one"), TOKENIZER.encode("eleven")], sampling)
    assert by_text == by_ids
    assert generate(make(), TOKENIZER, "one", sampling) == [by_text[0]]


def test_nothing_is_put_before_a_prompt(monkeypatch):
    model, seen = make(), []
    hidden = model.hidden
    monkeypatch.setattr(model, "hidden", lambda ids, **kw: seen.append(ids.tolist()) or hidden(ids, **kw))
    generate(model, TOKENIZER, "ab", Sampling(max_tokens=1))
    assert seen == [[TOKENIZER.encode("ab")]]


@pytest.mark.parametrize(
    "prompts, sentence",
    [
        ([], "there are no prompts"),
        ("", "the prompt is empty"),
        (["fine", ""], "the prompt is empty"),
        ([[1], []], "the prompt is empty"),
        ([1, 2], "bare token ids"),
        (["x" * 49], "the prompt has 49 tokens and this model's context is 48: shorten it by 1"),
        ([[3, 257]], "there is no token 257: this model has tokens 0 to 256"),
        ([[-1]], "there is no token -1"),
    ],
)
def test_prompts_that_cannot_be_continued(prompts, sentence):
    """Refused at the call, before the first piece is asked for."""
    with pytest.raises(UsageError, match=sentence):
        stream(make(), TOKENIZER, prompts)


# Past the context


@pytest.mark.parametrize("length", [1, 15, 16])
def test_without_sliding_the_text_ends_with_the_context(length):
    """The full context still predicts one token; that one cannot be read any more."""
    model = make(16, seed=6)
    (prompt,) = prompts_of([length])
    sampling = Sampling(max_tokens=100, slide=False, **GREEDY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ((completion,),) = generate(model, TOKENIZER, [prompt], sampling)
    assert completion.finish_reason == "length"
    assert len(prompt) + len(completion.ids) == 17
    expected, _ = loop(model, prompt, Sampling(max_tokens=17 - length, **GREEDY))
    assert completion.ids == expected


def test_the_user_is_told_once():
    model, calls = make(8, seed=6), []
    sampling = Sampling(max_tokens=40, n=2, **GREEDY)
    generate(model, TOKENIZER, ["abc", "abcdef"], sampling, on_slide=lambda: calls.append(1))
    assert calls == [1]
    with pytest.warns(UserWarning, match="the context is full: the text goes on from its last half") as told:
        generate(model, TOKENIZER, ["abc", "abcdef"], sampling)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate(model, TOKENIZER, "abc", Sampling(max_tokens=6, **GREEDY))


def test_positions_of_the_noise_go_on_past_the_context():
    """Two windows with the same tokens draw different noise: the position is that in the text."""
    model = make(4, seed=1)
    with torch.no_grad():
        flat = GPT2(model.config)
        flat.lm_head.weight.zero_()  # every token equally likely: the noise alone decides
    sampling = Sampling(max_tokens=60, temperature=1.0, top_p=1.0)
    ids = generate(flat, TOKENIZER, "a", sampling, on_slide=lambda: None)[0][0].ids
    assert len(set(ids)) > 40


# Past an end, and prompts that are too long


def test_past_an_end_the_text_goes_on_and_shows_it():
    ends = script("xab")
    model = make(200)
    ((stopped,),) = generate(model, TOKENIZER, [[0]], Sampling(**GREEDY), edit=ends)
    ((going,),) = generate(model, TOKENIZER, [[0]], Sampling(**GREEDY, ignore_eos=True, max_tokens=5), edit=ends)
    assert (stopped.text, stopped.finish_reason) == ("ab", "eos")
    assert (going.text, going.finish_reason) == ("ab" + 3 * "<|endoftext|>", "length")
    assert going.ids == [*stopped.ids, EOT, EOT]


@pytest.mark.parametrize(("new", "kept"), [(1, 16), (5, 12), (9, 8), (100, 8)])
def test_a_prompt_longer_than_the_context_keeps_its_last_tokens(new, kept):
    model = make(16)
    short, full, long = prompts_of([3, 16, 40])
    how = {"max_tokens": new, "slide": False, **GREEDY}
    notes.forget()
    with pytest.warns(notes.Note, match=f"1 of 3 prompts .* the last {kept} of each were kept, .* {17 - kept} new tok"):
        found = generate(model, TOKENIZER, [short, full, long], Sampling(**how, truncate="left"))
    assert found == generate(model, TOKENIZER, [short, full, long[-kept:]], Sampling(**how))
    with pytest.warns(notes.Note, match=f"its first {40 - kept} were left out and its last {kept} kept"):
        assert generate(model, TOKENIZER, [long], Sampling(**how, truncate="left"))[0] == found[2]
    with pytest.raises(UsageError, match=r"shorten it by 24, or give truncate='left' to keep its last tokens\.$"):
        generate(model, TOKENIZER, [long], Sampling(**how))
