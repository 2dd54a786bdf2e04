"""Every field of generation_config.json that transformers acts on for a GPT-2, and what becomes of it here.

In: nothing. Out: two tables, which gpt2/inference/defaults.py reads files by and docs/checkpoint_files.md shows: fields
that act in any generation, and fields that act only where the file says `do_sample: true`.
Source: `GenerationConfig` of transformers 5.24 and its uses in `generate`. Refused fields stop generation alone.
"""

from gpt2.base.foreign import Field, alike


def _refused(what: str, name: str, *plain: object) -> Field:
    return Field(name, "refused", what, (*plain, None))


ALWAYS: tuple[Field, ...] = (
    Field("eos_token_id", "honoured", "generation ends at this token, or at any of a list; absent or null: at none"),
    Field("do_sample", "honoured", "whether the settings of sampling in the file count; if not, our own defaults hold"),
    Field("max_new_tokens", "honoured", "new tokens at most"),
    Field("max_length", "honoured", "tokens at most, the prompt's included, where `max_new_tokens` is absent"),
    Field("stop_strings", "honoured", "texts before which a continuation ends"),
    Field("repetition_penalty", "honoured", "tokens of the text so far become less likely, with or without sampling"),
    Field("no_repeat_ngram_size", "honoured", "no sequence of so many tokens occurs twice, in the prompt or after it"),
    Field("num_return_sequences", "honoured", "how many continuations are written"),
    Field("bos_token_id", "carried", "the token before a text, where the tokenizer's files name none"),
    Field("pad_token_id", "carried", "fills up short rows; here a mask does"),
    Field("decoder_start_token_id", "carried", "of models with an encoder"),
    *alike(
        "without effect", "how the result is computed or returned, not what it is",
        "use_cache cache_implementation cache_config max_cache_len return_dict_in_generate output_attentions "
        "output_hidden_states output_scores output_logits compile_config disable_compile prefill_chunk_size low_memory "
        "continuous_batching_config renormalize_logits remove_invalid_values transformers_version _from_model_config "
        "_commit_hash trust_remote_code",
    ),
    *alike(
        "without effect", "acts only together with beams or an assistant model",
        "early_stopping length_penalty diversity_penalty is_assistant num_assistant_tokens "
        "num_assistant_tokens_schedule assistant_confidence_threshold assistant_lookbehind target_lookbehind "
        "assistant_ensemble_weight max_matching_ngram_size",
    ),
    *alike(
        "without effect", "guesses ahead and checks: faster, and the same text", "prompt_lookup_num_tokens",
    ),
    _refused("searches with several beams", "num_beams", 1),
    _refused("searches with groups of beams", "num_beam_groups", 1),
    _refused("fewest tokens, the prompt's included", "min_length", 0),
    _refused("fewest new tokens", "min_new_tokens", 0),
    _refused("a limit of time", "max_time"),
    _refused("no sequence of so many tokens of the prompt occurs again", "encoder_no_repeat_ngram_size", 0),
    _refused("tokens of the prompt become likelier", "encoder_repetition_penalty", 1.0),
    _refused("sequences that are never written", "bad_words_ids"),
    _refused("tokens that are never written", "suppress_tokens"),
    _refused("tokens that are never written first", "begin_suppress_tokens"),
    _refused("the first token", "forced_bos_token_id"),
    _refused("the last token", "forced_eos_token_id"),
    _refused("makes the end likelier as a text grows", "exponential_decay_length_penalty"),
    _refused("adds to the scores of sequences", "sequence_bias"),
    _refused("compares with a prompt without the text", "guidance_scale", 1.0),
    _refused("marks the text", "watermarking_config"),
    _refused("writes the last token of the prompt anew", "token_healing", False),
    _refused("contrastive search", "penalty_alpha", 0.0),
    _refused("compares layers", "dola_layers"),
    _refused("sequences that must be written", "constraints"),
    _refused("words that must be written", "force_words_ids"),
    _refused("guesses ahead with parts of this model that a GPT-2 does not have", "use_mtp", False),
    _refused("guesses ahead", "speculation_type"),
    _refused("guesses ahead with an early block", "assistant_early_exit"),
)  # fmt: skip

SAMPLING: tuple[Field, ...] = (
    Field("temperature", "honoured", "divides the scores; absent: 1"),
    Field("top_k", "honoured", "only the k likeliest tokens; absent: 50, as in transformers; 0: all"),
    Field("top_p", "honoured", "only the likeliest tokens that together have this probability; absent: 1"),
    Field("min_p", "honoured", "only tokens at least this share as likely as the likeliest"),
    _refused("only tokens whose probability is typical", "typical_p", 1.0),
    _refused("only tokens of bounded entropy", "top_h"),
    _refused("only tokens above a probability", "epsilon_cutoff", 0.0),
    _refused("only tokens above a probability that depends on the entropy", "eta_cutoff", 0.0),
)
