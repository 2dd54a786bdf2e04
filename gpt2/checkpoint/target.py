"""The directory that a model is written to: whole or not at all, and never in place of anything else.

In: a path. Out: a path that may be written; a directory that appears when it is full. Read next: files.py, adapter.py.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpt2.base.disk import sync
from gpt2.base.errors import UsageError
from gpt2.checkpoint.hf_config import CONFIG_FILE
from gpt2.checkpoint.hub import ADAPTER_CONFIG, TOKENIZER_FILES, WEIGHT_FILES


@contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """A directory to fill, which takes the name `target` when the block ends well: all of it is there, or nothing."""
    made = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        temporary.mkdir()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None
    try:
        yield temporary
        for path in (*temporary.iterdir(), temporary):
            sync(path)
        _replace(temporary, target)
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
    target = Path(directory).expanduser().resolve()
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file: choose a directory.")
    if not target.is_dir() or not any(target.iterdir()):
        return target
    if not overwrite:
        raise UsageError(
            f"{target} is not empty", "choose another directory, or replace it with {overwrite}.", overwrite=True
        )
    known = {CONFIG_FILE, ADAPTER_CONFIG, "generation_config.json", "README.md", *TOKENIZER_FILES, *WEIGHT_FILES}
    for path in sorted(target.iterdir()):
        known_one = path.name in known or path.suffix in (".safetensors", ".bin")
        if path.is_dir() or not known_one:
            raise UsageError(
                f"{target} holds {path.name}, which is not part of a checkpoint: choose another directory."
            )
    return target


def _replace(temporary: Path, target: Path) -> None:
    """Give `temporary` the name `target`; what stood there is deleted only when that has worked."""
    if not target.exists():
        os.rename(temporary, target)
        return
    old = temporary.with_suffix(".old")
    os.rename(target, old)
    try:
        os.rename(temporary, target)
    except BaseException:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
