"""Surprisals of words beside those of minicons (with its correction) and of surprisal (without), on one checkpoint.

In: a checkpoint directory in Hugging Face's format, and perhaps a .jsonl file of texts, such as LAMBADA's; `minicons`
and `surprisal` in this environment (benchmarks/README.md). Out, on standard output: for each kind of sentence how many
words differ, by how much, and what is left of the difference once the peer's own rule is applied to our model.

The rules in which the peers differ (docs/scores.md):
    minicons   a word ends before a token that begins with a space, not with a new line or a tab, and not at
               <|endoftext|>; the first word of a text has no boundary before it; the end of the text ends a word
    surprisal  <|endoftext|>, the padding of its batches, is taken out of every distribution

example: python -m benchmarks.word_peers gpt2/assets/storyteller --texts lambada_test.jsonl --limit 160
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import gpt2
from gpt2.checkpoint.files import Checkpoint
from gpt2.evaluation.items import records
from gpt2.evaluation.token_scores import TextScore

KINDS = {
    "plain": [
        "The little dog was very happy.", "A boy and his sister walked to the river", "She said that it was late.",
        "The horse raced past the barn fell.", "While the man hunted the deer ran into the woods.",
    ],
    "punctuation": [
        '"Stop!" he cried, "or I will call (loudly) for help..."', "Well-known, half-hearted; re-read: done!",
        "It's John's, isn't it?", "Prices rose 3.5% to $1,200.50 (see p. 12).", "...and then", "-- so what --",
    ],
    "capitals and numbers": ["NASA and the USA met in 1969.", "Room 101 is on floor 3B.", "I, too, am Ozymandias"],
    "other letters": ["Café Zoë naïve façade", "Ω and ß are letters", "日本 is Japan", "A 🙂 smile", "Привет, мир"],
    "one word": ["Hello", "Antidisestablishmentarianism", "a", "?"],
    "two spaces": ["The  dog  sat.", "One   two"],
    "space first": [" The dog sat.", "  Two before."],
    "space last": ["The dog sat. ", "The end  "],
    "new lines": ["The dog sat.\nThe cat ran.", "One\n\nTwo words", "a\r\nb c"],
    "tabs": ["name\tvalue one", "The\tdog sat"],
}  # fmt: skip


@dataclass
class Row:
    """The differences of one kind of sentence, in bits: of words, and of what the peer's rule leaves unexplained."""

    words: int = 0
    differing: int = 0
    greatest: float = 0.0
    unexplained: float = 0.0

    def add(self, ours: float, theirs: float, explained: float) -> None:
        """One word: our figure, the peer's, and ours by the peer's rule."""
        difference = abs(ours - theirs)
        self.words += 1
        self.differing += difference > 1e-3
        self.greatest = max(self.greatest, difference)
        self.unexplained = max(self.unexplained, abs(explained - theirs))


