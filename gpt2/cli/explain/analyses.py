"""The analyses of `gpt2 explain` by name: module, class, and what each one shows; and those that need no text."""

ANALYSES = {
    "trace": ("gpt2.cli.explain.text", "Trace", "what is predicted at each position; any value by its address"),
    "lens": ("gpt2.cli.explain.text", "Lens", "what would be predicted after each block"),
    "attribution": ("gpt2.cli.explain.text", "Attribution", "what each component adds to a prediction"),
    "effects": ("gpt2.cli.explain.text", "Effects", "direct, indirect and total effect of each component"),
    "attention": ("gpt2.cli.explain.text", "Attention", "where the heads look"),
    "stream": ("gpt2.cli.explain.text", "Stream", "norms of the residual stream, and of its gradients"),
    "off": ("gpt2.cli.explain.switch", "Off", "switch components off: loss on a text, generation"),
    "patch": ("gpt2.cli.explain.switch", "Patch", "put values of one prompt into another"),
    "behaviours": ("gpt2.cli.explain.switch", "Behaviours", "accuracy on sets of pairs, and what carries it"),
    "heads": ("gpt2.cli.explain.model", "Heads", "what each head does: scores, baselines, labels"),
    "neurons": ("gpt2.cli.explain.model", "Neurons", "what excites a neuron, and what it promotes"),
    "neighbours": ("gpt2.cli.explain.model", "Neighbours", "tokens with similar vectors"),
    "positions": ("gpt2.cli.explain.model", "Positions", "how alike the position vectors are"),
    "points": ("gpt2.cli.explain.model", "Points", "every address, with its shape"),
}
NEED_NO_TEXT = ("off", "behaviours", "heads", "positions", "points")
