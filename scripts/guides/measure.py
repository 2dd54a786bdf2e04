"""Everything that the guides say of the bundled model, measured: numbers, what figures draw, what commands print.

In: nothing but the repository. Out: docs/guide/measured.json. Read next: render.py.
"""

import contextlib
import io
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gpt2.base.costs import n_params
from gpt2.cli.main import main
from scripts.guides import measure_blocks, measure_embeddings, measure_facts, measure_head, measure_inside
from scripts.guides.subject import Subject, rounded


def config(s: Subject) -> dict[str, Any]:
    """The model's sizes."""
    c = s.model.config
    return {
        "layers": c.n_layer, "heads": c.n_head, "width": c.n_embd, "head_dim": c.head_dim, "inner": c.inner_dim,
        "context": c.n_positions, "vocabulary": c.vocab_size, "parameters": n_params(c), "seed": s.seed,
    }  # fmt: skip


SECTIONS: dict[str, Callable[[Subject], dict[str, Any]]] = {
    "config": config,
    "tokens": measure_embeddings.measure_tokens,
    "positions": measure_embeddings.measure_positions,
    "starts": measure_blocks.starts,
    "norms": measure_blocks.measure_norms,
    "attention": measure_blocks.measure_attention,
    "mlp": measure_blocks.measure_mlp,
    "residuals": measure_blocks.measure_residuals,
    "dropout": measure_head.measure_dropout,
    "head": measure_head.measure_head,
    "off": measure_head.measure_off,
    "read": measure_inside.measure_read,
    "linear": measure_inside.measure_linear,
    "shares": measure_inside.measure_heads,
    "words": measure_inside.measure_words,
    "deep": measure_inside.measure_collapse,
    "facts": measure_facts.measure_facts,
}
"""What is measured of the model, by part: a statement of the ledger needs some of them."""


class Measured(Mapping[str, Any]):
    """The sections, each measured when it is first asked for."""

    def __init__(self) -> None:
        self._subject: Subject | None = None
        self._found: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._found:
            self._subject = self._subject or Subject.load()
            self._found[name] = rounded(SECTIONS[name](self._subject))
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SECTIONS)

    def __len__(self) -> int:
        return len(SECTIONS)


def numbers() -> dict[str, Any]:
    """All measured numbers, by part of the model, and under "figures" what the figures draw."""
    s = Subject.load()
    found: dict[str, Any] = {name: measure(s) for name, measure in SECTIONS.items()}
    starts = found["starts"]
    found["figures"] = {
        "tokens": measure_embeddings.token_figure(s),
        "positions": measure_embeddings.position_figure(s),
        "norms": {"starts": starts, **{k: found["norms"][k] for k in ("stream", "entering")}},
        "attention": measure_blocks.attention_figure(s),
        "mlp": measure_blocks.mlp_figure(s),
        "residuals": {"starts": starts, **{k: found["residuals"][k] for k in ("stream", "attn", "mlp")}},
        "dropout": {k: found["dropout"][k] for k in ("x", "first", "second", "mean", "draws")},
        "head": measure_head.position_losses_figure(s),
    }
    return rounded(found)


def output(command: str) -> str:
    """What a `gpt2` command prints, run in this process, through a pipe of 80 columns.

    Raises ValueError for another program, or a command that fails.
    """
    program, *words = shlex.split(command)
    if program != "gpt2":
        raise ValueError(f"{command!r}: the guides run gpt2's commands alone.")
    kept, stream = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = "80"
    try:
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(io.StringIO()) as errors:
            exit_code = main(words)
    finally:
        if kept is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = kept
    if exit_code:
        raise ValueError(f"`{command}` fails: {errors.getvalue().strip()}")
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"
