"""What builds the package: it compiles the kernel of gpt2/kernels/native where a C++ compiler is there.

With the kernel the wheel is one for this system, without it a pure one; nothing that goes wrong here stops an install.
The library lies beside its sources, which an editable install imports, and is compiled anew only when one of them is
newer. `python hatch_build.py` compiles it alone; GPT2_KERNELS=off leaves it out.
"""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path(__file__).parent / "gpt2" / "kernels" / "native"
LIBRARY = NATIVE / "linear.so"
FLAGS = ["-O3", "-std=c++17", "-fPIC", "-ffp-contract=off", "-fvisibility=hidden"]
PLAIN = ["interface", "block", "linear", "threads", "pool", "portable"]
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, *(f"-mavx512{part}" for part in ("f", "bw", "vl", "dq")), "-mprefer-vector-width=512"]
WIDE = {  # files that are compiled for some processors alone: the others must run on any
    "avx2": AVX2,
    "avx512": AVX512,
    "avx512_bf16": [*AVX512, "-mavx512bf16", "-mavx512vnni"],
}


class CustomBuildHook(BuildHookInterface):
    """The hook that hatchling calls before it makes a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the kernel; a wheel that is not editable carries it and is named for this system."""
        if compile_kernel() and version != "editable":
            build_data["force_include"][str(LIBRARY)] = "gpt2/kernels/native/linear.so"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def compile_kernel() -> bool:
    """Whether the library is there, compiled from the sources as they are."""
    compiler = os.environ.get("CXX") or next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if os.environ.get("GPT2_KERNELS") == "off" or compiler is None or sys.platform == "win32":
        return False
    sources = [path for path in NATIVE.iterdir() if path.suffix in (".cpp", ".hpp")]
    try:
        if LIBRARY.exists() and LIBRARY.stat().st_mtime >= max(path.stat().st_mtime for path in sources):
            return True
        _compile(compiler)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        print(f"The kernel of gpt2/kernels is left out, PyTorch computes instead: {said}", file=sys.stderr)
        return False
    return True


def _compile(compiler: str) -> None:
    """Each file by itself; without those for some processors alone that the compiler does not know."""
    wide = WIDE if platform.machine().lower() in ("x86_64", "amd64") else {}
    link = ["-static-libstdc++", "-static-libgcc"] if sys.platform == "linux" else []
    with TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:

        def compiled(name: str, *flags: str) -> str:
            made = f"{folder}/{name}.o"
            _run([compiler, *FLAGS, *flags, "-c", str(NATIVE / f"{name}.cpp"), "-o", made])
            return made

        def try_wide(name: str) -> str | None:
            try:
                return compiled(name, *wide[name])
            except subprocess.CalledProcessError:
                print(f"The kernel leaves out {name}.cpp, which {compiler} does not compile.", file=sys.stderr)
                return None

        found = dict(zip(wide, pool.map(try_wide, wide)))
        have = [f"-DGPT2_{name.upper()}" for name, made in found.items() if made]
        objects = [*filter(None, found.values()), *pool.map(lambda name: compiled(name, *have), PLAIN)]
        _run([compiler, "-shared", *link, *objects, "-o", f"{folder}/linear.so", "-pthread"])
        beside = LIBRARY.with_suffix(f".{os.getpid()}")
        shutil.copy(f"{folder}/linear.so", beside)
        os.replace(beside, LIBRARY)  # never half a file, and a process that has loaded the old one keeps it


def _run(words: list[str]) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(not compile_kernel())
