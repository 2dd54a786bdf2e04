"""Prints one block of a `Walk` in full: norm, attention, norm, MLP, and the two additions to the stream.

In: a block's record of explain/walk/record.py. Out: lines on the terminal; view.py prints what stands around them.
"""

import math
from collections.abc import Sequence

import numpy as np

from gpt2.cli.walk.guide import Section
from gpt2.cli.walk.page import CELL, HEAD, LABEL, Page, fit, norm_of, num, percent, shade
from gpt2.explain.walk.record import AttentionStep, BlockDetail, BlockStep, HeadStep, MLPStep, NormStep, Vector, Walk


def print_block(page: Page, walk: Walk, block: BlockStep, detail: BlockDetail, tokens: Sequence[str]) -> None:
    """All steps of one block at the position that is followed."""
    l, shape = block.layer, (len(walk.ids), walk.config.n_embd)
    page.heading(f"Block {l} at position {walk.position}, {tokens[walk.position]}")
    print_norm(page, walk, detail.ln_1, block.resid_pre, "before attention", f"{l}.ln_1")
    _attention(page, walk, block, detail.attn, tokens)
    page.step(
        Section.RESIDUAL,
        "Residual",
        "The write is added to the stream, which keeps what it held.",
        f"{l}.resid_mid",
        shape,
    )
    _residual(page, block.resid_pre, "attention", block.attn_out, block.resid_mid)
    print_norm(page, walk, detail.ln_2, block.resid_mid, "before the MLP", f"{l}.ln_2")
    _mlp(page, walk, block, detail.mlp)
    page.step(
        Section.RESIDUAL,
        "Residual",
        "Added to the stream again: what the next part of the model reads.",
        f"{l}.resid_post",
        shape,
    )
    _residual(page, block.resid_mid, "MLP", block.mlp_out, block.resid_post)


def print_norm(page: Page, walk: Walk, step: NormStep, x: Vector, where: str, name: str) -> None:
    """One LayerNorm, sum by sum; what it does is said at length only by the first on the page."""
    T, C = len(walk.ids), walk.config.n_embd
    sentence = "As before, with a weight and bias of its own."
    if not page.explained_norm:
        sentence = (
            "The numbers of this position are moved to mean 0 and scaled to a variance of about 1; then each is "
            "multiplied by a learned weight and shifted by a learned bias."
        )
        page.explained_norm = True
    page.step(Section.NORM, f"LayerNorm {where}", sentence, f"{name}.out", (T, C))
    page.line(
        f"    mean = {num(step.mean)}, sigma = sqrt(variance + {walk.config.layer_norm_epsilon:g}) = {num(step.sigma)}",
        (f"   {name}.scale [{T}]", "dim"),
    )
    page.rows(
        [
            ("", "x", x.values, norm_of(x)),
            ("", "(x - mean) / sigma", step.normed.values, norm_of(step.normed)),
            ("*", "weight", step.weight.values),
            ("+", "bias", step.bias.values),
            ("=", "out", step.out.values, norm_of(step.out)),
        ]
    )


