"""Where a training runs: device, number format, compiler, processes."""
