"""`gpt2.finetune`: a fine-tune in one call, on files or on texts that a program holds.

In: files or rows, and settings. Out: the directory of the trained model, with the losses. The work is that of
finetune.py; rows are written into the run's directory first, so that what was trained on is kept with it.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from gpt2.base.calls import check_name, one_sentence
from gpt2.base.disk import whole_file
from gpt2.base.errors import Advice, UsageError
from gpt2.base.foreign import in_words, shortened
from gpt2.base.names import check_names
from gpt2.data.conversations import READ
from gpt2.data.files import has_kind
from gpt2.text.tokenizer import well_formed
from gpt2.training.finetune.finetune import FineTune, Settings
from gpt2.training.finetune.finetune import Result as FineTuned
from gpt2.training.run.directory import ROWS, check_run
from gpt2.training.run.runner import Report

if TYPE_CHECKING:
    import torch

__all__ = ["FineTuned", "finetune"]


def _of_rows(given: Mapping[str, Any]) -> str:
    """The call for one who gave the rows themselves as the files; "" for another."""
    files = given.get("files")
    first = files[0] if isinstance(files, list | tuple) and files else None
    if isinstance(first, list | tuple):
        return "gpt2.finetune(rows=[tokenizer.decode(ids), ...], out='runs/x')"
    is_row = isinstance(first, Mapping) or (isinstance(first, str) and not os.path.exists(first) and _is_text(first))
    return "gpt2.finetune(rows=[...], out='runs/x')" if is_row else ""


@one_sentence("gpt2.finetune('poems.txt', out='runs/poems')", _of_rows)
def finetune(
    files: str | Path | Sequence[str | Path] = (),
    *,
    out: str | Path,
    rows: Iterable[str | Mapping[str, Any]] | None = None,
    overwrite: bool = False,
    device: "torch.device | str" = "auto",
    report: Report = lambda event: None,
    stop: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> FineTuned:
    """Go on training a model on texts, prompts with completions, or conversations, and keep its best weights.

        tuned = gpt2.finetune("poems.txt", out="runs/poems", lora=8, epochs=3)
        model, tokenizer, *_ = gpt2.load(tuned.model)

    files      a file, a directory, or several: what `gpt2 finetune` takes
    rows       in place of files: texts, or dicts as lines of a .jsonl file hold them ({"text"}, {"prompt",
               "completion"}, {"messages"}, {"instruction", "input", "output"})
    out        the directory of the run, new or empty; OUT/model is the result
    overwrite  replace a run that stands there
    device     where to train, as `gpt2.load` takes it, or "auto": cuda where there is one
    report     f(event) is given a dict for each step and each evaluation: {"step", "loss"}, {"step", "val"}
    stop       asked after each step: whether to save and end there
    settings   model ("storyteller"), lora (rank of an adapter; 0 trains all weights), lora_alpha, lora_dropout, epochs,
               lr, batch_size, micro_batch_size, context, val (a file to validate on), seed and the others of
               `gpt2.training.finetune.finetune.Settings`; each has a default that suits the data and the model

    Returns what it came to: `model` (a directory to load), `before` and `after` (validation losses in nats per
    token), `steps`, `best_step`, `finished`, `seconds`.

    Raises UsageError for settings that make no sense, for both or neither of files and rows, and for an `out` that
    holds something else; ValueError for data that cannot be read or is too short.
    """
    check_names(settings, [f.name for f in fields(Settings) if f.name != "files"], "setting of finetune", ELSEWHERE)
    given = _files(files)
    settings = _plain(settings)
    if (rows is None) == (not given):
        raise UsageError("give files or rows, one of them: finetune('poems.txt', out='runs/poems'), say.")
    check_name("out", out, "'runs/poems'")
    run = check_run(out, overwrite)
    written = None if rows is None else _write(rows, run / ROWS, settings.get("field", Settings.field))
    try:
        if written is None:
            tuning = FineTune(Settings(files=tuple(given), **settings))
        else:
            with _named_as_given(written):
                tuning = FineTune(Settings(files=(str(written),), **settings), called="rows")
    except BaseException:
        if written is not None:
            written.unlink()
            with suppress(OSError):
                run.rmdir()
        raise
    return tuning.run(run, report, stop, device=str(device))


ELSEWHERE = {
    "learning_rate": "write lr",
    "num_train_epochs": "write epochs",
    "per_device_train_batch_size": "write batch_size",
    "max_length": "write context",
    "rank": "write lora",
    "r": "write lora",
    "texts": "write rows",
}
"""What other libraries' names mean here."""


