"""From a prompt to its continuation: noise.py, sampling.py, stopping.py and decoder.py, joined by generate.py."""
