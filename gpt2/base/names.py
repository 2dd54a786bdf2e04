"""Names of arguments that do not exist, answered with those that do.

In: the names that a caller gave, and the names that there are. Out: nothing, or a UsageError.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping

from gpt2.base.errors import UsageError

OTHERS = {
    "dtype": "torch_dtype precision",
    "device": "device_map",
    "name": "model_name model_name_or_path pretrained_model_name_or_path model_path model_id path model checkpoint",
    "directory": "save_directory path output_dir out",
    "prompts": "prompt text inputs input_ids",
    "ids": "text prompt tokens input_ids inputs",
    "texts": "text prompts sentences",
    "text": "prompt input inputs",
    "targets": "labels target",
    "vocab_size": "d_vocab n_vocab",
    "n_positions": "block_size n_ctx ctx context context_length max_position_embeddings max_seq_len seq_len "
    "sequence_length",
    "n_embd": "hidden_size d_model dim embed_dim embedding_size width",
    "n_layer": "num_hidden_layers n_layers num_layers layers depth",
    "n_head": "num_attention_heads n_heads num_heads heads",
    "n_inner": "intermediate_size d_mlp d_ff ffn_dim hidden_dim",
    "activation_function": "act_fn hidden_act activation",
    "layer_norm_epsilon": "eps layer_norm_eps ln_eps",
    "initializer_range": "init_std std",
    "embd_pdrop": "embd_dropout embed_dropout",
    "attn_pdrop": "attn_dropout attention_dropout",
    "resid_pdrop": "resid_dropout residual_dropout hidden_dropout_prob",
    "tie_word_embeddings": "tie_weights weight_tying tied",
}
"""What other libraries call an argument of ours, with spaces between the names."""


def in_place_of(name: str, known: Collection[str]) -> str:
    """What to write for a name that is not `known`: ours for another library's, the nearest, or all that there are."""
    for ours, others in OTHERS.items():
        if ours in known and name in others.split():
            return f"write {ours}."
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."


def check_names(
    given: Iterable[str], known: Collection[str], what: str, elsewhere: Mapping[str, str] | None = None
) -> None:
    """Raise UsageError for a name that is not `known`.

    what       the word for such a name in the sentence: "setting of Sampling"
    elsewhere  what to do instead, for names that other libraries use where none of ours is meant
    """
    for name in given:
        if name not in known:
            mend = f"{elsewhere[name]}." if elsewhere and name in elsewhere else in_place_of(name, known)
            raise UsageError(f"there is no {what} {name!r}: {mend}")
