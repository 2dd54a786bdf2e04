"""Generation: equal to transformers', to an uncached loop, alone and in a batch; stopping, streaming, sliding."""

import functools
import random
import string
import warnings

import pytest
import torch
from transformers import GPT2Config as TheirConfig
from transformers import GPT2LMHeadModel

from gpt2.config import GPT2Config
from gpt2.errors import UsageError
from gpt2.inference.generate import generate, stream
from gpt2.inference.sampling import Sampling, choose
from gpt2.inference.stopping import StopStrings
from gpt2.model import GPT2
from gpt2.probe import Probe
from gpt2.tokenizer import Tokenizer

TOKENIZER = Tokenizer.bytes()
EOT = TOKENIZER.eot_id
GREEDY = {"temperature": 0.0}


@functools.cache
def make(context=48, dtype=torch.float64, seed=0, layers=2):
    """A model whose next token depends on its text: random weights far larger than those of initialisation."""
    config = GPT2Config(vocab_size=257, n_positions=context, n_embd=32, n_layer=layers, n_head=4)
    model = GPT2(config, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += (0.5 if parameter.dim() > 1 else 0.1) * torch.randn(parameter.shape, generator=generator)
    return model.to(dtype)


def prompts_of(lengths, seed=0):
    source = random.Random(seed)
    return [[source.randrange(256) for _ in range(n)] for n in lengths]


def loop(model, prompt, sampling, sample=0, edit=None):
    """The same generation without a cache: every step computes the whole window of one text."""
    ids, start, context = list(prompt), 0, model.config.n_positions
    logits = []
    with torch.no_grad():
        for _ in range(sampling.max_tokens):
            if len(ids) - start > context:
                start = len(ids) - max(1, context // 2)
            probe = Probe(edit=edit) if edit else None
            logits.append(model(torch.tensor([ids[start:]]), probe=probe)[:, -1].float())
            ids += choose(logits[-1], [ids], [sample], sampling)
            if ids[-1] == EOT:
                break
    return ids[len(prompt) :], torch.cat(logits)


def script(text):
    """An edit with which the model says this text by position, one byte a token, then `<|endoftext|>`."""
    ids = torch.tensor([*TOKENIZER.encode(text), *[EOT] * 300])

    def logits(x, at):
        return 50.0 * torch.nn.functional.one_hot(ids[at.positions + 1], x.size(-1)).to(x)

    return {"logits": logits}


def say(text, **options):
    """Generate with `script` from a prompt of one token."""
    model = make(200)
    ((completion,),) = generate(model, TOKENIZER, [[0]], Sampling(**GREEDY | options), edit=script(text))
    return completion


# What is generated


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_greedy_text_is_that_of_transformers(seed):
    """200 tokens in float32, token for token."""
    model = make(256, torch.float32, seed)
    config = TheirConfig(vocab_size=257, n_positions=256, n_embd=32, n_layer=2, n_head=4)
    theirs = GPT2LMHeadModel(config).eval()
    conv1d = ("c_attn.weight", "attn.c_proj.weight", "c_fc.weight", "mlp.c_proj.weight")
    theirs.load_state_dict({n: t.t() if n.endswith(conv1d) else t for n, t in model.state_dict().items()})
    prompts = prompts_of([1, 5, 40])
    ours = generate(model, TOKENIZER, prompts, Sampling(max_tokens=200, **GREEDY))
    for prompt, (completion,) in zip(prompts, ours):
        ids = theirs.generate(
            torch.tensor([prompt]), max_new_tokens=200, do_sample=False, eos_token_id=EOT, pad_token_id=EOT
        )[0, len(prompt) :]
        assert completion.ids == ids.tolist()
        assert len(set(completion.ids)) > 20
        assert len(completion.ids) == 200 or completion.ids[-1] == EOT


@pytest.mark.parametrize("context", [1, 2, 3, 15, 16])
@pytest.mark.parametrize(
    "options", [GREEDY, {"temperature": 1.0, "top_k": 40, "top_p": 0.9, "repetition_penalty": 1.2}]
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
        (["x" * 49], "the prompt has 49 tokens, the model's context is 48: shorten the prompt"),
        ([[3, 257]], "there is no token 257: this model's vocabulary is 0 to 256"),
        ([[-1]], "there is no token -1"),
    ],
)
def test_prompts_that_cannot_be_continued(prompts, sentence):
    """Refused at the call, before the first piece is asked for."""
    with pytest.raises(UsageError, match=sentence):
        stream(make(), TOKENIZER, prompts)


# Where a text ends


def test_length():
    completion = generate(make(), TOKENIZER, "a", Sampling(max_tokens=7, temperature=1.0))[0][0]
    assert (len(completion.ids), completion.finish_reason, completion.logprobs) == (7, "length", None)
    assert completion.text == TOKENIZER.decode(completion.ids)


def test_end_of_text_is_in_the_ids_but_not_in_the_text():
    completion = say("_The end.", max_tokens=100, logprobs=1)
    assert (completion.text, completion.finish_reason) == ("The end.", "eos")
    assert completion.ids == [*TOKENIZER.encode("The end."), EOT]
    assert [entry.id for entry in completion.logprobs] == completion.ids


def test_end_of_text_as_the_last_token_that_fits():
    assert say("_abc", max_tokens=4).finish_reason == "eos"
    assert say("_abc", max_tokens=3).finish_reason == "length"


@pytest.mark.parametrize(
    "stop, text",
    [
        (("cat",), "The "),
        (("at sat",), "The c"),
        (("dog", "sat", "on"), "The cat "),
        ((".",), "The cat sat on é the mat"),
        (("é",), "The cat sat on "),
        (("T",), ""),
        (("t. x", "mat.", "at."), "The cat sat on é the "),
    ],
)
def test_stop_strings_across_tokens(stop, text):
    """Here every byte is a token, so each of these, the letter é included, is spread over several."""
    completion = say("_The cat sat on é the mat. And more", stop=stop)
    assert (completion.text, completion.finish_reason) == (text, "stop")
    said = TOKENIZER.decode(completion.ids)
    assert said.startswith(text)
    assert said.endswith(stop)
    assert completion.ids == TOKENIZER.encode(said)


def test_a_stop_string_that_never_comes_whole_is_kept():
    assert say("_abcab", stop=("abx", "cabd")).text == "abcab"
    assert say("_abcab", stop=("abx", "cabd"), max_tokens=4).text == "abca"


def test_stop_strings_are_looked_for_in_the_output_only():
    model = make(200)
    prompt = TOKENIZER.encode("_stop")
    ((completion,),) = generate(
        model, TOKENIZER, [prompt], Sampling(stop=("stop", "opa"), **GREEDY), edit=script("_stopa stop")
    )
    assert completion.text == "a "


def reference_cut(text, stops):
    """Character by character: the first end of a stop string, and of those that end there the longest."""
    for end in range(1, len(text) + 1):
        found = [s for s in stops if text[:end].endswith(s)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


def test_stop_strings_do_not_depend_on_where_the_pieces_end():
    source = random.Random(0)
    for _ in range(3000):
        text = "".join(source.choices("ab", k=source.randrange(12)))
        stops = ["".join(source.choices("ab", k=source.randrange(1, 6))) for _ in range(source.randrange(1, 4))]
        matcher, got, rest = StopStrings(stops), "", text
        while rest:
            cut = source.randrange(1, len(rest) + 1)
            piece, rest = rest[:cut], rest[cut:]
            got += matcher.push(piece)
            seen = text[: len(text) - len(rest)]
            if not matcher.found:  # held back is only what some stop string begins with
                held = seen[len(got) :]
                assert not held or any(s.startswith(held) for s in stops)
        got += matcher.finish()
        assert (got, matcher.found) == reference_cut(text, stops)


# Streaming


def pieces(text, **options):
    found = list(stream(make(200), TOKENIZER, [[0]], Sampling(**GREEDY | options), edit=script(text)))
    assert [piece.token for piece in found] == found[-1].completion.ids
    assert "".join(piece.text for piece in found) == found[-1].completion.text
    assert all(piece.completion is None for piece in found[:-1])
    return [piece.text for piece in found]


def test_incomplete_characters_are_held_back():
    assert pieces("_é€😀") == ["", "é", "", "", "€", "", "", "", "😀", ""]


def test_an_end_in_the_middle_of_a_character():
    assert pieces("_a€", max_tokens=3) == ["a", "", "\ufffd"]


def test_the_beginning_of_a_stop_string_is_held_back():
    assert pieces("_xaby abz", stop=("abz",)) == ["x", "", "", "aby", " ", "", "", ""]
    assert pieces("_xab", stop=("abz",)) == ["x", "", "", "ab"]


def test_pieces_of_a_batch_name_their_text():
    model, prompts = make(seed=3), prompts_of([2, 9])
    sampling = Sampling(max_tokens=6, n=2, temperature=1.0, logprobs=0)
    found = list(stream(model, TOKENIZER, prompts, sampling))
    assert [(p.prompt, p.sample) for p in found[:5]] == [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]
    for p, completions in enumerate(generate(model, TOKENIZER, prompts, sampling)):
        for s, completion in enumerate(completions):
            mine = [piece for piece in found if (piece.prompt, piece.sample) == (p, s)]
            assert [piece.token for piece in mine] == completion.ids
            assert [piece.logprob for piece in mine] == completion.logprobs
            assert mine[-1].completion == completion


def test_a_stream_may_be_left_early():
    model = make()
    for piece in stream(model, TOKENIZER, "abc", Sampling(max_tokens=40)):
        if piece.token is not None:
            break
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


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


# Edits


def zero(x):
    return torch.zeros_like(x)


def by_position(x, at):
    shape = [1] * x.dim()
    shape[0], shape[-2] = at.positions.shape[0], at.positions.shape[1]
    return x * (1 + 0.1 * at.positions.view(shape).to(x))


def to_first(x, at):
    """Every query looks at key 0; on a pattern, or resolved to one head's row of it."""
    return (at.keys == 0).to(x).expand(x.shape)


class ToFirst:
    """An edit that is an object and works on another point than its address says."""

    point = "attn.pattern"

    def __call__(self, x, at):
        return to_first(x, at)


def far_keys(x, at):
    return x - 0.2 * (at.positions[:, None, :, None] - at.keys).to(x)


EDITS = {
    "a head off": {"1.head.0": zero},
    "one position": {"0.resid_mid@3": lambda x: x.flip(-1)},
    "a span": {"1.mlp.out@2:6": zero},
    "a neuron": {"0.mlp.post#5": lambda x, at: x + at.positions.to(x)},
    "by position": {"0.resid_post": by_position},
    "values": {"0.attn.v": by_position},
    "keys": {"1.attn.k": by_position},
    "scores": {"0.attn.scores": far_keys},
    "a pattern": {"0.attn.pattern": lambda x, at: to_first(x, at)},
    "a head's pattern": {"0.head.1": ToFirst()},
    "a head's write": {"0.head.2.out": by_position},
    "a block": {"1.block": lambda x: 0.5 * x},
    "positions": {"embed.pos": zero},
    "a norm's scale": {"1.ln_1.scale": lambda x: torch.full_like(x, 2.0)},
    "logits": {"logits": by_position},
    "logits at one position": {"logits@5": lambda x: -x},
    "several": {"1.head.0": zero, "0.mlp": by_position, "final.out": lambda x: x.flip(-1)},
}


@pytest.mark.parametrize("name", EDITS)
def test_edits_in_cached_decoding_are_those_of_a_full_forward(name):
    """Unequal prompts, two samples, past the context: against a loop that edits every whole window."""
    model, edit = make(14, seed=2), EDITS[name]
    prompts = prompts_of([2, 9, 5])
    sampling = Sampling(max_tokens=12, n=2, temperature=0.7, seed=1, logprobs=0)
    found = generate(model, TOKENIZER, prompts, sampling, edit=edit, on_slide=lambda: None)
    for prompt, completions in zip(prompts, found):
        for sample, completion in enumerate(completions):
            ids, logits = loop(model, prompt, sampling, sample, edit)
            assert completion.ids == ids
            logprobs = logits.log_softmax(dim=-1)
            for entry, row in zip(completion.logprobs, logprobs, strict=True):
                assert entry.logprob == pytest.approx(row[entry.id].item(), abs=1e-4)
    assert found != generate(model, TOKENIZER, prompts, sampling, on_slide=lambda: None)


def test_an_edit_that_differs_by_prompt():
    """`at.rows` stays the number of the prompt while rows leave, slide and stand for samples."""
    model, prompts = make(14, seed=8), prompts_of([3, 8, 5, 12])
    factors = torch.tensor([0.2, 1.0, 1.7, -1.0], dtype=torch.float64)
    sampling = Sampling(max_tokens=20, n=2, temperature=2.0, top_p=1.0, stop=tuple(string.ascii_lowercase))
    found = generate(
        model, TOKENIZER, prompts, sampling,
        edit={"0.mlp.out": lambda x, at: x * factors[at.rows][:, None, None]}, on_slide=lambda: None,
    )  # fmt: skip
    assert len({len(c.ids) for completions in found for c in completions}) > 2
    for prompt, factor, completions in zip(prompts, factors, found):
        edit = {"0.mlp.out": lambda x, f=factor: x * f}
        assert generate(model, TOKENIZER, [prompt], sampling, edit=edit, on_slide=lambda: None) == [completions]


def test_a_probe_holds_the_values_of_the_pass_that_scored_the_token():
    model = make()
    probe = Probe(read=["logits", "1.attn.pattern"])
    (prompt,) = prompts_of([5])
    ids = list(prompt)
    for step, piece in enumerate(stream(model, TOKENIZER, [prompt], Sampling(max_tokens=4, **GREEDY), probe=probe)):
        reference = Probe(read="1.attn.pattern")
        logits = model(torch.tensor([ids]), probe=reference)
        assert torch.allclose(probe["logits"][:, -1], logits[:, -1], rtol=0, atol=1e-9)
        assert probe["1.attn.pattern"].shape == (1, 4, 1 if step else 5, 5 + step)
        assert torch.allclose(probe["1.attn.pattern"][:, :, -1], reference["1.attn.pattern"][:, :, -1])
        assert piece.token == logits[0, -1].argmax()
        ids.append(piece.token)
    assert probe["1.attn.pattern"].clone().mul_(2).shape  # no inference tensor: its owner may go on with it


def test_edits_and_a_probe_together_are_refused():
    with pytest.raises(UsageError, match="edit or probe, not both"):
        stream(make(), TOKENIZER, "a", edit={"0.mlp": zero}, probe=Probe())


def test_an_unknown_address_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="there is no point"):
        generate(make(), TOKENIZER, "a", edit={"0.mlpp": zero})
