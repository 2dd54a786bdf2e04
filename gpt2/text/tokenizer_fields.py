"""The fields of a tokenizer's files that transformers 5.24 acts on, and what becomes of each here.

In: nothing. Out: four tables, for tokenizer_config.json, special_tokens_map.json, added_tokens.json and tokenizer.json.
`gpt2/text/assembled.py` reads the files by them; the documents show them.
"""

from gpt2.base.foreign import Field

_MEND = "open the directory with transformers, save the tokenizer there with save_pretrained and use what it wrote."

_NAMED = (
    Field("bos_token", "honoured", "Stands before a text where one must; added to the vocabulary if it is not in it."),
    Field("eos_token", "honoured", "Ends a text; added to the vocabulary if it is not in it."),
    Field("unk_token", "honoured", "Stands for what the vocabulary cannot spell, in BERT's words; else it is added."),
    Field("sep_token", "honoured", "Added to the vocabulary if it is not in it; after a text in BERT's kind."),
    Field("pad_token", "honoured", "Fills up short rows; added to the vocabulary if it is not in it."),
    Field("cls_token", "honoured", "Added to the vocabulary if it is not in it; before a text in BERT's kind."),
    Field("mask_token", "honoured", "Added to the vocabulary if it is not in it."),
    Field("*_token", "honoured", "A token with a name of the files' own, such as image_token; added like the others."),
    Field("extra_special_tokens", "honoured", "More special tokens: a list, or an object of names and tokens."),
    Field("additional_special_tokens", "honoured", "The older name of extra_special_tokens; that one wins."),
)

