"""Adapters whose training began by taking A and B out of the base: the base that is left, computed as peft does.

In: a base weight, a rank and a scale. Out: the weight without scale B A, and A and B. Read next: adapter_merge.py.
In float32, as in peft: what is left over differs in the last digits from that of another precision.
"""

import torch
from torch import Tensor


def pissa(weight: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """The `rank` largest singular values go to A and B, half each (Meng et al. 2024, "PiSSA", section 3).

    weight [out, in] -> what is left [out, in], A [rank, in], B [out, rank]
    """
    weight = weight.float()
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    root = torch.diag(torch.sqrt(s[:rank] / scale))
    a, b = root @ vh[:rank], u[:, :rank] @ root
    return weight - scale * b @ a, a, b


def olora(weight: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """B and A begin as the first columns of Q and rows of R (Büyükakyüz 2024, "OLoRA", section 3).

    weight as the file stores it [m, n] -> what is left [m, n], A [rank, n], B [m, rank]. A Conv1D is [in, out] there,
    while A and B are used as for a linear layer: peft can run it only where both are equal.
    """
    weight = weight.float()
    q, r = torch.linalg.qr(weight)
    a, b = r[:rank], q[:, :rank]
    return weight - scale * b @ a, a, b
