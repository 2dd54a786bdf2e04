"""How well a model predicts: bits per byte and perplexity."""
