"""Which directory a model's name means: the bundled model, a directory, or a download from the hub.

In: the name of a model, as the user gives it. Out: a directory that holds config.json, weights and tokenizer files, or
an adapter. Nothing here imports torch. Files on this machine win: the network is asked only for what they lack.
Read next: files.py.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from gpt2.base.errors import Advice, UsageError
from gpt2.checkpoint.download import HUB_ID, cached, fetch
from gpt2.checkpoint.foreign import foreign_file
from gpt2.checkpoint.hf_config import CONFIG_FILE, adapter_base
from gpt2.checkpoint.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BUNDLED, HUB_IDS, WEIGHT_FILES
from gpt2.text.tokenizer_files import has_tokenizer

ASSETS = Path(__file__).parents[1] / "assets"

OTHER_NAMES = {
    f"gpt2{other}": name
    for name, others in {
        "gpt2": ("", "small", "base", "117m", "124m"), "gpt2-medium": ("medium", "345m", "355m"),
        "gpt2-large": ("large", "762m", "774m"), "gpt2-xl": ("xl", "extralarge", "1.5b", "1542m", "1558m"),
    }.items()
    for other in others
}  # fmt: skip
"""What else people call the sizes, in small letters without hyphens."""
CHOICES = f"a model is {BUNDLED} (the bundled one), a directory, or a hub id such as {HUB_IDS['gpt2']}"


def model_directory(name: str, download: bool = True, weights: bool = True) -> Path:
    """The directory of the model called `name`; the file, where a file is the whole checkpoint.

    name      "storyteller" (the bundled model), a directory, a preset (gpt2, gpt2-medium, gpt2-large,
              gpt2-xl, distilgpt2), a hub id OWNER/NAME, or a file of nanoGPT (also the directory that holds its
              ckpt.pt) or llm.c. A directory with a config.json wins over a preset
              or a hub id of the same name; `./storyteller` means a directory. A LoRA adapter
              means its base model's directory: `gpt2.checkpoint.files.load` merges the two
    download  whether a model that is not on this machine may be fetched from the hub
    weights   False where the tokenizer alone is wanted: then no weights are looked for or downloaded

    Raises UsageError for a name that means nothing, ValueError when the hub does not give the model.
    """
    place = own_directory(name, download, weights)
    return place if adapter_base(place) is None else base_directory(place, download, weights)


def own_directory(name: str, download: bool = True, weights: bool = True) -> Path:
    """The same, but an adapter's own directory for an adapter: `adapter_base` tells it from a model's."""
    if not name:
        raise UsageError(f"the model's name is empty: {CHOICES}.")
    if name == BUNDLED:
        return bundled_directory()
    path = Path(name).expanduser()
    if (path / ADAPTER_CONFIG).is_file() or (path / CONFIG_FILE).is_file():
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
    if path.parent.is_dir() and "/" in name and name not in HUB_IDS.values():
        raise _no_such_directory(name, path)
    return fetch(name, progress=False, weights=weights)


def base_directory(adapter: Path, download: bool = True, weights: bool = True) -> Path:
    """The directory of an adapter's base model, by the adapter's directory. Raises as `model_directory` does, and
    ValueError for a base that means nothing, and for one that is an adapter itself."""
    base = adapter_base(adapter)
    assert base is not None
    mend = (
        f"write the base model's directory or hub id there, as base_model_name_or_path in {adapter / ADAPTER_CONFIG}."
    )
    try:
        found = own_directory(base, download, weights)
    except UsageError:
        raise ValueError(
            f"the base model of the adapter {adapter} is {base!r}, which is no model here: {mend}"
        ) from None
    except ValueError as error:
        raise _asked(adapter, base, error) from None
    if adapter_base(found) is not None:
        raise ValueError(
            f"the base of the adapter {adapter} is an adapter itself: merge it, gpt2 export {base} DIR, and {mend}"
        )
    return found


def tokenizer_directory(name: str) -> Path:
    """The directory or file whose tokenizer is that of the model called `name`: an adapter's own, else its base's."""
    place = own_directory(name, weights=False)
    return place if adapter_base(place) is None or has_tokenizer(place) else base_directory(place, weights=False)


def fetch_whole(name: str, progress: bool = True) -> list[tuple[str, Path]]:
    """`fetch`, and for an adapter its base too, if the hub has it: the name and the directory of each."""
    found = [(name, fetch(name, progress))]
    base = adapter_base(found[0][1])
    if base is None:
        return found
    path = Path(base).expanduser()
    if HUB_ID.fullmatch(HUB_IDS.get(base, base)) and not (path / CONFIG_FILE).is_file():
        try:
            fetch(base, progress)
        except ValueError as error:
            raise _asked(found[0][1], base, error) from None
    directory = base_directory(found[0][1])
    return [*found, (base, directory)]


def _asked(adapter: Path, base: str, error: ValueError) -> ValueError:
    """The error about a base model, saying which adapter asks for it, and where another base is written."""
    asked = f"the adapter in {adapter} asks for its base model {base}, and "
    if not isinstance(error, Advice):
        return ValueError(f"{asked}{error}")
    error.problem = asked + error.problem
    if isinstance(error.mend, Mapping):  # `model` names the adapter, which is right
        there = f"write another directory as base_model_name_or_path in {adapter / ADAPTER_CONFIG}"
        error.mend = f"{error.mend['']}, or {there}."
    return error


def bundled_directory() -> Path:
    """The directory of the bundled model; ValueError when this installation lacks it."""
    directory = ASSETS / BUNDLED
    if not (directory / CONFIG_FILE).is_file():
        raise ValueError(f"the bundled model is missing from {directory}: install glassbox-gpt2 again.")
    return directory


def _no_such_directory(name: str, path: Path) -> UsageError:
    """Of a name that may be a hub id too, but whose owner is a directory here."""
    inside = [place for child in path.parent.iterdir() for place in (child, child / "model")]
    models = {
        str(place): place for place in inside if any((place / n).is_file() for n in (CONFIG_FILE, ADAPTER_CONFIG))
    }
    hub = f"if you mean a model of the hub, `gpt2 fetch {name}` downloads it."
    what = f"there is no directory {name}"
    near = difflib.get_close_matches(name, models, n=3, cutoff=0) if len(models) > 3 else models
    if not near:
        return UsageError(f"{what}, and {path.parent} holds no model: {hub}")
    return UsageError(f"{what}: did you mean {' or '.join(near)}? {hub[0].upper()}{hub[1:]}")


def _no_such_model(name: str, path: Path) -> UsageError:
    if (path / "model" / CONFIG_FILE).is_file() or (path / "model" / ADAPTER_CONFIG).is_file():
        return UsageError(f"{name} has no {CONFIG_FILE}, but holds a model", "try {model}", model=Path(name) / "model")
    if path.is_dir() and ((path / "hparams.json").is_file() or any(path.glob("*.ckpt.index"))):
        return UsageError(
            f"{name} holds OpenAI's TensorFlow checkpoint: write it in Hugging Face's format first, as "
            "docs/checkpoints.md shows."
        )
    for lacking, weights in ((ADAPTER_CONFIG, ADAPTER_WEIGHTS), (CONFIG_FILE, WEIGHT_FILES)):
        there = next((file for file in weights if (path / file).is_file()), "")
        if there:
            return UsageError(f"{name} holds {there} and no {lacking}: copy its {lacking} into {name} too.")
    if path.is_dir():
        return UsageError(f"{name} has no {CONFIG_FILE}: choose a directory that holds a checkpoint.")
    if path.exists():
        what = f"{name} is a file, and not one of nanoGPT or llm.c"
        if (path.parent / CONFIG_FILE).is_file():
            return UsageError(what, "use the directory that holds it, {model}.", model=path.parent)
        return UsageError(f"{what}: choose the directory of a checkpoint, which holds a {CONFIG_FILE}.")
    plain = re.sub(r"[-_ ]", "", name.lower())  # GPT2_Small and gpt-2-small are gpt2small
    near = [OTHER_NAMES[plain]] if plain in OTHER_NAMES else difflib.get_close_matches(name, [BUNDLED, *HUB_IDS], n=1)
    return UsageError(f"there is no model {name!r}: " + (f"did you mean {near[0]}?" if near else f"{CHOICES}."))
