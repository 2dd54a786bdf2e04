"""Ours beside the reference, through the public interface only: ids, logits, gradients, ends, text, sampling, saving.

In: a case. Out: a `Result`: what came of it, why, and where ours differs.
"""

import re
import traceback
import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import gpt2
from gpt2.inference.defaults import sampling_for
from gpt2.inference.sampling import distribution
from tests.oracle import roundtrip
from tests.oracle.draws import Case
from tests.oracle.reference import NEW, PROMPT, Reference, load_reference
from tests.oracle.vocabularies import TEXTS

EXACT = 1e-9  # of the largest logit


@dataclass
class Result:
    """outcome: "equal", "refused", "both refuse", "only ours loads", "REFUSED UNNAMED", "DIFFERENT" or "TRACEBACK"."""

    outcome: str = "equal"
    sentence: str = ""
    theirs: str = ""
    generation: str = ""
    differences: list[str] = field(default_factory=list)


def judge(case: Case) -> Result:
    """Load the case in both ways and compare everything that can be compared."""
    result = Result()
    case.random.seed(f"judge {case.seed}:{case.number}")
    reference: Reference | None = None
    try:
        reference = load_reference(case)
    except Exception as error:
        result.theirs = f"{type(error).__name__}: {first_line(error)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours = gpt2.load(str(case.load_from), dtype=torch.float64)
    except ValueError as error:
        result.sentence = str(error)
        named = names_cause(case, result.sentence)
        result.outcome = ("refused" if reference else "both refuse") if named else "REFUSED UNNAMED"
        return result
    except Exception as error:
        return broke(result, "load", error)
    if reference is None:
        result.outcome = "only ours loads"
        return result
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compare(case, reference, ours, result)
    except Exception as error:
        return broke(result, "comparison", error)
    if result.differences and result.outcome == "equal":
        result.outcome = "DIFFERENT"
    return result


def broke(result: Result, where: str, error: Exception) -> Result:
    place = traceback.extract_tb(error.__traceback__)[-1]
    result.outcome = "TRACEBACK"
    result.sentence = f"{where}: {type(error).__name__}: {first_line(error)} ({place.name})"
    return result


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:160]


def names_cause(case: Case, sentence: str) -> bool:
    """A refusal must name a field that was drawn, what was made odd, or a tensor."""
    fields = [name.split(".", 1) for name in case.drawn]
    causes = [name.split(" ")[0] for file, name in fields if file not in ("weights", "tokenizer", "beside")]
    causes += [hint for hint in case.hints if hint]
    named = any(re.search(rf"(?<!\w){re.escape(cause)}(?!\w)", sentence) for cause in causes)
    return (
        named
        or re.search(r"\w+\.(weight|bias)\b|lora_\w+|base_model\.model\.|\bh\.\d+\.|\b(lm_head|wte)\b", sentence)
        is not None
    )


def compare(case: Case, reference: Reference, ours: Any, result: Result) -> None:
    compare_tokens(case, reference, ours.tokenizer, result)
    model = ours.model
    generator = torch.Generator().manual_seed(case.random.getrandbits(32))
    config = reference.plain.config
    ids = torch.randint(config.vocab_size, (2, config.n_positions), generator=generator)
    rows = model.config.vocab_size
    if rows != config.vocab_size and not set(range(rows, config.vocab_size)) <= set(reference.tokenless()):
        result.differences.append(f"vocab_size: ours {rows}, theirs {config.vocab_size}")
        return
    ids = ids % rows  # rows without a token may be left out
    with torch.no_grad():
        far = distance(model(ids), reference.logits(ids)[..., :rows])
    if not far <= (EXACT if reference.exact else 1e-4):
        result.differences.append(f"logits: off by {far:.1e} of the largest")
        return
    if case.adapter is None and case.chance(0.15):
        compare_gradients(reference, model, ids, result)
    prompt = prompt_of(case, reference)
    if prompt:
        compare_continuation(case, reference, ours, prompt, result)
    if case.chance(0.25) and not reference.silent:
        result.differences += roundtrip.differences(case, reference, ours, ids)


