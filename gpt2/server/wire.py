"""Answers as bytes: JSON, with every tensor in it moved into one binary tail.

In: dictionaries, lists, numbers, strings and tensors. Out: bytes that web/wire.js turns back.

    uint32 n | n bytes of JSON | tail        a tensor in the JSON is {"$": [offset in the tail, dtype, shape]}

A float tensor travels in half precision when it is large (what is drawn needs three digits), in float32 when small.
"""

import json
import math
import struct
from typing import Any

import torch
from torch import Tensor

from gpt2.base.foreign import in_words, parse_json
from gpt2.base.plain import plain

LARGE = 512  # numbers; a smaller tensor is not worth losing digits for
DTYPES = {torch.float16: "f2", torch.float32: "f4", torch.int32: "i4"}


def pack(value: Any) -> bytes:
    """The bytes of an answer. A number that is not finite becomes null, since JSON has none."""
    tail = bytearray()

    def elsewhere(item: Any) -> Any:
        return _array(item, tail) if isinstance(item, Tensor) else item

    header = json.dumps(plain(value, elsewhere), ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 4)  # typed arrays of a browser start at multiples of four
    return struct.pack("<I", len(header)) + header + bytes(tail)


def _array(x: Tensor, tail: bytearray) -> dict[str, Any]:
    """Append the numbers of a tensor to the tail; what stands in the JSON in its place."""
    if x.is_floating_point():
        dtype = torch.float16 if x.numel() > LARGE else torch.float32
    else:
        dtype = torch.int32
    x = x.detach().to("cpu", dtype).contiguous()
    offset = len(tail)
    tail += x.numpy().tobytes()
    tail += b"\0" * (-len(tail) % 4)
    return {"$": [offset, DTYPES[dtype], list(x.shape)]}


def unpack(data: bytes) -> Any:
    """What `pack` packed, with float32 and int32 tensors: for tests and for reading an exported page.

    ValueError for bytes that are something else.
    """
    try:
        (n,) = struct.unpack_from("<I", data)
        return _full(parse_json(data[4 : 4 + n]), data[4 + n :])
    except (ValueError, TypeError, RuntimeError, StopIteration, struct.error) as error:
        raise ValueError(f"these bytes are no answer of the page ({in_words(error)}).") from None


def _full(value: Any, tail: bytes) -> Any:
    if isinstance(value, list):
        return [_full(item, tail) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {"$"}:
        return {key: _full(item, tail) for key, item in value.items()}
    offset, name, shape = value["$"]
    dtype = next(dtype for dtype, known in DTYPES.items() if known == name)
    count = math.prod(shape)
    if count == 0:
        return torch.zeros(shape)
    x = torch.frombuffer(bytearray(tail), dtype=dtype, count=count, offset=offset).view(shape)
    return x.float() if x.is_floating_point() else x
