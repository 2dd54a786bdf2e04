"""Commands that are killed and typed again: is anything lost, changed, or left running?

    python -m benchmarks.kills --kills 1000 --out kills.json

Read next: process.py (commands that start in milliseconds), commands.py (what is killed), measure.py.
"""
