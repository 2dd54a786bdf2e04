"""Where a generated text ends: its length, the end-of-text token, stop strings; and the pieces in which it comes."""

import random

import pytest
import torch

from gpt2.inference.generate import generate, stream
from gpt2.inference.sampling import Sampling
from gpt2.inference.stopping import StopStrings
from tests.generating import EOT, GREEDY, TOKENIZER, make, prompts_of, say, script

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
