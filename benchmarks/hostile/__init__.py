"""Checkpoints and tokenizers that are damaged at random; `benchmarks/mutations.py` opens them."""
