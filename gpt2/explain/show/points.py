"""Every address, its shape and what it is, for a model of these sizes.

In: a configuration. Out: rows for `gpt2 explain points`. The points themselves are in gpt2/probe.py, in this order.
"""

from gpt2.config import GPT2Config


def points(config: GPT2Config) -> list[tuple[str, str, str]]:
    """(address, shape for one text of T tokens, one sentence) of every point; `l` is a block, `h` a head."""
    C, H, D, F, V = config.n_embd, config.n_head, config.head_dim, config.inner_dim, config.vocab_size
    return [
        ("embed.tok", f"[T, {C}]", "token vectors"),
        ("embed.pos", f"[T, {C}]", "position vectors"),
        ("embed.out", f"[T, {C}]", "their sum: what enters block 0"),
        ("l.resid_pre", f"[T, {C}]", "the residual stream entering block l"),
        ("l.ln_1.scale", "[T]", "sigma, what the norm before attention divides by"),
        ("l.ln_1.out", f"[T, {C}]", "the normed stream that attention reads"),
        ("l.attn.q", f"[{H}, T, {D}]", "queries: what each position looks for"),
        ("l.attn.k", f"[{H}, T, {D}]", "keys: what each position offers"),
        ("l.attn.v", f"[{H}, T, {D}]", "values: what is carried when a position is read"),
        ("l.attn.scores", f"[{H}, T, T]", "q k / sqrt(D), before mask and softmax"),
        ("l.attn.pattern", f"[{H}, T, T]", "attention weights: row i sums to 1 over 0 .. i"),
        ("l.attn.z", f"[{H}, T, {D}]", "weighted sums of values, before the output projection"),
        ("l.head.h", f"[T, {D}]", "one head's z"),
        ("l.head.h.out", f"[T, {C}]", "that head's write z W_O, without the bias"),
        ("l.attn.out", f"[T, {C}]", "the whole write of attention (l.attn for short)"),
        ("l.resid_mid", f"[T, {C}]", "the stream after attention"),
        ("l.ln_2.scale", "[T]", "sigma of the norm before the MLP"),
        ("l.ln_2.out", f"[T, {C}]", "the normed stream that the MLP reads"),
        ("l.mlp.pre", f"[T, {F}]", "neurons before GELU"),
        ("l.mlp.post", f"[T, {F}]", "neurons after GELU; one of them: l.mlp.post#n"),
        ("l.mlp.out", f"[T, {C}]", "the whole write of the MLP (l.mlp for short)"),
        ("l.block", f"[T, {C}]", "what the block adds: resid_post - resid_pre"),
        ("l.resid_post", f"[T, {C}]", "the stream leaving block l"),
        ("final.scale", "[T]", "sigma of the final norm"),
        ("final.out", f"[T, {C}]", "the normed stream that the head reads"),
        ("logits", f"[T, {V}]", "the score of every possible next token"),
    ]
