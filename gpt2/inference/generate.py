"""Continue texts: prefill, then one token per step with the key/value cache, until each text ends.

In: a model, its tokenizer, prompts (texts or token ids) and a `Sampling`. Out: a `Completion` for each sample
of each prompt (`generate`), or pieces of text as they come (`stream`).
Prompts are read in prompts.py; the passes are in decoder.py, the choice of a token in sampling.py, what becomes of it
in row.py.
Read next: cli/generate.py.
"""

import math
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gpt2.base.calls import one_sentence
from gpt2.base.edits import check_edits, takes
from gpt2.base.errors import UsageError
from gpt2.base.notes import Note, note
from gpt2.checkpoint.hf_config import settings_of
from gpt2.inference.decoder import Decoder
from gpt2.inference.defaults import sampling_for
from gpt2.inference.prompts import Prompts, encode_prompts
from gpt2.inference.row import Completion, Piece, Reason, Row
from gpt2.inference.rules import Rule
from gpt2.inference.sampling import Sampling, TokenLogprob, choose, log_probabilities
from gpt2.model import GPT2
from gpt2.probe import Edit, Probe
from gpt2.text.tokenizer import Tokenizer, visible

__all__ = ["Completion", "Piece", "Reason", "ends_of", "generate", "stream", "without"]


