"""The texts of the study evening: stories in which one sentence of two is said again, so that looking back pays soon.

    zcat tinystories/train.txt.gz | head -c 3200000 | python recipes/ablation/evening_data.py > repeats.txt

In: stories on standard input, each followed by a line `<|endoftext|>`. Out: the same on standard output, where behind
every two sentences of a paragraph one of the two stands once more. Which one follows from the sentences themselves.
"""

import hashlib
import re
import sys

END = "<|endoftext|>"


def with_repeats(paragraph: str) -> str:
    """Behind every two sentences one of them again; a last sentence without a second one stays alone."""
    sentences = re.split(r'(?<=[.!?"]) (?=[A-Z"])', paragraph)
    said = []
    for first in range(0, len(sentences), 2):
        two = sentences[first : first + 2]
        said += two
        if len(two) == 2:
            said.append(two[hashlib.sha256(" ".join(two).encode()).digest()[0] % 2])
    return " ".join(said)


def main() -> None:
    """Standard input to standard output, line by line: a paragraph is a line."""
    for line in sys.stdin:
        text = line.rstrip("\n")
        print(text if text == END else with_repeats(text))


if __name__ == "__main__":
    main()
