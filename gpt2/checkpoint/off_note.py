"""What config.json says of components that were switched off in the weights themselves.

In: which, by what, and over which text the means were taken. Out: an entry of the field `glassbox_off`, and sentences
for a reader. transformers carries the field and does nothing with it. Read next: explain/change/folded.py, which
switches off; files.py, which writes the field.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpt2.base.foreign import shortened
from gpt2.checkpoint.hf_config import CONFIG_FILE, read_json, settings_of

OFF = "glassbox_off"


def off_entry(components: Sequence[str], kind: str, means: Mapping[str, Any] | None) -> dict[str, Any]:
    """One entry: {"components", "kind"}, and for means {"means": what `Reference.to_dict` says of the text}."""
    said: dict[str, Any] = {"components": list(components), "kind": kind}
    return said if means is None else said | {"means": dict(means)}


def off_entries(model: Any) -> list[dict[str, Any]]:
    """All entries of a model, the oldest first: those of its config.json, and those of `fold`."""
    settings = settings_of(model)
    return getattr(model, "switched_off", None) or _checked({} if settings is None else settings.config)


def off_in(directory: Path) -> list[dict[str, Any]]:
    """The entries in the config.json of a checkpoint; none for a file of another project."""
    path = directory / CONFIG_FILE
    return _checked(read_json(path)) if path.is_file() else []


def _checked(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries = fields.get(OFF) or []
    off_sentence(entries)
    return list(entries)


def off_sentence(entries: Any) -> str:
    """Such as "7.head.1 (mean over stories.txt), 3.mlp (zero)"; ValueError for a field that holds something else."""
    try:
        parts = []
        for entry in entries:
            kind = str(entry["kind"])
            over = f"{kind} over {entry['means']['text']}" if "means" in entry else kind
            parts.append(f"{', '.join(map(str, entry['components']))} ({over})")
    except (TypeError, KeyError):
        raise ValueError(
            f"config.json: {OFF} is {shortened(entries)}, which is no list of what is off: take the field out."
        ) from None
    return "; ".join(parts)
