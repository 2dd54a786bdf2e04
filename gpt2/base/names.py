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

SETTINGS = {
    **{f"model.{name}": OTHERS[name] for name in ("n_layer", "n_head", "n_embd", "n_inner", "n_positions")},
    "model.dropout": "dropout_rate dropout_p embd_pdrop attn_pdrop resid_pdrop hidden_dropout_prob",
    "data.train": "dataset data data_dir data_path dataset_name dataset_path train_file train_data train_path "
    "training_data corpus",
    "data.val": "val_file validation_file validation_data eval_file eval_data test_file val_data dev_file",
    "optim.name": "optimizer optimiser optim opt",
    "optim.lr": "learning_rate max_lr peak_lr step_size base_lr",
    "optim.floor": "min_lr final_lr",
    "optim.schedule": "lr_scheduler_type lr_scheduler lr_schedule scheduler decay_lr",
    "optim.warmup_steps": "warmup warmup_iters warmup_ratio num_warmup_steps",
    "optim.weight_decay": "wd",
    "optim.clip": "grad_clip max_grad_norm gradient_clipping grad_norm_clip clip_grad_norm",
    "optim.beta1": "adam_beta1",
    "optim.beta2": "adam_beta2",
    "optim.eps": "adam_epsilon epsilon",
    "train.batch_size": "bs train_batch_size per_device_train_batch_size device_batch_size total_batch_size "
    "per_device_batch_size",
    "train.micro_batch_size": "gradient_accumulation_steps grad_accum accumulate_gradients micro_batch",
    "train.steps": "max_steps max_iters iters iterations num_iterations num_steps epochs num_epochs num_train_epochs "
    "n_epochs",
    "train.context": "ctx ctx_size n_ctx block_size seq_len sequence_length max_seq_length max_seq_len context_length "
    "context_size max_length",
    "train.init": "init_from resume_from_base base_model",
    "train.seed": "random_seed",
    "train.dtype": "torch_dtype precision mixed_precision amp bf16 fp16",
    "train.compile": "torch_compile",
    "train.activation_checkpointing": "gradient_checkpointing",
    "train.log_every": "logging_steps log_interval",
    "train.eval_every": "eval_steps eval_interval evaluation_strategy eval_strategy",
    "train.save_every": "save_steps save_interval save_strategy",
    "train.keep_last": "save_total_limit",
}
"""What other programs call a setting of a recipe, by section and name, with spaces between the names."""
OTHER_MEANING = {
    "optim.floor": "a share of the peak rate",
    "optim.warmup_steps": "a number of steps",
    "train.micro_batch_size": "the rows computed at once",
    "train.steps": "a number of steps",
}
"""What the value of a setting is, where the other programs' is another."""
NO_SETTINGS = {
    "betas adam_betas": "write beta1 and beta2 in [optim]",
    "vocab_size": "the vocabulary is the data's, so leave it out",
    "tokenizer": "the data sets name their tokenizer, so leave it out",
    "bias": "a GPT-2 has its biases always, so leave it out",
    "device": "a recipe names no device, so leave it out here: it is said where the run begins",
    "out out_dir output_dir": "a recipe names no directory of the run, so leave it out here: it is said where the run "
    "begins",
}
"""What to do in place of settings that no recipe has."""


def in_place_of(name: str, known: Collection[str]) -> str:
    """What to write for a name that is not `known`: ours for another library's, the nearest, or all that there are."""
    for ours, others in OTHERS.items():
        if ours in known and name in others.split():
            return f"write {ours}."
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."


def setting_in_place_of(name: str, section: str, known: Collection[str]) -> str:
    """What to write in a recipe for a name that `section` does not have; "" where no setting is meant.

    section  where the name stands, "train", say; "" above all of them
    known    every setting, by section and name: "optim.lr"
    """
    plain = name.replace("-", "_").lower()
    if said := next((said for names, said in NO_SETTINGS.items() if plain in names.split()), ""):
        return f"{said}."
    meant = [one for one in known if plain in (one.rpartition(".")[2], *SETTINGS.get(one, "").split())]
    if not meant:
        return ""
    ours = min(meant, key=lambda one: one.partition(".")[0] != section)
    home, _, own = ours.rpartition(".")
    meaning = f", {OTHER_MEANING[ours]}" if own != plain and ours in OTHER_MEANING else ""
    return f"write {own} in [{home}]{meaning}."


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
