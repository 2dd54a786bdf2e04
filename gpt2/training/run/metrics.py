"""What a run measures: metrics.jsonl, how it is cut on resuming, TensorBoard, memory, and the share of peak speed.

In: events, dictionaries of numbers. Out: RUN/metrics.jsonl. Read next: loop.py, which makes the events, and
curves.py, which draws them. A line is one of

    {"step": 7, "tokens": 65536, "loss": 5.1, "grad_norm": 0.9, "lr": 3e-4, "tokens_per_s": 1400.0, "mfu": null, ...}
    {"step": 7, "tokens": 65536, "val": {"data/books-val": 5.2}}
    {"step": 7, "tokens": 65536, "sample": "Once upon a time ..."}
    {"step": 8, "diverged": "step 8: the loss is nan ..."}

where step counts from 0 and `val` was measured after that step. A line is complete or it does not count: the last one
may be torn when the process was killed. Each checkpoint holds a hash of the lines before it.
"""

import codecs
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.base.costs import flops_per_token
from gpt2.base.disk import naming
from gpt2.base.errors import UsageError
from gpt2.base.foreign import shortened
from gpt2.base.kinds import parse_own
from gpt2.base.sealed import kind_of, read_file

if TYPE_CHECKING:
    import torch

    from gpt2.config import GPT2Config

METRICS = "metrics.jsonl"
Event = dict[str, Any]
EVENT = {
    "step": int, "tokens?": int, "loss?": float, "val?": {str: float}, "elapsed_s?": float, "tokens_per_s?": float,
    "diverged?": str, "sample?": str,
}  # fmt: skip
"""What is read of a line: its fields by kind (gpt2/base/kinds.py)."""
MEASURED = ("loss", "val", "sample", "diverged")
"""What a step has at most one line of, each."""

# Dense bf16 products in FLOP/s, as NVIDIA's data sheets print them (without sparsity), under the names that
# torch.cuda.get_device_name gives. https://www.nvidia.com/en-us/data-center/{a100,h100,h200,l4,l40s}, tables
# "Specifications"; GeForce: the Ada and Ampere GA102 white papers, appendix A (products with fp32 accumulation).
PEAKS = {
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA H100 80GB HBM3": 989.4e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H200": 989.4e12,
    "NVIDIA L4": 121e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA GeForce RTX 4090": 165.2e12,
    "NVIDIA GeForce RTX 3090": 71e12,
}


class MetricsLog:
    """Writes RUN/metrics.jsonl, each step once; a resumed run goes on after `start` steps.

    Attributes:
        validated: after how many steps the file has a validation loss. A run that was killed between saving and
            evaluating resumes at a step that is not among them, and evaluates first.
        sampled: the same for samples.
    """

    def __init__(self, run: Path, start: int = 0, tensorboard: bool = False, size: int | None = None) -> None:
        """Cut the lines of steps that are to be done again, and open the file at its end.

        size   cut after so many bytes instead; None: after the lines of `start` steps

        Raises UsageError when TensorBoard is asked for and not installed.
        """
        self.path = run / METRICS
        self._board = _board(run, start) if tensorboard else None
        self._board_path = run / "tensorboard"
        # without a buffer: closing a file whose disk is full must not fail once more
        self._file = open(self.path, "r+b" if self.path.exists() else "w+b", buffering=0)  # noqa: SIM115
        content = self._file.read()
        end, kept = 0, []
        for event, _, after in _lines(content if size is None else content[:size]):
            if event is None or event["step"] >= start:
                break
            end = after
            kept.append(event)
        self._file.truncate(end)
        self._file.seek(end)
        self._size, self._hash = end, hashlib.sha256(content[:end])
        self.validated, self.sampled = (
            {event["step"] + 1 for event in kept if name in event} for name in ("val", "sample")
        )

    def write(self, event: Event) -> None:
        """Append one line, for readers to see at once. OSError, naming the file, when the disk refuses."""
        line = json.dumps(event).encode() + b"\n"
        with naming(self.path):
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._size += len(line)
        self._hash.update(line)
        if "val" in event:
            self.validated.add(event["step"] + 1)
        if "sample" in event:
            self.sampled.add(event["step"] + 1)
        if self._board is not None:
            with naming(self._board_path):
                for name, value in _scalars(event):
                    self._board.add_scalar(name, value, event["step"])

    def seal(self) -> dict[str, Any]:
        """The bytes written so far, and their SHA-256: for a checkpoint, which notices by it what is damaged later."""
        return {"bytes": self._size, "sha256": self._hash.hexdigest()}

    def sync(self) -> None:
        """Have the disk hold every line: to be called before a checkpoint is saved, which then needs none of them."""
        with naming(self.path):
            os.fsync(self._file.fileno())
        if self._board is not None:
            with naming(self._board_path):
                self._board.flush()

    def close(self) -> None:
        """Close the file and TensorBoard's."""
        self._file.close()
        if self._board is not None:
            with naming(self._board_path):
                self._board.close()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_metrics(path: Path) -> list[Event]:
    """The events of a metrics.jsonl, also while it is being written; lines that are damaged are passed over.

    ValueError when the file is not a log.
    """
    content = read_file(path)
    events = [event for event, _, _ in _lines(content) if event is not None]
    if not events and content.count(b"\n") > 0:
        raise ValueError(f"{path} is not a log of gpt2 train: its first line is not an event with a step.")
    return events


