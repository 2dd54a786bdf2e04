"""`gpt2 eval`: how well a model predicts a text."""

from dataclasses import dataclass

import tyro

from gpt2.cli.common import console, load_model, print_json


@dataclass
class Command:
    """Bits per byte and perplexity of a model on a text file.

    Each document stands alone with <|endoftext|> before it; windows of the full context, stride of half.
    """

    file: tyro.conf.Positional[str]
    """.txt, .txt.gz (documents end with a line <|endoftext|>) or .jsonl."""
    model: str = "storyteller"
    """The bundled model, a directory or a Hugging Face id."""
    field: str = "text"
    """Field of a .jsonl line that holds the text."""
    dtype: str = "float32"
    """Number format to compute in."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Score the file and print the figures."""
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from gpt2.data.documents import documents

        texts = documents(self.file, self.field)
        checkpoint = load_model(self.model, self.dtype)
        from gpt2.evaluation.bits_per_byte import score

        out = console()
        columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} bytes read"), TimeElapsedColumn())
        with Progress(*columns, console=out, transient=True, disable=self.json or not out.is_terminal) as progress:
            task = progress.add_task("eval")
            result = score(checkpoint.model, checkpoint.tokenizer, texts, progress=lambda n: progress.advance(task, n))
        figures = {
            "model": checkpoint.name,
            "documents": result.documents,
            "tokens": result.tokens,
            "bytes": result.bytes,
            "loss_per_token": result.loss_per_token,
            "perplexity": result.perplexity,
            "bits_per_byte": result.bits_per_byte,
        }
        if self.json:
            print_json(figures)
            return
        for name, value in figures.items():
            shown = f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else value
            out.print(f"{name.replace('_', ' '):<16}{shown}")
