"""Mutations that know the formats: JSON, safetensors headers, archives of torch, lines of text, bytes.

In: a file and a source of randomness. Out: the file, changed in place, and what was done to it.
"""

import copy
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import torch

NUMBERS = [
    0, 1, -1, 2, 3, 7, 255, 256, 10**4, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**9,
    10**30, 0.5, -0.0, 1e-300, 1e308, float("inf"), float("nan"),
]  # fmt: skip
TEXTS = [
    "", "a", " ", "\n", "\x1b[31m", "\x07", "\u202e", "\ud800", "\0", "é" * 3, "a" * 5000, "<|endoftext|>", "▁", "##",
    "../../x", "/path/to/x", "[UNK]", "ByteLevel", "BPE", "WordPiece", "Unigram", "(a*)*b", "(", "Sequence", "Replace",
    "Precompiled", "F32", "I64", "F8_E4M3", "BOOL",
]  # fmt: skip
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], {"a": None}, [0, 0], {"type": "Sequence"}, ["a", "a"]]
VALUES: list[list[Any]] = [NUMBERS, TEXTS, OTHERS]


def mutate(path: Path, r: random.Random) -> str:
    """Change one file; the name of what was done."""
    data = path.read_bytes()
    ways = [_bytes, _bytes]
    if path.suffix == ".json":
        ways += [_json] * 8
    elif path.suffix == ".safetensors":
        ways += [_header] * 8
    elif path.suffix == ".txt":
        ways += [_lines] * 6
    elif zipfile.is_zipfile(path):
        ways += [_archive] * 3 + [_saved] * 5
    elif path.name == "model.bin":
        ways += [_words_of_four] * 6
    way = r.choice(ways)
    path.write_bytes(way(data, r, path))
    return way.__name__.strip("_")


def _bytes(data: bytes, r: random.Random, path: Path) -> bytes:
    out = bytearray(data)
    for _ in range(r.choice([1, 1, 2, 8])):
        place = r.randrange(len(out) + 1)
        what = r.randrange(5)
        if what == 0 and out:
            out[place % len(out)] ^= 1 << r.randrange(8)
        elif what == 1:
            del out[place : place + r.choice([1, 4, 100])]
        elif what == 2:
            out[place:place] = r.choice(
                [b"\0", b"\xff\xfe", b"[" * 1000, b"\x80", b"\n", b'"', b"9" * 30, r.randbytes(4)]
            )
        elif what == 3:
            out = out[:place]
        else:
            out[place:place] = out[place : place + 50]
    return bytes(out)


def _value(r: random.Random) -> Any:
    """A value of its own, since what follows may change it in place."""
    return copy.deepcopy(r.choice(r.choice(VALUES)))


def _changed(value: Any, r: random.Random) -> Any:
    """A value with a change at a random place in it."""
    for _ in range(r.choice([1, 1, 1, 2, 3])):
        parents, ahead = [], [value]
        while ahead:
            one = ahead.pop()
            if isinstance(one, (dict, list)) and one:
                parents.append(one)
                ahead += (list(one.values()) if isinstance(one, dict) else one)[:40]
        if not parents:
            return _value(r)
        parent = r.choice(parents)
        key = r.choice(list(parent)) if isinstance(parent, dict) else r.randrange(len(parent))
        what = r.randrange(7)
        if what == 0:
            del parent[key]
        elif what == 1 and isinstance(parent, dict):
            parent[r.choice(TEXTS)] = parent.pop(key)
        elif what == 2 and isinstance(parent, dict):
            parent[r.choice(TEXTS)] = _value(r)
        elif what == 3 and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(r.choice([*parent[:5], _value(r)])))
        elif what == 4 and isinstance(parent[key], (int, float)):
            parent[key] = r.choice(NUMBERS)
        elif what == 5 and isinstance(parent[key], str):
            parent[key] = r.choice(TEXTS)
        else:
            parent[key] = _value(r)
    return value


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "replace")