def _attention(page: Page, walk: Walk, block: BlockStep, attn: AttentionStep, tokens: Sequence[str]) -> None:
    c, l, p, T = walk.config, block.layer, walk.position, walk.position + 1
    H, D, T_all, here = c.n_head, c.head_dim, len(walk.ids), tokens[p]
    followed = [h for h in attn.heads if h.head in attn.followed]
    columns, left_out = _columns(page, attn.heads, T), page.columns < T
    names = ("head " if len(followed) == 1 else "heads ") + ", ".join(str(h.head) for h in followed)
    why = ", which writes most at this position" if len(attn.heads) == H > 1 == len(followed) else ""
    page.step(
        Section.ATTENTION, "Queries, keys, values",
        f"One learned linear map of out gives each of the {H} heads a query, a key and a value of {D} numbers for "
        f"every token. Followed here: {names}{why}.",
        f"{l}.attn.q {l}.attn.k {l}.attn.v", (H, T_all, D),
    )  # fmt: skip
    if left_out:
        page.say(f"Of {T} tokens, those with the most weight are shown; the rest are in every sum.", "dim")
    for h in followed:
        page.rows([("", f"query {p} {here}", h.q.values, f"head {h.head}")])
        page.rows([("", f"key {j} {tokens[j]}", h.k[j].values) for j in columns])
        page.rows([("", f"value {j} {tokens[j]}", h.v[j].values) for j in columns])

    below = _divisor(attn.divisor, D)
    page.step(Section.ATTENTION, "Scores",
              f"How well the query of {here} fits each key: score = query . key / {below}.",
              f"{l}.attn.scores", (H, T_all, T_all))  # fmt: skip
    page.sources(tokens, columns, p)
    for h in attn.heads:
        style = "bold" if h.head in attn.followed else ""
        page.line("    ", fit(str(h.head), HEAD), ("".join(num(h.scores[j], CELL) for j in columns), style))
    for h in followed:
        j = int(h.pattern.argmax())
        dot = num(float(h.q.values @ h.k[j].values))
        page.say(f"head {h.head}, {tokens[j]}: {dot} / {num(attn.divisor)} = {num(h.scores[j])}", "dim")

    page.step(Section.ATTENTION, "Pattern",
              "Softmax turns the scores of a row into weights that sum to 1: exp(score) / sum of "
              "exp(score). Later tokens are masked: their weight is 0.",
              f"{l}.attn.pattern", (H, T_all, T_all))  # fmt: skip
    page.sources(tokens, columns, p, "rest" if left_out else "")
    for h in attn.heads:
        cells = "".join(f" {shade(h.pattern[j])}{num(h.pattern[j], CELL - 2)}" for j in columns)
        rest = num(1 - sum(h.pattern[j] for j in columns), CELL) if left_out else ""
        style = "bold" if h.head in attn.followed else ""
        page.line("    ", fit(str(h.head), HEAD), (cells, style), (rest, "dim"))
    for h in followed:
        j, total = int(h.pattern.argmax()), np.exp(h.scores - h.scores.max()).sum()
        page.say(f"head {h.head}, {tokens[j]}: exp(0) / {num(total)} = {num(h.pattern[j])}, "
                 "with the highest score taken as 0", "dim")  # fmt: skip

    page.step(Section.ATTENTION, "Weighted sum", "Each head adds up the values of the tokens, each times its weight.",
              f"{l}.attn.z", (H, T_all, D))  # fmt: skip
    for h in followed:
        _weighted(page, h, columns, tokens, T)
    _write(page, block, attn, followed, (T_all, c.n_embd))


def _columns(page: Page, heads: Sequence[HeadStep], T: int) -> list[int]:
    """The source tokens that a table has room for: all, or those that get the most weight over the heads."""
    if page.columns >= T:
        return list(range(T))
    weight = np.sum([h.pattern for h in heads], axis=0)
    return sorted(np.argsort(-weight, kind="stable")[: page.columns - 1].tolist())


def _weighted(page: Page, h: HeadStep, columns: Sequence[int], tokens: Sequence[str], T: int) -> None:
    rows = [("+" if n else "", f"{num(h.pattern[j])} * value {j}", h.pattern[j] * h.v[j].values, tokens[j])
            for n, j in enumerate(columns)]  # fmt: skip
    if len(columns) < T:
        rest = [h.pattern[j] * h.v[j].values for j in range(T) if j not in columns]
        rows.append(("+", f"{len(rest)} other tokens", np.sum(rest, axis=0), ""))
    page.rows([*rows, ("=", f"z of head {h.head}", h.z.values, norm_of(h.z))])


