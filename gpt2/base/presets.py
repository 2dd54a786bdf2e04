"""The published sizes by name.

Out: the configurations of OpenAI's four models and of distilgpt2. Read next: costs.py, what they cost.
"""

from gpt2.config import GPT2Config

PRESETS = {
    "gpt2": GPT2Config(),
    "gpt2-medium": GPT2Config(n_layer=24, n_head=16, n_embd=1024),
    "gpt2-large": GPT2Config(n_layer=36, n_head=20, n_embd=1280),
    "gpt2-xl": GPT2Config(n_layer=48, n_head=25, n_embd=1600),
    "distilgpt2": GPT2Config(n_layer=6),
}
