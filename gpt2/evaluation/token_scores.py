"""How expected each token of a text is, and each word: log probability, surprisal, rank, entropy.

In: a model, its tokenizer, texts, perhaps what stands before them. Out: a `TextScore` for each text.
The windows are those of bits_per_byte.py, so that the log probabilities of a text sum to minus its loss there. With
words, a window scores whole words, each with the boundaries on both its sides (word_scores.py).
Read next: cli/score.py.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gpt2.base.calls import one_sentence
from gpt2.base.errors import Failure, UsageError
from gpt2.base.foreign import shortened
from gpt2.base.onednn import linear_by_onednn
from gpt2.evaluation.windows import Spans, Window, batches, padded, window_sizes, windows
from gpt2.evaluation.word_boundaries import Boundaries, Word, boundaries, words_of
from gpt2.evaluation.word_scores import WordScore, bits, scored
from gpt2.model import GPT2
from gpt2.text.ids import check_id
from gpt2.text.tokenizer import Tokenizer, visible, well_formed

LOGITS_AT_ONCE = 1 << 23  # 32 MB in fp32: a distribution is passed over several times
Progress = Callable[[int, int], None]
"""Is told the tokens computed so far and all that there are to compute, context included."""


@dataclass(frozen=True)
class TokenScore:
    """A token in its place.

    id         the token
    token      its text; bytes that are not whole UTF-8 as `\\xNN`
    log_prob   natural logarithm of its probability, given all that the model sees before it
    rank       1 for the likeliest token: one more than the number of tokens that are likelier
    entropy    of the distribution that it was drawn from, in bits

    Without anything before the first token of a text, its three figures are None.
    """

    id: int
    token: str
    log_prob: float | None
    rank: int | None
    entropy: float | None

    @property
    def surprisal(self) -> float | None:
        """-log2 of its probability, in bits."""
        return bits(self.log_prob)


@dataclass(frozen=True)
class TextScore:
    """A text's tokens in order, and its words where they were asked for."""

    text: str
    tokens: tuple[TokenScore, ...]
    words: tuple[WordScore, ...] | None

    @property
    def log_prob(self) -> float:
        """The sum over the tokens that have a score."""
        return math.fsum(t.log_prob for t in self.tokens if t.log_prob is not None)

    @property
    def surprisal(self) -> float:
        """The same in bits, as a positive number."""
        return bits(self.log_prob) or 0.0


class Prediction(NamedTuple):
    """What the model says at one place: of the target, of the distribution, and of the boundary sets (0 without)."""

    log_prob: float
    rank: int
    entropy: float
    ended: float
    attached: float


class _Text(NamedTuple):
    """A text as it is read: ids[begin:stop] are its own tokens."""

    text: str
    ids: list[int]
    begin: int
    words: list[Word] | None


@one_sentence("gpt2.score(model, tokenizer, texts)")
def score(
    model: GPT2,
    tokenizer: Tokenizer,
    texts: str | Sequence[str],
    *,
    contexts: Sequence[str] | None = None,
    words: bool = False,
    bos: bool = True,
    allow_special: bool = False,
    context: int | None = None,
    stride: int | None = None,
    batch_tokens: int = 4096,
    progress: Progress = lambda done, total: None,
) -> list[TextScore]:
    """The score of each token of each text, and of each word.

        [scored] = gpt2.score(model, tokenizer, "The cat sat.", words=True)
        [(token.token, token.surprisal) for token in scored.tokens]

    model, tokenizer  as `load` returns them
    texts            a text, or several; each is scored on its own
    contexts         what stands before each text: it is read and not scored. One space is put between the two, unless
                     white space stands there already
    words            surprisal by word, with and without the correction for the leading space (`WordScore`)
    bos              the token that opens a text (`Tokenizer.bos_id`) stands before everything; without it the first
                     token has no score unless a context stands before it
    allow_special    text that spells a special token is that token
    context, stride  tokens of a window (default: the model's context), and how far the next one moves on (default:
                     half). With words, windows are cut between words

    batch_tokens     about how many tokens are computed at once
    progress         f(done, total) is told how many tokens are computed

    Returns a `TextScore` for each text: log probabilities in nats, surprisals and entropies in bits.

    Raises UsageError for no text, an empty one, what is no text, numbers of texts and contexts that differ, a context
    or a stride out of range, and a tokenizer whose tokens do not show where words begin; ValueError for a tokenizer
    without a token that opens a text, and for a word that does not fit into a window.
    """
    texts, contexts = _texts("texts", texts), None if contexts is None else _texts("contexts", contexts)
    before = [""] * len(texts) if contexts is None else list(contexts)
    if not texts:
        raise UsageError("there is no text to score: give at least one.")
    if len(before) != len(texts):
        raise UsageError(f"there are {len(texts)} texts and {len(before)} contexts: give one for each text.")
    window = window_sizes(model, context, stride)
    if bos and tokenizer.bos_id is None:
        mend = "score it without one, with {bos}."
        raise Failure("the tokenizer has no token that opens a text, which would stand before it", mend, bos=False)
    first = [tokenizer.bos_id] if bos and tokenizer.bos_id is not None else []
    sets = boundaries(tokenizer, model.config.vocab_size) if words else None
    read = []
    for number, (text, said) in enumerate(zip(texts, before), start=1):
        prefix, own = _encode(tokenizer, well_formed(said), well_formed(text), allow_special)
        if not own:
            raise UsageError(f"text {number} of {len(texts)} has no tokens: give it at least one character.")
        ids = [check_id(i, model.config) for i in (*first, *prefix, *own)]
        read.append(_Text(text, ids, len(ids) - len(own), words_of(tokenizer, own) if words else None))
    plans = [list(_plan(one, *window)) for one in read]
    found = _predict(model, [w for plan in plans for w in plan], sets, batch_tokens, progress)
    return [_assemble(tokenizer, one, plan, [next(found) for _ in plan]) for one, plan in zip(read, plans, strict=True)]


