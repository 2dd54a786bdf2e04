"""Compare traces and logit attribution with TransformerLens on the same small model, in float64.

In: nothing, or a file of TransformerLens' outputs. Out: the largest relative difference of each quantity; exit code 1
above 1e-9 (patterns, residuals, logits of the raw weights) or 1e-6 (direct logit attribution on its folded weights).

    python benchmarks/transformer_lens_parity.py --write FILE    # runs TransformerLens, in an environment that has it
    python benchmarks/transformer_lens_parity.py FILE            # compares ours with what was written

The model's weights come from numpy's frozen generator, so that the file need not hold them. TransformerLens folds
norms into the matrices behind them and centres what is written to the stream; its names for our addresses are NAMES.
"""

import argparse
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from gpt2.config import GPT2Config
from gpt2.explain import Run, trace
from gpt2.explain.run.weights import value_bias
from gpt2.model import GPT2

CONFIG = GPT2Config(vocab_size=61, n_positions=24, n_embd=16, n_layer=3, n_head=2)
TEXTS, LENGTH, SEED = 2, 11, 20
TARGET, FOIL = 7, 42
NAMES = {
    "hook_resid_pre": "resid_pre", "hook_resid_mid": "resid_mid", "hook_resid_post": "resid_post",
    "attn.hook_pattern": "attn.pattern", "hook_attn_out": "attn.out", "hook_mlp_out": "mlp.out",
    "mlp.hook_post": "mlp.post",
}  # fmt: skip


def model_and_ids() -> tuple[GPT2, Tensor]:
    """A model that is random to the last bias, and the texts [2, 11]."""
    generator = np.random.RandomState(SEED)  # the legacy generator: its numbers never change
    model = GPT2(CONFIG).double().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            offset = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
            width = 0.3 if p.dim() < 2 else 2 * p.size(-1) ** -0.5
            p.copy_(offset + width * torch.from_numpy(generator.standard_normal(tuple(p.shape))))
    return model, torch.from_numpy(generator.randint(CONFIG.vocab_size, size=(TEXTS, LENGTH)))


def hooked_model(c: GPT2Config, dtype: torch.dtype) -> Any:
    """An empty HookedTransformer of these sizes."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    settings = HookedTransformerConfig(
        n_layers=c.n_layer, d_model=c.n_embd, n_ctx=c.n_positions, d_head=c.head_dim, n_heads=c.n_head,
        d_mlp=c.inner_dim, act_fn="gelu_new", d_vocab=c.vocab_size, eps=c.layer_norm_epsilon,
        normalization_type="LN", dtype=dtype, device="cpu", attention_dir="causal",
    )  # fmt: skip
    return HookedTransformer(settings)


def theirs() -> dict[str, Tensor]:
    """What TransformerLens computes: values by our address, and `dla.*` from its folded weights."""
    model, ids = model_and_ids()
    c, hooked = model.config, hooked_model(model.config, torch.float64)
    hooked.load_state_dict(converted(model), strict=False)
    with torch.no_grad():
        logits, cache = hooked.run_with_cache(ids)
        found = {f"{l}.{ours}": cache[f"blocks.{l}.{name}"] for l in range(c.n_layer) for name, ours in NAMES.items()}
        found["logits"] = logits
        hooked.load_and_process_state_dict(hooked.state_dict(), fold_value_biases=False)
        _, cache = hooked.run_with_cache(ids)
        targets, foils = torch.full((TEXTS,), TARGET), torch.full((TEXTS,), FOIL)
        heads = cache.stack_head_results(pos_slice=-1)  # (L H, B, C), with b_V, without b_O
        parts, labels = cache.decompose_resid(pos_slice=-1, return_labels=True, mode="full")
        for stack, names in (
            (heads, [f"{l}.head.{h}" for l in range(c.n_layer) for h in range(c.n_head)]),
            (parts, labels),
        ):
            scored = cache.logit_attrs(stack, tokens=targets, incorrect_tokens=foils, pos_slice=-1)
            found |= {f"dla.{name}": one for name, one in zip(names, scored)}
    return {name: value.contiguous().clone() for name, value in found.items()}


def converted(model: GPT2) -> dict[str, Tensor]:
    """Our parameters under TransformerLens' names and in its shapes."""
    H, C = model.config.n_head, model.config.n_embd
    t = model.transformer
    state = {
        "embed.W_E": t.wte.weight, "pos_embed.W_pos": t.wpe.weight, "unembed.W_U": model.lm_head.weight.T,
        "unembed.b_U": torch.zeros(model.config.vocab_size, dtype=t.wte.weight.dtype),
        "ln_final.w": t.ln_f.weight, "ln_final.b": t.ln_f.bias,
    }  # fmt: skip
    for l, block in enumerate(t.h):
        weights, biases = block.attn.c_attn.weight.T.chunk(3, dim=1), block.attn.c_attn.bias.chunk(3)
        for letter, weight, bias in zip("QKV", weights, biases):
            state[f"blocks.{l}.attn.W_{letter}"] = weight.reshape(C, H, -1).transpose(0, 1)  # (H, C, D)
            state[f"blocks.{l}.attn.b_{letter}"] = bias.reshape(H, -1)
        state |= {
            f"blocks.{l}.attn.W_O": block.attn.c_proj.weight.T.reshape(H, -1, C),
            f"blocks.{l}.attn.b_O": block.attn.c_proj.bias,
            f"blocks.{l}.ln1.w": block.ln_1.weight, f"blocks.{l}.ln1.b": block.ln_1.bias,
            f"blocks.{l}.ln2.w": block.ln_2.weight, f"blocks.{l}.ln2.b": block.ln_2.bias,
            f"blocks.{l}.mlp.W_in": block.mlp.c_fc.weight.T, f"blocks.{l}.mlp.b_in": block.mlp.c_fc.bias,
            f"blocks.{l}.mlp.W_out": block.mlp.c_proj.weight.T, f"blocks.{l}.mlp.b_out": block.mlp.c_proj.bias,
        }  # fmt: skip
    return {name: value.detach().clone() for name, value in state.items()}


