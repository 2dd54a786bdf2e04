"""Everything that the guides say of the bundled model, measured: numbers, what figures draw, what commands print.

In: nothing but the repository. Out: docs/guide/measured.json. Read next: render.py.
"""

import contextlib
import io
import os
import shlex
from typing import Any

from gpt2.base.costs import n_params
from gpt2.cli.main import main
from scripts.guides import measure_blocks, measure_embeddings, measure_head
from scripts.guides.subject import Subject, rounded


def numbers() -> dict[str, Any]:
    """All measured numbers, by part of the model, and under "figures" what the figures draw."""
    s = Subject.load()
    c = s.model.config
    starts = measure_blocks.starts(s)
    found = {
        "config": {
            "layers": c.n_layer, "heads": c.n_head, "width": c.n_embd, "head_dim": c.head_dim, "inner": c.inner_dim,
            "context": c.n_positions, "vocabulary": c.vocab_size, "parameters": n_params(c), "seed": s.seed,
        },
        "tokens": measure_embeddings.measure_tokens(s),
        "positions": measure_embeddings.measure_positions(s),
        "starts": starts,
        "norms": measure_blocks.measure_norms(s),
        "attention": measure_blocks.measure_attention(s),
        "mlp": measure_blocks.measure_mlp(s),
        "residuals": measure_blocks.measure_residuals(s),
        "dropout": measure_head.measure_dropout(s),
        "head": measure_head.measure_head(s),
        "off": measure_head.measure_off(s),
    }  # fmt: skip
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