def _files(files: object) -> list[str]:
    """The names that were given, as texts. UsageError for what is no name, and for texts in place of their files."""
    given = [files] if isinstance(files, str | os.PathLike) else files
    if not isinstance(given, list | tuple):
        what = f"files is a {type(files).__name__}"
        raise UsageError(f"{what}: give names of files, and the name of the model as model='storyteller'.")
    for one in given:
        if isinstance(one, str | os.PathLike) and (os.path.exists(one) or not _is_text(str(one))):
            continue
        what = shortened(one) if isinstance(one, str) else f"a {type(one).__name__}"
        call = _of_rows({"files": given}) or "gpt2.finetune(rows=[...], out='runs/x')"
        mend = f"give names of files, or texts as {call}."
        raise UsageError(f"files holds {what}, and no file has that name: {mend}")
    return [str(one) for one in given]


def _is_text(name: str) -> bool:
    """Whether what was given as a file's name is a text itself: several words, or lines, with no ending of a file."""
    return "\n" in name or len(name) > 200 or (" " in name.strip() and not has_kind(name))


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with names as texts. UsageError for one of another kind than its default."""
    plain = {name: str(value) if isinstance(value, os.PathLike) else value for name, value in settings.items()}
    for name, kind in get_type_hints(Settings).items():
        value = plain.get(name)
        kinds: Any = (*(get_args(kind) or (kind,)), *((int,) if kind in (float, float | None) else ()))
        if name in NAMES and value is not None:
            check_name(name, value, NAMES[name])
        if kinds[0] not in WORDS or value is None:
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UsageError(argument=name, value=value, mend=f"it must be {WORDS[kinds[0]]}.")
    return plain


NAMES = {"model": "'storyteller'", "tokenizer": "'storyteller'", "val": "'val.txt'", "field": "'text'"}
"""Settings that are names, with an example of each."""
WORDS = {int: "a whole number, such as 8", float: "a number, such as 0.5", bool: "True or False"}


def _write(rows: Iterable[str | Mapping[str, Any]], path: Path, field: str) -> Path:
    """The rows as a file of one JSON object per line, in which `field` holds a text.

    UsageError for a row that is neither a text nor a dict, and for one with a value that no JSON can hold.
    """
    if isinstance(rows, str | Mapping):
        raise UsageError(f"rows is a {type(rows).__name__}: give a list of texts or of dicts.")
    lines = []
    for number, row in enumerate(rows):
        if not isinstance(row, str | Mapping):
            raise UsageError(f"rows[{number}] is of type {type(row).__name__}: give a text, or a dict with one.")
        try:
            lines.append(well_formed(_line({field: row} if isinstance(row, str) else row, field)))
        except (TypeError, ValueError, RecursionError) as error:
            what = f"rows[{number}] holds what JSON cannot ({in_words(error)})"
            raise UsageError(f"{what}: give texts, numbers and lists.") from None
    if not lines:
        raise UsageError("rows is empty: give at least one text.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return path


def _line(row: Mapping[str, Any], field: str) -> str:
    """A row as JSON. A field that nothing reads may hold anything, a date say: it is written as its text."""
    try:
        return json.dumps(dict(row), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        plain = {str(name): value if name in {*READ, field} else str(value) for name, value in row.items()}
        return json.dumps(plain, ensure_ascii=False)


@contextmanager
def _named_as_given(written: Path) -> Iterator[None]:
    """Inside it, errors name what the caller gave, `rows` and `rows[3]`, in place of the file and its fourth line."""
    line = re.compile(rf"{re.escape(str(written))}, line (\d+),")

    def named(text: str) -> str:
        return line.sub(lambda found: f"rows[{int(found[1]) - 1}]", text).replace(str(written), "rows")

    try:
        yield
    except Advice as error:
        error.problem = named(error.problem)
        raise
    except ValueError as error:
        raise ValueError(named(str(error))) from None
