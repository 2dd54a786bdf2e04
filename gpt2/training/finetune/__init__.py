"""Going on with a model on a text of the user's: whole, or by low-rank adapters."""
