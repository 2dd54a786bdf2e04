"""How likely a model finds the continuations of a context: what tasks such as LAMBADA and HellaSwag are made of.

In: contexts, each with its continuations, as token ids. Out: for each continuation the log probability of each of
its tokens, and whether the token was the model's first choice. A context that several continuations share is
computed once. Read next: lambada.py, hellaswag.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gpt2.base.onednn import linear_by_onednn
from gpt2.cache import KVCache
from gpt2.loss import SLICE_ELEMENTS
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

Progress = Callable[[int, int], None]
"""Is told the tokens computed so far and all that there are to compute."""


class Question(NamedTuple):
    """A context and the continuations that are to be judged, as ids; neither is empty."""

    context: list[int]
    continuations: list[list[int]]


@dataclass(frozen=True)
class Answer:
    """A continuation's tokens: natural log probability of each, and whether each was the likeliest (greedy)."""

    log_probs: list[float]
    greedy: list[bool]

    @property
    def total(self) -> float:
        """Log probability of the whole continuation."""
        return sum(self.log_probs)


def split(
    tokenizer: Tokenizer, context: str, continuation: str, allow_special: bool = False
) -> tuple[list[int], list[int]]:
    """The ids of a context and of its continuation, encoded together and cut where the context's own ids end.

    White space at the end of the context goes over to the continuation, since tokens begin with their space. An
    empty context is the token that opens a text. So does the Language Model Evaluation Harness (`_encode_pair`).
    With `allow_special` text spells special tokens, and a continuation of an empty context may bring the one that
    opens a text.
    """
    stripped = context.rstrip()
    continuation = context[len(stripped) :] + continuation
    if not stripped:
        assert tokenizer.bos_id is not None
        ids = tokenizer.encode(continuation, allow_special)
        return [tokenizer.bos_id], ids[1:] if allow_special and ids[:1] == [tokenizer.bos_id] else ids
    ids = tokenizer.encode(stripped, allow_special)
    return ids, tokenizer.encode(stripped + continuation, allow_special)[len(ids) :]


@torch.inference_mode()
def answer(
    model: GPT2,
    questions: Sequence[Question],
    batch_tokens: int = 4096,
    progress: Progress = lambda done, total: None,
) -> list[list[Answer]]:
    """The answers to each question, in the order of its continuations.

    Of a text longer than the model's context the beginning is left out. Raises ValueError for a continuation that
    is itself longer.
    """
    pieces = [piece for number, question in enumerate(questions) for piece in _fit(number, question, model)]
    pieces.sort(key=lambda piece: -piece.length)  # similar lengths together: little is padding
    found: list[dict[int, Answer]] = [{} for _ in questions]
    done, total = 0, sum(piece.work for piece in pieces)
    for batch in _batches(pieces, batch_tokens, model.config.n_positions):
        with linear_by_onednn(next(model.parameters())):
            answered = _batch(model, batch)
        for piece, answers in zip(batch, answered, strict=True):
            found[piece.number].update(zip(piece.places, answers, strict=True))
        done += sum(piece.work for piece in batch)
        progress(done, total)
    return [[answers[place] for place in range(len(answers))] for answers in found]


class _Piece(NamedTuple):
    """A question, or one of its continuations where each needs a cut of the context of its own."""

    number: int
    places: range
    context: list[int]
    continuations: list[list[int]]

    @property
    def length(self) -> int:
        return len(self.context) + max(map(len, self.continuations))

    @property
    def work(self) -> int:
        return len(self.context) + sum(map(len, self.continuations))


def _fit(number: int, question: Question, model: GPT2) -> Iterator[_Piece]:
    """The question whole where it fits into the context: its last token is never read, only predicted."""
    limit, (context, continuations) = model.config.n_positions + 1, question
    if not context or not all(continuations):
        raise ValueError("a context or a continuation has no tokens: give each at least one character.")
    whole = _Piece(number, range(len(continuations)), context, continuations)
    if whole.length <= limit:
        yield whole
        return
    for place, ids in enumerate(continuations):
        if len(ids) >= limit:
            raise ValueError(f"a continuation has {len(ids)} tokens, more than the model's context of {limit - 1}.")
        yield _Piece(number, range(place, place + 1), context[-(limit - len(ids)) :], [ids])


def _batches(pieces: list[_Piece], batch_tokens: int, limit: int) -> Iterator[list[_Piece]]:
    """Cut the sorted pieces into batches of about `batch_tokens`, counted as the key/value cache holds them.

    The longest context and the longest continuation of a batch fit into `limit` positions, whichever rows they are of.
    """
    batch: list[_Piece] = []
    rows = context = more = 0
    for piece in pieces:
        context = max(context, len(piece.context))
        more = max(more, *(len(ids) - 1 for ids in piece.continuations))
        rows += len(piece.continuations)
        if batch and (rows * (context + more) > batch_tokens or context + more > limit):
            yield batch
            batch, rows = [], len(piece.continuations)
            context, more = len(piece.context), max(len(ids) - 1 for ids in piece.continuations)
        batch.append(piece)
    if batch:
        yield batch


def _batch(model: GPT2, batch: list[_Piece]) -> list[list[Answer]]:
    rows = [n for n, piece in enumerate(batch) for _ in piece.continuations]  # the context that each row continues
    continuations = [ids for piece in batch for ids in piece.continuations]
    contexts, lengths = [piece.context for piece in batch], [len(piece.context) for piece in batch]
    more = max(map(len, continuations)) - 1  # of a continuation all but the last token are read
    weight = next(model.parameters())
    options = {"dtype": weight.dtype, "device": weight.device}
    cache = KVCache(model.config, len(batch), max(lengths) + more, **options)
    hidden = model.hidden(_padded(contexts, weight), cache=cache, lengths=lengths)
    hidden = hidden[range(len(batch)), [n - 1 for n in lengths]][rows, None]  # (R, 1, C): predicts the first token
    if more:
        further = _padded([ids[:-1] for ids in continuations], weight)
        hidden = torch.cat([hidden, model.hidden(further, cache=cache.select(rows))], dim=1)  # (R, 1 + more, C)
    seen = _padded([[1] * len(ids) for ids in continuations], weight).bool()
    targets = torch.tensor([i for ids in continuations for i in ids], device=weight.device)
    judged = iter(_judge(model, hidden[seen], targets))
    answers: list[list[Answer]] = [[] for _ in batch]
    for n, ids in zip(rows, continuations, strict=True):
        log_probs, greedy = zip(*(next(judged) for _ in ids))
        answers[n].append(Answer(list(log_probs), list(greedy)))
    return answers


def _judge(model: GPT2, hidden: Tensor, targets: Tensor) -> Iterator[tuple[float, bool]]:
    """log p(target) and whether it is the likeliest token: hidden [N, C], targets [N], a slice of logits at a time."""
    step = max(1, SLICE_ELEMENTS // model.config.vocab_size)
    for x, t in zip(hidden.split(step), targets.split(step), strict=True):
        logits = model.head(x)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        log_p = logits.gather(1, t[:, None])[:, 0] - logits.logsumexp(-1)
        yield from zip(log_p.tolist(), (logits.argmax(-1) == t).tolist(), strict=True)


def _padded(rows: list[list[int]], like: Tensor) -> Tensor:
    """[R, T], shorter rows filled with 0 on the right."""
    longest = max(map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=like.device)
