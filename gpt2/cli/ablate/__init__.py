"""gpt2 ablate: studies and their reports."""
