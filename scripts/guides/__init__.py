"""The guides are rendered: prose stands in templates, and every number, output, figure and verdict is put in.

    python -m scripts.guides                 measure the bundled model, draw the figures, render all documents
    python -m scripts.guides --text          render alone, from what was measured before
    python -m scripts.guides.claim T5        measure what one statement of the ledger rests on, and judge it
    python -m scripts.guides.check_ledger    do so for all of them, and compare with docs/ledger.md
    python -m scripts.guides.train dropout   repeat the trainings that the ledger needs beside the ablation studies

measure.py takes the numbers (docs/guide/measured.json), study.py reads the ablation studies and trained.py the other
trainings, teaching/ draws, verdicts.py holds the rule of verdicts, ledger.py judges the statements of docs/claims.toml
by it, render.py writes. tests/docs/test_guides.py holds it all equal.
"""
