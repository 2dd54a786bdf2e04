"""The analyses of `gpt2 explain` by name: module, class, and what each one shows; and those that need no text."""

ANALYSES = {
    "trace": ("gpt2.cli.explain.text", "Trace", "what is predicted at each position; any value by its address"),
    "lens": ("gpt2.cli.explain.text", "Lens", "what would be predicted after each block"),
    "attribution": ("gpt2.cli.explain.text", "Attribution", "what each component adds to a prediction"),
    "effects": ("gpt2.cli.explain.text", "Effects", "direct, indirect and total effect of each component"),
    "leave-one-out": ("gpt2.cli.explain.text", "LeaveOneOut", "the loss on this text without each component"),
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

OTHER_NAMES = {
    "lens": "logit-lens logitlens tuned-lens tunedlens lenses early-exit",
    "attribution": "dla direct-logit-attribution logit-attribution logit-attributions saliency attributions "
    "integrated-gradients input-x-gradient gradients contributions",
    "effects": "indirect-effects direct-effects total-effects mediation causal-mediation",
    "leave-one-out": "loo leave-1-out leaveoneout importance importances",
    "attention": "attn attention-pattern attention-patterns attention-map attention-maps attention-weights bertviz",
    "stream": "residual residual-stream resid norms",
    "off": "ablation ablate ablations knockout knock-out knock-outs zero-ablation mean-ablation lesion switch-off",
    "patch": "patching activation-patching attribution-patching path-patching causal-tracing causal-trace "
    "resample interchange-intervention",
    "behaviours": "behavior behaviors circuits circuit",
    "heads": "head-labels head-scores induction induction-heads previous-token-heads",
    "neurons": "max-activating max-activating-examples top-activations mlp-neurons",
    "neighbours": "neighbors nearest-tokens nearest-neighbours nearest-neighbors similarity embeddings wte",
    "positions": "position-embeddings positional-embeddings position-vectors wpe",
    "points": "addresses hooks hook-points",
    "trace": "run-with-cache activations hidden-states",
}
"""What others call the analyses, with spaces between the names."""


def analysis_of(word: str) -> str:
    """The analysis that a word names, as we or as others call it; "" for another word."""
    word = word.lower().replace("_", "-")
    others = (name for name, words in OTHER_NAMES.items() if word in words.split())
    return word if word in ANALYSES else next(others, "")
