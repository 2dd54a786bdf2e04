"""What `gpt2.save` writes, read again by transformers: the same model and the same fields."""

from typing import Any

import torch
import transformers
from torch import Tensor

import gpt2
from tests.oracle.draws import Case
from tests.oracle.reference import Reference
from tests.oracle.vocabularies import TEXTS

NOT_KEPT = {"transformers_version", "_from_model_config", "dtype", "architectures", "_name_or_path", "auto_map"}
TOKENIZER = "model_max_length padding_side truncation_side chat_template clean_up_tokenization_spaces eos_token"
TOKENIZER += " bos_token pad_token unk_token special_tokens_map all_special_tokens"


def differences(case: Case, reference: Reference, ours: Any, ids: Tensor) -> list[str]:
    """A sentence for each field that did not come back."""
    out = case.directory / "saved"
    gpt2.save(ours.model, ours.tokenizer, out)
    model, told = transformers.AutoModelForCausalLM.from_pretrained(
        out,
        dtype=torch.float64,
        attn_implementation=reference.plain.config._attn_implementation,
        output_loading_info=True,
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    found = [f"saved: lacks {name}" for name in sorted(told["missing_keys"])[:1]]
    config, saved = dict(reference.config), model.config.to_dict()
    if "tie_word_embeddings" in config and ours.model.lm_head.weight is not ours.model.transformer.wte.weight:
        config["tie_word_embeddings"] = False  # the files, or an adapter on one side, hold two tables
    model.config.return_dict = True  # its own passes need it
    with torch.no_grad():
        got, expected = model.eval()(input_ids=ids, return_dict=True).logits, reference.logits(ids)
    expected = expected[..., : got.shape[-1]]
    if not float((got - expected).abs().max() / expected.abs().max()) <= 1e-5 and expected.isfinite().all():
        found.append("saved: other logits")
    if model.config.vocab_size == ours.model.config.vocab_size:  # rows without a token may be left out
        config["vocab_size"] = model.config.vocab_size
    found += unequal("config", config, saved)
    found += unequal(
        "generation_config", reference.plain.generation_config.to_dict(), model.generation_config.to_dict()
    )
    for name in TOKENIZER.split():
        before, after = getattr(reference.tokenizer, name), getattr(tokenizer, name)
        if name == "model_max_length" and before > 10**20:
            continue  # none was given: a saved one may say the context
        if before != after:
            found.append(f"saved: tokenizer {name}: was {before!r}, is {after!r}")
    for text in TEXTS:
        before, after = (t(text, add_special_tokens=False)["input_ids"] for t in (reference.tokenizer, tokenizer))
        if before != after or reference.tokenizer.decode(before) != tokenizer.decode(after):
            found.append(f"saved: tokenizer reads {text!r} otherwise")
            break
    return found


def unequal(what: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    names = sorted((set(before) | set(after)) - NOT_KEPT)
    pairs = [(name, before.get(name), after.get(name)) for name in names]
    return [f"saved: {what} {name}: was {was!r}, is {now!r}"[:200] for name, was, now in pairs if was != now]
