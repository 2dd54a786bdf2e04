"""A tokenizer.json is opened in a process of its own first, where it may take much memory or long.

In: the content of a tokenizer.json. Out: nothing, or a refusal that names the limit. A library written in Rust ends the
process when memory runs out, and nothing in Python can prevent that: so what is not of a plain shape is tried in a
child with limits. `gpt2/text/assembled.py` asks before it opens one.
"""

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from gpt2.base.foreign import shortened

MEMORY = 2 * 2**30
"""Bytes of addresses that opening a tokenizer may take. The largest vocabularies in use take a quarter of it."""
SECONDS = 30
"""Of processor time; of the clock four times as many, for a machine that is busy."""
GROWTH = 1000
"""How many times longer the replacements of a normaliser or decoder may make a text."""

_PLAIN_MODEL = frozenset(
    "type vocab merges unk_token unk_id dropout continuing_subword_prefix end_of_word_suffix fuse_unk byte_fallback "
    "ignore_merges max_input_chars_per_word".split()
)
_PLAIN_PARTS = frozenset(
    "ByteLevel Metaspace BertNormalizer BertPreTokenizer WordPiece BPEDecoder ByteFallback Fuse Whitespace "
    "WhitespaceSplit Punctuation Digits NFC NFD NFKC NFKD Lowercase StripAccents Sequence TemplateProcessing "
    "RobertaProcessing BertProcessing Prepend Strip".split()
)
_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_LISTS = ("normalizers", "pretokenizers", "processors", "decoders")
# Every character of ASCII, since a rule may wait for any of them.
_PROBE = "".join(map(chr, range(32, 127))) + " a aa  é中\n\t"
_CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]),) * 2)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
try:
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_str(sys.stdin.buffer.read().decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for text in ("a", sys.argv[3]):
        tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False)
except MemoryError:
    sys.exit(9)
except BaseException:
    sys.exit(0)  # the process that asked hears the same, and says it
"""
_tried: set[str] = set()


def try_out(content: Mapping[str, Any]) -> None:
    """Raise ValueError for a tokenizer.json that does not open within `MEMORY` and `SECONDS`, or lets a text explode.

    One of a plain shape, whose parts hold no patterns, is not tried; nor is any where the system has no limits for a
    process (Windows).
    """
    for part in _PARTS:
        factor = _growth(content.get(part))
        if factor > GROWTH:
            raise ValueError(
                f"its {part} makes a text up to {shortened(factor, 20)} times as long, and {GROWTH:,} times is the most"
            )
    if os.name != "posix" or _is_plain(content):
        return
    text = json.dumps(content)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest in _tried:
        return
    if not _opens(text):
        raise ValueError(
            f"it brings the library `tokenizers` to an end, or needs more than {MEMORY // 2**30} GiB of memory or "
            f"{SECONDS} seconds to open, which are the most here"
        )
    _tried.add(digest)


def _opens(text: str) -> bool:
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    words = [sys.executable, "-P", "-c", _CHILD, str(MEMORY), str(SECONDS), _PROBE]
    try:
        done = subprocess.run(
            words, input=text.encode(), env=environment, timeout=4 * SECONDS,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _is_plain(content: Mapping[str, Any]) -> bool:
    """Whether the model has the usual fields alone, and no part has a pattern or a table of its own."""
    model = content.get("model")
    if not isinstance(model, dict) or not model.keys() <= _PLAIN_MODEL:
        return False
    return all(_is_plain_part(one) for part in _PARTS for one in _inside(content.get(part)))


def _is_plain_part(part: Mapping[str, Any]) -> bool:
    pattern = part.get("pattern")
    if part.get("type") == "Replace":  # of a text, not of a regular expression
        return isinstance(pattern, dict) and list(pattern) == ["String"]
    return part.get("type") in _PLAIN_PARTS


def _inside(part: Any) -> Iterator[dict[str, Any]]:
    """A part and those in it, at every depth; what is no part counts as one without a type."""
    if part is None:
        return
    if not isinstance(part, dict):
        yield {}
        return
    yield part
    for name in _LISTS:
        for inner in part.get(name) or [] if isinstance(part.get(name), list) else ():
            yield from _inside(inner)


def _growth(part: Any) -> float:
    """The most by which replacements that follow one another make a text longer."""
    factor = 1.0
    for one in _inside(part):
        content, pattern = one.get("content"), one.get("pattern")
        if one.get("type") != "Replace" or not isinstance(content, str):
            continue
        spelled = pattern.get("String") if isinstance(pattern, dict) else None
        length = len(spelled) if isinstance(spelled, str) else 1
        factor = min(factor * max(1.0, (len(content) + (length == 0)) / max(length, 1)), 1e300)
    return factor if math.isfinite(factor) else 1e300
