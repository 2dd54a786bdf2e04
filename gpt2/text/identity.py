"""What makes two tokenizers the same one: a hash of all that decides the ids, whatever files it is written in.

In: the content of a tokenizer.json, its tokens and its end of a text. Out: a SHA-256, which a checkpoint and prepared
data keep, so that ids of one tokenizer are never read as those of another. `Tokenizer.hash` gives it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from gpt2.text.byte_level import EOT, merges_of

PLAIN = {"special": True, "lstrip": False, "rstrip": False, "single_word": False}
"""How an added token of GPT-2 is read: these say nothing."""


def identity(
    content: Mapping[str, Any], ids: Mapping[str, int], special: Iterable[str], eot_id: int | None, *, like_gpt2: bool
) -> str:
    """SHA-256, in hexadecimal, of vocabulary, merges, special tokens and the end of a text.

    content    as of a tokenizer.json
    ids        token -> id, added tokens included
    special    the special tokens
    eot_id     the token that ends a text, None for none
    like_gpt2  the other rules (normaliser, split, decoder) are those of GPT-2; else they count too
    """
    model = content["model"]
    decisive: dict[str, Any] = {
        "vocabulary": sorted(ids.items(), key=lambda entry: (entry[1], entry[0])),
        "merges": merges_of(model) if "merges" in model else [],
        "special": sorted(special),
    }
    if eot_id != ids.get(EOT):
        decisive["end"] = eot_id
    if flagged := [
        {key: token.get(key) for key in ("content", *PLAIN)}
        for token in content.get("added_tokens") or []
        if any(bool(token.get(key)) != value for key, value in PLAIN.items())
    ]:
        decisive["added"] = flagged
    if not like_gpt2:
        decisive["rules"] = {key: content.get(key) for key in ("normalizer", "pre_tokenizer", "decoder")}
        decisive["model"] = {key: model[key] for key in sorted(model) if key not in ("vocab", "merges")}
    text = json.dumps(decisive, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
