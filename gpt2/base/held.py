"""How much memory a result holds, and memory that is given back to the system.

In: any result, with tensors in it. Out: bytes. Read next: server/kept.py, which keeps results within a budget.
"""

import ctypes
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

WORD = 64  # bytes: about what a number or a short text takes with the list or dictionary that it is in


def held(value: Any, apart_from: tuple[Any, ...] = ()) -> int:
    """Bytes that `value` keeps alive: each tensor's whole storage once, whatever part of it the tensor shows.

    apart_from  objects that live anyway. Modules and functions are not counted either.
    """
    seen = {id(one) for one in apart_from}
    storages: dict[int, int] = {}
    others, ahead = 0, [value]
    while ahead:
        one = ahead.pop()
        if id(one) in seen or isinstance(one, nn.Module) or callable(one):
            continue
        if isinstance(one, Tensor):
            storage = one.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            continue
        if isinstance(one, str | bytes | bytearray):
            others += WORD + len(one)
            continue
        others += WORD
        if isinstance(one, Mapping):
            seen.add(id(one))
            ahead += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            seen.add(id(one))
            ahead += one
        elif hasattr(one, "__dict__"):
            seen.add(id(one))
            ahead += vars(one).values()
    return others + sum(storages.values())


def give_back() -> None:
    """Return freed memory to the system where the C library keeps it for itself (glibc); elsewhere nothing."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return
    trim(0)
