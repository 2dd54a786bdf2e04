"""The ways to compute a linear map on a CPU, and which is the fastest here: measured once for a processor, then kept.

In: the type of a weight. Out: for each class of row counts (1, 2 to 8, 9 to 64, more) the name of a way. A measurement
takes about a second; it is kept in the user's cache folder, for this processor, PyTorch, kernel and number of threads.
Read next: fast.py, which puts the ways into a model.
"""

import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2.base.onednn import fits
from gpt2.kernels import library
from gpt2.kernels.packed import onednn, pack

Ways = tuple[str, ...]  # one for each class
CLASSES = (1, 8, 64)  # the most rows of a class; the last one has no end
ROWS = (1, 4, 32, 256)  # that stand for a class where it is measured
SHAPE = (3072, 768)  # of GPT-2's own kind
PLAIN: Ways = ("torch", "torch", "torch", "torch")
WORTH = 1.15  # times as fast as the kernel another way must be: the kernel gives a row the same bits in any company
Way = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def kernel(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [..., in] -> [..., out] by the compiled kernel, or by PyTorch where that one cannot: library.py says when."""
    return library.multiply(x, weight, bias) if library.takes(x, weight, bias) else F.linear(x, weight, bias)


WAYS: dict[str, Way] = {"torch": F.linear, "kernel": kernel, "onednn": onednn}
"""Each way by its name: x [..., in], weight [out, in], bias [out] or None -> [..., out]. "packed" is `onednn` with a
weight from `pack` for its second argument."""


@cache
def assumed() -> Ways:
    """What is taken without a measurement, where a model is too small to be worth one."""
    return ("kernel", "kernel", "kernel", "torch") if library.is_wide() else PLAIN


def ways(dtype: torch.dtype, pack: bool = True) -> Ways:
    """The fastest way of each class for weights of this type, on as many threads as PyTorch has now.

    pack  whether weights may be packed; otherwise the fastest of the others
    """
    return _ways(dtype, torch.get_num_threads(), os.environ.get("GPT2_KERNELS"))[not pack]


@cache
def _ways(dtype: torch.dtype, threads: int, setting: str | None) -> tuple[Ways, Ways]:
    name = f"{processor()}, torch {torch.__version__}, kernel {_kernel_version()}, {threads} threads, {dtype}"
    kept = _read()
    if name not in kept:
        seconds = measure(dtype)
        plain = [{way: of for way, of in one.items() if way != "packed"} for one in seconds]
        kept[name] = fastest(seconds), fastest(plain)
        _write(kept)
    return kept[name]


def fastest(seconds: list[dict[str, float]]) -> Ways:
    """The name of the best way of each class, from what `measure` returns; the kernel's where it is nearly the best."""
    best = []
    for of in seconds:
        way = min(of, key=lambda name: of[name])
        best.append("kernel" if "kernel" in of and of["kernel"] < WORTH * of[way] else way)
    return tuple(best)


def measure(dtype: torch.dtype) -> list[dict[str, float]]:
    """Seconds per product of each way, for each of ROWS: weights of this type, together larger than the last cache."""
    size = torch.empty(SHAPE, dtype=dtype).nbytes
    weights = [torch.full(SHAPE, 0.01, dtype=dtype) for _ in range(2 + 2 * _last_cache() // size)]
    tried = {"torch": weights}
    if library.library() is not None:
        tried["kernel"] = weights
    if fits(weights[0]):
        tried |= {"onednn": weights, "packed": [pack(weight) for weight in weights]}
    found = []
    with torch.inference_mode():
        for rows in ROWS:
            x = torch.full((1, rows, SHAPE[1]), 0.5, dtype=dtype)
            n = len(weights) if rows <= CLASSES[1] else 4
            times: dict[str, list[float]] = {}
            for turn in range(4):  # in turns, so that another program's work falls on all; the first warms up
                for name, of in tried.items():
                    if turn > 1 and _undisturbed(times[name]) > 2 * min(map(_undisturbed, times.values())):
                        continue
                    try:
                        seconds = _seconds(WAYS.get(name, onednn), x, of[:n])
                    except RuntimeError:  # oneDNN has no such product on this processor
                        seconds = [float("inf")]
                    times[name] = [*times.get(name, []), *seconds] if turn else []
            found.append({name: _undisturbed(of) for name, of in times.items()})
    return found


def _seconds(way: Way, x: Tensor, weights: list[Tensor]) -> list[float]:
    marks = [time.perf_counter()]
    for weight in weights:
        way(x, weight, None)
        marks.append(time.perf_counter())
    return [end - start for start, end in pairwise(marks)]


def _undisturbed(seconds: list[float]) -> float:
    """One of the lowest: whatever else the machine does makes some of them longer."""
    return sorted(seconds)[len(seconds) // 8]


def processor() -> str:
    """The processor's name, with family and model where the system tells them: some names stand for many."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return platform.processor() or platform.machine()
    fields = (re.search(rf"^{key}\s*: (.*)$", text, re.MULTILINE) for key in ("model name", "cpu family", "model"))
    return " ".join(match[1].strip() for match in fields if match) or platform.machine()


def _kernel_version() -> str:
    if library.library() is None:
        return "none"
    return f"{library.instructions()} {hashlib.sha256(library.FILE.read_bytes()).hexdigest()[:12]}"


def _last_cache() -> int:
    """Bytes of the last level of cache, at least 32 MiB where the system does not tell."""
    try:
        text = Path("/sys", "devices/system/cpu/cpu0/cache/index3/size").read_text(encoding="ascii")
        return min(int(text.strip().removesuffix("K")) << 10, 96 << 20)
    except (OSError, ValueError):
        return 32 << 20


def _file() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "glassbox-gpt2" / "linear-maps.json"


def _read() -> dict[str, tuple[Ways, Ways]]:
    """What was measured before; nothing where the file is not there, or damaged."""
    try:
        kept = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: no home
        return {}
    whole = kept.items() if isinstance(kept, dict) else ()
    return {name: (tuple(of[0]), tuple(of[1])) for name, of in whole if _are_ways(of)}


def _are_ways(found: object) -> bool:
    names = {*WAYS, "packed"}
    return isinstance(found, list) and len(found) == 2 and all(
        isinstance(of, list) and len(of) == len(ROWS) and all(isinstance(n, str) and n in names for n in of)
        for of in found
    )  # fmt: skip


def _write(kept: dict[str, tuple[Ways, Ways]]) -> None:
    try:
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f"{file.name}.{os.getpid()}")
        beside.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        os.replace(beside, file)
    except (OSError, RuntimeError):  # a cache that cannot be kept is measured again
        pass
