"""Whether `gpt2 score` agrees with a computation of its own kind by transformers, and whether words sum to the text.

In: a checkpoint directory in Hugging Face's format, and a text. Out, on standard output: the greatest difference of a
token's surprisal, in bits, between the command and transformers' GPT2LMHeadModel, which reads the same windows by a
loop written here; and how far the words of each paragraph that fits into one window are from the sums that
docs/scores.md promises. Exit code 1 above 1e-9 bits in float64 or 1e-4 in float32.

example: python -m benchmarks.score_parity gpt2/assets/storyteller test.txt --bytes 60000
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import gpt2

LIMITS = {"float64": 1e-9, "float32": 1e-4}


def main() -> None:
    """Compare in both precisions, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--bytes", type=int, help="only about the first N bytes of the text, up to a line's end")
    parser.add_argument("--stride", type=int, help="tokens from a window to the next (default: half the context)")
    options = parser.parse_args()
    data = options.text.read_bytes()
    text = data[: data.rindex(b"\n", 0, options.bytes or None)].decode()
    good = True
    for dtype, limit in LIMITS.items():
        start = time.perf_counter()
        worst, mean, tokens = tokens_differ(options.directory, text, dtype, options.stride)
        seconds = time.perf_counter() - start
        print(f"{dtype}: {len(text.encode()):,} bytes, {tokens:,} tokens, greatest difference of a token {worst:.1e} "
              f"bits, mean {mean:.1e} ({seconds:.0f} s)", flush=True)  # fmt: skip
        texts, plain, corrected = words_sum(options.directory, text.split("\n"), dtype)
        print(f"{dtype}: {texts:,} paragraphs in one window: uncorrected words miss the sum by {plain:.1e} bits at "
              f"most, corrected ones by {corrected:.1e}", flush=True)  # fmt: skip
        good = good and worst <= limit
    sys.exit(not good)


def tokens_differ(directory: Path, text: str, dtype: str, stride: int | None) -> tuple[float, float, int]:
    """The greatest and the mean difference of a token's surprisal, and the number of tokens."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "text.txt"
        file.write_text(text, "utf-8", newline="")
        words = ["score", str(file), "--model", str(directory), "--dtype", dtype, "--json"]
        words += ["--stride", str(stride)] if stride else []
        out = subprocess.run([sys.executable, "-m", "gpt2", *words], check=True, capture_output=True, text=True).stdout
    (found,) = json.loads(out)["texts"]
    own = [token["surprisal"] for token in found["tokens"]]
    theirs = independent(directory, [token["token_id"] for token in found["tokens"]], getattr(torch, dtype), stride)
    differences = [abs(a - b) for a, b in zip(own, theirs, strict=True)]
    return max(differences), math.fsum(differences) / len(differences), len(own)


@torch.no_grad()
def independent(directory: Path, tokens: list[int], dtype: torch.dtype, stride: int | None) -> list[float]:
    """Each token's surprisal in bits by transformers, <|endoftext|> before the text, in windows one after the other."""
    from transformers import AutoTokenizer, GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(directory, dtype=dtype).eval()
    ids = [AutoTokenizer.from_pretrained(directory).eos_token_id, *tokens]
    context = model.config.n_positions
    found: list[float] = []
    start = 0
    while len(found) < len(tokens):
        window = ids[start : start + context]
        log_p = model(torch.tensor([window])).logits[0].log_softmax(-1)
        stop = min(start + context, len(tokens))
        for place in range(len(found) + 1, stop + 1):
            found.append(-log_p[place - 1 - start, ids[place]].item() / math.log(2))
        start += stride or context // 2
    return found


def _number(score: float | None) -> float:
    assert score is not None  # texts are scored from their first token on
    return score


def words_sum(directory: Path, texts: list[str], dtype: str) -> tuple[int, float, float]:
    """How far words are from the sums: (paragraphs, uncorrected, corrected), in bits."""
    checkpoint = gpt2.load(str(directory), getattr(torch, dtype))
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    fitting = [t for t in texts if t.strip() and len(tokenizer.encode(t)) < model.config.n_positions]
    plain = corrected = 0.0
    for one in gpt2.score(model, tokenizer, [text.rstrip() for text in fitting], words=True):
        words = one.words or ()
        boundaries = _number(words[-1].after) - _number(words[0].before)
        plain = max(plain, abs(math.fsum(_number(w.uncorrected) for w in words) - one.surprisal))
        wanted = one.surprisal + boundaries
        corrected = max(corrected, abs(math.fsum(_number(w.corrected) for w in words) - wanted))
    return len(fitting), plain, corrected


if __name__ == "__main__":
    main()
