"""What is measured (cases), who takes part (contestants), and the sizes that a slow one may fall back to.

In: the names on the command line. Out: `Case`s and `Contestant`s, read by run.py and, in each process, by worker.py.
Nothing here imports more than the standard library.
"""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal["decode", "prefill", "train"]
SEED = 0  # of the weights and of every prompt and training row


@dataclass(frozen=True)
class Size:
    """One call: `batch` rows of `length` tokens (the prompt, or a training row), then `new` tokens each."""

    batch: int
    length: int
    new: int = 0

    @property
    def tokens(self) -> int:
        """What the rate counts: generated tokens; for a prefill its prompt; for training its positions."""
        return self.batch * (self.new if self.new > 1 else self.length)


@dataclass(frozen=True)
class Case:
    """One question, at sizes that grow about fourfold: the last is the one asked for.

    A worker climbs them as its warm-up, and stays on an earlier one where the next would take too long.
    """

    name: str
    kind: Kind
    title: str
    sizes: tuple[Size, ...]

    @property
    def size(self) -> Size:
        """The size asked for."""
        return self.sizes[-1]


CASES = (
    Case(
        "decode-b1", "decode", "Decoding, batch 1: prompt of 16, 64 new tokens",
        (Size(1, 16, 4), Size(1, 16, 16), Size(1, 16, 64)),
    ),
    Case(
        "decode-b8", "decode", "Decoding, batch 8: prompts of 16, 64 new tokens each",
        (Size(8, 16, 4), Size(8, 16, 16), Size(8, 16, 64)),
    ),
    Case(
        "prefill-512", "prefill", "Prefill of 512, batch 1: from the prompt to its first new token",
        (Size(1, 32, 1), Size(1, 128, 1), Size(1, 512, 1)),
    ),
    Case(
        "train-4x256", "train", "Training step, B=4, T=256: forward, backward, AdamW; dropout 0",
        (Size(1, 16), Size(1, 64), Size(1, 256), Size(4, 256)),
    ),
)  # fmt: skip

QUICK_CASES = (
    Case("decode-b1", "decode", "Decoding, batch 1", (Size(1, 4, 2), Size(1, 4, 6))),
    Case("decode-b2", "decode", "Decoding, batch 2", (Size(2, 4, 2), Size(2, 4, 6))),
    Case("prefill-16", "prefill", "Prefill of 16, batch 1", (Size(1, 4, 1), Size(1, 16, 1))),
    Case("train-2x8", "train", "Training step, B=2, T=8", (Size(1, 8), Size(2, 8))),
)

SMALL_CASES = (
    Case(
        "train-16x256", "train", "Training step of a 10M model, B=16, T=256: forward, backward, AdamW; dropout 0",
        (Size(1, 64), Size(4, 64), Size(4, 256), Size(16, 256)),
    ),
)  # fmt: skip

MODEL = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
QUICK_MODEL = {"vocab_size": 512, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
SMALL_MODEL = {"vocab_size": 65, "n_positions": 256, "n_embd": 384, "n_layer": 6, "n_head": 6}
SHAPES = {"124m": (MODEL, CASES), "10m": (SMALL_MODEL, SMALL_CASES), "quick": (QUICK_MODEL, QUICK_CASES)}


@dataclass(frozen=True)
class Contestant:
    """One software in one precision.

    software   what --peers calls it
    engine     its module in benchmarks/engines
    compiled   training through torch.compile
    how        what is called, for the report
    """

    name: str
    software: str
    engine: str
    precision: Literal["fp32", "bf16", "int8"]
    kinds: tuple[Kind, ...]
    how: str
    compiled: bool = False

    @property
    def label(self) -> str:
        """For a column or a line: the software, its precision, and whether it is compiled."""
        return f"{self.software} {self.precision}" + (" compiled" if self.compiled else "")


GENERATION: tuple[Kind, ...] = ("decode", "prefill")
OURS = "gpt2.inference.generate, eager; training as `gpt2 train` (fused AdamW, fp32 weights, bf16 by autocast)"
HF = "model.generate, eager, attn_implementation='sdpa', its default (dynamic) cache; training with fused AdamW"
CT2 = "Generator.generate_batch, converted by its TransformersConverter"
LLAMA = "Llama.generate, GGUF; int8 is Q8_0"
NANO = "model and optimiser of the checkout, its settings for a CPU"
NANO_BF16 = NANO + ", with bf16 autocast added"

CONTESTANTS = (
    Contestant("ours-fp32", "ours", "ours", "fp32", (*GENERATION, "train"), OURS),
    Contestant("transformers-fp32", "transformers", "hf", "fp32", (*GENERATION, "train"), HF),
    Contestant("ours-bf16", "ours", "ours", "bf16", (*GENERATION, "train"), OURS),
    Contestant("transformers-bf16", "transformers", "hf", "bf16", GENERATION, HF),
    Contestant("ours-fp32-compiled", "ours", "ours", "fp32", ("train",), OURS, compiled=True),
    Contestant("nanogpt-fp32", "nanogpt", "nano", "fp32", ("train",), NANO),
    Contestant("nanogpt-bf16", "nanogpt", "nano", "bf16", ("train",), NANO_BF16),
    Contestant("nanogpt-bf16-compiled", "nanogpt", "nano", "bf16", ("train",), NANO_BF16, compiled=True),
    Contestant("ours-bf16-compiled", "ours", "ours", "bf16", ("train",), OURS, compiled=True),
    Contestant("ctranslate2-fp32", "ctranslate2", "ct2", "fp32", GENERATION, CT2),
    Contestant("ctranslate2-int8", "ctranslate2", "ct2", "int8", GENERATION, CT2),
    Contestant("llama-cpp-fp32", "llama-cpp", "llama", "fp32", GENERATION, LLAMA),
    Contestant("llama-cpp-int8", "llama-cpp", "llama", "int8", GENERATION, LLAMA),
)
BY_NAME = {contestant.name: contestant for contestant in CONTESTANTS}
PEERS = tuple(dict.fromkeys(c.software for c in CONTESTANTS if c.software != "ours"))
KINDS: tuple[Kind, ...] = ("decode", "prefill", "train")
PRECISIONS = ("fp32", "bf16", "int8")


def rows(size: Size, vocab_size: int, extra: int = 0) -> list[list[int]]:
    """The same `batch` rows of `length` + `extra` random ids for everybody; the last id, EOS, is left out."""
    draw = random.Random(SEED)
    return [[draw.randrange(vocab_size - 1) for _ in range(size.length + extra)] for _ in range(size.batch)]
