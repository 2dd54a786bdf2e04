"""A first word that is no command: an analysis of `gpt2 explain`, what other programs call a command, or a slip.

In: the words typed. Out: one sentence, with the command to type in their place. Read next: explain/analyses.py.
"""

import difflib
from collections.abc import Sequence

from gpt2.base.visible import quoted
from gpt2.cli.commands import COMMANDS
from gpt2.cli.explain.analyses import ANALYSES, NEED_NO_TEXT, analysis_of

OTHER_COMMANDS = {
    "next": "predict top logits",
    "generate": "sample complete continue run inference infer text-generation write",
    "chat": "talk converse cli-chat",
    "tokenize": "encode tokens tokenise",
    "info": "show inspect summary config params parameters describe",
    "export": "convert save to-hf gguf",
    "fetch": "download pull get",
    "prepare": "preprocess prep dataset",
    "train": "pretrain",
    "finetune": "tune sft lora adapt",
    "runs": "curves plot tensorboard",
    "score": "surprisal blimp loglikelihood logprobs",
    "eval": "evaluate perplexity ppl benchmark lm-eval",
}
"""What other programs call the commands, with spaces between the names."""

INSTEAD = {
    "server api openai llama-server vllm": "type `gpt2 serve`, which answers clients of OpenAI's API",
    "web ui page app gui": 'type `gpt2 explain "Once upon a time" --page`, which opens the page',
    "merge merge-lora merge-adapter": "type `gpt2 export ADAPTER DIR`, which writes an adapter merged into its base",
    "decode detokenize": "ids become a text in Python: type "
    "`python -c \"import gpt2; print(gpt2.load('storyteller').tokenizer.decode([464, 318]))\"`",
}
"""Names of what is done in another way here, and how."""


def sentence(argv: Sequence[str]) -> str:
    """What to type in place of words whose first is no command."""
    name, *rest = argv
    lower = name.lower().replace("_", "-")
    if lower in ANALYSES:
        mend = f"it is an analysis of `gpt2 explain`: type {explained(lower, rest)}."
    elif said := next((said for names, said in INSTEAD.items() if lower in names.split()), ""):
        mend = f"{said}."
    elif near := difflib.get_close_matches(lower, COMMANDS, n=1, cutoff=0.75):
        mend = f"did you mean 'gpt2 {near[0]}'?"
    elif meant := next((one for one, names in OTHER_COMMANDS.items() if lower in names.split()), ""):
        mend = f"did you mean 'gpt2 {meant}'?"
    elif analysis := analysis_of(lower) or next(iter(difflib.get_close_matches(lower, ANALYSES, 1, 0.75)), ""):
        mend = f"did you mean {explained(analysis, rest)}?"
    elif near := difflib.get_close_matches(lower, COMMANDS, n=1):
        mend = f"did you mean 'gpt2 {near[0]}'?"
    else:
        mend = "'gpt2 --help' lists the commands."
    return f"there is no command {name!r}: {mend}"


def explained(analysis: str, rest: Sequence[str]) -> str:
    """The command of an analysis: with the words that stood behind another name, or with an example of a text."""
    words = [quoted(word) for word in rest] or ([] if analysis in NEED_NO_TEXT else ['"Once upon a time"'])
    return f"`{' '.join(['gpt2 explain', analysis, *words])}`"
