"""Glassbox GPT-2: one readable GPT-2 that loads, trains, generates and explains itself.

    import gpt2
    model, tokenizer, *_ = gpt2.load("storyteller")
    [[completion]] = gpt2.generate(model, tokenizer, "Once upon a time")
    print(completion.text)

Open and keep a model
    load            a model and its tokenizer, by name, directory or Hugging Face id
    save            write a model as a directory in Hugging Face's format
    Checkpoint      what `load` returns: model, tokenizer, name, directory
    GPT2            the model: ids [B, T] to logits [B, T, V], or a loss, or hidden states
    GPT2Config      its sizes and choices
    PRESETS         the configurations of the published sizes, by name
    KVCache         keys and values of earlier tokens, so that a new one costs one row
    Tokenizer       text to ids and back

Continue texts
    generate        continue texts, and return the completions
    stream          the same, token by token as they come
    Sampling        how a text is continued: length, temperature, top_k, seed, ...
    sampling_for    the settings that a checkpoint's own files ask for
    Completion      one continuation: its text, ids, and why it ended
    Piece           one token of a continuation, from `stream`
    TokenLogprob    a token's log probability, with those of its likeliest alternatives
    Chat            messages to the ids that an answer continues
    ChatTemplate    the text that a checkpoint makes of messages

Measure texts
    score           log probability, surprisal, rank and entropy of every token, and of words
    TextScore       the scores of one text
    TokenScore      those of a token
    WordScore       those of a word, with the correction for the leading space

Look inside
    trace           run a model over a text and keep what happens; `gpt2.explain` has the analyses
    Probe           read and edit values of a forward pass by their addresses

Train
    finetune        go on training a model on files, or on texts in memory
    FineTuned       what `finetune` returns: the directory of the model, the losses before and after

Be told
    UsageError      a wrong argument: one sentence that says what to do next (a ValueError)
    Note            the category of this package's warnings

Nothing heavy is imported before it is used: `gpt2.load` imports torch when it is asked for. `help(gpt2.generate)`
explains a name; docs/from-python.md shows all of them at work.
"""

from typing import TYPE_CHECKING

from gpt2.base.lazy import lazily

if TYPE_CHECKING:
    from gpt2.base.errors import UsageError
    from gpt2.base.notes import Note
    from gpt2.base.presets import PRESETS
    from gpt2.cache import KVCache
    from gpt2.checkpoint.files import Checkpoint
    from gpt2.checkpoint.opened import load, save
    from gpt2.evaluation.token_scores import TextScore, TokenScore, score
    from gpt2.evaluation.word_scores import WordScore
    from gpt2.explain.run.trace import trace
    from gpt2.habits import GPT2
    from gpt2.inference.defaults import sampling_for
    from gpt2.inference.generate import Completion, Piece, generate, stream
    from gpt2.inference.sampling import Sampling, TokenLogprob
    from gpt2.probe import Probe
    from gpt2.sizes import GPT2Config
    from gpt2.text.chat import Chat
    from gpt2.text.chat_template import ChatTemplate
    from gpt2.text.tokenizer import Tokenizer
    from gpt2.training.finetune.from_python import FineTuned, finetune

__version__ = "0.1.0"

__all__ = [
    "GPT2",
    "PRESETS",
    "Chat",
    "ChatTemplate",
    "Checkpoint",
    "Completion",
    "FineTuned",
    "GPT2Config",
    "KVCache",
    "Note",
    "Piece",
    "Probe",
    "Sampling",
    "TextScore",
    "TokenLogprob",
    "TokenScore",
    "Tokenizer",
    "UsageError",
    "WordScore",
    "__version__",
    "finetune",
    "generate",
    "load",
    "sampling_for",
    "save",
    "score",
    "stream",
    "trace",
]  # fmt: skip

__getattr__, __dir__ = lazily(
    __name__,
    {
        "gpt2.base.errors": "UsageError",
        "gpt2.base.notes": "Note",
        "gpt2.base.presets": "PRESETS",
        "gpt2.cache": "KVCache",
        "gpt2.checkpoint.files": "Checkpoint",
        "gpt2.checkpoint.opened": "load save",
        "gpt2.evaluation.token_scores": "TextScore TokenScore score",
        "gpt2.evaluation.word_scores": "WordScore",
        "gpt2.explain.run.trace": "trace",
        "gpt2.habits": "GPT2",
        "gpt2.inference.defaults": "sampling_for",
        "gpt2.inference.generate": "Completion Piece generate stream",
        "gpt2.inference.sampling": "Sampling TokenLogprob",
        "gpt2.probe": "Probe",
        "gpt2.sizes": "GPT2Config",
        "gpt2.text.chat": "Chat",
        "gpt2.text.chat_template": "ChatTemplate",
        "gpt2.text.tokenizer": "Tokenizer",
        "gpt2.training.finetune.from_python": "FineTuned finetune",
    },
)
