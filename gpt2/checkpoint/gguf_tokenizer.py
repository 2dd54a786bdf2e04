"""A tokenizer as llama.cpp reads it from a GGUF file: tokens, merges, the ids that end a text, the chat template.

In: a tokenizer and the model's size of vocabulary. Out: fields of a GGUF writer. A tokenizer from which llama.cpp would
make other ids is refused by name. Read next: gguf.py.
"""

import json
from collections.abc import Sequence
from typing import Any

from gpt2.base.errors import Failure
from gpt2.base.notes import note
from gpt2.text.chat_template import templates_of, token_names
from gpt2.text.tokenizer import EOT, Tokenizer

PRE_TOKENIZER = "gpt-2"  # llama.cpp's name of GPT-2's split pattern
MOST_ENDS = 3
# llama.cpp ends a text at these, by their text, whatever a file names: `llama_vocab` of its source.
ENDS_ANYWAY = (EOT, "<|im_end|>", "<|eot_id|>", "<|end|>", "<|end_of_text|>", "<end_of_turn>", "<EOT>")
MEND = "export it in Hugging Face's format."


def check_tokenizer(tokenizer: Tokenizer | None, vocab_size: int, ends: Sequence[int]) -> None:
    """Raise Failure for a tokenizer that llama.cpp would read as another one, naming what it would take otherwise.

    ends  the ids at which a generation ends
    """
    if tokenizer is None:
        raise Failure("a GGUF file holds its tokenizer, and there is none", "give the model's.")
    refused = {
        "its pattern, normaliser, merges or added tokens are not of GPT-2's kind": not tokenizer.splits_before_space,
        "it puts tokens around every text": bool(tokenizer.before or tokenizer.after),
        "it has no merges": tokenizer.splits_before_space and len(tokenizer.special) + 256 >= tokenizer.vocab_size,
        f"it has ids past the {vocab_size:,} rows of the model": tokenizer.vocab_size > vocab_size,
        "some of its ids stand for no token, and llama.cpp could draw them": bool(tokenizer.holes(vocab_size)),
        "no token ends a text, and llama.cpp would take one that does": not ends,
        f"more than {MOST_ENDS} tokens end a text": len(ends) > MOST_ENDS,
    }
    for why, holds in refused.items():
        if holds:
            raise Failure(f"llama.cpp cannot read this tokenizer ({why})", MEND)
    more = [t for t in ENDS_ANYWAY if t in tokenizer.special and tokenizer.special[t] not in ends]
    if more:
        note(f"llama.cpp ends a text at {', '.join(more)} too, which the model's files do not name.")


def add_tokenizer(writer: Any, tokenizer: Tokenizer, ends: Sequence[int]) -> None:
    """Write the tokenizer's fields with a `gguf.GGUFWriter`; arguments as `check_tokenizer` has taken them."""
    from gguf import TokenType

    model = json.loads(tokenizer.library(True).to_str())["model"]
    by_id = {i: token for token, i in (model["vocab"] | tokenizer.special).items()}
    special = set(tokenizer.special.values())
    kinds = [TokenType.CONTROL if i in special else TokenType.NORMAL for i in range(len(by_id))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list([by_id[i] for i in range(len(by_id))])
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(ends[0] if tokenizer.bos_id is None else tokenizer.bos_id)
    for add, end in zip((writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id), ends):
        add(end)
    unknown = tokenizer.special.get(token_names(tokenizer).get("unk_token", ""))
    if unknown is not None:
        writer.add_unk_token_id(unknown)
    writer.add_add_bos_token(False)
    template = templates_of(tokenizer).get("default")
    if template is not None:
        writer.add_chat_template(template)
