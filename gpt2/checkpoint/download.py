"""Checkpoints of the Hugging Face hub in huggingface_hub's cache: found there, or downloaded.

In: a hub id. Out: the directory of the cache that holds what a model, or an adapter, needs: no code, no second format.
Nothing here imports torch. Read next: hub.py.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpt2.base.disk import refusal
from gpt2.base.errors import Advice, Failure, UsageError
from gpt2.checkpoint.adapter_fields import check_adapter_fields
from gpt2.checkpoint.hf_config import CONFIG_FILE, GENERATION_FILE, adapter_base, read_config, read_json, weight_files
from gpt2.checkpoint.layout import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BUNDLED,
    CHAT_TEMPLATE,
    HUB_IDS,
    OTHER_TOKENIZERS,
    TOKENIZER_FILES,
    WEIGHT_FILES,
)
from gpt2.text.tokenizer_files import has_tokenizer

TIMEOUT = 10.0  # seconds to wait for the hub's answer
FORBIDDEN = (errno.EACCES, errno.EPERM)
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
SIGNS = ("tokenizer.json", "vocab.json", "vocab.txt")  # a repository without these has no tokenizer


def cached(name: str, weights: bool = True) -> Path | None:
    """The complete copy of a hub model or adapter in huggingface_hub's cache, or None; asks no network."""
    from huggingface_hub import try_to_load_from_cache

    for hub_id in dict.fromkeys((HUB_IDS.get(name, name), name)):  # transformers stores `gpt2` under that name
        for file, complete in ((CONFIG_FILE, _complete), (ADAPTER_CONFIG, _complete_adapter)):
            found = try_to_load_from_cache(hub_id, file)
            if isinstance(found, str) and complete(hub_id, Path(found).parent, weights):
                return Path(found).parent
    return None


def _complete(hub_id: str, directory: Path, weights: bool) -> bool:
    """Whether tokenizer and `weights` are there: transformers downloads one without the other."""
    try:
        return has_tokenizer(directory) and not (weights and any(not p.is_file() for p in weight_files(directory)))
    except ValueError:
        return False


def _complete_adapter(hub_id: str, directory: Path, weights: bool) -> bool:
    """Whether the adapter's `weights` are there, and its tokenizer unless it is known to have none: peft takes none."""
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    answers = (try_to_load_from_cache(hub_id, name, revision=directory.name) for name in SIGNS)
    settled = has_tokenizer(directory) or all(answer is _CACHED_NO_EXIST for answer in answers)
    return settled and not (weights and not any((directory / name).is_file() for name in ADAPTER_WEIGHTS))


def fetch(name: str, progress: bool = True, weights: bool = True) -> Path:
    """Download what a model, or an adapter without its base, needs into huggingface_hub's cache.

    A copy that is there already is brought up to date, and serves as it is when the hub cannot be reached.
    Returns the directory. Raises ValueError with the reason and the mend when the hub cannot be reached or
    does not have a GPT-2 of this name; OSError when the disk refuses.
    """
    hub_id = HUB_IDS.get(name, name)
    if name == BUNDLED:
        raise UsageError(f"{BUNDLED} is bundled and needs no download", "use {model}.", model=BUNDLED)
    if not HUB_ID.fullmatch(hub_id):
        raise UsageError(f"{name!r} is not a hub id: type one such as {HUB_IDS['gpt2']}, or a preset such as gpt2.")
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    with _quiet_hub(progress):
        try:
            listed = {file.rfilename for file in HfApi().model_info(hub_id, timeout=TIMEOUT).siblings or ()}
        except Exception as error:  # the hub's own errors, and those of whichever HTTP client it uses
            found = None if _is_refusal(error) else cached(name, weights)
            if found is not None:
                return found
            raise _sentence(name, hub_id, error, started=False) from error
        first, wanted = _wanted(hub_id, listed, weights)
        try:
            # The configuration first: another architecture is refused before gigabytes are on their way.
            directory = Path(hf_hub_download(hub_id, first)).parent
            _check(directory, first)
            # One after the other: snapshot_download's threads would hold up Ctrl-C until their files are done.
            for file in wanted:
                hf_hub_download(hub_id, file, revision=directory.name)  # all of the commit that came first
            if first == ADAPTER_CONFIG and not has_tokenizer(directory):
                for file in SIGNS:  # the cache keeps the answer that there is none
                    with suppress(EntryNotFoundError):
                        hf_hub_download(hub_id, file, revision=directory.name)
        except Exception as error:
            raise _sentence(name, hub_id, error, started=True) from error
    held = weights and first == CONFIG_FILE
    missing = [path.name for path in weight_files(directory) if not path.is_file()] if held else []
    if missing:
        raise ValueError(f"{hub_id} lacks {missing[0]} on the hub, which its index names: use another model.")
    return directory


