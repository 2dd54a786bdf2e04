"""What a live page brings, so that a browser can run the model itself: graph, tokenizer, means, weights."""
