"""Ours and other software, side by side in one run, on one GPT-2 with random weights.

In: installed packages (requirements.txt beside this file). Out: results/*.json, every measurement; results/*.md, a
table of it. Nothing here is part of the package `gpt2`, and `gpt2` imports nothing from here.
Read next: cases.py (what is measured), engines/ (how each software is asked), run.py.
"""
