"""From a prompt to its continuation: generate.py joins prompts.py, decoder.py, sampling.py and stopping.py."""