TOKENIZER_CONFIG: tuple[Field, ...] = (
    *_NAMED,
    Field("tokenizer_class", "honoured", "Which rules apply: GPT-2's, RoBERTa's, BERT's, or those of tokenizer.json."),
    Field("added_tokens_decoder", "honoured", "Tokens beside the vocabulary, in place of the other files' ones."),
    Field("add_prefix_space", "honoured", "A text is read as if a space stood before it (GPT-2's and RoBERTa's kind)."),
    Field("add_bos_token", "honoured", "Counts without a tokenizer.json: the beginning is in Tokenizer.before."),
    Field("add_eos_token", "honoured", "Counts without a tokenizer.json: the end is in Tokenizer.after."),
    Field("do_lower_case", "honoured", "BERT's kind: capitals become small letters."),
    Field("tokenize_chinese_chars", "honoured", "BERT's kind: each Chinese character is a word."),
    Field("strip_accents", "honoured", "BERT's kind: accents are dropped."),
    Field("trim_offsets", "without effect", "RoBERTa's kind: changes offsets, which are not ids."),
    Field("split_special_tokens", "honoured", "Text never spells a special token, also where that is allowed."),
    Field("clean_up_tokenization_spaces", "honoured", "Decoding drops spaces before punctuation, for all but a BPE."),
    Field(
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", "honoured", "The same for a BPE too."
    ),
    Field("model_max_length", "carried", "The longest text for the model, where transformers is told to cut."),
    Field("max_len", "carried", "The older name of model_max_length."),
    Field("padding_side", "carried", "Where transformers pads."),
    Field("truncation_side", "carried", "Where transformers cuts."),
    Field("pad_token_type_id", "carried", "How transformers marks padding."),
    Field("pad_to_multiple_of", "carried", "How far transformers pads."),
    Field("max_length", "carried", "A default of cutting and padding."),
    Field("stride", "carried", "A default of cutting."),
    Field("truncation_strategy", "carried", "A default of cutting."),
    Field("model_input_names", "carried", "Which inputs transformers makes for the model."),
    Field(
        "chat_template", "honoured", "How a conversation is written as text: `gpt2 finetune` does so with `messages`."
    ),
    Field("response_template", "carried", "How transformers reads an answer."),
    Field("response_schema", "without effect", "transformers drops it."),
    Field("chat_control_tokens", "carried", "What transformers hides in the messages of a conversation."),
    Field("processor_class", "carried", "The name of a processor."),
    Field("eos_token_id", "honoured", "Written here where another file than the tokenizer's named the end."),
    Field("bos_token_id", "honoured", "Written here where another file than the tokenizer's named the beginning."),
    Field("errors", "without effect", "Bytes that are no UTF-8 become U+FFFD, whatever it says."),
    Field("name_or_path", "without effect", "Where the files came from."),
    Field("special_tokens_map_file", "without effect", "Where the files came from."),
    Field("tokenizer_file", "without effect", "transformers takes the directory's own."),
    Field("vocab_file", "without effect", "transformers takes the directory's own."),
    Field("merges_file", "without effect", "transformers takes the directory's own."),
    Field("added_tokens_file", "without effect", "transformers takes the directory's own."),
    Field("use_fast", "without effect", "There is one kind only."),
    Field("legacy", "without effect", "A rule of SentencePiece's kinds."),
    Field("sp_model_kwargs", "without effect", "A rule of SentencePiece's kinds."),
    Field("never_split", "without effect", "A rule of older BERT classes."),
    Field("do_basic_tokenize", "without effect", "A rule of older BERT classes."),
    Field("is_local", "without effect", "How the files were found."),
    Field("local_files_only", "without effect", "How the files were found."),
    Field("backend", "without effect", "A note of transformers to itself."),
    Field("files_loaded", "without effect", "A note of transformers to itself."),
    Field("verbose", "without effect", "What transformers prints."),
    Field("device_map", "without effect", "A tokenizer has no device."),
    Field("slow_tokenizer_class", "without effect", "A note of transformers to itself."),
    Field("transformers_version", "without effect", "Who wrote the file."),
    Field("fix_mistral_regex", "without effect", "A rule for Mistral's models."),
    Field("auto_map", "refused", "A class in the directory's own code, which is never run here.", (None, {}), _MEND),
    Field("fast_tokenizer_files", "refused", "Another tokenizer.json.", (None, [], ["tokenizer.json"]), _MEND),
    Field("init_inputs", "refused", "Arguments without names for the class.", ((), []), _MEND),
    Field("vocab", "refused", "A vocabulary in place of the file's.", (None,), _MEND),
    Field("merges", "refused", "Merges in place of the file's.", (None,), _MEND),
    Field("tokenizer_object", "refused", "A tokenizer in place of the file's.", (None,), _MEND),
    Field("post_processor", "refused", "A post-processor in place of the file's.", (None,), _MEND),
    Field("model_specific_special_tokens", "refused", "Names of tokens in another form.", (None, {}), _MEND),
    Field("gguf_file", "refused", "A vocabulary in another format.", (None,), _MEND),
)

SPECIAL_TOKENS_MAP: tuple[Field, ...] = (
    *_NAMED,
    Field("(any other)", "honoured", "Counts as if tokenizer_config.json said it."),
)
"""special_tokens_map.json; it is not read where tokenizer_config.json holds `added_tokens_decoder`."""

ADDED_TOKENS: tuple[Field, ...] = (
    Field("(each token)", "honoured", "Added in the order of the ids; its id is the next free one, as there."),
)
"""added_tokens.json, from a token to its id; not read where tokenizer_config.json holds `added_tokens_decoder`."""

TOKENIZER_JSON: tuple[Field, ...] = (
    Field("version", "without effect", "Of the format; tokenizers refuses those it does not know."),
    Field("model", "honoured", "The vocabulary and its rules; a class with rules of its own keeps the vocabulary."),
    Field("added_tokens", "honoured", "Not read where a class of its own finds added_tokens_decoder beside it."),
    Field("normalizer", "honoured", "Not read by GPT-2's, RoBERTa's and BERT's classes, as in transformers."),
    Field("pre_tokenizer", "honoured", "Not read by GPT-2's, RoBERTa's and BERT's classes, as in transformers."),
    Field("decoder", "honoured", "Not read by GPT-2's, RoBERTa's and BERT's classes, as in transformers."),
    Field("post_processor", "honoured", "What it puts around a text is in Tokenizer.before and Tokenizer.after."),
    Field("truncation", "carried", "transformers cuts only where it is told to."),
    Field("padding", "carried", "Names the pad token where nothing else does."),
)
