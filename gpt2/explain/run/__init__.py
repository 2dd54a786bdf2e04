"""One pass of a model, kept, edited, and repeated many times at once."""
