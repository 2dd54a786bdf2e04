"""gpt2 explain: one file for each group of analyses."""
