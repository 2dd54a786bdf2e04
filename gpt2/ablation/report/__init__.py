"""The report of a study: from its results file, complete or not, to one document with plots.

Read first: findings.py.
"""
