"""`gpt2 tokenize`: a text as the model sees it."""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass
class Command:
    """Show the tokens of a text: position, id, and the token with its spaces made visible (·).

    example: gpt2 tokenize "The cat sat on the"
    """

    text: Annotated[str | None, tyro.conf.Positional] = None
    """The text; standard input when it is left out or is -."""

    model: str = "storyteller"
    """Whose tokenizer: the bundled model's, a directory's, or a Hugging Face id's."""

    allow_special: bool = False
    """Read <|endoftext|> in the text as the special token instead of ordinary text."""

    json: bool = False
    """Print JSON: {"model", "ids", "tokens"}."""

    def run(self) -> None:
        """Needs the tokenizer's files only, so torch is never imported."""
        from gpt2.hub import model_directory
        from gpt2.cli.common import console, print_json, read_text
        from gpt2.tokenizer import Tokenizer, visible

        text = read_text(self.text)
        tokenizer = Tokenizer.load(model_directory(self.model))
        ids = tokenizer.encode(text, self.allow_special)
        tokens = [tokenizer.token_bytes(token_id) for token_id in ids]
        if self.json:
            plain = [token.decode("utf-8", "backslashreplace") for token in tokens]
            print_json({"model": self.model, "ids": ids, "tokens": plain})
            return

        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for heading in ("position", "id"):
            table.add_column(heading, justify="right")
        table.add_column("token")
        for position, (token_id, token) in enumerate(zip(ids, tokens, strict=True)):
            table.add_row(str(position), str(token_id), Text(visible(token)))
        out = console()
        out.print(table)
        size = sum(map(len, tokens))
        out.print(f"{len(ids):,} tokens, {size:,} bytes, {size / len(ids):.2f} bytes per token")