def ours(names: list[str]) -> dict[str, Tensor]:
    """The same quantities from the raw weights."""
    model, ids = model_and_ids()
    run = trace(model, ids, read=[name for name in names if not name.startswith("dla.")])
    found = {name: run[name] for name in names if not name.startswith("dla.")}
    rows = [attributed(run, row) for row in range(TEXTS)]
    return found | {f"dla.{name}": torch.tensor([one[name] for one in rows], dtype=torch.float64) for name in rows[0]}


def attributed(run: Run, row: int) -> dict[str, float]:
    """Our attribution in TransformerLens' terms: its heads keep b_V, its attention and MLP layers their biases."""
    from gpt2.explain.see.attribution import COMPONENTS, head_directions
    from gpt2.explain.see.readout import readout

    c, parts = run.model.config, run.attribution(TARGET, vs=FOIL, row=row)
    target, foil, rows, at = (torch.tensor([i]) for i in (TARGET, FOIL, row, LENGTH - 1))
    form = readout(run.read(*COMPONENTS), target, foil, rows, at)
    found = {"embed": parts["embed.tok"], "pos_embed": parts["embed.pos"]}
    for l in range(c.n_layer):
        toward, constant = head_directions(run, form, l)[0], value_bias(run.model, l)
        for h in range(c.n_head):
            found[f"{l}.head.{h}"] = parts[f"{l}.head.{h}"] + float(constant[h] @ toward[h] / form.sigma[0])
        attn = [name for name in parts.names if name.startswith((f"{l}.head.", f"{l}.attn."))]
        found[f"{l}_attn_out"] = sum(parts[name] for name in attn)
        found[f"{l}_mlp_out"] = parts[f"{l}.mlp"]
    return found


def compare(file: str) -> dict[str, float]:
    """The largest difference of each quantity, relative to the largest value of the quantity."""
    expected = load_file(file)
    found = ours(list(expected))
    missing = sorted(set(expected) - set(found))
    if missing:
        raise ValueError(f"ours lacks {', '.join(missing)}.")
    return {n: float((found[n].double() - x).abs().max() / x.abs().max()) for n, x in expected.items()}


def main() -> None:
    """Write or compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file")
    parser.add_argument("--write", action="store_true", help="run TransformerLens and write its outputs to FILE")
    options = parser.parse_args()
    if options.write:
        save_file(theirs(), options.file, {"transformer_lens": version("transformer_lens"), "torch": torch.__version__})
    with safe_open(options.file, "pt") as stored:
        print(f"TransformerLens {stored.metadata()['transformer_lens']}, torch {stored.metadata()['torch']}")
    differences = compare(options.file)
    for name, x in differences.items():
        print(f"{name:24} {x:.1e}")
    if any(x > (1e-6 if name.startswith("dla.") else 1e-9) for name, x in differences.items()):
        sys.exit(1)


if __name__ == "__main__":
    main()
