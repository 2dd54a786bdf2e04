"""Which directory a model's name means: the bundled model, a directory, or a download from the hub.

In: the name of a model, as the user gives it. Out: a directory that holds config.json, weights and tokenizer files.
Nothing here imports torch. Files on this machine win: the network is asked only for what they lack.
Read next: checkpoint.py.
"""

import difflib
import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpt2.base.errors import Advice, Failure, UsageError
from gpt2.base.fields import shortened
from gpt2.base.presets import PRESETS
from gpt2.checkpoint.foreign import foreign_file
from gpt2.checkpoint.hf_config import CONFIG_FILE, read_config, read_json
from gpt2.text.tokenizer_files import has_tokenizer

BUNDLED = "storyteller"
ADAPTER_CONFIG = "adapter_config.json"  # of a LoRA adapter, as `peft` writes it
ASSETS = Path(__file__).parents[1] / "assets"
HUB_IDS = {name: f"openai-community/{name}" for name in PRESETS} | {"distilgpt2": "distilbert/distilgpt2"}

OTHER_NAMES = {
    f"gpt2{other}": name
    for name, others in {
        "gpt2": ("", "small", "base", "117m", "124m"), "gpt2-medium": ("medium", "345m", "355m"),
        "gpt2-large": ("large", "762m", "774m"), "gpt2-xl": ("xl", "extralarge", "1.5b", "1542m", "1558m"),
    }.items()
    for other in others
}  # fmt: skip
"""What else people call the sizes, in small letters without hyphens."""
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt",
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
# In order of preference: safetensors first, because a .bin file is a pickle (and is read as tensors only).
WEIGHT_FILES = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
)  # fmt: skip
# Weights of other frameworks, of another precision (transformers' `variant`), and quantised ones.
OTHER_WEIGHTS = re.compile(
    r"tf_model\.h5|flax_model\.msgpack|model\.ckpt.*|rust_model\.ot|.*\.(gguf|onnx|safetensors|bin|index.*\.json)"
)
TIMEOUT = 10.0  # seconds to wait for the hub's answer
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
CHOICES = f"a model is {BUNDLED} (the bundled one), a directory, or a hub id such as {HUB_IDS['gpt2']}"


def model_directory(name: str, download: bool = True, weights: bool = True) -> Path:
    """The directory of the model called `name`; the file, where a file is the whole checkpoint.

    name      "storyteller" (the bundled model), a directory, a preset (gpt2, gpt2-medium, gpt2-large,
              gpt2-xl, distilgpt2), a hub id OWNER/NAME, or a file of nanoGPT (also the directory that holds its
              ckpt.pt) or llm.c. A directory with a config.json wins over a preset
              or a hub id of the same name; `./storyteller` means a directory. A LoRA adapter's directory
              means its base model's: `gpt2.checkpoint.files.load` merges the two
    download  whether a model that is not on this machine may be fetched from the hub
    weights   False where the tokenizer alone is wanted: then no weights are looked for or downloaded

    Raises UsageError for a name that means nothing, ValueError when the hub does not give the model.
    """
    if not name:
        raise UsageError(f"the model's name is empty: {CHOICES}.")
    if name == BUNDLED:
        return bundled_directory()
    path = Path(name).expanduser()
    base = adapter_base(path)
    if base is not None:
        return model_directory(base, download, weights)
    if (path / CONFIG_FILE).is_file():
        return path
    file = foreign_file(path)
    if file is not None:
        return file
    hub_id = HUB_IDS.get(name, name)
    if not HUB_ID.fullmatch(hub_id) or (path.exists() and name not in HUB_IDS):
        raise _no_such_model(name, path)
    found = cached(name, weights)
    if found is not None:
        return found
    if not download:
        raise ValueError(f"{name} is not on this machine: `gpt2 fetch {name}` downloads it.")
    return fetch(name, progress=False, weights=weights)


