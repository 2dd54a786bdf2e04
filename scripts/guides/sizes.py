"""What the five published sizes cost, computed from their configurations; and what was measured of their speed.

In: gpt2.PRESETS, benchmarks/results. Out: tables in Markdown for docs/gpt2_architecture_guide.md.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gpt2.base.costs import flops_per_token, n_params, parameter_counts
from gpt2.base.presets import PRESETS
from gpt2.config import GPT2Config

ADAM_BYTES = 16  # a parameter in training: fp32 weight, gradient, and AdamW's two running means


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; a column whose name begins with `>` is right-aligned."""
    names = list(head)
    rule = ["---:" if name.startswith(">") else "---" for name in names]
    lines = [[name.removeprefix(">") for name in names], rule, *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shapes() -> str:
    """Blocks, heads, widths of every preset."""
    names = ("size", ">blocks L", ">heads H", ">width C", ">head D", ">MLP 4C", ">context", ">vocabulary V")
    return table(names, ([f"`{n}`", c.n_layer, c.n_head, c.n_embd, c.head_dim, c.inner_dim, c.n_positions,
                          f"{c.vocab_size:,}"] for n, c in PRESETS.items()))  # fmt: skip


def parameters() -> str:
    """Parameters by component of every preset."""
    parts = list(parameter_counts(next(iter(PRESETS.values()))))
    rows = []
    for name, c in PRESETS.items():
        counts = parameter_counts(c)
        rows.append(
            [f"`{name}`", *(f"{counts[p]:,} ({counts[p] / n_params(c):.1%})" for p in parts), f"{n_params(c):,}"]
        )
    return table(["size", *(f">{p}" for p in parts), ">all"], rows)


def flops() -> str:
    """FLOPs per token of every preset: forward at an empty and a full context, and of a training step."""
    rows = []
    for name, c in PRESETS.items():
        T = c.n_positions
        short, full, mean = flops_per_token(c, 1), flops_per_token(c, T), flops_per_token(c, (T + 1) // 2)
        attention = 4 * c.n_layer * c.n_embd * T / full
        rows.append([f"`{name}`", f"{short / 1e9:.3f}", f"{full / 1e9:.3f}", f"{attention:.0%}",
                     f"{3 * mean / 1e9:.3f}", f"{3 * mean / (6 * n_params(c)):.2f}"])  # fmt: skip
    return table(["size", ">forward, first token", ">forward, token 1024", ">of it attention's scores and sums",
                  ">training, mean", ">training / 6N"], rows)  # fmt: skip


def memory() -> str:
    """Bytes of weights, of a cache, of training, for every preset."""
    rows = []
    for name, c in PRESETS.items():
        rows.append([f"`{name}`", mib(4 * n_params(c)), mib(2 * n_params(c)), f"{cache_bytes(c):,}",
                     mib(cache_bytes(c) * c.n_positions), mib(ADAM_BYTES * n_params(c))])  # fmt: skip
    return table(["size", ">weights, fp32", ">weights, bf16", ">cache per token, bf16 (bytes)",
                  ">cache of 1,024 tokens", ">training, before activations"], rows)  # fmt: skip


def cache_bytes(c: GPT2Config, width: int = 2) -> int:
    """Keys and values of one token over all blocks, in numbers of `width` bytes."""
    return 2 * c.n_layer * c.n_embd * width


def mib(size: float) -> str:
    """Bytes in MiB."""
    return f"{size / 2**20:,.0f} MiB"


def activations(c: GPT2Config) -> list[tuple[str, str, str, str]]:
    """(tensor, address, shape, shape with numbers) of everything between a text of T tokens and its logits."""
    C, H, D, F, V = c.n_embd, c.n_head, c.head_dim, c.inner_dim, c.vocab_size
    return [
        ("ids", "", "[T]", "[T]"),
        ("token vectors", "embed.tok", "[T, C]", f"[T, {C}]"),
        ("position vectors", "embed.pos", "[T, C]", f"[T, {C}]"),
        ("their sum, the stream", "embed.out, 0.resid_pre", "[T, C]", f"[T, {C}]"),
        ("normed, for attention", "l.ln_1.out", "[T, C]", f"[T, {C}]"),
        ("queries, keys, values", "l.attn.q, .k, .v", "[H, T, D] each", f"[{H}, T, {D}]"),
        ("scores and pattern", "l.attn.scores, .pattern", "[H, T, T]", f"[{H}, T, T]"),
        ("weighted sums", "l.attn.z", "[H, T, D]", f"[{H}, T, {D}]"),
        ("attention's write", "l.attn.out", "[T, C]", f"[T, {C}]"),
        ("stream", "l.resid_mid", "[T, C]", f"[T, {C}]"),
        ("normed, for the MLP", "l.ln_2.out", "[T, C]", f"[T, {C}]"),
        ("hidden layer", "l.mlp.pre, .post", "[T, 4C]", f"[T, {F}]"),
        ("MLP's write", "l.mlp.out", "[T, C]", f"[T, {C}]"),
        ("stream", "l.resid_post", "[T, C]", f"[T, {C}]"),
        ("normed, for the head", "final.out", "[T, C]", f"[T, {C}]"),
        ("logits", "logits", "[T, V]", f"[T, {V:,}]"),
    ]


def data_flow(c: GPT2Config) -> str:
    """The table of `activations`."""
    rows = activations(c)
    return table(
        ("tensor", "address", "shape", "GPT-2 small"), ((a, f"`{b}`" if b else "", d, e) for a, b, d, e in rows)
    )


def weights(c: GPT2Config) -> str:
    """Every kind of parameter: name, shape, how it begins, how many there are."""
    C, F, L = c.n_embd, c.inner_dim, c.n_layer
    std = f"{c.initializer_range:g}"
    scaled = f"normal, {c.initializer_range:g} / sqrt(2L) = {c.initializer_range / (2 * L) ** 0.5:.5f}"
    rows = [
        ("transformer.wte.weight", "[V, C]", f"normal, {std}", c.vocab_size * C),
        ("transformer.wpe.weight", "[T, C]", "normal, 0.01", c.n_positions * C),
        ("h.l.ln_1.weight, .bias", "[C], [C]", "1, 0", L * 2 * C),
        ("h.l.attn.c_attn.weight, .bias", "[3C, C], [3C]", f"normal, {std}; 0", L * (3 * C * C + 3 * C)),
        ("h.l.attn.c_proj.weight, .bias", "[C, C], [C]", f"{scaled}; 0", L * (C * C + C)),
        ("h.l.ln_2.weight, .bias", "[C], [C]", "1, 0", L * 2 * C),
        ("h.l.mlp.c_fc.weight, .bias", "[4C, C], [4C]", f"normal, {std}; 0", L * (F * C + F)),
        ("h.l.mlp.c_proj.weight, .bias", "[C, 4C], [C]", f"{scaled}; 0", L * (C * F + C)),
        ("ln_f.weight, .bias", "[C], [C]", "1, 0", 2 * C),
        ("lm_head.weight", "[V, C]", "is wte.weight", 0),
    ]
    total = sum(row[-1] for row in rows)
    if total != n_params(c):
        raise ValueError(f"the table of weights counts {total}, the configuration {n_params(c)}.")
    return table(("parameter", "shape", "at the start", ">count in GPT-2 small"),
                 ((f"`{a}`", b, d, f"{n:,}" if n else "0 (shared)") for a, b, d, n in rows))  # fmt: skip


def newest_benchmark(folder: Path) -> dict[str, Any]:
    """The newest complete run of `python -m benchmarks` that decoded. Raises ValueError where there is none."""
    found = []
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text("utf-8"))
        if record.get("schema") and any(s["case"].startswith("decode") for s in record.get("summary", [])):
            found.append((record["date"], path.name, record))
    if not found:
        raise ValueError(f"{folder} holds no benchmark of decoding.")
    return {**max(found, key=lambda item: item[:2])[2], "file": max(found, key=lambda item: item[:2])[1]}


def speed(record: dict[str, Any]) -> str:
    """Decoding of a benchmark's record, one row per contestant; those measured on a smaller case are left out."""
    titles = {case["name"]: case["title"] for case in record["cases"]}
    rows = [
        [titles[row["case"]], row["contestant"].replace("-", " "), f"{row['median_tokens_per_s']:.3g}",
         f"{row['peak_memory_mib']:,}"]
        for row in record["summary"]
        if row["case"].startswith("decode") and not row["smaller_size"]
    ]  # fmt: skip
    return table(("case", "software", ">tokens/s", ">memory MiB"), rows)


def training(folder: Path) -> dict[str, str]:
    """Training at 124M: the newest run on a processor and on a GPU as tables, and the files they are read from."""
    cpu, gpu = "", ""
    for path in sorted(folder.glob("*-training-124m-*.json")):
        if "results" in json.loads(path.read_text("utf-8")):
            gpu = path.name
        else:
            cpu = path.name
    one, two = (json.loads((folder / name).read_text("utf-8")) for name in (cpu, gpu))
    rows = [
        [row["contestant"].replace("-", " "), f"{row['median_tokens_per_s']:,.0f}", f"{row['peak_memory_mib']:,}"]
        for row in one["summary"]
        if row["case"].startswith("train") and not row["smaller_size"]
    ]  # fmt: skip
    faster = [
        [r["name"], f"{r['tokens_per_s']:,.0f}", f"{r['mfu']:.1%}", f"{r['peak_memory_gib']:.1f}"]
        for r in two["results"]
    ]
    return {
        "cpu": table(("software", ">tokens/s", ">memory MiB"), rows), "cpu_file": cpu,
        "cpu_machine": f"{one['machine']['processor']}, {one['machine']['cores']} cores",
        "gpu": table(("software", ">tokens/s", ">of the peak FLOP/s", ">memory GiB"), faster), "gpu_file": gpu,
        "gpu_machine": two["environment"]["gpu"],
    }  # fmt: skip