def distance(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, as a share of the largest logit; 0 where both are not finite alike."""
    if not torch.equal(ours.isfinite(), theirs.isfinite()):
        return float("inf")
    ours, theirs = ours.nan_to_num(), theirs.nan_to_num()
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-9))


def compare_tokens(case: Case, reference: Reference, tokenizer: Any, result: Result) -> None:
    theirs = reference.tokenizer
    for text in TEXTS:
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        ids = tokenizer.encode(text, allow_special=not theirs.split_special_tokens)
        if ids != expected:
            result.differences.append(f"ids of {text!r}: ours {ids[:9]}, theirs {expected[:9]}")
            break
    known = [i for i in range(reference.plain.config.vocab_size) if theirs.convert_ids_to_tokens(i) is not None]
    samples = [theirs(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    samples += [[case.pick(known) for _ in range(12)] for _ in range(3)]
    for ids in samples:
        try:
            text = tokenizer.decode(ids)
        except ValueError as error:
            text = f"({error})"
        if text != theirs.decode(ids):
            result.differences.append(f"decode {ids[:9]}: ours {text!r}, theirs {theirs.decode(ids)!r}"[:200])
            break


def compare_gradients(reference: Reference, model: Any, ids: Tensor, result: Result) -> None:
    theirs = dict(reference.model.named_parameters())
    reference.model.zero_grad()
    for logits in (model(ids), reference.logits(ids)[..., : model.config.vocab_size]):
        torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    for name, parameter in model.named_parameters():
        if name not in theirs or theirs[name].grad is None or parameter.grad is None:
            result.differences.append(f"gradient of {name}: only one side has it")
            return
        expected = theirs[name].grad[: len(parameter)] if "wte" in name or "lm_head" in name else theirs[name].grad
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):  # Conv1D's layout
            expected = expected.t()
        if not (far := distance(parameter.grad, expected)) <= 1e-7:
            result.differences.append(f"gradient of {name}: off by {far:.1e}")
            return


def prompt_of(case: Case, reference: Reference) -> list[int]:
    ids = reference.tokenizer(case.prompt, add_special_tokens=False)["input_ids"][:PROMPT]
    return [i for i in ids if i < reference.plain.config.vocab_size]


def compare_continuation(case: Case, reference: Reference, ours: Any, prompt: list[int], result: Result) -> None:
    """The greedy continuation, its text, its length by the file's own limits, and the first sampled distribution."""
    asked = reference.plain.generation_config
    expected = None
    result.generation = f"theirs fails: {reference.silent}"
    try:
        if not reference.silent:
            expected = reference.generate(prompt, do_sample=False, max_new_tokens=NEW)[0].tolist()[len(prompt) :]
    except Exception as error:
        result.generation = f"theirs fails: {type(error).__name__}: {first_line(error)}"
    try:
        sampling = sampling_for(ours.model, max_tokens=NEW, temperature=0)
        completion = gpt2.generate(ours.model, ours.tokenizer, [prompt], sampling)[0][0]
    except ValueError as error:
        sentence = str(error)
        drawn = [name.split(".", 1)[1].split(" (")[0] for name in case.drawn if name.startswith("generation")]
        named = any(name in sentence for name in [*case.generation, *drawn, "not finite"])
        result.generation = ("refused: " if named else "REFUSED UNNAMED: ") + sentence
        if not named:
            result.outcome, result.sentence = "REFUSED UNNAMED", sentence
        return
    if expected is None:
        result.generation = "only ours generates; " + result.generation
        return
    result.generation = "equal"
    if completion.ids != expected:
        result.differences.append(f"greedy: ours {completion.ids}, theirs {expected}")
        return
    ended = bool(expected) and expected[-1] in reference.ends()
    if ended != (completion.finish_reason == "eos"):
        result.differences.append(f"finish_reason {completion.finish_reason}, ends {reference.ends()}, ids {expected}")
    compare_text(reference, prompt, expected[:-1] if ended else expected, completion.text, result)
    if asked.max_new_tokens is not None or asked.max_length is not None:
        compare_length(reference, ours, prompt, result)
    if asked.do_sample is True:
        compare_distribution(reference, ours, prompt, result)


def compare_text(reference: Reference, prompt: list[int], ids: list[int], text: str, result: Result) -> None:
    if reference.plain.generation_config.stop_strings is not None:
        return  # ours leaves the stop string out
    before, whole = (reference.tokenizer.decode(i) for i in (prompt, prompt + ids))
    if whole.startswith(before) and whole[len(before) :] != text:
        result.differences.append(f"text after {before!r}: ours {text!r}, theirs {whole[len(before) :]!r}")


def compare_length(reference: Reference, ours: Any, prompt: list[int], result: Result) -> None:
    expected = reference.generate(prompt, do_sample=False)[0].tolist()[len(prompt) :]
    sampling = sampling_for(ours.model, temperature=0)
    ids = gpt2.generate(ours.model, ours.tokenizer, [prompt], sampling)[0][0].ids
    if ids != expected:
        result.differences.append(f"length by the file: ours {len(ids)}, theirs {len(expected)}")


def compare_distribution(reference: Reference, ours: Any, prompt: list[int], result: Result) -> None:
    try:
        given = reference.generate(prompt, max_new_tokens=1, output_scores=True, return_dict_in_generate=True)
    except Exception as error:
        result.generation += f"; theirs cannot sample: {first_line(error)}"
        return
    expected = given.scores[0][:1].double().softmax(dim=-1)
    with torch.no_grad():
        logits = ours.model(torch.tensor([prompt]))[:, -1]
    rows = [row for row in reference.tokenless() if row < logits.shape[-1]]
    logits = logits.index_fill(-1, torch.tensor(rows, dtype=torch.long), -torch.inf)
    expected = expected[:, : logits.shape[-1]]
    got = distribution(logits, [prompt], sampling_for(ours.model))
    far = float((got - expected).abs().max())
    if not far <= 1e-6:
        kept = int((got > 0).sum()), int((expected > 0).sum())
        result.differences.append(f"distribution: off by {far:.1e}; tokens kept: ours {kept[0]}, theirs {kept[1]}")