@one_sentence("gpt2.generate(model, tokenizer, prompts)")
def generate(
    model: GPT2,
    tokenizer: Tokenizer,
    prompts: Prompts,
    sampling: Sampling | None = None,
    *,
    edit: Mapping[str, Edit] | None = None,
    probe: Probe | None = None,
    rule: Rule | None = None,
    on_slide: Callable[[], None] | None = None,
    **settings: Any,
) -> list[list[Completion]]:
    """Continue each prompt `sampling.n` times, all in one batch.

        [[completion]] = gpt2.generate(model, tokenizer, "Once upon a time", gpt2.Sampling(max_tokens=20))
        print(completion.text)

    model, tokenizer  as `load` returns them
    prompts   a text, texts, or lists of token ids, of any lengths
    sampling  how to continue; None: as the checkpoint's generation_config.json says, see `sampling_for`
    settings  in place of `sampling`, some of its fields, such as temperature=0; the others are as the checkpoint says

    edit, probe, rule and on_slide are those of `stream`: what happens inside, and what may be chosen.

    Returns a `Completion` for each sample of each prompt: result[prompt][sample]. Raises UsageError as `stream` does.
    """
    sampling = _sampling(model, sampling, settings)
    done: dict[tuple[int, int], Completion] = {}
    for piece in stream(model, tokenizer, prompts, sampling, edit=edit, probe=probe, rule=rule, on_slide=on_slide):
        if piece.completion is not None:
            done[piece.prompt, piece.sample] = piece.completion
    return [[done[p, s] for s in range(sampling.n)] for p in range(len(done) // sampling.n)]


@one_sentence("gpt2.stream(model, tokenizer, prompts)")
def stream(
    model: GPT2,
    tokenizer: Tokenizer,
    prompts: Prompts,
    sampling: Sampling | None = None,
    *,
    edit: Mapping[str, Edit] | None = None,
    probe: Probe | None = None,
    rule: Rule | None = None,
    on_slide: Callable[[], None] | None = None,
    ends: Collection[int] = (),
    **settings: Any,
) -> Iterator[Piece]:
    """Continue all prompts in one batch; a `Piece` for every token, in the order in which they come.

        for piece in gpt2.stream(model, tokenizer, "Once upon a time"):
            print(piece.text, end="", flush=True)

    model, tokenizer  as `load` returns them
    prompts   texts, or lists of token ids, of any lengths; a lone text is one prompt. Nothing is put before
              them: the model sees an `<|endoftext|>` only where the ids have one
    sampling  how to continue; None: as the checkpoint's generation_config.json says, see `sampling_for`
    settings  in place of `sampling`, some of its fields, such as temperature=0; the others are as the checkpoint says
    edit      address -> f(x, at) -> x, as in `gpt2.probe`, applied in every pass; `at.rows` counts prompts.
              Positions count in the window that is computed: from 0 again after the context was full
    probe     in place of `edit`, a Probe that every pass consults: when a piece comes, it holds the values of
              the pass that scored that token; its rows are the texts that still ran in that pass
    rule      f(scores, texts) -> scores: what may be chosen. `scores` [R, V] are those of the next token of the R texts
              that still run, `texts` their token ids so far, prompts included; a score of -inf forbids a token. It
              comes after the repetition penalty and before the temperature
    on_slide  called once, when a text first outgrows the context and goes on from its last half (positions
              are baked into keys and values, so these are computed afresh); default: a warning
    ends      more tokens that end a text, beside those of `ends_of`: a chat template's, say

    A text is a function of the model, the prompt, the `Sampling` and the edits. Its neighbours in the batch
    change its logits by rounding only, which leaves nearly every text in float32 as it is alone.

    Raises UsageError for no prompts, an empty prompt, one longer than the context, unknown ids, no function as an edit
    or a rule, edit and probe together. A rule that returns another shape raises ValueError when the first piece is
    asked for.
    """
    if edit is not None and probe is not None:
        raise UsageError("give edit or probe, not both: a Probe takes the edits as Probe(edit=...).")
    check_edits({} if edit is None else edit)
    if rule is not None and not takes(rule, 2):
        what = "takes other arguments" if callable(rule) else f"is a {type(rule).__name__}"
        raise UsageError(f"rule {what}: give a function f(scores, texts) that returns scores.")
    sampling = _sampling(model, sampling, settings)
    ids = encode_prompts(tokenizer, prompts, model.config, sampling)
    return _run(Decoder(model, edit, probe), tokenizer, ids, sampling, rule, on_slide, ends)


def _sampling(model: GPT2, sampling: Sampling | None, settings: Mapping[str, Any]) -> Sampling:
    """What was given, or the model's own. UsageError for what is none, and for both."""
    if sampling is not None and not isinstance(sampling, Sampling):
        raise UsageError(f"sampling is a {type(sampling).__name__}: give Sampling(temperature=0.7), say.")
    if sampling is not None and settings:
        raise UsageError(f"give sampling or {next(iter(settings))}, not both: Sampling has all of these fields.")
    return sampling_for(model, **settings) if sampling is None else sampling


def ends_of(model: GPT2, tokenizer: Tokenizer, more: Collection[int] = ()) -> tuple[int, ...]:
    """The tokens that end a text, any of them: those that the model's files name, else the tokenizer's, and `more`."""
    settings = settings_of(model)
    if settings is None:
        return (*more, *(() if tokenizer.eot_id is None else (tokenizer.eot_id,)))
    if tokenizer.eot_id is not None and tokenizer.eot_id not in (*settings.ends, *more):
        end = visible(tokenizer.token_bytes(tokenizer.eot_id))
        note(
            f"the tokenizer ends texts with {end}, but the files of the model do not name it as an end "
            f"(eos_token_id): texts go on past it."
        )
    return (*more, *settings.ends)


def _run(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompts: list[list[int]],
    sampling: Sampling,
    rule: Rule | None,
    on_slide: Callable[[], None] | None,
    more_ends: Collection[int],
) -> Iterator[Piece]:
    """The loop of all generation: choose, hand out, drop the rows that ended, extend the others by one token.

    `logits` [R, V] are always those of the rows that still run, in their order.
    """
    context = decoder.model.config.n_positions
    logits = decoder.prefill(prompts, room=sampling.max_tokens - 1)
    order = [(p, s) for p in range(len(prompts)) for s in range(sampling.n)]
    ends = () if sampling.ignore_eos else ends_of(decoder.model, tokenizer, more_ends)
    holes = tokenizer.holes(decoder.model.config.vocab_size)
    rows = [Row(p, s, prompts[p], tokenizer, sampling, context, ends) for p, s in order]
    if sampling.n > 1:  # the samples of a prompt share its prefill
        logits = logits.repeat_interleave(sampling.n, dim=0)
        decoder.keep([p for p, _ in order])
    told = False
    while True:
        texts, samples, starts = zip(*((row.ids, row.sample, row.start) for row in rows))
        tokens = choose(without(logits, holes), texts, samples, sampling, rule, starts=starts)
        logprobs: Sequence[TokenLogprob | None] = [None] * len(rows)
        if sampling.logprobs is not None:
            logprobs = log_probabilities(logits, tokens, sampling.logprobs)
        going = []
        for index, (row, token, logprob) in enumerate(zip(rows, tokens, logprobs)):
            piece = row.push(token, logprob)
            if piece.completion is None:
                going.append(index)
            yield piece
        if not going:
            return
        if len(going) < len(rows):
            rows = [rows[index] for index in going]
            decoder.keep(going)
        logits = decoder.step([row.ids for row in rows])
        if decoder.slid and not told:
            told = True
            (on_slide or _warn)()


def without(logits: Tensor, ids: Sequence[int]) -> Tensor:
    """Logits [R, V] in which these tokens cannot win: rows of the model for which the tokenizer has no token."""
    return logits.index_fill(1, torch.tensor(ids, device=logits.device), -math.inf) if ids else logits


def _warn() -> None:
    warnings.warn(
        "the context is full: the text goes on from its last half (slide=False stops instead).",
        Note,
        stacklevel=2,
    )
