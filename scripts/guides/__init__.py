"""The guides are rendered: prose stands in templates, and every number, output, figure and verdict is put in.

    python -m scripts.guides            measure the bundled model, draw the figures, render the guides
    python -m scripts.guides --text     render alone, from what was measured before

measure.py takes the numbers (docs/guide/measured.json), study.py reads the ablation studies, teaching/ draws,
ledger.py judges the statements of docs/claims.toml, render.py writes. tests/docs/test_guides.py holds it all equal.
"""
