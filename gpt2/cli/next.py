"""`gpt2 next`: what the model expects after a text, as a table.

In: a text. Out: the likeliest next tokens with probability and logit, for eyes or as JSON.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from gpt2.base.errors import UsageError
from gpt2.cli.common import Flag, ModelOptions, print_json, read_text, wide_console
from gpt2.cli.console import progress

if TYPE_CHECKING:
    from gpt2.text.tokenizer import Tokenizer

BAR = 24  # width of the bar of probability 1, in characters


@dataclass
class Command(ModelOptions):
    """The likeliest next tokens after a text.

    A space is shown as ·, a token that is not whole UTF-8 as \\xNN. The model sees the text's
    own tokens, with no <|endoftext|> before them.

    example: gpt2 next "Once upon a" --top 5
    """

    text: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TEXT]", help_behavior_hint="")] = None
    """The text, in quotes; `-` or none: standard input."""
    allow_special: Flag = False
    """Read <|endoftext|> in the text as the special token; otherwise it is ordinary text."""
    top: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """How many tokens to show."""
    json: Flag = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Compute the table and print it."""
        if self.top < 1:
            raise UsageError(f"--top is {self.top}: it must be at least 1.")
        text = read_text(self.text)
        checkpoint = self.load()

        import torch

        from gpt2.text.ids import check_ids, encode_told

        model, tokenizer = checkpoint.model, checkpoint.tokenizer
        ids = check_ids(encode_told(tokenizer, text, self.allow_special), model.config, "prompt")
        if text.endswith(" ") or "." in text.strip("."):
            from gpt2.cli.hints import tell_file, tell_space_at_the_end

            tell_space_at_the_end(tokenizer, text)
            tell_file(text)
        with progress("reading the text"), torch.inference_mode():
            device = next(model.parameters()).device
            hidden = model.hidden(torch.tensor([ids], device=device))
            logits = model.head(hidden[0, -1])
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            best, tokens = logits.topk(min(self.top, logits.size(0)))
            probabilities = logits.softmax(dim=0)[tokens]
        rows = list(zip(tokens.tolist(), probabilities.tolist(), best.tolist()))
        if self.json:
            table = [
                {"rank": rank, "id": i, "token": readable(tokenizer, i), "probability": p, "logit": logit}
                for rank, (i, p, logit) in enumerate(rows, start=1)
            ]
            print_json({"model": checkpoint.name, "prompt_ids": ids, "next": table})
        else:
            show(tokenizer, rows)


def readable(tokenizer: "Tokenizer", token: int) -> str:
    """The token's text; where it is not whole UTF-8, the \\xNN form; `<no token 5>` for an id that no token has."""
    from gpt2.text.tokenizer import visible

    if not tokenizer.has(token):
        return tokenizer.label(token)
    data = tokenizer.token_bytes(token)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return visible(data)


def show(tokenizer: "Tokenizer", rows: list[tuple[int, float, float]]) -> None:
    """Print (token, probability, logit) rows; with bars in a terminal."""
    from rich.table import Table
    from rich.text import Text

    out = wide_console()
    bars = out.is_terminal
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("token", no_wrap=True)
    table.add_column("probability", justify="right", no_wrap=True)
    if bars:
        table.add_column("", width=BAR, no_wrap=True)
    table.add_column("logit", justify="right", no_wrap=True)
    for rank, (token, probability, logit) in enumerate(rows, start=1):
        bar = [Text("█" * max(1, round(probability * BAR)), style="cyan")] if bars else []
        name = Text(tokenizer.label(token), style="bold")
        table.add_row(str(rank), name, f"{probability:.2%}", *bar, f"{logit:.3f}")
    out.print(table)