def _json(data: bytes, r: random.Random, path: Path) -> bytes:
    if r.random() < 0.03:
        depth = r.choice([101, 5000, 100_000])
        return r.choice([b"[" * depth, b"[" * depth + b"]" * depth, b'{"a":' * depth])
    text = _dumped(_changed(json.loads(data), r))
    if r.random() < 0.1:
        text = text.replace(b"1", r.choice([b"1e400", b"9" * 5000, b"-0", b"1.0", b"NaN"]), 1)
    return text


def _header(data: bytes, r: random.Random, path: Path) -> bytes:
    """A safetensors file with another header; its length is right, most times."""
    length = int.from_bytes(data[:8], "little")
    head = _dumped(_changed(json.loads(data[8 : 8 + length]), r))
    if r.random() < 0.1:
        head = r.choice([b"[" * 100_000, head[:-1] + b',"x":1}', head + b" " * 99, head * 2])
    said = len(head) if r.random() < 0.9 else r.choice([0, 1, 2**40, 2**63, 2**64 - 1, len(head) - 1])
    return said.to_bytes(8, "little") + head + data[8 + length :]


def _lines(data: bytes, r: random.Random, path: Path) -> bytes:
    lines = data.split(b"\n")
    for _ in range(r.choice([1, 2, 5])):
        place = r.randrange(len(lines))
        new = r.choice(
            [lines[-1 - place], b"", b" ", b"a b c", b"a", b"#version: x", b"\xff", b"a" * 9999, b"\x1b[2J x"]
        )
        lines[place : place + r.randrange(2)] = [new]
    return b"\n".join(lines)


def _archive(data: bytes, r: random.Random, path: Path) -> bytes:
    """An archive of torch whose pickle, or another entry, is damaged."""
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    name = r.choice([n for n in entries if n.endswith("data.pkl")] * 3 + list(entries))
    if r.random() < 0.1:
        del entries[name]
    else:
        entries[name] = _bytes(entries[name], r, path)
    with zipfile.ZipFile(path, "w", r.choice([zipfile.ZIP_STORED] * 4 + [zipfile.ZIP_DEFLATED])) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path.read_bytes()


def _strange(tensor: torch.Tensor, r: random.Random) -> Any:
    one = tensor.detach().float()
    return r.choice([
        lambda: one.to_sparse(), lambda: one.to("meta"), lambda: one.to(torch.complex64), lambda: one.double(),
        lambda: torch.quantize_per_tensor(one, 0.1, 0, torch.qint8), lambda: one.to(torch.float8_e4m3fn),
        lambda: torch.nested.nested_tensor([one, one]), lambda: one.expand(10**6, *one.shape), lambda: one.long(),
        lambda: torch.nn.Parameter(one), lambda: [one], lambda: {"a": one}, lambda: one[:0], lambda: one.half(),
        lambda: one.fill_(float("nan")), lambda: one[None], lambda: one.bool(), lambda: torch.zeros(()), lambda: None,
        lambda: one.to(torch.bfloat16), lambda: one.to_mkldnn(), lambda: one.flatten(), lambda: "x", lambda: 10**30,
    ])()  # fmt: skip


def _saved(data: bytes, r: random.Random, path: Path) -> bytes:
    """What torch.save wrote, saved again with another value in it."""
    content = torch.load(path, weights_only=True)
    inner = content.get("model", content)
    if inner is not content and r.random() < 0.5:
        content["model_args"] = _changed(content["model_args"], r)
    else:
        name = r.choice(list(inner))
        if r.random() < 0.2:
            inner[r.choice([*TEXTS, 3, None])] = inner.pop(name)
        else:
            inner[name] = _strange(inner[name], r)
    torch.save(content, path)
    return path.read_bytes()


def _words_of_four(data: bytes, r: random.Random, path: Path) -> bytes:
    """llm.c's header with another number."""
    place = 4 * r.randrange(9)
    number = r.choice([n for n in NUMBERS if isinstance(n, int)]) % 2**32
    return data[:place] + number.to_bytes(4, "little") + data[place + 4 :]
