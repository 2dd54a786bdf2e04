"""Where a run took place: versions, processor, threads, commit; no path and no name of a machine.

In: the device. Out: a dictionary of plain values, RUN/environment.json, also kept in every checkpoint: a run that is
resumed elsewhere can say what differs. Read next: resume.py.
"""

import json
import os
import platform
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.base.cores import cores
from gpt2.base.disk import naming
from gpt2.base.sealed import sealed
from gpt2.training.run.directory import ENVIRONMENT

if TYPE_CHECKING:
    import torch


FIELDS = (
    "gpt2", "torch", "python", "system", "processor", "cores", "threads", "gpu", "cuda", "commit",
    "uncommitted_changes",
)  # fmt: skip
"""What `describe` gives; environment.json has beside it the hash of these fields."""


def describe(device: "torch.device") -> dict[str, Any]:
    """Everything about this process that may change a loss in its last bits, or the speed."""
    import torch

    from gpt2 import __version__

    cuda = device.type == "cuda"
    return {
        "gpt2": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if cuda else None,
        "cuda": torch.version.cuda if cuda else None,
        **commit(),
    }


def write_environment(run: Path, environment: dict[str, Any]) -> None:
    """RUN/environment.json: of the process that started the run, or that resumed it last."""
    temporary = run / f".{ENVIRONMENT}"
    with naming(run / ENVIRONMENT):
        temporary.write_text(json.dumps(sealed(environment), indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, run / ENVIRONMENT)


def processor() -> str:
    """The processor's name; on Linux with family and model, since some names stand for many."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = dict(re.findall(r"^(model name|cpu family|model)\s*: (.+)$", text, re.MULTILINE))
    if "model name" not in found:
        return platform.processor() or platform.machine()
    return f"{found['model name']} (family {found.get('cpu family')}, model {found.get('model')})"


@cache
def commit() -> dict[str, Any]:
    """The commit of the working directory and whether tracked files differ from it; None outside a checkout.

    Asked once a process: the code that runs is that of its start.
    """
    try:
        head = _git("rev-parse", "HEAD")
        return {"commit": head, "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "uncommitted_changes": None}


def _git(*words: str) -> str:
    run = subprocess.run(["git", *words], capture_output=True, text=True, check=True, timeout=10)
    return run.stdout.strip()
