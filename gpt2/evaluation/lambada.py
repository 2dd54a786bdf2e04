"""LAMBADA: guess the last word of a passage, which needs more than its last sentence (Paperno et al. 2016).

In: a model and passages, {"text"} a line, of which the last word is to be predicted. Out: accuracy and perplexity in
two styles. "last token" scores the last token alone, given all before it (Radford et al. 2019, table 3). "last word"
scores all tokens of the last word, which is right when each of them is the likeliest (the Language Model Evaluation
Harness, lambada_openai). A word of one token counts alike in both; a longer one is easier to end than to find.
"""

from collections.abc import Sequence

from gpt2.base.errors import UsageError
from gpt2.evaluation.items import Source, name_of, records, texts_of
from gpt2.evaluation.likelihood import Answer, Progress, Question, answer, split
from gpt2.evaluation.measures import TaskResult, accuracy, perplexity
from gpt2.evaluation.published import published
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer, well_formed

FORM = '{"text": "a passage, of which the last word is guessed"}'
"""A passage as a line of the file."""


def read(source: Source) -> list[str]:
    """The passages of a file. Raises ValueError naming the line for a line that is not a passage."""
    found = []
    for where, record in records(source, FORM):
        text = well_formed(*texts_of(record, ["text"], where, FORM))
        if not text.rpartition(" ")[2]:
            raise ValueError(f"{where} ends with a space, not with the word that is to be predicted.")
        if not text.rpartition(" ")[0].strip():
            raise ValueError(f"{where} is one word, with nothing before it to predict it from: leave this line out.")
        found.append(text)
    if not found:
        raise ValueError(f"{name_of(source)} holds no passage: it is empty.")
    return found


def answers(
    model: GPT2, tokenizer: Tokenizer, passages: Sequence[str], progress: Progress = lambda done, total: None
) -> list[Answer]:
    """For each passage the tokens of its last word (what follows the last space), and their space."""
    questions = [Question(context, [word]) for context, word in (_cut(tokenizer, text) for text in passages)]
    return [found for (found,) in answer(model, questions, progress=progress)]


def _cut(tokenizer: Tokenizer, passage: str) -> tuple[list[int], list[int]]:
    """The ids before the last word, and the word's."""
    context, _, word = passage.rpartition(" ")
    return split(tokenizer, context, f" {word}")


def evaluate(
    model: GPT2, tokenizer: Tokenizer, passages: Sequence[str], progress: Progress = lambda done, total: None
) -> TaskResult:
    """Both styles. Chance is a guess among all tokens, for each token of the word.

    Raises UsageError for no passages.
    """
    if not passages:
        raise UsageError("there is no passage to evaluate on: give at least one.")
    found = answers(model, tokenizer, passages, progress)
    size = model.config.vocab_size
    blind = [len(one.log_probs) for one in found]
    chances = {
        "last token": (1 / size, float(size)),
        "last word": (sum(size**-n for n in blind) / len(found), size ** (sum(blind) / len(found))),
    }
    right = {"last token": [one.greedy[-1] for one in found], "last word": [all(one.greedy) for one in found]}
    log_probs = {"last token": [one.log_probs[-1] for one in found], "last word": [one.total for one in found]}
    figures = {
        style: {
            "accuracy": accuracy(
                right[style], chances[style][0], published(model.config, "lambada", style, "accuracy")
            ),
            "perplexity": perplexity(
                log_probs[style], chances[style][1], published(model.config, "lambada", style, "perplexity")
            ),
        }
        for style in chances
    }
    rows = tuple(
        tuple(
            {"style": style, **scored, "log_prob": log_probs[style][n], "right": right[style][n]}
            for style, scored in _scored(tokenizer, passage).items()
        )
        for n, passage in enumerate(passages)
    )
    return TaskResult("lambada", len(found), figures, rows)


def _scored(tokenizer: Tokenizer, passage: str) -> dict[str, dict[str, str]]:
    """What each style scores of a passage, and what stands before it."""
    context, word = _cut(tokenizer, passage)
    ids = context + word
    return {
        style: {"context": tokenizer.decode(ids[:-n]), "target": tokenizer.decode(ids[-n:])}
        for style, n in (("last token", 1), ("last word", len(word)))
    }
