"""The sub-commands of `gpt2` by name: module, and what each does in a few words. Read next: main.py."""

COMMANDS = {
    "next": ("gpt2.cli.next", "the next-token table for a text"),
    "generate": ("gpt2.cli.generate", "continue a text"),
    "chat": ("gpt2.cli.chat", "talk with a model"),
    "serve": ("gpt2.cli.serve", "answer clients of OpenAI's API, over HTTP"),
    "walk": ("gpt2.cli.walk.command", "every step from text to prediction, with the real numbers"),
    "tokenize": ("gpt2.cli.tokenize", "the tokens of a text"),
    "info": ("gpt2.cli.info", "configuration, parameters, memory and FLOPs of a model"),
    "export": ("gpt2.cli.export", "write a model in Hugging Face's format"),
    "quantise": ("gpt2.cli.quantise", "write a model with int8 or int4 weights, and measure the cost"),
    "bench": ("gpt2.cli.bench", "how fast a model generates on this machine"),
    "fetch": ("gpt2.cli.fetch", "download a model from the Hugging Face hub"),
    "prepare": ("gpt2.cli.prepare", "turn text files into token shards"),
    "train": ("gpt2.cli.train", "train a model from a recipe"),
    "finetune": ("gpt2.cli.finetune", "go on training a model on a text of yours"),
    "runs": ("gpt2.cli.runs", "compare training runs, draw their curves"),
    "explain": ("gpt2.cli.explain.command", "see, measure and switch off what makes a prediction"),
    "ablate": ("gpt2.cli.ablate.command", "train without one component after another"),
    "score": ("gpt2.cli.score", "how expected each token or word of a text is; minimal pairs"),
    "eval": ("gpt2.cli.eval", "bits per byte and perplexity on a text file"),
    "completion": ("gpt2.cli.completion", "let the tab key of a shell complete commands and options"),
}
