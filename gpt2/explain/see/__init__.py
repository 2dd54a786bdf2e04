"""What can be seen in one pass: lens, attribution, attention, stream, embeddings."""
