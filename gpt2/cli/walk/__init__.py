"""gpt2 walk: the numbers of one pass in a terminal or on a page."""
