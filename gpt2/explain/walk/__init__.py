"""One position's way through the model, every number in order."""
