"""From a prompt to its continuation: generate.py joins noise.py, sampling.py, stopping.py and decoder.py."""
