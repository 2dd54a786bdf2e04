"""A vocabulary learned from texts: byte-level byte-pair encoding (Radford et al. 2019, section 2.2).

In: texts and a size. Out: the content of a tokenizer.json with GPT-2's rules. `Tokenizer.train` calls it.
"""

import json
from collections.abc import Iterable
from typing import Any

from gpt2.text.byte_level import EOT, byte_alphabet, gpt2_content, well_formed


def learned(texts: Iterable[str], vocab_size: int) -> dict[str, Any]:
    """The 256 bytes, the merges in the order in which they were learned, and `<|endoftext|>`.

    `texts` is read once, as a stream. Raises ValueError for a `vocab_size` below 257.
    """
    if vocab_size < 257:
        raise ValueError(f"a vocabulary of {vocab_size} is too small: 256 bytes and {EOT} make 257.")
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers, trainers

    learner = Library(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=list(byte_alphabet()),
    )
    learner.train_from_iterator((well_formed(text) for text in texts), trainer)
    model = json.loads(learner.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    tokens = [*byte_alphabet(), *(left + right for left, right in merges), EOT]
    return gpt2_content({token: i for i, token in enumerate(tokens)}, merges)
