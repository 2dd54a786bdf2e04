"""The command: `python -m benchmarks`. Parses, runs, prints the table. See README.md beside this file."""

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine, report
from benchmarks.cases import KINDS, PEERS, PRECISIONS
from benchmarks.run import Benchmark, Options

DEFAULT_PEERS = ("transformers", "ctranslate2")


def parser() -> argparse.ArgumentParser:
    """The options; lists are written with commas."""

    def names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
        def parse(text: str) -> tuple[str, ...]:
            chosen = tuple(filter(None, text.split(",")))
            unknown = [name for name in chosen if name not in known]
            if unknown:
                raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not among {','.join(known)}")
            return chosen

        return parse

    def positive(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
        return int(text)

    p = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Ours and other software side by side, on one GPT-2 124M with random weights.",
    )
    p.add_argument("--only", type=names(KINDS), default=KINDS, metavar="KINDS", help=f"of {','.join(KINDS)}")
    p.add_argument(
        "--peers", type=names(PEERS), default=DEFAULT_PEERS, metavar="NAMES",
        help=f"of {','.join(PEERS)}, or '' for ours alone (default: {','.join(DEFAULT_PEERS)})",
    )  # fmt: skip
    p.add_argument("--with", dest="extra", type=names(PEERS), default=(), metavar="NAMES", help="peers besides those")
    p.add_argument("--nanogpt", metavar="PATH", help="a checkout of nanoGPT: it takes part in training")
    p.add_argument("--precisions", type=names(PRECISIONS), default=PRECISIONS, help=f"of {','.join(PRECISIONS)}")
    p.add_argument("--rounds", type=positive, help="default: 3, with --quick 1")
    p.add_argument("--repeats", type=positive, default=3, help="measurements of a case in a round (default: 3)")
    p.add_argument("--limit", type=float, default=60.0, metavar="SECONDS", help="of one case, about (default: 60)")
    p.add_argument("--threads", type=positive, default=machine.cores(), help="default: all cores")
    p.add_argument("--no-compile", action="store_true", help="leave out training through torch.compile")
    p.add_argument("--small", action="store_true", help="training of a 10M model (6 x 384, 65 tokens), B=16, T=256")
    p.add_argument(
        "--quick",
        action="store_true",
        help="a tiny model, to see that it works (nothing compiled); figures mean nothing",
    )
    p.add_argument("--out", type=Path, metavar="NAME", help="write NAME.json and NAME.md (default: results/DATE-CPU)")
    return p


def options(arguments: list[str]) -> Options:
    """The options of a command line; wrong ones end the program with code 2 and a sentence."""
    a = parser().parse_args(arguments)
    software = (*a.peers, *a.extra, *(("nanogpt",) if a.nanogpt else ()))
    return Options(
        kinds=a.only,
        software=tuple(dict.fromkeys(software)),
        precisions=a.precisions,
        rounds=a.rounds or (1 if a.quick else 3),
        repeats=a.repeats,
        limit_s=a.limit,
        threads=a.threads,
        nanogpt=a.nanogpt and str(Path(a.nanogpt).resolve()),
        shape="quick" if a.quick else "10m" if a.small else "124m",
        compile=not (a.no_compile or a.quick),
        out=a.out or _default_out(a.quick, a.small),
        command=_shown(arguments),
    )


def _default_out(quick: bool, small: bool) -> Path | None:
    if quick:
        return None
    name = re.sub(r"[^a-z0-9]+", "-", machine.processor().lower()).strip("-")
    stem = f"{datetime.now(UTC):%Y-%m-%d}-{name}-{machine.cores()}-cores{'-10m' if small else ''}"
    return Path(__file__).parent / "results" / stem


def _shown(arguments: list[str]) -> str:
    """The command as it is published: paths are somebody's own."""
    words = ["PATH" if "/" in word and not word.startswith("-") else word for word in arguments]
    words = [re.sub(r"^(--\w+)=.*/.*", r"\1=PATH", word) for word in words]
    return shlex.join(["python", "-m", "benchmarks", *words])


def main(arguments: list[str] | None = None) -> int:
    """Run; 1 when something of ours did not."""
    chosen = options(sys.argv[1:] if arguments is None else arguments)
    benchmark = Benchmark(chosen, say=lambda line: print(line, file=sys.stderr, flush=True))
    try:
        result = benchmark.run()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except RuntimeError as error:
        print(f"the model could not be made: {error}", file=sys.stderr)
        return 1
    print(report.markdown(result, chosen.cases), end="")
    if chosen.out is not None:
        print(f"written: {chosen.out}.json and .md", file=sys.stderr)
    return int(any(entry["contestant"].startswith("ours") for entry in result["not_run"]))


if __name__ == "__main__":
    sys.exit(main())
