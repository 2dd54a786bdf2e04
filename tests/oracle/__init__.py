"""Random GPT-2 checkpoints and adapters, and whether this package reads each as `transformers` and `peft` do.

Written from their source alone, without the loader's. `python -m tests.oracle --cases 2000` runs it; generator.py
draws a case, compare.py judges it, faults.py plants errors in the loader that the comparison must notice.
"""
