"""The directory that a model is written to: whole or not at all, and never in place of anything else.

In: a path. Out: a path that may be written; a directory that appears when it is full. Read next: files.py, adapter.py.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from gpt2.base import ours
from gpt2.base.disk import abandoned, half_written, held, naming, sync
from gpt2.base.errors import DiskFailure
from gpt2.base.foreign import parse_json
from gpt2.base.ours import Folder, always, check_directory
from gpt2.checkpoint.hf_config import CONFIG_FILE, VARIANT_TYPE
from gpt2.checkpoint.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, TOKENIZER_FILES, WEIGHT_FILES
from gpt2.text.tokenizer_files import TEMPLATES

SHARDS = (r"model-\d{5}-of-\d{5}\.safetensors", r"pytorch_model-\d{5}-of-\d{5}\.bin")
NAMES = (CONFIG_FILE, "generation_config.json", ADAPTER_CONFIG, *ADAPTER_WEIGHTS)
TOKENIZER = Folder(
    "a tokenizer",
    {
        "|".join(map(re.escape, (*TOKENIZER_FILES, "spiece.model"))): always,
        r"\..+\.\d+\.tmp": always,  # half-written
        TEMPLATES: Folder("chat templates", {r".+\.jinja": always}),
    },
)
"""A directory of a tokenizer's files alone."""


def _is_checkpoint(directory: Path) -> bool:
    """Whether a configuration says that this is a GPT-2 or an adapter."""
    for name in (CONFIG_FILE, ADAPTER_CONFIG):
        with suppress(OSError, ValueError):
            fields = parse_json((directory / name).read_text(encoding="utf-8"))
            if name == ADAPTER_CONFIG:
                return isinstance(fields, dict) and "peft_type" in fields
            return isinstance(fields, dict) and fields.get("model_type") in ("gpt2", VARIANT_TYPE)
    return False


FILES = "|".join([*map(re.escape, (*NAMES, *WEIGHT_FILES)), *SHARDS])
CHECKPOINT = Folder("a checkpoint", {FILES: always, **TOKENIZER.holds}, _is_checkpoint)
TENSORS = {r"\.tmp[0-9A-Za-z]{6}": always}  # under such a name the library safetensors writes
HALF = replace(CHECKPOINT, holds={**CHECKPOINT.holds, **TENSORS}, proof=always)
"""One that was being written, or deleted, when the process was killed."""


def litter(name: str) -> str:
    """The names, as a regular expression, under which a directory called `name` (one too) is written and deleted."""
    return rf"\.{name}(\.[0-9a-f]{{4,8}})?\.(partial|old)"


@contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """A directory to fill, which takes the name `target` when the block ends well: all of it is there, or nothing.

    What a process that was killed left of it is deleted.
    """
    for path in abandoned(target):
        ours.remove(path, HALF)
    made = [folder for folder in target.parents if not folder.exists()]
    temporary = half_written(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        problem = f"{target} cannot be made ({str(error.strerror).lower()})"
        failure = DiskFailure(problem, "choose another directory.")
        failure.errno = error.errno
        raise failure from None
    try:
        with naming(target), held(temporary):
            yield temporary
            for path in (*temporary.iterdir(), temporary):
                sync(path)
        ours.replace(temporary, target, CHECKPOINT)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # one that somebody else has filled stays
            for folder in made:
                folder.rmdir()
        raise


def check_target(directory: Path | str, overwrite: bool = False) -> Path:
    """The absolute path of a directory that `save` may write: to be asked before hours of work, not after.

    Raises UsageError for a file, for a directory that is not empty (unless `overwrite`), and in any case for
    one that holds more than a checkpoint: what is no part of one is never deleted.
    """
    return check_directory(directory, CHECKPOINT, overwrite)
