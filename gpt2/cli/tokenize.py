"""`gpt2 tokenize`: a text as the model sees it.

In: a text and the name of a model, of which only the tokenizer is read. Out: its tokens, for eyes or as JSON.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from gpt2.cli.common import Flag, TokenizerName

if TYPE_CHECKING:
    from gpt2.text.tokenizer import Tokenizer


@dataclass
class Command:
    """The tokens of a text: position, id, and the token itself.

    A space is shown as ·, a token that is not whole UTF-8 as \\xNN.

    example: gpt2 tokenize "The cat sat on the"
    """

    text: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TEXT]", help_behavior_hint="")] = None
    """The text, in quotes; `-` or none: standard input."""
    model: Annotated[str, tyro.conf.arg(metavar="MODEL")] = "storyteller"
    """The bundled model, a directory, or a Hugging Face id."""
    tokenizer: TokenizerName = None
    """Take the tokenizer of this directory, prepared data set or model instead."""
    allow_special: Flag = False
    """Read <|endoftext|> in the text as the special token; otherwise it is ordinary text."""
    json: Flag = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Print the tokens; torch is not needed and not imported."""
        from gpt2.base.counted import counted
        from gpt2.cli.common import print_json, read_text, wide_console
        from gpt2.cli.console import progress
        from gpt2.cli.hints import tell_file
        from gpt2.cli.next import readable
        from gpt2.text.ids import encode_told

        text = read_text(self.text)
        tell_file(text)
        tokenizer = load_tokenizer(self.model, self.tokenizer)
        ids = encode_told(tokenizer, text, self.allow_special)
        if self.json:
            tokens = [readable(tokenizer, token_id) for token_id in ids]
            print_json({"model": self.model, "ids": ids, "tokens": tokens})
            return

        from rich.table import Table
        from rich.text import Text

        out = wide_console()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("position", justify="right", no_wrap=True)
        table.add_column("id", justify="right", no_wrap=True)
        table.add_column("token", overflow="fold")
        with progress("naming the tokens") as tell:
            for position, token_id in enumerate(ids):
                tell(position, len(ids))
                token = Text(tokenizer.label(token_id), style="bold")
                table.add_row(str(position), str(token_id), token)
        out.print(table)
        size = sum(len(tokenizer.token_bytes(token_id)) for token_id in ids)
        out.print(f"{counted(len(ids), 'token')}, {counted(size, 'byte')}, {size / len(ids):.2f} bytes per token")


def load_tokenizer(name: str, instead: str | None = None) -> "Tokenizer":
    """The tokenizer of a model by name, or of a directory that holds one and perhaps no model; or the one `instead`."""
    from gpt2.checkpoint.tokenizer_of import asked_tokenizer, named_tokenizer
    from gpt2.cli.console import progress

    with progress("reading the tokenizer"):
        return named_tokenizer(name) if instead is None else asked_tokenizer(instead)
