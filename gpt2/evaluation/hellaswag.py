"""HellaSwag: which of four endings goes on sensibly (Zellers et al. 2019).

In: a model and items of the published format, {"activity_label", "ctx" or "ctx_a" and "ctx_b", "endings", "label"} a
line. Out: the accuracy, in two styles. "completion": context, a space, ending, as they stand; "harness": the activity
before the context, WikiHow's bracketed marks taken out (the Language Model Evaluation Harness). `acc` takes the
ending with the highest probability; `acc_norm` the one with the highest mean log probability, for a token in the
completion style and for a character in the harness style.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpt2.base.errors import UsageError
from gpt2.evaluation.items import Source, name_of, records, texts_of
from gpt2.evaluation.likelihood import Answer, Progress, Question, answer, split
from gpt2.evaluation.measures import TaskResult, accuracy
from gpt2.evaluation.published import published
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer, well_formed

STYLES = ("completion", "harness")
FORM = '{"activity_label": "Cooking", "ctx": "A man cuts an apple. He", "endings": ["eats it.", "flies."], "label": 0}'
"""An item as a line of the file."""


@dataclass(frozen=True)
class Item:
    """A context with its endings, of which the one at place `label` is right; `query` is the harness's context."""

    context: str
    query: str
    endings: tuple[str, ...]
    label: int


def read(source: Source) -> list[Item]:
    """The items of a file. Raises ValueError naming the line for a line that is not an item."""
    found = []
    for where, record in records(source, FORM):
        activity, context = texts_of(record, ("activity_label", "ctx_a" if "ctx_a" in record else "ctx"), where, FORM)
        if "ctx_a" in record:
            context = f"{context} {str(record.get('ctx_b') or '').capitalize()}"
        endings, label = record.get("endings"), str(record.get("label"))
        if not isinstance(endings, list) or len(endings) < 2 or not all(isinstance(e, str) and e for e in endings):
            raise ValueError(f"{where} has no list of endings: write {FORM}.")
        if not label.isdecimal() or int(label) >= len(endings):
            raise ValueError(f"{where} has {_of_label(record, len(endings))}")
        plain = str(record.get("ctx") or f"{record['ctx_a']} {record.get('ctx_b') or ''}".strip())
        texts = [well_formed(text) for text in (plain, unmarked(f"{activity}: {context}"), *endings)]
        found.append(Item(texts[0], texts[1], tuple(texts[2:]), int(label)))
    if not found:
        raise ValueError(f"{name_of(source)} holds no item: it is empty.")
    return found


def _of_label(record: dict[str, Any], endings: int) -> str:
    """What is wrong with a label, and what to do."""
    label = record.get("label")
    if label in (None, ""):
        return "no label, so its right ending is not known: take a file with labels, such as the validation set."
    counted = f"the label {label!r}: the {endings} endings have the labels 0 to {endings - 1}"
    return f"{counted}; where a file counts from 1, subtract 1 in all its lines." if label else f"{counted}."


def unmarked(text: str) -> str:
    """WikiHow's text without its bracketed marks: [title] ends a sentence, the others vanish."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


def answers(
    model: GPT2, tokenizer: Tokenizer, items: Sequence[Item], style: str, progress: Progress = lambda done, total: None
) -> list[list[Answer]]:
    """For each item its endings' tokens, in one style."""
    return answer(model, [_question(tokenizer, item, style) for item in items], progress=progress)


def _question(tokenizer: Tokenizer, item: Item, style: str) -> Question:
    if style == "completion":
        return Question(tokenizer.encode(item.context), [tokenizer.encode(f" {ending}") for ending in item.endings])
    pairs = [split(tokenizer, item.query, f" {unmarked(ending)}") for ending in item.endings]
    return Question(pairs[0][0], [ids for _, ids in pairs])


def choose(item: Item, found: Sequence[Answer], style: str) -> tuple[int, int]:
    """The places of the chosen ending: by its probability, and by its mean log probability."""
    totals = [one.total for one in found]
    if style == "completion":
        sizes = [len(one.log_probs) for one in found]
    else:
        sizes = [len(unmarked(ending)) for ending in item.endings]
    means = [total / size for total, size in zip(totals, sizes, strict=True)]
    return totals.index(max(totals)), means.index(max(means))


def evaluate(
    model: GPT2, tokenizer: Tokenizer, items: Sequence[Item], progress: Progress = lambda done, total: None
) -> TaskResult:
    """Both styles. Chance is a guess among the endings. Raises UsageError for no items."""
    if not items:
        raise UsageError("there is no item to evaluate on: give at least one.")
    chance = sum(1 / len(item.endings) for item in items) / len(items)
    figures = {}
    rows: list[list[dict[str, Any]]] = [[] for _ in items]
    for number, style in enumerate(STYLES):

        def half(done: int, total: int, number: int = number) -> None:
            progress(number * total + done, len(STYLES) * total)

        found = answers(model, tokenizer, items, style, half)
        for row, item, one in zip(rows, items, found, strict=True):
            row.append(_row(item, one, style))
        chosen = [choose(item, one, style) for item, one in zip(items, found, strict=True)]
        figures[style] = {
            name: accuracy(
                [pair[place] == item.label for pair, item in zip(chosen, items, strict=True)],
                chance,
                published(model.config, "hellaswag", style, name),
            )
            for place, name in enumerate(("acc", "acc_norm"))
        }
    return TaskResult("hellaswag", len(items), figures, tuple(map(tuple, rows)))


def _row(item: Item, found: Sequence[Answer], style: str) -> dict[str, Any]:
    """What one style scored of an item, and which endings it chose."""
    harness = style == "harness"
    likeliest, on_average = choose(item, found, style)
    return {
        "style": style,
        "context": item.query if harness else item.context,
        "targets": [f" {unmarked(ending) if harness else ending}" for ending in item.endings],
        "log_probs": [one.total for one in found],
        "tokens": [len(one.log_probs) for one in found],
        "label": item.label,
        "chosen": {"acc": likeliest, "acc_norm": on_average},
        "right": {"acc": likeliest == item.label, "acc_norm": on_average == item.label},
    }
