"""The variants by name: a plain GPT-2 with one component replaced, and nothing else different.

In: a configuration, a variant's name. Out: a `GPT2` whose `variant` names it. Every parameter is drawn from (seed, its
name), so a variant starts from the plain model's values wherever they share a parameter. Read next: study.py.

Widths, depths, heads and dropouts are no variants: they are settings of the plain model, and a study sets them.
"""

import difflib
import math
from collections.abc import Callable
from typing import Any, cast

import torch

from gpt2.ablation.parts import (
    NoNorm,
    NoPositions,
    NoResidualBlock,
    Nothing,
    PostNormBlock,
    RMSNorm,
    SeeingAttention,
    SinusoidalPositions,
    UntiedGPT2,
)
from gpt2.ablation.parts import squared_relu as relu_squared
from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.model import GPT2

Change = Callable[[GPT2], object]


def sinusoidal_positions(model: GPT2) -> None:
    """Fixed sine and cosine vectors in place of the learned table."""
    model.transformer.wpe = cast(Any, SinusoidalPositions(model.config))


def no_positions(model: GPT2) -> None:
    """No position vectors."""
    model.transformer.wpe = cast(Any, NoPositions(model.config))


def post_norm(model: GPT2) -> None:
    """LayerNorm after each addition, on the stream itself; none at the end, where the last block's stands."""
    for block in model.transformer.h:
        _turned_into(PostNormBlock, block)
    model.transformer.ln_f = cast(Any, NoNorm("final"))


def no_norm(model: GPT2) -> None:
    """No LayerNorm anywhere."""
    for block in model.transformer.h:
        block.ln_1, block.ln_2 = cast(Any, NoNorm("ln_1")), cast(Any, NoNorm("ln_2"))
    model.transformer.ln_f = cast(Any, NoNorm("final"))


def rms_norm(model: GPT2) -> None:
    """RMSNorm in place of every LayerNorm."""
    for block in model.transformer.h:
        block.ln_1 = cast(Any, RMSNorm(model.config, "ln_1"))
        block.ln_2 = cast(Any, RMSNorm(model.config, "ln_2"))
    model.transformer.ln_f = cast(Any, RMSNorm(model.config, "final"))


def no_residuals(model: GPT2) -> None:
    """Attention and MLP replace the stream in place of adding to it."""
    for block in model.transformer.h:
        _turned_into(NoResidualBlock, block)


def no_attention(model: GPT2) -> None:
    """Blocks of an MLP alone, without the norm that stood before attention."""
    for block in model.transformer.h:
        block.ln_1 = cast(Any, NoNorm("ln_1"))
        block.attn = cast(Any, Nothing())


def no_mlp(model: GPT2) -> None:
    """Blocks of attention alone, without the norm that stood before the MLP."""
    for block in model.transformer.h:
        block.ln_2 = cast(Any, NoNorm("ln_2"))
        block.mlp = cast(Any, Nothing())


def no_mask(model: GPT2) -> None:
    """Attention to later positions too."""
    for block in model.transformer.h:
        _turned_into(SeeingAttention, block.attn)


def unscaled_attention(model: GPT2) -> None:
    """Scores that are not divided by sqrt(D)."""
    for block in model.transformer.h:
        block.attn.divisor = 1.0


def relu(model: GPT2) -> None:
    """ReLU in place of GELU."""
    for block in model.transformer.h:
        block.mlp.activation = torch.nn.functional.relu


def squared_relu(model: GPT2) -> None:
    """The square of ReLU in place of GELU."""
    for block in model.transformer.h:
        block.mlp.activation = relu_squared


def untied_head(model: GPT2) -> None:
    """A head with a matrix of its own."""
    model.lm_head = torch.nn.Linear(model.config.n_embd, model.config.vocab_size, bias=False)
    _turned_into(UntiedGPT2, model)


@torch.no_grad()
def unscaled_init(model: GPT2) -> None:
    """Residual projections start as large as all other weights, not divided by sqrt(2 n_layer)."""
    for name, parameter in model.named_parameters():
        if name.endswith("c_proj.weight"):
            parameter.mul_(math.sqrt(2 * model.config.n_layer))


BEFORE_INIT: dict[str, Change] = {
    "sinusoidal-positions": sinusoidal_positions,
    "no-positions": no_positions,
    "post-norm": post_norm,
    "no-norm": no_norm,
    "rms-norm": rms_norm,
    "no-residuals": no_residuals,
    "no-attention": no_attention,
    "no-mlp": no_mlp,
    "no-mask": no_mask,
    "unscaled-attention": unscaled_attention,
    "relu": relu,
    "squared-relu": squared_relu,
    "untied-head": untied_head,
}
AFTER_INIT: dict[str, Change] = {"unscaled-init": unscaled_init}
VARIANTS = BEFORE_INIT | AFTER_INIT


def build(config: GPT2Config, variant: dict[str, Any] | None = None, seed: int = 0) -> GPT2:
    """The plain model, or the one that `variant` {"name", "arguments"} names (no variant takes arguments yet).

    The builder that `gpt2.checkpoint.files.load` takes. Raises UsageError for an unknown name, the nearest one given.
    """
    model = GPT2(config, seed)
    if variant is None:
        return model
    name = variant.get("name")
    if name not in VARIANTS:
        near = difflib.get_close_matches(str(name), VARIANTS, n=1)
        raise UsageError(
            f"there is no variant {name!r}: "
            + (f"did you mean {near[0]!r}?" if near else f"choose among {', '.join(VARIANTS)}.")
        )
    if name in BEFORE_INIT:
        BEFORE_INIT[name](model)
        model.init_weights(seed)
    else:
        AFTER_INIT[name](model)
    model.variant = {"name": name, "arguments": {}}  # type: ignore[assignment]
    return model


def _turned_into(kind: type[Any], module: Any) -> Any:
    """The same module with its parameters, behaving as `kind` from now on: a subclass that adds no state."""
    module.__class__ = kind
    return module
