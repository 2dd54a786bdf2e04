"""Every field of config.json that transformers acts on for a GPT-2, and what becomes of it here.

In: nothing. Out: a table, which gpt2/checkpoint/hf_config.py reads files by and docs/checkpoint_files.md shows.
Source: `GPT2Config` and `PreTrainedConfig` of transformers 5.24, and their uses in its GPT-2 and its pipelines.
"""

from gpt2.base.foreign import Field, alike

ELSEWHERE = "transformers computes such a model; choose another one here."

CONFIG_FIELDS: tuple[Field, ...] = (
    Field("model_type", "honoured", "must be `gpt2`, or `glassbox_gpt2` for a variant of this project; default `gpt2`"),
    Field("glassbox_variant", "honoured", "which variant of this project the model is"),
    Field("glassbox_off", "carried", "what `gpt2 export` switched off in the weights; `gpt2 info` shows it"),
    Field(
        "quantization_config", "honoured",
        "int8 and int4 weights that `gpt2 quantise` wrote (`quant_method: glassbox`); any other form is refused",
    ),
    Field("vocab_size", "honoured", "rows of the token table; rows past the tokenizer's last token are cut off"),
    Field("n_positions", "honoured", "the context"),
    Field("n_embd", "honoured", "width of the residual stream"),
    Field("n_layer", "honoured", "blocks"),
    Field("n_head", "honoured", "heads per block"),
    Field("max_position_embeddings", "honoured", "another name of `n_positions`; wins over it as in transformers"),
    Field("hidden_size", "honoured", "another name of `n_embd`; wins over it as in transformers"),
    Field("num_hidden_layers", "honoured", "another name of `n_layer`; wins over it as in transformers"),
    Field("num_attention_heads", "honoured", "another name of `n_head`; wins over it as in transformers"),
    Field("n_inner", "honoured", "width of the MLP; null means 4 times `n_embd`"),
    Field("activation_function", "honoured", "22 names; `prelu` and `xielu`, which have parameters, are refused"),
    Field("layer_norm_epsilon", "honoured", "added to the variance in every norm"),
    Field("scale_attn_weights", "honoured", "whether scores are divided by sqrt(head_dim)"),
    Field("scale_attn_by_inverse_layer_idx", "honoured", "whether scores are divided by the block's number too"),
    Field("tie_word_embeddings", "honoured", "whether the head is the token table; without it the head has its own"),
    *alike("honoured", "a dropout rate, which acts in training", "embd_pdrop attn_pdrop resid_pdrop"),
    Field("initializer_range", "honoured", "standard deviation of weights drawn afresh"),
    Field("bos_token_id", "honoured", "the token before a text, where the tokenizer's files name none"),
    Field("eos_token_id", "honoured", "where generation ends if there is no generation_config.json"),
    Field("head_dim", "without effect", "transformers' GPT-2 computes n_embd / n_head; another value is refused here"),
    Field(
        "reorder_and_upcast_attn", "honoured",
        "the same function in float32; in half precision transformers' eager attention computes scores in float32 and "
        "its default (sdpa) does not, and neither does the fused kernel here, which says so",
    ),
    Field("transformers_weights", "honoured", "the name of the safetensors file with the weights, or of its index"),
    Field("architectures", "carried", "a model with another head is read without it, with a line that says so"),
    *alike("carried", "the numbers of the stored weights; here `dtype` decides those in memory", "dtype torch_dtype"),
    Field("auto_map", "without effect", "code that comes with a checkpoint is never run; a line says so"),
    *alike(
        "carried", "of classifiers and of heads beside the language model's",
        "id2label label2id num_labels problem_type finetuning_task summary_type summary_use_proj summary_activation "
        "summary_proj_to_labels summary_first_dropout classifier_dropout hidden_dropout",
    ),
    *alike("carried", "which tokenizer the weights belong to", "tokenizer_class prefix name_or_path _name_or_path"),
    *alike("carried", "the token that fills up short rows, or one of other models", "pad_token_id sep_token_id"),
    Field("decoder_start_token_id", "carried", "of models with an encoder"),
    Field("task_specific_params", "carried", "settings of transformers' pipelines, which nothing here reads"),
    *alike(
        "without effect", "transformers' GPT-2 does not read it",
        "n_ctx chunk_size_feed_forward is_decoder layer_types rope_scaling rope_theta rope_parameters torchscript "
        "use_bfloat16 tf_legacy_loss gradient_checkpointing embed_dim n_special predict_special_tokens afn "
        "_commit_hash _attn_implementation_autoset _attn_implementation _attn_implementation_internal "
        "_experts_implementation_internal experts_implementation force_bos_token_to_be_generated",
    ),
    *alike(
        "without effect", "how transformers computes or returns, not what",
        "transformers_version use_cache return_dict output_attentions output_hidden_states attn_implementation "
        "tie_encoder_decoder",
    ),
    *alike(
        "honoured", "a setting of generation, read where there is no generation_config.json, and by its rules",
        "max_length max_new_tokens min_length min_new_tokens min_p do_sample early_stopping num_beams temperature "
        "top_k top_p typical_p "
        "repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids "
        "num_return_sequences output_scores return_dict_in_generate forced_bos_token_id forced_eos_token_id "
        "remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens epsilon_cutoff "
        "eta_cutoff encoder_repetition_penalty num_assistant_tokens num_assistant_tokens_schedule "
        "assistant_confidence_threshold assistant_lookbehind target_lookbehind num_beam_groups diversity_penalty",
    ),
    Field("add_cross_attention", "refused", "attention to an encoder", (False,), ELSEWHERE),
    Field("is_encoder_decoder", "refused", "a model with an encoder", (False,), ELSEWHERE),
    Field("cross_attention_hidden_size", "refused", "the width of an encoder", (None,), ELSEWHERE),
    Field("per_layer_config", "refused", "blocks that differ from one another", (None, {}), ELSEWHERE),
    Field("pruned_heads", "refused", "heads that older versions of transformers cut out of the weights", (None, {})),
    Field("compression_config", "refused", "weights in a compressed form", (None,)),
    Field("attribute_map", "refused", "other names for fields, set by the file", (None,), ELSEWHERE),
)  # fmt: skip
