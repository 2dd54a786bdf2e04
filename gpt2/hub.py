"""Which directory a model's name means: the bundled model, a directory, or a download from the hub.

In: what the user typed after `--model`. Out: a directory that holds config.json, weights and tokenizer files.
Nothing here imports torch. Files on this machine win: the network is asked only for what they lack.
Read next: checkpoint.py.
"""

import difflib
import os
import re
from pathlib import Path
from typing import Any

from gpt2.config import PRESETS
from gpt2.errors import UsageError
from gpt2.hf_config import CONFIG_FILE, read_config, read_json

BUNDLED = "storyteller"
ASSETS = Path(__file__).parent / "assets"
HUB_IDS = {name: f"openai-community/{name}" for name in PRESETS} | {"distilgpt2": "distilbert/distilgpt2"}

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt",
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
# In order of preference: safetensors first, because a .bin file is a pickle (and is read as tensors only).
WEIGHT_FILES = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
)  # fmt: skip
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
CHOICES = f"--model takes {BUNDLED} (the bundled model), a directory, or a hub id such as {HUB_IDS['gpt2']}"


def model_directory(name: str, download: bool = True) -> Path:
    """The directory of the model called `name`.

    name      "storyteller" (the bundled model), a directory, a preset (gpt2, gpt2-medium, gpt2-large,
              gpt2-xl, distilgpt2), or a hub id OWNER/NAME. A directory with a config.json wins over a preset
              or a hub id of the same name; `./storyteller` means a directory
    download  whether a model that is not on this machine may be fetched from the hub

    Raises UsageError for a name that means nothing, ValueError when the hub does not give the model.
    """
    if not name:
        raise UsageError(f"--model is empty: {CHOICES}.")
    if name == BUNDLED:
        return bundled_directory()
    path = Path(name).expanduser()
    if (path / CONFIG_FILE).is_file():
        return path
    hub_id = HUB_IDS.get(name, name)
    if not HUB_ID.fullmatch(hub_id) or (path.is_dir() and name not in HUB_IDS):
        raise UsageError(_no_such_model(name, path))
    found = cached(name)
    if found is not None:
        return found
    if not download:
        raise ValueError(f"{name} is not on this machine: `gpt2 fetch {name}` downloads it.")
    return fetch(name, progress=False)


def bundled_directory() -> Path:
    """The directory of the bundled model; ValueError when this installation lacks it."""
    directory = ASSETS / BUNDLED
    if not (directory / CONFIG_FILE).is_file():
        raise ValueError(f"the bundled model is missing from {directory}: install glassbox-gpt2 again.")
    return directory


def _no_such_model(name: str, path: Path) -> str:
    if path.is_dir():
        return f"{name} has no {CONFIG_FILE}: --model takes a directory that holds a checkpoint."
    if path.exists():
        return f"{name} is a file: --model takes the directory that holds it."
    near = difflib.get_close_matches(name, [BUNDLED, *HUB_IDS], n=1)
    return f"there is no model {name!r}: " + (f"did you mean {near[0]}?" if near else f"{CHOICES}.")


def weight_files(directory: Path) -> list[Path]:
    """The files that hold a checkpoint's weights, in the order of its index; those it names may be missing.

    Raises ValueError when there are none, or when the index is not one.
    """
    for name in WEIGHT_FILES:
        path = directory / name
        if not path.is_file():
            continue
        if not name.endswith(".index.json"):
            return [path]
        index = read_json(path).get("weight_map")
        shards: list[Any] = list(index.values()) if isinstance(index, dict) else [None]
        # A shard lies beside its index: a path that leads elsewhere is not followed.
        if not all(isinstance(shard, str) and Path(shard).name == shard for shard in shards):
            raise ValueError(f"{path} has no weight_map of file names: write or download it again.")
        return [directory / shard for shard in dict.fromkeys(shards)]
    raise ValueError(f"{directory} has no weights: put {WEIGHT_FILES[0]} or {WEIGHT_FILES[2]} there.")