def good_events(path: Path, start: int) -> list[Event]:
    """The events of the first `start` steps, each once, also of a log that is damaged or missing."""
    try:
        content = good_lines(read_file(path), start)
    except OSError:
        return []
    return [event for event, _, _ in _lines(content) if event is not None]


def wrong_lines(path: Path, steps: int, seal: Mapping[str, Any] | None = None, later_too: bool = False) -> str:
    """What is wrong with the log of a run that has done so many steps; empty where nothing is.

    seal       what `MetricsLog.seal` gave then; without it a changed number is not noticed
    later_too  whether lines after those steps count as well; otherwise they are to be cut
    """
    kind = kind_of(path)
    if kind:
        return f"it is {kind}"
    try:
        content = read_file(path)
    except FileNotFoundError:
        return f"it is missing, with the lines of {steps} steps" if steps else ""
    except OSError as error:
        return f"it cannot be read ({(error.strerror or str(error)).lower()})"
    is_whole = seal is not None and is_sealed(content, seal)
    if is_whole and not later_too:
        return ""
    if content.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark"
    seen: dict[int, int] = {}
    later: tuple[int, int] | None = None
    for event, number, _ in _lines(content):
        step = -1 if event is None else event["step"]
        if event is None and (later_too or (len(seen) < steps and later is None)):
            return f"line {number} cannot be read"
        if step >= steps and not later_too:
            later = later or (number, step)
        elif event is not None and "loss" in event:
            if later is not None:
                return f"line {later[0]} is of step {shortened(later[1])}, and lines of earlier steps follow it"
            if step in seen:
                return f"line {number} repeats step {step} of line {seen[step]}"
            seen[step] = number
    end = content.rpartition(b"\n")[2]
    if later_too and end[:1] not in (b"", b"{"):  # a line that is half written begins as a whole one
        return "its end cannot be read"
    lost = steps - sum(step < steps for step in seen)
    if lost > 0:
        first = next(step for step in count() if step not in seen)
        return f"it has no line of step {first}{f' and {lost - 1} more' if lost > 1 else ''}"
    return "its lines are not those that were written" if seal is not None and not is_whole else ""


def is_sealed(content: bytes, seal: Mapping[str, Any]) -> bool:
    """Whether a log begins with the bytes of which `MetricsLog.seal` gave the hash."""
    return hashlib.sha256(content[: seal["bytes"]]).hexdigest() == seal["sha256"]


def logged_losses(content: bytes) -> dict[int, float]:
    """The loss of each step, of the lines of a log that can be read."""
    return {event["step"]: event["loss"] for event, _, _ in _lines(content) if event is not None and "loss" in event}


def good_lines(content: bytes, start: int) -> bytes:
    """The lines of the first `start` steps that can be read, each once and in order, of a log that is damaged."""
    content = content.removeprefix(codecs.BOM_UTF8)
    lines, kept, seen = content.split(b"\n"), [], set()
    for event, number, _ in _lines(content):
        if event is None or event["step"] >= start:
            continue
        what = (event["step"], *(name for name in MEASURED if name in event))
        if what not in seen or len(what) == 1:
            kept.append((event["step"], lines[number - 1] + b"\n"))
        seen.add(what)
    return b"".join(line for _, line in sorted(kept, key=lambda one: one[0]))


def _lines(content: bytes) -> Iterator[tuple[Event | None, int, int]]:
    """Each complete line's event (None where it is none), the line's number from 1, and the offset of its end."""
    end = 0
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        end += len(line) + 1
        try:
            event = parse_own(line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode("utf-8"), EVENT)
            yield (event if event["step"] >= 0 else None), number, end
        except ValueError:
            yield None, number, end


def mean_validation(events: list[Event]) -> dict[int, float]:
    """The mean of the validation losses over the sets, by the number of steps that were done before it."""
    return {e["step"] + 1: sum(e["val"].values()) / len(e["val"]) for e in events if e.get("val")}


def _scalars(event: Event) -> Iterator[tuple[str, float]]:
    for name, value in event.items():
        if name == "val":
            yield from ((f"val/{Path(set_name).name}", loss) for set_name, loss in value.items())
        elif name != "step" and "val" not in event and isinstance(value, int | float):
            yield f"train/{name}", value


def _board(run: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError('TensorBoard is not installed: pip install "glassbox-gpt2[tensorboard]".') from None
    return SummaryWriter(str(run / "tensorboard"), purge_step=start)


def peak_flops(device: "torch.device") -> float | None:
    """The device's published dense bf16 FLOP/s; None where it is not known (every CPU, and GPUs not in the table)."""
    import torch

    return PEAKS.get(torch.cuda.get_device_name(device)) if device.type == "cuda" else None


def mfu(tokens_per_s: float, config: "GPT2Config", context: int, peak: float | None, devices: int = 1) -> float | None:
    """Model FLOPs utilisation: the share of peak speed that the model's own arithmetic takes; None: unknown.

    6 FLOPs a weight and token and 12 L C T for attention, whatever is recomputed (Chowdhery et al. 2022, "PaLM",
    appendix B, which like nanoGPT and llm.c does not halve attention for the causal mask).
    """
    return None if peak is None else 3 * flops_per_token(config, context) * tokens_per_s / (peak * devices)


def peak_memory(device: "torch.device") -> int | None:
    """Bytes at most in use so far: of the GPU's memory, or resident in this process; None where nobody counts."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
