"""Text to token shards to batches: documents, prepare, shards, batches, in the order in which text flows."""
