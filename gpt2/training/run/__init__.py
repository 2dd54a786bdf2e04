"""A training run as a directory: what is written, kept, resumed and drawn."""