def main() -> None:
    """Compare, and print a line for each kind and peer. Exit code 1 where a difference is left unexplained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--texts", type=Path, help="a .jsonl file with a field text: its first sentences are compared")
    parser.add_argument("--limit", type=int, default=160)
    options = parser.parse_args()
    kinds = dict(KINDS)
    if options.texts:
        rows = [row for _, row in records(options.texts, '{"text": "..."}')][: options.limit]
        kinds["of the file"] = [row["text"].split(". ")[0] for row in rows]
    checkpoint = gpt2.load(str(options.directory))
    peers: dict[str, Minicons | Surprisal] = {
        "minicons": Minicons(options.directory, checkpoint),
        "surprisal": Surprisal(options.directory, checkpoint),
    }
    print(f"{'kind':22}{'sentences':>10}{'peer':>11}{'words':>7}{'differ':>8}{'greatest':>10}{'unexplained':>13}")
    worst = 0.0
    for kind, texts in kinds.items():
        found = gpt2.score(checkpoint.model, checkpoint.tokenizer, texts, words=True)
        for name, peer in peers.items():
            row = Row()
            for one in found:
                for figures in peer.words(one):
                    row.add(*figures)
            worst = max(worst, row.unexplained)
            print(f"{kind:22}{len(texts):10}{name:>11}{row.words:7}{row.differing:8}{row.greatest:10.4f}"
                  f"{row.unexplained:13.1e}", flush=True)  # fmt: skip
    sys.exit(worst > 1e-3)


@torch.no_grad()
def distributions(checkpoint: Checkpoint, ids: Sequence[int]) -> Tensor:
    """log p of every token after each of <|endoftext|> and the ids: [T + 1, V]."""
    logits: Tensor = checkpoint.model(torch.tensor([[checkpoint.tokenizer.bos_id, *ids]]))[0]
    return logits.log_softmax(-1)


class Minicons:
    """Its scores of tokens with `bow_correction`, summed over our words."""

    def __init__(self, directory: Path, checkpoint: Checkpoint) -> None:
        from minicons.scorer import IncrementalLMScorer
        from transformers import AutoTokenizer, GPT2LMHeadModel

        self.checkpoint = checkpoint
        # by itself it would compute in the type in which the weights are stored
        model = GPT2LMHeadModel.from_pretrained(directory, dtype=torch.float32).eval()
        self.scorer = IncrementalLMScorer(model, "cpu", tokenizer=AutoTokenizer.from_pretrained(directory))
        size = checkpoint.model.config.vocab_size
        ends = checkpoint.tokenizer.bos_id
        self.spaced = torch.tensor([
            i != ends and checkpoint.tokenizer.token_bytes(i).startswith(b" ") for i in range(size)
        ])  # fmt: skip

    def words(self, found: TextScore) -> Iterator[tuple[float, float, float]]:
        """For each word: ours, theirs, ours by their rule."""
        ids = [t.id for t in found.tokens]
        scores = self.scorer.token_score(found.text, bos_token=True, surprisal=True, base_two=True, bow_correction=True)
        theirs = [score for _, score in scores[0][1:]]
        assert len(theirs) == len(ids), (found.text, scores)
        boundary = -distributions(self.checkpoint, ids)[:, self.spaced].logsumexp(-1) / math.log(2)
        starts = [place for place, i in enumerate(ids) if self.spaced[i] and place] + [len(ids)]
        for word in found.words or ():
            first, stop = word.first, word.stop
            after = sum(float(boundary[place]) for place in starts if first < place <= stop)
            before = sum(float(boundary[place]) for place in starts[:-1] if first <= place < stop)
            assert word.corrected is not None  # texts are scored from their first token
            assert word.uncorrected is not None
            yield word.corrected, sum(theirs[first:stop]), word.uncorrected + after - before


class Surprisal:
    """Its surprisals of tokens, summed over our words."""

    def __init__(self, directory: Path, checkpoint: Checkpoint) -> None:
        from surprisal import AutoHuggingFaceModel

        self.checkpoint = checkpoint
        self.model = AutoHuggingFaceModel.from_pretrained(str(directory), model_class="gpt")

    def words(self, found: TextScore) -> Iterator[tuple[float, float, float]]:
        """For each word: ours, theirs, ours by their rule."""
        ids = [t.id for t in found.tokens]
        (one,) = self.model.surprise([found.text], use_bos_token=True)
        theirs = [float(x) / math.log(2) for x in one.surprisals]
        assert len(theirs) == len(ids), (found.text, theirs)
        end = distributions(self.checkpoint, ids)[:, self.checkpoint.tokenizer.eot_id]
        left = torch.log1p(-end.double().exp()) / math.log(2)
        for word in found.words or ():
            first, stop = word.first, word.stop
            assert word.uncorrected is not None
            yield word.uncorrected, sum(theirs[first:stop]), word.uncorrected + float(left[first:stop].sum())


if __name__ == "__main__":
    main()
