"""From batches to a checkpoint: initialisation, optimiser, schedule, loop."""