def _write(
    page: Page, block: BlockStep, attn: AttentionStep, followed: Sequence[HeadStep], shape: tuple[int, int]
) -> None:
    H, l = len(attn.head_norms), block.layer
    page.step(Section.ATTENTION, "Attention's write",
              f"The z of all {H} heads, side by side, goes through one learned matrix and bias: "
              "the same as adding up one write a head.", f"{l}.attn.out", shape)  # fmt: skip
    for start in range(0, H, page.columns):
        part = attn.head_norms[start : start + page.columns]
        numbers = "".join(f"{start + n:>{CELL}}" for n in range(len(part)))
        page.line("    ", (fit("head", HEAD) + numbers, "dim"))
        page.line("    ", (fit("norm", HEAD), "dim"), "".join(num(x, CELL) for x in part))
    rows = [("+" if n else "", f"head {h.head}", h.write.values, f"{l}.head.{h.head}.out")
            for n, h in enumerate(followed)]  # fmt: skip
    if len(followed) < H:
        others = attn.heads_sum.values - np.sum([h.write.values for h in followed], axis=0)
        rows.append(("+", f"{H - len(followed)} other heads", others, norm_of(Vector(others))))
    rows.append(("+", "bias", attn.bias.values, norm_of(attn.bias)))
    page.rows([*rows, ("=", "attention's write", block.attn_out.values, norm_of(block.attn_out))])


def _mlp(page: Page, walk: Walk, block: BlockStep, mlp: MLPStep) -> None:
    l, T, C, F = block.layer, len(walk.ids), walk.config.n_embd, walk.config.inner_dim
    name, said = _activation(walk.config.activation_function)
    page.step(Section.MLP, f"MLP, from {C} numbers to {F}", "At each position by itself, a learned linear map "
              f"takes the {C} numbers of out to {F}. {said}",
              f"{l}.mlp.pre {l}.mlp.post", (T, F))  # fmt: skip
    page.rows(
        [
            ("", f"before {name}", mlp.pre.values, norm_of(mlp.pre)),
            ("", f"after {name}", mlp.post.values, norm_of(mlp.post)),
        ]
    )
    page.say(f"{mlp.positive} of {F} are positive ({percent(mlp.positive / F)}). The neurons that write most:")
    page.line("      ", (f"{fit('neuron', LABEL)}{'before':>{CELL}}{'after':>{CELL}}{'norm':>{CELL}}", "dim"))
    for n in mlp.neurons:
        numbers = num(n.pre, CELL) + num(n.post, CELL) + num(n.write_norm, CELL)
        page.line("      ", fit(f"#{n.index}", LABEL), numbers, (f"  {l}.mlp.post#{n.index}", "dim"))
    page.step(
        Section.MLP, "MLP's write", f"A second learned map brings the {F} numbers back to {C}.", f"{l}.mlp.out", (T, C)
    )
    page.rows(
        [
            ("", f"all {F} neurons", mlp.neurons_sum.values, norm_of(mlp.neurons_sum)),
            ("+", "bias", mlp.bias.values, norm_of(mlp.bias)),
            ("=", "MLP's write", block.mlp_out.values, norm_of(block.mlp_out)),
        ]
    )


def _divisor(divisor: float, D: int) -> str:
    """What scores are divided by, in words."""
    return f"sqrt({D})" if math.isclose(divisor, math.sqrt(D)) else num(divisor)


def _activation(name: str) -> tuple[str, str]:
    """The short name of an activation function, and a sentence about it."""
    if name in ("gelu_new", "gelu_accurate", "gelu_fast", "gelu_python_tanh", "gelu_pytorch_tanh"):
        formula = "GELU(x) = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))"
        return "GELU", f"GELU keeps the large positive ones and pulls the negative ones towards 0: {formula}."
    return name, f"The activation function {name} turns each of them into another number."


def _residual(page: Page, before: Vector, writer: str, write: Vector, after: Vector) -> None:
    page.rows(
        [
            ("", "stream", before.values, norm_of(before)),
            ("+", f"{writer}'s write", write.values, norm_of(write)),
            ("=", "stream", after.values, norm_of(after)),
        ]
    )
