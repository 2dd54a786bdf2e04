"""Whether the model of a run's checkpoint is still what the run wrote: its hashes stand in training.json beside it.

In: the directory of a model. Out: a note about a file that differs, or nothing. Read next: files.py, which loads it,
and gpt2/training/run/intact.py, which writes the hashes and refuses to go on from what differs.
"""

from pathlib import Path

from gpt2.base.kinds import parse_own
from gpt2.base.notes import note
from gpt2.base.sealed import hash_file, read_text

HASHES = "training.json"


def tell_damage(model: Path) -> None:
    """Say which file in a checkpoint's model is not what was written; nothing for the model of no checkpoint.

    It is a note alone, since the model may have been changed on purpose. Each file is read once for its hash.
    """
    try:
        hashes = parse_own(read_text(model.parent / HASHES), {"hashes": {str: str}})["hashes"]
    except (OSError, ValueError):  # none there, or one without hashes, or damaged itself, which resuming says
        return
    for path in sorted(model.iterdir()) if model.is_dir() else ():
        expected = hashes.get(f"{model.name}/{path.name}")
        if expected is not None and hash_file(path) != expected:
            note(
                f"{path} is not what the run wrote, since its SHA-256 is not that in {model.parent / HASHES}: it is "
                "damaged, or was changed later."
            )
