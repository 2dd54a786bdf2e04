"""What the whole package uses and nobody reads first: errors, whole files, plain numbers, oneDNN."""
