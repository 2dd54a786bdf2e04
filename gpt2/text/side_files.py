"""The files beside a tokenizer's vocabulary: read once, and written again as they were.

In: a directory. Out: what tokenizer_config.json, special_tokens_map.json and added_tokens.json say, and the bytes of
these and of the chat templates, so that a saved tokenizer loses nothing of what transformers reads.
`gpt2/text/assembled.py` asks for the first, `Tokenizer.save` for the second.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpt2.base.lfs import refuse_pointer
from gpt2.text.tokenizer_files import LAYOUTS, WORD_LIST, read_object, write_bytes

SETTINGS, NAMES, LATER = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
TEMPLATES = "additional_chat_templates"
CARRIED = (NAMES, LATER, "chat_template.jinja", "chat_template.json")


@dataclass(frozen=True)
class SideFiles:
    """What stands beside a vocabulary.

    settings  tokenizer_config.json, None where there is no such file
    kept      path within the directory -> bytes: every file of the tokenizer but tokenizer_config.json
    """

    settings: dict[str, Any] | None = None
    kept: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path, more: Mapping[str, Any]) -> None:
        """Write the files again; `more` are settings that tokenizer_config.json lacks."""
        for name, data in self.kept.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / name, data)
        text = json.dumps({**(self.settings or {}), **more}, indent=2) + "\n"
        write_bytes(folder / SETTINGS, text.encode())


def read_side_files(folder: Path) -> SideFiles:
    """The files beside a vocabulary, and those of the vocabulary that transformers would read."""
    names = ["tokenizer.json", *LAYOUTS[0], WORD_LIST, *CARRIED]
    names += [f"{TEMPLATES}/{path.name}" for path in sorted((folder / TEMPLATES).glob("*.jinja"))]
    paths = {name: folder / name for name in names if (folder / name).is_file()}
    for path in paths.values():
        refuse_pointer(path)
    kept = {name: path.read_bytes() for name, path in paths.items()}
    settings = read_object(folder / SETTINGS) if (folder / SETTINGS).is_file() else None
    return SideFiles(settings, kept)
