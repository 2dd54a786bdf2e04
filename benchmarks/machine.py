"""Which machine, which commit: what a figure means nothing without.

In: this machine. Out: plain dictionaries for the result file; no path and no host name among them.
"""

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CAPABILITIES = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's name; on Linux with family and model, since some names stand for many."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    text = cpuinfo.read_text(encoding="utf-8")
    found = {key: re.search(rf"^{key}\s*: (.*)$", text, re.MULTILINE) for key in ("model name", "cpu family", "model")}
    name, family, model = (match[1].strip() if match else "" for match in found.values())
    if not name:
        return platform.machine()
    return f"{name} (family {family}, model {model})" if family and model else name


def describe() -> dict[str, Any]:
    """Processor, cores, memory, system; what its vector units can do is added by the first worker."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        memory = 0.0
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def capabilities() -> dict[str, bool]:
    """What matters for speed of the instruction sets, as PyTorch finds them (imports torch)."""
    import torch

    found = torch.cpu.get_capabilities()
    return {name: bool(found.get(name)) for name in CAPABILITIES}


def commit() -> dict[str, Any]:
    """The commit, and whether gpt2/ or benchmarks/ differ from it; None outside a checkout."""

    def git(*words: str) -> str:
        run = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return run.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "gpt2", "benchmarks", ":!benchmarks/results")
        return {"commit": git("rev-parse", "HEAD"), "changed_since": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "changed_since": None}
