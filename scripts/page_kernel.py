"""Compile the page's kernel (gpt2/server/kernel.c) to WebAssembly, and write it as a module of the page.

In: clang and wasm-ld with the target wasm32. Out: gpt2/server/web/engine/wasm.js, which holds the bytes in hexadecimal,
since a page that opens from disk can load no second file. It is committed: no user and no test needs the compiler.

    python -m scripts.page_kernel
"""

import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "gpt2/server/kernel.c"
MODULE = ROOT / "gpt2/server/web/engine/wasm.js"
OPTIONS = (
    "--target=wasm32 -O3 -msimd128 -nostdlib -fno-builtin -fno-unroll-loops -fno-vectorize -fno-slp-vectorize "
    "-Wl,--no-entry -Wl,--import-memory -Wl,--strip-all"
)


def compiled() -> bytes:
    """The module's bytes. Raises FileNotFoundError without clang, CalledProcessError where it finds a mistake."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "kernel.wasm"
        subprocess.run(["clang", *OPTIONS.split(), "-o", str(target), str(SOURCE)], check=True)
        return target.read_bytes()


def main() -> None:
    """Write the module."""
    text = compiled().hex()
    lines = "".join(f'  "{text[start : start + 100]}" +\n' for start in range(0, len(text), 100)).rstrip(" +\n")
    MODULE.write_text(
        "// Written by `python -m scripts.page_kernel` from gpt2/server/kernel.c: its bytes in hexadecimal.\n\n"
        f"export const WASM =\n{lines};\n"
    )
    print(f"{MODULE.relative_to(ROOT)}: {len(compiled()):,} bytes of WebAssembly")


if __name__ == "__main__":
    main()
