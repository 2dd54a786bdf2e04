"""A tokenizer's files, written so that transformers reads from them what it read from the ones they come from.

In: a tokenizer's content, and the directory's files that it was made of, if any. Out: a directory's tokenizer files.
`Tokenizer.save` calls it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2.base.errors import UsageError
from gpt2.base.ours import always, stranger
from gpt2.text.assembled import Assembled
from gpt2.text.byte_level import EOT, merges_of
from gpt2.text.tokenizer_files import NAMES, SETTINGS, WORD_LIST, WRITTEN, Kind, SideFiles, ends_of


@dataclass(frozen=True)
class Written:
    """What is to be written.

    content  as of a tokenizer.json
    found    the files that it was made of, None for a tokenizer that was made here
    ids      token -> id, added tokens included
    ends     "eos" and "bos" -> id
    kind     the class that is to read it
    """

    content: dict[str, Any]
    found: Assembled | None
    ids: Mapping[str, int]
    ends: Mapping[str, int]
    kind: Kind

    def write(self, folder: Path, context: int | None, overwrite: bool) -> None:
        """Write every file; `context` is the longest text of the model beside it.

        Raises UsageError, before anything is written, for a file with other content in its place unless `overwrite`.
        """
        side = SideFiles() if self.found is None else self.found.side
        settings = self._settings(side, context)
        files = {} if {"tokenizer.json", WORD_LIST} & side.kept.keys() else self._vocabulary(settings)
        files |= side.kept | {SETTINGS: f"{json.dumps(settings, indent=2)}\n".encode()}
        for name, data in files.items():
            _check(folder / name, data, overwrite)
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _write(folder / name, data)

    def _vocabulary(self, settings: Mapping[str, Any]) -> dict[str, bytes]:
        """vocab.json and merges.txt, and a tokenizer.json where transformers reads the same from it."""
        files = {}
        if self.kind in ("gpt2", "roberta"):
            model = self.content["model"]
            files["vocab.json"] = json.dumps(model["vocab"], ensure_ascii=False)
            lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges_of(model))]
            files["merges.txt"] = "\n".join(lines) + "\n"
        if not any(settings.get(f"add_{end}_token") for end in ("bos", "eos")):
            files["tokenizer.json"] = json.dumps(self.content, ensure_ascii=False, indent=1)
        return {name: text.encode() for name, text in files.items()}

    def _settings(self, side: SideFiles, context: int | None) -> dict[str, Any]:
        """What tokenizer_config.json is to say: what it said, and what other files said before."""
        settings: dict[str, Any] = {}
        if side.settings is None and NAMES not in side.kept:
            named_by_class = self.found is None or self.kind != "file"  # a tokenizer.json alone names no ends
            settings |= (self._names() if named_by_class else {}) | {"clean_up_tokenization_spaces": False}
            settings |= {} if context is None or self.found is not None else {"model_max_length": context}
            settings |= {"add_prefix_space": False} if self.kind in ("gpt2", "roberta") else {}
        settings |= side.settings or {}
        class_name = None if self.found is None else self.found.class_name
        settings["tokenizer_class"] = settings.get("tokenizer_class") or class_name or WRITTEN[self.kind]
        named: Mapping[str, Any] = settings if self.found is None else self.found.named.tokens
        explicit = settings.keys() if self.found is None else self.found.named.explicit
        eos, bos = self.ends.get("eos"), self.ends.get("bos")
        if eos is not None and eos != ends_of(named, self.ids).get("eos", self.ids.get(EOT)):
            settings["eos_token_id"] = eos
        if bos is not None and bos != eos and "bos_token" not in explicit and not settings.get("bos_token"):
            settings["bos_token_id"] = bos
        return settings

    def _names(self) -> dict[str, str]:
        """The ends as tokenizer_config.json names them, as far as naming them adds no token."""
        special = {token["id"]: token["content"] for token in self.content.get("added_tokens") or []}
        ends = {"bos_token": self.ends.get("bos"), "eos_token": self.ends.get("eos"), "unk_token": self.ends.get("eos")}
        return {name: special[i] for name, i in ends.items() if i in special}


def _check(path: Path, data: bytes, overwrite: bool) -> None:
    """Whether a file may be written: it is new, or holds the same already; or with `overwrite` it is no link."""
    if not path.exists() and not path.is_symlink():
        return
    if stranger(path, always) is not None:
        raise UsageError(f"{path} is not a file of a tokenizer: choose another directory.")
    if not overwrite and path.read_bytes() != data:
        raise UsageError(
            f"{path} is there already", "choose another directory, or replace it with {overwrite}.", overwrite=True
        )


def _write(path: Path, data: bytes) -> None:
    """Write whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
