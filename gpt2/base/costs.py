"""What the sizes of a GPT-2 cost: its parameters by component, its floating point operations per token.

In: a `GPT2Config`. Out: whole numbers. Read next: cli/info.py, which prints them.
"""

from gpt2.config import GPT2Config


def parameter_counts(config: GPT2Config) -> dict[str, int]:
    """Parameters by component; their sum is the model's size, with a tied head counted once."""
    C, F, L, table = config.n_embd, config.inner_dim, config.n_layer, config.vocab_size * config.n_embd
    tokens = {"token embedding (and head)": table}
    return {
        **(tokens if config.tie_word_embeddings else {"token embedding": table, "head": table}),
        "position embedding": config.n_positions * C,
        "attention": L * (C * 3 * C + 3 * C + C * C + C),
        "mlp": L * (C * F + F + F * C + C),
        "layer norms": L * 4 * C + 2 * C,
    }


def n_params(config: GPT2Config) -> int:
    """All parameters, a tied head counted once."""
    return sum(parameter_counts(config).values())


def flops_per_token(config: GPT2Config, context: int) -> int:
    """Floating point operations of one token's forward pass that attends to `context` keys.

    Two for each weight of each matrix product (the head's included), and 4C per layer and key for attention; the rest
    is small. Training costs three times as much (Kaplan et al. 2020, section 2.1). Averaged over a causal window
    of T tokens, `context` is (T + 1) / 2.
    """
    C, F = config.n_embd, config.inner_dim
    weights = config.n_layer * (4 * C * C + 2 * C * F) + config.vocab_size * C
    return 2 * weights + 4 * config.n_layer * C * context
