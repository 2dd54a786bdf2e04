"""`gpt2 fetch`: download a model from the Hugging Face hub, so that it loads without network from then on.

In: a hub id or a preset's name. Out: the directory in huggingface_hub's cache, and its size.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import tyro

from gpt2.base.counted import counted
from gpt2.cli.common import Flag, console, print_json
from gpt2.cli.info import size


@dataclass
class Command:
    """Download a model: configuration, weights and tokenizer, no code.

    It lies in Hugging Face's cache (HF_HOME says where), shared with transformers, and every
    command loads it from there without network.

    example: gpt2 fetch gpt2
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ID")]
    """OWNER/NAME on the hub, or gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2."""
    json: Flag = False
    """Print JSON: {"model", "directory", "bytes", "files"}; no progress."""

    SPELLED: ClassVar[dict[str, str]] = {"model": "--model"}  # the option of the commands that load what is fetched

    def run(self) -> None:
        """Download, and say where it is."""
        from rich.text import Text

        from gpt2.checkpoint.hub import fetch

        directory = fetch(self.model, progress=not self.json)
        files = {path.name: path.stat().st_size for path in sorted(directory.iterdir()) if path.is_file()}
        total = sum(files.values())
        if self.json:
            facts = {"model": self.model, "directory": str(directory), "bytes": total, "files": files}
            print_json(facts)
        else:
            line = f"{self.model}: {counted(len(files), 'file')}, {size(total)}, in {directory}"
            console().print(Text(line), soft_wrap=True)
            console().print(Text(f"try: gpt2 next --model {self.model} 'The cat sat on the'"), soft_wrap=True)
