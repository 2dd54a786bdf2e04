"""Pairs files: what is refused, the bundled sets, and the three analyses against plain loops."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel
from twins import twins as make_twins

from gpt2 import Tokenizer, load
from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import Checkpoint
from gpt2.config import GPT2Config
from gpt2.explain.change.pair_effects import attribution_over_pairs, off_over_pairs, patch_over_pairs
from gpt2.explain.change.pairs import BEHAVIOURS, BUNDLED, Accuracy, Pair, PairSet, accuracy, read_pairs
from gpt2.explain.change.patching import Patching
from gpt2.explain.run.reference import reference

CONFIG = GPT2Config(vocab_size=97, n_positions=40, n_embd=24, n_layer=3, n_head=3)
L, H, D = 3, 3, 8


@pytest.fixture(scope="module")
def storyteller() -> Checkpoint:
    return load("storyteller")


@pytest.fixture(scope="module")
def models() -> tuple:
    return make_twins(CONFIG, 13, torch.arange(20)[None])


def pair(seed: int, length: int, *differs: int) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(97, (length,), generator=generator).tolist()
    corrupt = [(t + 1 + seed) % 97 if p in differs else t for p, t in enumerate(clean)]
    target, foil = torch.randperm(97, generator=generator)[:2].tolist()
    return Pair(tuple(clean), tuple(corrupt), target, foil)


@pytest.fixture(scope="module")
def pairs() -> PairSet:
    """Of three lengths, in mixed order; one differs in its last token, one in two places."""
    made = (pair(1, 6, 2), pair(2, 8, 3, 5), pair(3, 6, 5), pair(4, 7, 0), pair(5, 8, 1))
    return PairSet("made", made, tuple({} for _ in made), tuple("" for _ in made))


def hf_leads(hf: GPT2LMHeadModel, pairs: PairSet) -> np.ndarray:
    found = []
    for p in pairs.pairs:
        with torch.no_grad():
            logits = [hf(torch.tensor([ids])).logits[0, -1] for ids in (p.clean, p.corrupt)]
        found.append([(x[p.target] - x[p.foil]).item() for x in logits])
    return np.array(found)


def test_accuracy_is_that_of_a_plain_loop(models, pairs) -> None:
    ours, hf = models
    result, expected = accuracy(ours, pairs), hf_leads(hf, pairs)
    np.testing.assert_allclose(result.leads, expected, atol=1e-10)
    assert result.clean.value.item() == (expected[:, 0] > 0).mean()
    assert result.corrupt.value.item() == (expected[:, 1] < 0).mean()
    assert result.both.value.item() == ((expected[:, 0] > 0) & (expected[:, 1] < 0)).mean()
    assert result.lead.value.item() == pytest.approx(expected[:, 0].mean())


def test_a_behaviour_is_present_when_surely_above_chance() -> None:
    def right(share: float) -> Accuracy:
        return Accuracy(
            "made", torch.tensor([[1.0, -1.0]] * round(100 * share) + [[-1.0, 1.0]] * round(100 - 100 * share))
        )

    assert [right(share).present for share in (0.5, 0.59, 0.61, 0.9)] == [False, False, True, True]


def test_attributions_over_pairs_sum_to_the_lead(models, pairs) -> None:
    result = attribution_over_pairs(models[0], pairs)
    leads = hf_leads(models[1], pairs)[:, 0]
    assert result.values.value.sum().item() == pytest.approx(leads.mean(), abs=1e-9)
    assert result.lead.value.item() == pytest.approx(leads.mean(), abs=1e-9)
    assert {"embed.tok", "0.head.0", "2.mlp"} <= set(result.names)


def test_one_attribution_over_pairs_by_hand(models, pairs) -> None:
    """The last MLP's part, from transformers' own tensors: its centred write times gamma (w_t - w_f), over sigma."""
    ours, hf = models
    adds = []
    for p in pairs.pairs:
        kept = {}
        tower = hf.transformer
        handles = [
            tower.h[2].mlp.register_forward_hook(lambda m, a, out, k=kept: k.update(mlp=out[0, -1])),
            tower.ln_f.register_forward_pre_hook(lambda m, a, k=kept: k.update(r=a[0][0, -1])),
        ]
        with torch.no_grad():
            hf(torch.tensor([p.clean]))
        for handle in handles:
            handle.remove()
        w = tower.wte.weight[p.target] - tower.wte.weight[p.foil]
        sigma = (kept["r"].var(unbiased=False) + tower.ln_f.eps).sqrt()
        adds.append((((kept["mlp"] - kept["mlp"].mean()) * tower.ln_f.weight * w).sum() / sigma).item())
    result = attribution_over_pairs(ours, pairs)
    assert result.values.value[result.names.index("2.mlp")].item() == pytest.approx(np.mean(adds), abs=1e-10)


def test_off_over_pairs_is_a_hooked_pass_for_each(models, pairs) -> None:
    ours, hf = models
    means = reference(ours, [list(range(20)), list(range(30, 60))])
    result = off_over_pairs(ours, pairs, ["*.head.*"], "zero", means)
    leads = hf_leads(hf, pairs)[:, 0]
    for k, name in enumerate(result.names):
        layer, _, head = name.split(".")

        def silence(module, arguments, part=slice(int(head) * D, int(head) * D + D)):
            z = arguments[0].clone()
            z[..., part] = 0
            return (z,)

        handle = hf.transformer.h[int(layer)].attn.c_proj.register_forward_pre_hook(silence)
        edited = hf_leads(hf, pairs)[:, 0]
        handle.remove()
        assert result.values.value[k].item() == pytest.approx((edited - leads).mean(), abs=1e-10)
        assert result.right[k].item() == (edited > 0).mean()
    with pytest.raises(UsageError, match="not resampled"):
        off_over_pairs(ours, pairs, ["0.mlp"], "resample", means)


def test_patching_over_pairs_is_the_mean_of_its_grids(models, pairs) -> None:
    leads = hf_leads(models[1], pairs)
    used = [p for p, (clean, corrupt) in zip(pairs.pairs, leads) if abs(clean - corrupt) >= 0.5]
    assert 3 <= len(used) < len(pairs.pairs)  # some pair is answered too much alike
    result = patch_over_pairs(models[0], pairs)
    assert (result.n, result.left_out) == (len(used), len(pairs.pairs) - len(used))
    single = [Patching(models[0], p.clean, p.corrupt, p.target, p.foil) for p in used]
    heads = torch.stack([one.grid("head").scores for one in single]).mean(0)
    torch.testing.assert_close(result.heads.value, heads, rtol=0, atol=1e-12)
    # before block 0 the tokens that differ are all of the difference, and nothing else holds any
    torch.testing.assert_close(result.places.value[0], torch.tensor([1.0, 0, 0]).double(), rtol=0, atol=1e-10)
    # a pair that differs in its last token has no other place: "last" is the mean over the others
    last = [one.grid("resid").scores[2, -1] for one, p in zip(single, used) if p.clean[-1] == p.corrupt[-1]]
    assert len(last) == len(used) - 1
    assert result.places.value[2, 2].item() == pytest.approx(torch.stack(last).mean().item(), abs=1e-10)


def test_pairs_answered_alike_are_left_out(models, pairs) -> None:
    with torch.no_grad():
        flat = type(models[0])(CONFIG).double().eval()
    with pytest.raises(UsageError, match=r"less than 0\.5 apart in every pair"):
        patch_over_pairs(flat, pairs)


GOOD = {"clean": "Lily was", "corrupt": "Tom was", "target": " she", "foil": " he"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([GOOD, "}"], r"line 2, is not JSON"),
        ([GOOD, "{"], r"line 2, begins a value that goes on in the next line"),
        ([{k: v for k, v in GOOD.items() if k != "foil"}], r"line 1, has no text in 'foil'"),
        (["[1]"], r"line 1, has no text in 'clean'"),
        ([GOOD | {"target": " she was"}], r"line 1: ' she was' is 2 tokens"),
        ([GOOD | {"corrupt": "Tom was here"}], r"line 1: the clean prompt has 2 tokens and the corrupt one 3"),
        ([GOOD | {"corrupt": "Lily was"}], r"line 1: the clean and the corrupt prompt are the same"),
        ([GOOD | {"foil": " she"}], r"line 1: target and foil are both ' she'"),
        ([GOOD | {"clean": ""}], r"line 1: the text is empty, it has no tokens"),
        ([], "holds no pairs"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(storyteller, tmp_path, lines, message) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines))
    with pytest.raises(ValueError, match=message):
        read_pairs(storyteller, file)


def test_a_missing_file_names_the_bundled_sets(storyteller, tmp_path) -> None:
    with pytest.raises(ValueError, match="pronoun, name, verb, quote"):
        read_pairs(storyteller, tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="no tokenizer"):
        read_pairs(storyteller.model, "pronoun")


def test_a_good_file_is_read_with_blank_lines(storyteller, tmp_path) -> None:
    file = tmp_path / "mine.jsonl"
    unread = GOOD | {"note": "one\u2028line", "score": float("nan")}  # Python writes NaN
    file.write_text(f"\n{json.dumps(unread, ensure_ascii=False)}\n\n", encoding="utf-8")
    (one,) = read_pairs(storyteller, file).pairs
    assert storyteller.tokenizer.decode(list(one.clean)) == "Lily was"
    assert storyteller.tokenizer.decode([one.target]) == " she"


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_bundled_sets_are_whole_in_both_tokenizers(storyteller, gpt2_files: Path, name: str) -> None:
    """100 different pairs; one-token answers, equal lengths, no merge at the end, for storyteller and for GPT-2."""
    records = [json.loads(line) for line in (BUNDLED / f"{name}.jsonl").read_text("utf-8").splitlines()]
    assert len(records) == len({record["clean"] for record in records}) == 100
    for tokenizer in (storyteller.tokenizer, Tokenizer.load(gpt2_files)):
        for record in records:
            clean, corrupt = tokenizer.encode(record["clean"]), tokenizer.encode(record["corrupt"])
            assert len(clean) == len(corrupt)
            assert clean != corrupt
            for word in (record["target"], record["foil"]):
                assert len(tokenizer.encode(word)) == 1
                assert tokenizer.encode(record["clean"] + word) == clean + tokenizer.encode(word)
                assert tokenizer.encode(record["corrupt"] + word) == corrupt + tokenizer.encode(word)


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_fixed_preference_gains_nothing(name: str) -> None:
    """For any two words, whoever always prefers the same one is right in about half of the pairs that have both."""
    records = [json.loads(line) for line in (BUNDLED / f"{name}.jsonl").read_text("utf-8").splitlines()]
    words = Counter(record["target"] for record in records)
    words.subtract(record["foil"] for record in records)
    assert max(abs(n) for n in words.values()) <= 20, words