def cached(name: str) -> Path | None:
    """The complete copy of a hub model in huggingface_hub's cache, or None; asks no network."""
    from huggingface_hub import try_to_load_from_cache

    for hub_id in dict.fromkeys(
        (HUB_IDS.get(name, name), name)
    ):  # transformers stores `gpt2` under that name
        config = try_to_load_from_cache(hub_id, CONFIG_FILE)
        if isinstance(config, str) and _complete(Path(config).parent):
            return Path(config).parent
    return None


def _complete(directory: Path) -> bool:
    try:
        return all(path.is_file() for path in weight_files(directory))
    except ValueError:
        return False


def fetch(name: str, progress: bool = True) -> Path:
    """Download what a model needs (never code, never a second format) into huggingface_hub's cache.

    An interrupted download goes on where it stopped. Returns the directory. Raises ValueError with the reason
    and the mend when the hub cannot be reached or does not have a GPT-2 of this name.
    """
    hub_id = HUB_IDS.get(name, name)
    if not HUB_ID.fullmatch(hub_id):
        raise UsageError(_no_such_model(name, Path(name)) if name else "no hub id: type one, such as gpt2.")
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    quiet = not progress and not are_progress_bars_disabled()
    if quiet:
        disable_progress_bars()
    try:
        listed = {file.rfilename for file in HfApi().model_info(hub_id).siblings or ()}
        wanted = _wanted(hub_id, listed)
        # The configuration first: another architecture is refused before gigabytes are on their way.
        read_config(Path(hf_hub_download(hub_id, CONFIG_FILE)).parent)
        directory = Path(snapshot_download(hub_id, allow_patterns=wanted))
    except Exception as error:  # the hub's own errors, and those of whichever HTTP client it uses
        if _is_ours(error):
            raise
        raise ValueError(_why(hub_id, error)) from error
    finally:
        if quiet:
            enable_progress_bars()
    if not _complete(directory):
        raise ValueError(f"the download of {hub_id} is incomplete: run `gpt2 fetch {name}` again.")
    return directory


def _wanted(hub_id: str, listed: set[str]) -> list[str]:
    """The files to download, of those that the hub lists."""
    if CONFIG_FILE not in listed:
        raise UsageError(f"{hub_id} has no {CONFIG_FILE} on the hub: it is no model that can be loaded.")
    kind = next((name for name in WEIGHT_FILES if name in listed), None)
    if kind is None:
        raise UsageError(f"{hub_id} has no weights as {WEIGHT_FILES[0]} or {WEIGHT_FILES[2]} on the hub.")
    files = [CONFIG_FILE, kind]
    files += [name for name in ("generation_config.json", *TOKENIZER_FILES) if name in listed]
    if kind.endswith(".index.json"):
        stem, suffix = kind.removesuffix(".index.json").rsplit(".", 1)
        files += sorted(name for name in listed if re.fullmatch(rf"{stem}-\d+-of-\d+\.{suffix}", name))
    return files


def _is_ours(error: Exception) -> bool:
    """A sentence of this package's, or the disk's: to be shown as it is."""
    from huggingface_hub import errors

    theirs = (errors.HfHubHTTPError, errors.HFValidationError, errors.LocalEntryNotFoundError)
    return isinstance(error, ValueError | OSError) and not isinstance(
        error, (*theirs, ConnectionError, TimeoutError)
    )


def _why(hub_id: str, error: Exception) -> str:
    """One sentence for what the hub's client raised."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return f"{hub_id} is gated: accept its terms on the hub, `hf auth login`, then `gpt2 fetch {hub_id}`."
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no model {hub_id!r}, or it is private: check the name, or use --model {BUNDLED}."
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return (
            f"the hub answered {error.response.status_code} for {hub_id}: try `gpt2 fetch {hub_id}` later, "
            f"or use --model DIR or --model {BUNDLED}."
        )
    offline = "HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") else "the hub cannot be reached"
    return (
        f"{hub_id} is not on this machine and {offline}: run `gpt2 fetch {hub_id}` where there is network, "
        f"or use --model DIR or the bundled --model {BUNDLED}."
    )