def _check(directory: Path, first: str) -> None:
    """Refuse what is no GPT-2, and no adapter that is read here, by its configuration."""
    if first == CONFIG_FILE:
        read_config(directory)
    else:
        adapter_base(directory)
        check_adapter_fields(directory / first, read_json(directory / first))


@contextmanager
def _quiet_hub(progress: bool) -> Iterator[None]:
    """huggingface_hub without its warnings, and without its progress bars unless they are wanted."""
    from huggingface_hub import utils
    from huggingface_hub.utils import logging

    level, hide = logging.get_verbosity(), not progress and not utils.are_progress_bars_disabled()
    logging.set_verbosity_error()
    if hide:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if hide:
            utils.enable_progress_bars()


def _wanted(hub_id: str, listed: set[str], weights: bool) -> tuple[str, list[str]]:
    """The configuration to download, and the files beside it, of those that the hub lists; the large ones last."""
    kind = next((name for name in WEIGHT_FILES if name in listed), None)
    words = [name for name in TOKENIZER_FILES if name in listed]
    if not {"tokenizer.json", "vocab.json", "vocab.txt"} & listed:
        words += [name for name in OTHER_TOKENIZERS if name in listed]
    words += sorted(name for name in listed if CHAT_TEMPLATE.fullmatch(name))
    if ADAPTER_CONFIG in listed:
        if kind is not None and CONFIG_FILE in listed:
            raise ValueError(
                f"{hub_id} holds a model and an adapter, which transformers and peft read differently: download it, "
                f"move {ADAPTER_CONFIG} away, or the model, and name the directory."
            )
        matrices = [name for name in ADAPTER_WEIGHTS if name in listed][:1]
        if not matrices:
            raise ValueError(f"{hub_id} has no {' or '.join(ADAPTER_WEIGHTS)} on the hub: use another adapter.")
        return ADAPTER_CONFIG, words + (matrices if weights else [])
    if CONFIG_FILE not in listed:
        raise ValueError(
            f"{hub_id} has no {CONFIG_FILE} on the hub, and no {ADAPTER_CONFIG}: name a model or an adapter there."
        )
    files = [name for name in (GENERATION_FILE,) if name in listed] + words
    if not weights:
        return CONFIG_FILE, files
    if kind is None:
        raise ValueError(f"{hub_id} has no {WEIGHT_FILES[0]} or {WEIGHT_FILES[2]} on the hub: use another model.")
    files.append(kind)
    if kind.endswith(".index.json"):
        stem, suffix = kind.removesuffix(".index.json").rsplit(".", 1)
        files += sorted(name for name in listed if re.fullmatch(rf"{stem}-\d+-of-\d+\.{suffix}", name))
    return CONFIG_FILE, files


def _is_refusal(error: Exception) -> bool:
    """Whether the hub was reached and said no: there is no such model, or not for this user."""
    from huggingface_hub.errors import RepositoryNotFoundError

    return isinstance(error, RepositoryNotFoundError)


def _sentence(name: str, hub_id: str, error: Exception, started: bool) -> Exception:
    """What to raise, in one sentence, for what the hub's client raised."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled

    disk = refusal(error) is not None or getattr(error, "errno", None) in FORBIDDEN
    if type(error) is ValueError or isinstance(error, Advice) or disk:
        return error  # read_config's sentence, or the disk's
    if isinstance(error, GatedRepoError):
        what, mend = f"{hub_id} is gated", "accept its terms on the hub and run `hf auth login`"
    elif _is_refusal(error):
        what, mend = f"the hub has no model {hub_id!r}, or it is private", "check the name"
    elif isinstance(error, HfHubHTTPError) and error.response is not None:
        what, mend = f"the hub answered {error.response.status_code} for {hub_id}", f"run `gpt2 fetch {name}` later"
    elif started:
        what, mend = f"the download of {hub_id} broke off", f"run `gpt2 fetch {name}` again"
    else:
        offline = isinstance(error, OfflineModeIsEnabled)
        reason = "HF_HUB_OFFLINE forbids to ask the hub" if offline else "the hub cannot be reached"
        what = f"{name} is not on this machine and {reason}"
        mend = f"run `gpt2 fetch {name}` where there is network"
    return Failure(what, {"": mend, "model": f"name a directory, or the bundled {BUNDLED}, as {{model}}"}, model=None)
