"""Whether the engine's texts are those that `gpt2.generate` gives for each prompt alone, in float32.

In: the bundled model, prompts from its stories, settings and seeds drawn at random. Out, on standard output: how many
requests of so many are identical, token for token; and for each other one the first difference, with how near the two
tokens were. Exit code 1 where fewer than 998 of 1,000 are identical, or where a difference is no near tie.

    python -m benchmarks.engine_equality [--requests 1000] [--rows 32] [--model DIR]

The two tokens that differ are scored by the same model in float64, over the whole window at once and without a cache.
What is printed is the gap between their scores, noise included; or, where top-p decided, how far the probability up to
the less likely one is from p. A near tie is at most 1e-3.
"""

import argparse
import copy
import random
import sys
import time
import warnings
from importlib.resources import files

import torch

import gpt2
from gpt2.base.notes import Note
from gpt2.inference.engine import Engine, Limits, Request
from gpt2.inference.noise import gumbel, row_keys
from gpt2.inference.sampling import ruled

NEAR = 1e-3
ENOUGH = 0.998
Asked = tuple[list[int], gpt2.Sampling]


def main() -> None:
    """Run the requests twice, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=32, help="texts that the engine continues at the same time")
    parser.add_argument("--model", default="storyteller")
    options = parser.parse_args()
    warnings.simplefilter("ignore", Note)  # of texts that go on past the context
    checkpoint = gpt2.load(options.model, dtype="float32")
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    asked = requests(tokenizer, options.requests, model.config.n_positions)
    start = time.perf_counter()
    together = by_engine(model, tokenizer, asked, options.rows)
    between = time.perf_counter()
    alone = [[one.ids for one in gpt2.generate(model, tokenizer, [ids], how)[0]] for ids, how in asked]
    end = time.perf_counter()
    exact = copy.deepcopy(model).double()
    same, good = 0, True
    for number, (request, mine, theirs) in enumerate(zip(asked, together, alone, strict=True)):
        same += mine == theirs
        for sample, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            if one != other:
                said, near = difference(exact, *request, sample, one, other)
                good = good and near
                print(f"request {number}, sample {sample}: {said}", flush=True)
    tokens = sum(len(ids) for one in together for ids in one)
    print(f"{same} of {len(asked)} requests are identical; {tokens:,} tokens, {between - start:.0f} s by the engine, "
          f"{end - between:.0f} s alone")  # fmt: skip
    sys.exit(not good or same < ENOUGH * len(asked))


def requests(tokenizer: gpt2.Tokenizer, count: int, context: int) -> list[Asked]:
    """Prompts of 1 to 200 tokens from the stories; some begin alike, some texts go on past the context."""
    ids = tokenizer.encode((files("gpt2") / "assets/stories.txt").read_text("utf-8"))
    source, asked = random.Random(0), []
    for number in range(count):
        place = source.randrange(len(ids) - 200) if number % 4 else 0
        sampling = gpt2.Sampling(
            max_tokens=context if number % 50 == 49 else source.randrange(1, 60),
            temperature=source.choice([0, 0.8, 1.0]), top_p=source.choice([1.0, 0.95]),
            top_k=source.choice([None, None, 40]), repetition_penalty=source.choice([1.0, 1.0, 1.2]),
            frequency_penalty=source.choice([0, 0, 0.5]), seed=number, n=source.choice([1, 1, 1, 2]),
        )  # fmt: skip
        asked.append((ids[place : place + source.randrange(1, 201)], sampling))
    return asked


def by_engine(model: gpt2.GPT2, tokenizer: gpt2.Tokenizer, asked: list[Asked], rows: int) -> list[list[list[int]]]:
    """The ids of each sample of each request, all requests submitted at once."""
    engine = Engine(model, tokenizer, Limits(rows=rows, waiting=len(asked)))
    engine.start()
    try:
        tickets = [engine.submit(Request(ids, how)) for ids, how in asked]
        found = []
        for (_, how), ticket in zip(asked, tickets, strict=True):
            done = {piece.sample: piece.completion.ids for piece in ticket if piece.completion is not None}
            found.append([done[sample] for sample in range(how.n)])
        return found
    finally:
        engine.stop()


@torch.no_grad()
def difference(
    exact: gpt2.GPT2, prompt: list[int], how: gpt2.Sampling, sample: int, one: list[int], other: list[int]
) -> tuple[str, bool]:
    """The first tokens that differ, how near they were, and whether that was a near tie."""
    n = next(i for i, (left, right) in enumerate(zip(one, other)) if left != right)
    text, context = [*prompt, *one[:n]], exact.config.n_positions
    start = 0
    for length in range(len(prompt), len(text) + 1):  # each time that the context was full, its last half went on
        start = start if length - start <= context else length - max(1, context // 2)
    logits = exact(torch.tensor([text[start:]]))[:, -1]
    pair = torch.tensor([one[n], other[n]])
    uncut = gpt2.Sampling(**{**vars(how), "top_p": 1.0, "top_k": None})
    scores = ruled(logits, [text], uncut, starts=[len(prompt)])[0]
    race = scores[pair]
    if how.temperature > 0:
        key = row_keys(how.seed, torch.tensor([sample]), torch.tensor([len(text)]))
        race = race + gumbel(key, pair)
    gap = float((race[0] - race[1]).abs())
    shares = scores.softmax(-1)
    edge = float((shares[scores > scores[pair].min()].sum() - how.top_p).abs()) if how.top_p < 1 else float("inf")
    said = f"token {n + 1} is {one[n]} or {other[n]}, gap {gap:.1e}"
    return said + (f", from the edge of top-p {edge:.1e}" if how.top_p < 1 else ""), min(gap, edge) <= NEAR


if __name__ == "__main__":
    main()
