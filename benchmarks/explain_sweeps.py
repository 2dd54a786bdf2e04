"""Patching and switching off, ours beside TransformerLens with one hooked forward per cell: GPT-2 124M, random weights.

In: an environment with both (`pip install -c constraints.txt -e . transformer-lens`). Out: results/NAME.json, every
measurement, and NAME.md, a table; a second run adds its cases to the same files. `python -m benchmarks.explain_sweeps`
measures all; `--case patch` (2 minutes on two cores), `off` (2 minutes) or `texts` alone.

Both do the same work on the same weights, in one process, and their numbers are compared. Ours does it as
`gpt2.explain` does; TransformerLens as its `get_act_patch_resid_pre` does, and with `run_with_hooks` for each head.
"""

import argparse
import contextlib
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from gpt2.config import GPT2Config
from gpt2.explain import reference
from gpt2.explain.change.off import off
from gpt2.explain.change.patching import Patching, TooClose
from gpt2.model import GPT2

SIZES = GPT2Config(embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
QUICK = GPT2Config(
    vocab_size=500, n_positions=128, n_embd=64, n_layer=3, n_head=4, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0
)
CASES = ("patch", "off", "texts")
POSITIONS, TOKENS, TEXTS, TEXT_TOKENS = 32, 128, 16, 64


def lens_twin(model: GPT2) -> Any:
    """The same weights in a HookedTransformer: nothing folded, nothing downloaded."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    c, tower = model.config, model.transformer
    H, C, D = c.n_head, c.n_embd, c.head_dim
    cfg = HookedTransformerConfig(
        n_layers=c.n_layer, d_model=C, n_ctx=c.n_positions, d_head=D, n_heads=H, d_mlp=c.inner_dim,
        d_vocab=c.vocab_size, act_fn="gelu_new", normalization_type="LN", eps=c.layer_norm_epsilon, device="cpu",
    )  # fmt: skip
    lens = HookedTransformer(cfg)
    state: dict[str, Tensor] = {
        "embed.W_E": tower.wte.weight, "pos_embed.W_pos": tower.wpe.weight, "unembed.W_U": tower.wte.weight.t(),
        "unembed.b_U": torch.zeros(c.vocab_size), "ln_final.w": tower.ln_f.weight, "ln_final.b": tower.ln_f.bias,
    }  # fmt: skip
    for l, block in enumerate(tower.h):
        parts = zip("QKV", block.attn.c_attn.weight.split(C), block.attn.c_attn.bias.split(C))
        for name, weight, bias in parts:
            state[f"blocks.{l}.attn.W_{name}"] = weight.view(H, D, C).transpose(1, 2)
            state[f"blocks.{l}.attn.b_{name}"] = bias.view(H, D)
        state |= {
            f"blocks.{l}.attn.W_O": block.attn.c_proj.weight.t().reshape(H, D, C),
            f"blocks.{l}.attn.b_O": block.attn.c_proj.bias,
            f"blocks.{l}.ln1.w": block.ln_1.weight, f"blocks.{l}.ln1.b": block.ln_1.bias,
            f"blocks.{l}.ln2.w": block.ln_2.weight, f"blocks.{l}.ln2.b": block.ln_2.bias,
            f"blocks.{l}.mlp.W_in": block.mlp.c_fc.weight.t(), f"blocks.{l}.mlp.b_in": block.mlp.c_fc.bias,
            f"blocks.{l}.mlp.W_out": block.mlp.c_proj.weight.t(), f"blocks.{l}.mlp.b_out": block.mlp.c_proj.bias,
        }  # fmt: skip
    missing = lens.load_state_dict({k: v.detach().clone() for k, v in state.items()}, strict=False)
    wrong = [key for key in missing.missing_keys if not key.endswith(("mask", "IGNORE"))]
    if wrong or missing.unexpected_keys:
        raise RuntimeError(f"TransformerLens names its weights otherwise: {wrong or missing.unexpected_keys}")
    return lens.eval()


def timed(what: str, function: Callable[[], Any], entries: dict[str, Any], times: int = 1) -> Any:
    """Call, and note under `what` the seconds of the clock and of the processor; the result of the last call.

    Processor seconds, over all threads, say more than the clock on a machine that others use too.
    """
    entries[what] = {"clock": [], "processor": []}
    for _ in range(times):
        start = time.perf_counter(), time.process_time()
        result = function()
        for key, now, then in zip(entries[what], (time.perf_counter(), time.process_time()), start):
            entries[what][key].append(round(now - then, 3))
        print(f"{what}: {entries[what]['clock'][-1]:.2f} s", file=sys.stderr, flush=True)
    return result


def patch(model: GPT2, share: int) -> dict[str, Any]:
    """The stream before each block at each of 32 positions: layers x positions cells."""
    import pandas  # TransformerLens brings it
    from transformer_lens.patching import generic_activation_patch, layer_pos_patch_setter

    generator = torch.Generator().manual_seed(0)
    clean, corrupt = torch.randint(model.config.vocab_size, (2, 1, POSITIONS), generator=generator)
    with torch.no_grad():  # the two tokens on which the prompts differ most: the difference must be above 0.5
        difference = (model(clean) - model(corrupt))[0, -1]
    target, foil = int(difference.argmax()), int(difference.argmin())
    seconds: dict[str, Any] = {}

    def ours(corrupt: Tensor = corrupt) -> Tensor:
        return Patching(model, clean, corrupt, target, foil).grid("resid").scores

    one_word = clean.clone()
    one_word[0, POSITIONS // 4] = corrupt[0, POSITIONS // 4]
    ours()
    mine = timed("ours", ours, seconds, 2)
    with contextlib.suppress(TooClose):  # random weights may answer such prompts too much alike
        Patching(model, clean, one_word, target, foil)
        timed("ours, prompts that differ in one token", lambda: ours(one_word), seconds)

    lens = lens_twin(model)
    with torch.no_grad():
        logits, cache = lens.run_with_cache(clean)
        base = lens(corrupt)

        def score(out: Tensor) -> Tensor:
            m = [x[0, -1, target] - x[0, -1, foil] for x in (out, base, logits)]
            return (m[0] - m[1]) / (m[2] - m[1])

        # get_act_patch_resid_pre itself, but for the list of its cells
        cells = pandas.DataFrame(
            [(l, p) for l in range(model.config.n_layer) for p in range(POSITIONS)][::share], columns=["layer", "pos"]
        )
        theirs = timed(
            "TransformerLens",
            lambda: generic_activation_patch(
                lens, corrupt, cache, score, layer_pos_patch_setter, "resid_pre", index_df=cells
            ),
            seconds,
        )
    times_share(seconds["TransformerLens"], share)
    mine = mine[cells["layer"].tolist(), cells["pos"].tolist()]
    what = f"patching the residual stream, {model.config.n_layer} layers x {POSITIONS} positions"
    return {"what": what, "seconds": seconds, "largest difference": gap(mine, theirs)}


def times_share(seconds: dict[str, list[float]], share: int) -> None:
    """The whole sweep's seconds, where only one cell in `share` was run: every cell is one forward of the same size."""
    for key, values in seconds.items():
        seconds[key] = [round(value * share, 3) for value in values]


def switch_off(model: GPT2, share: int) -> dict[str, Any]:
    """Every head mean-ablated on one text: its loss change, and KL at every position."""
    generator = torch.Generator().manual_seed(1)
    V, L, H = model.config.vocab_size, model.config.n_layer, model.config.n_head
    rows = torch.randint(V, (3, TOKENS), generator=generator)
    text, means = reference(model, rows[:1].tolist()), reference(model, rows[1:].tolist())
    held = [means.mean(l, "attn.z") for l in range(L)]  # (H, D) each, outside the time of both
    seconds: dict[str, Any] = {}

    def ours() -> Tensor:
        document = off(model, "*.head.*", "mean", text, means).documents[0]
        return torch.stack([document.loss_change.mean(1), document.kl.mean(1)])

    mine = timed("ours", ours, seconds, 2)

    lens = lens_twin(model)
    changes = []
    heads = [(l, h) for l in range(L) for h in range(H)][::share]
    forward = {"clock": [0.0], "processor": [0.0]}
    ids = rows[:1]

    def read(logits: Tensor) -> tuple[Tensor, Tensor]:
        log_p = logits[0].log_softmax(-1)
        return log_p, -log_p[:-1].gather(1, ids[0, 1:, None])[:, 0]

    def theirs() -> None:
        plain, loss = read(lens(ids))
        p = plain.exp()
        for l, h in heads:

            def silence(z: Tensor, hook: Any, l: int = l, h: int = h) -> Tensor:
                z[:, :, h] = held[l][h]
                return z

            start = time.perf_counter(), time.process_time()
            logits = lens.run_with_hooks(ids, fwd_hooks=[(f"blocks.{l}.attn.hook_z", silence)])
            forward["clock"][0] += time.perf_counter() - start[0]
            forward["processor"][0] += time.process_time() - start[1]
            log_q, edited = read(logits)
            changes.append(torch.stack([(edited - loss).mean(), (p * (plain - log_q)).sum(-1).mean()]))

    with torch.no_grad():
        timed("TransformerLens", theirs, seconds)
    seconds["TransformerLens, its forwards alone"] = forward
    for who in ("TransformerLens", "TransformerLens, its forwards alone"):
        times_share(seconds[who], share)
    mine = mine[:, [l * H + h for l, h in heads]]
    what = f"{L * H} heads switched off on {TOKENS} tokens: loss change, KL at each position"
    return {"what": what, "seconds": seconds, "largest difference": gap(mine, torch.stack(changes, dim=1))}


def texts(model: GPT2, share: int) -> dict[str, Any]:
    """Ours alone: every head on 16 texts, with intervals over them."""
    generator = torch.Generator().manual_seed(2)
    rows = torch.randint(model.config.vocab_size, (TEXTS, TEXT_TOKENS), generator=generator).tolist()
    text, seconds = reference(model, rows), dict[str, Any]()
    found = timed("ours", lambda: off(model, "*.head.*", "mean", text, text), seconds)
    what = f"{len(found.components)} heads switched off on {TEXTS} texts of {TEXT_TOKENS} tokens, with intervals"
    return {"what": what, "seconds": seconds}


def gap(a: Tensor, b: Tensor) -> float:
    """The largest difference of two results; fp32 in both."""
    return float(f"{(a.double() - b.double()).abs().max().item():.2g}")


def markdown(result: dict[str, Any]) -> str:
    """A table: seconds (the median), and how many times ours the time of each is."""
    m = result["machine"]
    lines = [
        f"# {result['title']}", "",
        f"{m['processor']}, {m['cores']} cores, {m['memory_gib']} GiB; {result['threads']} thread(s); torch "
        f"{result['torch']}, TransformerLens {result['transformer_lens']}; fp32, linear maps by "
        f"{result.get('products', 'MKL')} in ours and by MKL (torch's choice) in TransformerLens. "
        f"TransformerLens ran one cell in {result['share']}, spread evenly, its seconds are multiplied by that: every "
        "cell is one forward of the same size. Processor seconds count where others used the machine too.",
        "", f"`{result['command']}`", "",
        "| case | who | s | of ours | processor s | of ours | largest difference |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for case in result["cases"].values():
        ours = {key: statistics.median(values) for key, values in case["seconds"]["ours"].items()}
        for k, (who, seconds) in enumerate(case["seconds"].items()):
            found = {key: statistics.median(values) for key, values in seconds.items()}
            numbers = " | ".join(f"{found[key]:.1f} | {found[key] / ours[key]:.2f}" for key in found)
            last = f"{case['largest difference']:.1e}" if who == "TransformerLens" else ""
            lines.append(f"| {case['what'] if k == 0 else ''} | {who} | {numbers} | {last} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure the cases asked for, and write what is known of all."""
    p = argparse.ArgumentParser(prog="python -m benchmarks.explain_sweeps", description=__doc__.splitlines()[0])
    p.add_argument("--case", choices=CASES, help="one of them (default: all)")
    p.add_argument(
        "--share", type=int, default=1, metavar="N", help="TransformerLens runs one cell in N; times N counts"
    )
    p.add_argument("--threads", type=int, default=machine.cores(), help="default: all cores")
    p.add_argument("--quick", action="store_true", help="a tiny model, to see that it works; figures mean nothing")
    p.add_argument("--out", type=Path, metavar="NAME", help="write NAME.json and NAME.md")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    here = machine.describe()  # before the load is ours
    model = GPT2(QUICK if a.quick else SIZES).eval().requires_grad_(False)
    functions = {"patch": patch, "off": switch_off, "texts": texts}
    name = re.sub(r"[^a-z0-9]+", "-", machine.processor().lower()).strip("-")
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    out = a.out or Path(__file__).parent / "results" / f"{day}-explain-sweeps-{name}-{machine.cores()}-cores"
    known = json.loads(out.with_name(out.name + ".json").read_text()) if Path(f"{out}.json").exists() else {"cases": {}}
    cases = {**known["cases"], **{c: functions[c](model, a.share) for c in ([a.case] if a.case else CASES)}}
    result = {
        "title": "Patching and switching off: ours and TransformerLens", "date": day, "machine": here,
        "threads": a.threads,
        "share": a.share,
        "products": "oneDNN" if torch.backends.cpu.get_cpu_capability() == "AVX512" else "MKL",
        "capabilities": machine.capabilities(), "torch": torch.__version__,
        "transformer_lens": version("transformer-lens"),
        "command": f"python -m benchmarks.explain_sweeps --share {a.share} --threads {a.threads}",
        "cases": {c: cases[c] for c in CASES if c in cases},
    }  # fmt: skip
    if a.quick and a.out is None:
        print(markdown(result))
        return
    Path(f"{out}.json").write_text(json.dumps(result, indent=1) + "\n")
    Path(f"{out}.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
