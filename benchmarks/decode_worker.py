"""A contestant of `benchmarks.decode_rate` that is written in Python, in a process of its own.

In: a job as JSON on the command line, {"software", "precision", "work", "threads", "prepare", "options"}; then on
standard input one question a line, {"prompts", "new"}. Out, one line each: first what this is, {"versions"}, then
{"ids", "first", "rest"}: seconds until every row has its first new token, and for the others. {"not_run": reason}
stands for what cannot be. engines/node_llama.mjs answers the same questions.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.engines import Decoder, NotRun, Place, engine


def answer(decoder: Decoder, prompts: list[list[int]], new: int) -> dict[str, Any]:
    """The ids and the times; one call for the first new token alone, another for all of them."""
    ids, first = timed(decoder, prompts, 1)
    rest = 0.0
    if new > 1:
        ids, whole = timed(decoder, prompts, new)
        rest = whole - first
    if [len(row) for row in ids] != [new] * len(prompts):
        raise NotRun(f"asked for {new} new tokens each, it gave {[len(row) for row in ids]}")
    return {"ids": ids, "first": first, "rest": max(rest, 1e-9)}


def timed(decoder: Decoder, prompts: list[list[int]], new: int) -> tuple[list[list[int]], float]:
    """What a call gives, and its seconds."""
    start = time.perf_counter()
    ids = decoder.generate(prompts, new)
    return ids, time.perf_counter() - start


def opened(job: dict[str, Any]) -> tuple[Decoder | None, dict[str, Any]]:
    """The contestant and what it is; with "prepare" only its files are written."""
    module, place = engine(job["software"]), Place(Path(job["work"]), job["threads"])
    if job["prepare"]:
        module.prepare(place, job["precision"])
        return None, {}
    decoder = module.Decoder(place, job["precision"], **job["options"])
    about = {"versions": module.versions()}
    if hasattr(decoder, "bytes_per_token"):
        about["bytes_per_token"] = decoder.bytes_per_token()
    return decoder, about


def main() -> None:
    """Answer until standard input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=out, flush=True)

    job = json.loads(sys.argv[1])
    try:
        decoder, about = opened(job)
    except NotRun as reason:
        say({"not_run": str(reason)})
        return
    say(about)
    if decoder is None:
        return
    for line in sys.stdin:
        question = json.loads(line)
        try:
            say(answer(decoder, question["prompts"], question["new"]))
        except NotRun as reason:
            say({"not_run": str(reason)})


if __name__ == "__main__":
    main()
