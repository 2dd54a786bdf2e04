"""`gpt2 fetch`: download a model from the Hugging Face hub, so that it loads without network from then on.

In: a hub id or a preset's name. Out: the directory in huggingface_hub's cache, and its size.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from gpt2.base.counted import counted
from gpt2.base.visible import quoted
from gpt2.cli.common import Flag, console, print_json
from gpt2.cli.info import size


@dataclass
class Command:
    """Download a model: configuration, weights and tokenizer, no code. With an adapter comes its base.

    It lies in Hugging Face's cache (HF_HOME says where), shared with transformers, and every
    command loads it from there without network.

    example: gpt2 fetch gpt2
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ID")]
    """OWNER/NAME on the hub, or gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2."""
    json: Flag = False
    """Print JSON: {"model", "directory", "bytes", "files"}, and "base", the same for an adapter's; no progress."""

    SPELLED: ClassVar[dict[str, str]] = {"model": "--model"}  # the option of the commands that load what is fetched

    def run(self) -> None:
        """Download, and say where it is."""
        from rich.text import Text

        from gpt2.checkpoint.hub import fetch_whole
        from gpt2.cli.terminal import as_they_are

        with as_they_are():  # the bars are those of huggingface_hub
            found = fetch_whole(self.model, progress=not self.json)
        facts = [held(name, directory) for name, directory in found]
        if self.json:
            print_json(facts[0] | ({"base": facts[1]} if len(facts) > 1 else {}))
        else:
            for one in facts:
                line = (
                    f"{one['model']}: {counted(len(one['files']), 'file')}, {size(one['bytes'])}, in {one['directory']}"
                )
                console().print(Text(line), soft_wrap=True)
            console().print(Text(f"try: gpt2 next --model {quoted(self.model)} 'The cat sat on the'"), soft_wrap=True)


def held(name: str, place: Path) -> dict[str, Any]:
    """What lies in a directory, or the file itself; sizes in bytes."""
    paths = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    files = {path.relative_to(place).as_posix() if path != place else path.name: path.stat().st_size for path in paths}
    return {"model": name, "directory": str(place), "bytes": sum(files.values()), "files": files}
