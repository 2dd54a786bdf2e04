"""What OpenAI's vocabulary says of the words of the original guide: `python -m scripts.guides.openai DIRECTORY`.

In: a directory with OpenAI's vocab.json and merges.txt (`gpt2 fetch gpt2` fetches one). Out: docs/guide/openai.json:
the few entries that the ledger is about and the hashes of the files they were read from, since the files do not come
with this repository.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from gpt2.text.tokenizer import Tokenizer
from scripts.guides.subject import EXAMPLE, ROOT

PATH = ROOT / "docs" / "guide" / "openai.json"
WORDS = (" the", " a", "cat", " cat", " mat", " rug", " floor", " carpet", "The", "the")
IDS = (0, 1, 2343, 2344, 2345, 3797, 50256)


def read(directory: Path) -> dict[str, Any]:
    """The record. Raises OSError where a file is missing."""
    tokenizer = Tokenizer.load(directory)
    names = {i: token for token, i in json.loads((directory / "vocab.json").read_text("utf-8")).items()}
    names |= {50256: names.get(50256, "<|endoftext|>")}
    return {
        "sha256": {n: hashlib.sha256((directory / n).read_bytes()).hexdigest() for n in ("vocab.json", "merges.txt")},
        "words": {word: tokenizer.encode(word) for word in WORDS},
        "ids": {str(i): names[i] for i in IDS},
        "example": tokenizer.encode(EXAMPLE),
    }


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(prog="python -m scripts.guides.openai", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    record = read(parser.parse_args().directory)
    PATH.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