def adapter_base(directory: Path) -> str | None:
    """The name of the model that a LoRA adapter's directory belongs to; None for any other directory.

    Raises ValueError when the adapter does not name it, or names a directory that holds no model; and for a directory
    with both an adapter and a model, which transformers and peft read differently.
    """
    path = directory / ADAPTER_CONFIG
    if not path.is_file():
        return None
    if (directory / CONFIG_FILE).is_file() and any((directory / name).is_file() for name in WEIGHT_FILES):
        raise ValueError(f"{directory} holds a model and an adapter: move {ADAPTER_CONFIG} away, or the model.")
    base = read_json(path).get("base_model_name_or_path")
    mend = f"write the base model's directory or hub id there, as base_model_name_or_path in {path}."
    if not isinstance(base, str) or not base:
        raise ValueError(f"the adapter {directory} does not name its base model: {mend}")
    own = Path(base).expanduser()
    if base != BUNDLED and not (own / CONFIG_FILE).is_file() and (own / ADAPTER_CONFIG).is_file():
        raise ValueError(
            f"the base of the adapter {directory} is an adapter itself: merge it, gpt2 export {base} DIR, and {mend}"
        )
    if own.is_absolute() and not (own / CONFIG_FILE).is_file():
        raise ValueError(f"the base model of the adapter {directory} is not in {base}: {mend}")
    return base


def bundled_directory() -> Path:
    """The directory of the bundled model; ValueError when this installation lacks it."""
    directory = ASSETS / BUNDLED
    if not (directory / CONFIG_FILE).is_file():
        raise ValueError(f"the bundled model is missing from {directory}: install glassbox-gpt2 again.")
    return directory


def _no_such_model(name: str, path: Path) -> UsageError:
    if (path / "model" / CONFIG_FILE).is_file() or (path / "model" / ADAPTER_CONFIG).is_file():
        return UsageError(f"{name} has no {CONFIG_FILE}, but holds a model", "try {model}", model=Path(name) / "model")
    if path.is_dir() and ((path / "hparams.json").is_file() or any(path.glob("*.ckpt.index"))):
        return UsageError(
            f"{name} holds OpenAI's TensorFlow checkpoint: write it in Hugging Face's format first, as "
            "docs/checkpoints.md shows."
        )
    if path.is_dir():
        return UsageError(f"{name} has no {CONFIG_FILE}: choose a directory that holds a checkpoint.")
    if path.exists():
        return UsageError(f"{name} is a file, and not one of nanoGPT or llm.c: type the directory that holds it.")
    plain = re.sub(r"[-_ ]", "", name.lower())  # GPT2_Small and gpt-2-small are gpt2small
    near = [OTHER_NAMES[plain]] if plain in OTHER_NAMES else difflib.get_close_matches(name, [BUNDLED, *HUB_IDS], n=1)
    return UsageError(f"there is no model {name!r}: " + (f"did you mean {near[0]}?" if near else f"{CHOICES}."))


def weight_files(directory: Path) -> list[Path]:
    """The files that hold a checkpoint's weights, in the order of its index; those it names may be missing.

    The first of `WEIGHT_FILES` that is there, as transformers has it, unless config.json names another file as
    `transformers_weights`. Raises ValueError when there are none, and when the index is not one.
    """
    if directory.is_file():
        return [directory]
    for name in _candidates(directory):
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
    others = sorted(path.name for path in directory.iterdir() if path.is_file() and OTHER_WEIGHTS.fullmatch(path.name))
    instead = f" that are read here, only {shortened(others[0])}" if others else ""
    raise ValueError(f"{directory} has no weights{instead}: put {WEIGHT_FILES[0]} or {WEIGHT_FILES[2]} there.")


def _candidates(directory: Path) -> tuple[str, ...]:
    """Names of the file that holds the weights or their index, in order of preference."""
    config = directory / CONFIG_FILE
    named = read_json(config).get("transformers_weights") if config.is_file() else None
    if named is None:
        return WEIGHT_FILES
    fits = isinstance(named, str) and named.endswith((".safetensors", ".safetensors.index.json"))
    if not fits or Path(named).name != named or not (directory / named).is_file():
        raise ValueError(
            f"{config}: transformers_weights is {shortened(named)}, which is no safetensors file there: copy it there, "
            "or take the field out."
        )
    return (named,)


