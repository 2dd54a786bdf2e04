"""How fast this machine reads its memory: the limit of decoding, which reads every weight for each token.

In: nothing. Out: bytes per second. Read next: bench.py.
"""

import time

import torch

SIZE = 1 << 29  # bytes that are read at once: more than a processor's caches hold


class Reader:
    """A block of memory, larger than the caches, that is read with the threads of PyTorch."""

    def __init__(self, size: int = SIZE) -> None:
        self.block = torch.ones(size // 4096, 1024)
        self.vector = torch.ones(1024)
        self.best = 0.0

    def read(self) -> float:
        """Read all of it, by a sum and by a product with a vector; the best rate so far, in bytes per second.

        The best, not the middle one: whatever else the machine does can only slow a read down.
        """
        for way in (self.block.sum, lambda: self.block @ self.vector):
            began = time.perf_counter()
            way()
            self.best = max(self.best, self.block.nbytes / (time.perf_counter() - began))
        return self.best