def _texts(name: str, given: str | Sequence[str]) -> list[str]:
    """What a caller gave as texts, as a list. UsageError for anything but a text or texts."""
    if not isinstance(given, str | list | tuple):
        raise UsageError(f"{name} is of type {type(given).__name__}: give a text, or a list of texts.")
    texts = [given] if isinstance(given, str) else list(given)
    wrong = next((one for one in texts if not isinstance(one, str)), None)
    if wrong is not None:
        raise UsageError(f"{name} holds {shortened(wrong)}: give texts, since token ids do not show where words begin.")
    return texts


def _encode(tokenizer: Tokenizer, context: str, text: str, allow_special: bool) -> tuple[list[int], list[int]]:
    """The ids of a context and of the text after it, which takes the white space between them."""
    said = context.rstrip()
    between = context[len(said) :]
    if not said:
        return [], tokenizer.encode(text if text == "" else between + text, allow_special)
    if text and not between and not text[0].isspace():
        between = " "
    ids = tokenizer.encode(said, allow_special)
    whole = tokenizer.encode(said + between + text, allow_special) if text else ids
    if whole[: len(ids)] != ids:
        raise ValueError(f"the context {shortened(context)} and the text {shortened(text)} share a token: "
                         "move the border between them to a space.")  # fmt: skip
    return ids, whole[len(ids) :]


def _plan(one: _Text, context: int, stride: int) -> Iterator[Window]:
    """The windows of a text. One more id stands at its end, the target of the boundary after the last word."""
    begin = max(one.begin, 1)  # the very first id is predicted by none
    if one.words is None:
        every = range(begin, len(one.ids))
        return windows(one.ids, context, stride, (every, every))
    spans: Spans = ([max(one.begin + w.first, begin) for w in one.words], [one.begin + w.stop for w in one.words])
    longest = max(one.words, key=lambda w: w.stop - w.first)
    if (size := longest.stop - longest.first + 1) > context:
        raise ValueError(
            f"the word {shortened(longest.text)} and the boundary after it take {size} tokens, and a window has "
            f"{context}: words need a longer context, or a space where words end."
        )
    return windows([*one.ids, 0], context, stride, spans)


@torch.inference_mode()
def _predict(
    model: GPT2, plan: list[Window], sets: Boundaries | None, batch_tokens: int, progress: Progress
) -> Iterator[list[Prediction]]:
    """For each window a prediction for each of the targets that it scores."""
    found: dict[int, list[Prediction]] = {}
    done, total = 0, sum(map(len, plan))
    weight = next(model.parameters())
    for batch in batches(plan, batch_tokens):
        with linear_by_onednn(weight):
            hidden = model.hidden(padded([w.inputs() for w in batch], 0, weight.device))  # (R, T, C)
            rows = torch.cat([hidden[n, w.skip : len(w)] for n, w in enumerate(batch)])  # (N, C)
            targets = torch.tensor([i for w in batch for i in w.targets()[w.skip :]], device=weight.device)
            predictions = iter(_judge(model, rows, targets, sets))
            for w in batch:
                found[id(w)] = [next(predictions) for _ in range(len(w) - w.skip)]
        done += sum(map(len, batch))
        progress(done, total)
    return iter([found[id(w)] for w in plan])


def _judge(model: GPT2, hidden: Tensor, targets: Tensor, sets: Boundaries | None) -> Iterable[Prediction]:
    """hidden [N, C], targets [N]: a slice of the distributions [n, V] at a time."""
    step = max(1, LOGITS_AT_ONCE // model.config.vocab_size)
    columns = [torch.tensor(one, device=hidden.device) for one in (sets.ended, sets.attached)] if sets else []
    for x, t in zip(hidden.split(step), targets.split(step), strict=True):
        logits = model.head(x)
        log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)  # (n, V)
        own = log_p.gather(1, t[:, None])  # (n, 1)
        rank = 1 + (log_p > own).sum(-1)
        entropy = -(log_p.exp() * log_p).sum(-1) / math.log(2)
        terms = [log_p[:, one].logsumexp(-1).clamp(max=0).tolist() for one in columns] or [[0.0] * len(t)] * 2
        yield from map(Prediction, own[:, 0].tolist(), rank.tolist(), entropy.tolist(), *terms)


def _assemble(tokenizer: Tokenizer, one: _Text, plan: list[Window], found: list[list[Prediction]]) -> TextScore:
    """Put the predictions of a text's windows in order: the boundary after a word is that of the word's own window."""
    at: dict[int, Prediction] = {}
    after: dict[int, Prediction] = {}
    for window, predictions in zip(plan, found, strict=True):
        for place, prediction in enumerate(predictions, start=window.start + window.skip + 1):
            after.setdefault(place, prediction)
            at[place] = prediction
    tokens = []
    for place in range(one.begin, len(one.ids)):
        token, seen = one.ids[place], at.get(place)
        text = _readable(tokenizer.token_bytes(token))
        tokens.append(TokenScore(token, text, *((None,) * 3 if seen is None else seen[:3])))
    if one.words is None:
        return TextScore(one.text, tuple(tokens), None)
    log_probs = [t.log_prob for t in tokens]
    spans = [(w, at.get(one.begin + w.first), after[one.begin + w.stop]) for w in one.words]
    return TextScore(one.text, tuple(tokens), tuple(scored(spans, log_probs)))


def _readable(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return visible(data)
