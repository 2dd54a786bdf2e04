"""What `benchmarks.decode_rate` prints, from the figures that it keeps.

In: {"rates": {"idle" or "busy": {case: {contestant: tokens per second of each round}}}, "bandwidth",
"bytes_per_token", "ids", "ways", "not_run"}. Out: lines: a table of each case, and how the medians stand beside what is
asked of them.
"""

from collections.abc import Iterator
from statistics import median
from typing import Any

CEILING = {"ours fp32": 0.85, "ours bf16": 0.80}
ALONE = (  # ours, a peer, and the least that ours divided by the peer's may be, for one row
    ("ours fp32", "hf fp32", 1.0),
    ("ours bf16", "hf bf16", 1.0),
    ("ours int8", "llama q8_0", 1.0),
    ("ours int8", "ct2 int8", 1.0),
    ("ours int4", "llama q4_0", 0.9),
)
TOGETHER = (  # for several rows
    ("ours fp32", "hf fp32", 1.0),
    ("ours bf16", "hf bf16", 1.5),
    ("ours int8", "ct2 int8", 1.0),
)
SHARES = (  # which peer's share of its idle rate ours must have beside a busy loop
    ("ours fp32", "ct2 fp32"),
    ("ours bf16", "ct2 fp32"),
    ("ours int8", "ct2 int8"),
    ("ours int4", "ct2 int8"),
)


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The whole report."""
    for case in found["rates"]["idle"]:
        yield ""
        yield from table(found, case)
        yield from bars(found, case)
    if found["not_run"]:
        yield ""
    for who, reason in found["not_run"].items():
        yield f"not run: {who}: {reason}"


def medians(found: dict[str, Any], case: str, load: str = "idle") -> dict[str, float]:
    """Median tokens per second of each contestant that has any."""
    return {name: median(rates) for name, rates in found["rates"].get(load, {}).get(case, {}).items() if rates}


def table(found: dict[str, Any], case: str) -> Iterator[str]:
    """A line for each contestant: tokens per second, beside the ceiling and beside a busy loop."""
    alone = case == "batch 1"
    idle, busy, ids = medians(found, case), medians(found, case, "busy"), found["ids"].get(case, {})
    head = f"{case:12} {'tokens/s':>9} {'lowest':>9} {'highest':>9}"
    head += f" {'MB/token':>9} {'ceiling':>9} {'share':>6}" if alone else ""
    head += f" {'busy':>9} {'of idle':>7}" if busy else ""
    yield head + f" {'same ids':>8}  way"
    reference: list[list[int]] = next(iter(ids.values()), [])
    for name, rate in idle.items():
        rates = found["rates"]["idle"][case][name]
        line = f"{name:12} {rate:9.1f} {min(rates):9.1f} {max(rates):9.1f}"
        if alone:
            read = found["bytes_per_token"].get(name)
            share = "" if read is None else f"{ceiling_share(found, name, rate):.2f}"
            cells = ("", "") if read is None else (f"{read / 1e6:.1f}", f"{found['bandwidth'] / read:.1f}")
            line += f" {cells[0]:>9} {cells[1]:>9} {share:>6}"
        if busy:
            line += f" {busy[name]:9.1f} {busy[name] / rate:7.2f}" if name in busy else f" {'':9} {'':7}"
        yield line + f" {same(reference, ids.get(name, [])):8.0%}  {found['ways'].get(case, {}).get(name, '')}"


def same(these: list[list[int]], those: list[list[int]]) -> float:
    """The share of equal ids, position by position."""
    pairs = [pair for row, other in zip(these, those) for pair in zip(row, other)]
    return sum(one == other for one, other in pairs) / max(1, len(pairs))


def ceiling_share(found: dict[str, Any], name: str, rate: float) -> float:
    """A rate divided by what the memory allows."""
    return float(rate * found["bytes_per_token"][name] / found["bandwidth"])


def bars(found: dict[str, Any], case: str) -> Iterator[str]:
    """What is asked of ours in this case, what it is, and whether that is enough."""
    idle, busy = medians(found, case), medians(found, case, "busy")
    if case.startswith("prefill"):
        yield from prefill_bars(idle)
        return
    if case == "batch 1":
        for name, least in CEILING.items():
            if name in idle and name in found["bytes_per_token"]:
                yield verdict(f"{name}, share of the ceiling", ceiling_share(found, name, idle[name]), least)
    for ours, peer, least in ALONE if case == "batch 1" else TOGETHER:
        if ours in idle and peer in idle:
            yield verdict(f"{ours} / {peer}", idle[ours] / idle[peer], least)
    for ours, peer in SHARES if case == "batch 1" else ():
        if {ours, peer} <= busy.keys() & idle.keys():
            share, least = (busy[who] / idle[who] for who in (ours, peer))
            yield verdict(f"{ours}, busy share of idle, beside {peer}", share, least)


def prefill_bars(idle: dict[str, float]) -> Iterator[str]:
    """Our best beside each peer's best, and each precision beside transformers'."""
    ours = {name: rate for name, rate in idle.items() if name.startswith("ours")}
    peers = {name: rate for name, rate in idle.items() if name not in ours}
    if ours and peers:
        best, other = max(ours, key=ours.__getitem__), max(peers, key=peers.__getitem__)
        yield verdict(f"{best} / {other}, the best of each", ours[best] / peers[other], 1.0)
    for precision in ("fp32", "bf16"):
        one, other = f"ours {precision}", f"hf {precision}"
        if one in idle and other in idle:
            yield verdict(f"{one} / {other}", idle[one] / idle[other], 1.0)


def verdict(what: str, value: float, least: float) -> str:
    """One line: what is asked, the value, the least, and "short" where it is less."""
    return f"  {what}: {value:.2f} (at least {least:.2f}){'' if value >= least else ' SHORT'}"