def cached(name: str, weights: bool = True) -> Path | None:
    """The complete copy of a hub model in huggingface_hub's cache, or None; asks no network."""
    from huggingface_hub import try_to_load_from_cache

    for hub_id in dict.fromkeys((HUB_IDS.get(name, name), name)):  # transformers stores `gpt2` under that name
        config = try_to_load_from_cache(hub_id, CONFIG_FILE)
        if isinstance(config, str) and _complete(Path(config).parent, weights):
            return Path(config).parent
    return None


def _complete(directory: Path, weights: bool) -> bool:
    """Whether tokenizer and `weights` are there: transformers downloads one without the other."""
    try:
        return has_tokenizer(directory) and not (weights and any(not p.is_file() for p in weight_files(directory)))
    except ValueError:
        return False


def fetch(name: str, progress: bool = True, weights: bool = True) -> Path:
    """Download what a model needs (no code, no second format) into huggingface_hub's cache.

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

    with _quiet_hub(progress):
        try:
            listed = {file.rfilename for file in HfApi().model_info(hub_id, timeout=TIMEOUT).siblings or ()}
        except Exception as error:  # the hub's own errors, and those of whichever HTTP client it uses
            found = None if _is_refusal(error) else cached(name, weights)
            if found is not None:
                return found
            raise _sentence(name, hub_id, error, started=False) from error
        wanted = _wanted(hub_id, listed, weights)
        try:
            # The configuration first: another architecture is refused before gigabytes are on their way.
            directory = Path(hf_hub_download(hub_id, CONFIG_FILE)).parent
            read_config(directory)
            # One after the other: snapshot_download's threads would hold up Ctrl-C until their files are done.
            for file in wanted:
                hf_hub_download(hub_id, file, revision=directory.name)  # all of the commit that came first
        except Exception as error:
            raise _sentence(name, hub_id, error, started=True) from error
    missing = [path.name for path in weight_files(directory) if not path.is_file()] if weights else []
    if missing:
        raise ValueError(f"{hub_id} lacks {missing[0]} on the hub, which its index names: use another model.")
    return directory


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


def _wanted(hub_id: str, listed: set[str], weights: bool) -> list[str]:
    """The files to download beside config.json, of those that the hub lists; the large ones last."""
    if CONFIG_FILE not in listed:
        raise ValueError(f"{hub_id} has no {CONFIG_FILE} on the hub: name a model that has one.")
    files = [name for name in ("generation_config.json", *TOKENIZER_FILES) if name in listed]
    if not weights:
        return files
    kind = next((name for name in WEIGHT_FILES if name in listed), None)
    if kind is None:
        raise ValueError(f"{hub_id} has no {WEIGHT_FILES[0]} or {WEIGHT_FILES[2]} on the hub: use another model.")
    files.append(kind)
    if kind.endswith(".index.json"):
        stem, suffix = kind.removesuffix(".index.json").rsplit(".", 1)
        files += sorted(name for name in listed if re.fullmatch(rf"{stem}-\d+-of-\d+\.{suffix}", name))
    return files


def _is_refusal(error: Exception) -> bool:
    """Whether the hub was reached and said no: there is no such model, or not for this user."""
    from huggingface_hub.errors import RepositoryNotFoundError

    return isinstance(error, RepositoryNotFoundError)


def _sentence(name: str, hub_id: str, error: Exception, started: bool) -> Exception:
    """What to raise, in one sentence, for what the hub's client raised."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled

    if type(error) is ValueError or isinstance(error, Advice) or getattr(error, "errno", None) in DISK:
        return error  # read_config's sentence, or the disk's
    otherwise = f"or name a directory, or the bundled {BUNDLED}, as {{model}}."
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
    return Failure(what, f"{mend}, {otherwise}", model=None)
