"""The sizes of a GPT-2, validated.

In: the numbers of a `config.json`. Out: a frozen `GPT2Config`. Read next: attention.py, block.py, model.py.
"""

from dataclasses import dataclass

ACTIVATIONS = (
    "gelu gelu_10 gelu_accurate gelu_fast gelu_new gelu_python gelu_python_tanh gelu_pytorch_tanh hardswish laplace "
    "leaky_relu linear mish quick_gelu relu relu2 relu6 sigmoid silu sqrtsoftplus swish tanh"
).split()


@dataclass(frozen=True)
class GPT2Config:
    """Sizes, rates and choices of a GPT-2, under Hugging Face's field names. The defaults are GPT-2 small.

    Sizes: vocab_size, n_positions (the context, in tokens), n_embd, n_layer, n_head, n_inner. Rates of dropout:
    embd_pdrop, attn_pdrop, resid_pdrop. Of the norms: layer_norm_epsilon; of fresh weights: initializer_range.
    The choices are those of derived checkpoints, as `transformers` computes them: another activation_function, scores
    without their divisor (scale_attn_weights) or divided by the block's number as well
    (scale_attn_by_inverse_layer_idx), a head of its own (tie_word_embeddings=False).

    Raises ValueError, with the field, its value and the mend, for values that make no GPT-2.
    Source: Radford et al. 2019, section 2.3 and table 2; OpenAI's released `hparams.json`.
    """

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None  # width of the MLP; None means 4 * n_embd
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    initializer_range: float = 0.02
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner"):
            value = getattr(self, name)
            if (type(value) is not int or value < 1) and (name, value) != ("n_inner", None):
                raise ValueError(f"{name} is {value!r}: it must be a whole number of at least 1.")
        if self.n_embd % self.n_head:
            mend = f"make it a multiple, such as {self.n_head * max(1, round(self.n_embd / self.n_head))}."
            raise ValueError(f"n_embd {self.n_embd} does not divide by n_head {self.n_head}: {mend}")
        if self.activation_function not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation_function is {self.activation_function!r}: it must be one of {known}.")
        for name in ("scale_attn_weights", "scale_attn_by_inverse_layer_idx", "tie_word_embeddings"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} is {getattr(self, name)!r}: it must be true or false.")
        for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value < 1:
                raise ValueError(f"{name} is {value!r}: a dropout rate is a number in [0, 1).")
        for name in ("layer_norm_epsilon", "initializer_range"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not value > 0:
                raise ValueError(f"{name} is {value!r}: it must be a number above 0.")

    @property
    def head_dim(self) -> int:
        """Width of one head, D = C / H (64 in every published size)."""
        return self.n_embd // self.n_head

    @property
    def inner_dim(self) -> int:
        """Width of the MLP's hidden layer, 4C unless `n_inner` says otherwise."""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner
