"""Edits and explanations beside an answer: {"edit": {"7.head.1": "zero"}, "explain": ["lens", "attribution"]}.

In: a model, and these two of a request's fields. Out: the edits as `gpt2.generate` takes them, under a name by which
equal ones are known; and of each prompt what `gpt2.explain` says of it, with the same edits.
Read next: app.py.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from gpt2.base.errors import UsageError
from gpt2.explain import Run, attribution, lens, switch, trace
from gpt2.explain.change.switch import Kind, expand
from gpt2.explain.show.result import Result
from gpt2.probe import Edit
from gpt2.server.api.errors import Refused, too_late
from gpt2.server.api.served import Served
from gpt2.server.jobs import Busy, Job, Jobs, Tell

ANALYSES: dict[str, Callable[[Run], Result]] = {"lens": lens, "attribution": attribution}
KINDS: tuple[Kind, ...] = ("zero", "mean", "constant", "first")
"""What may be put in the place of a component: what `gpt2.explain.switch` has, but for what needs other texts' runs."""
MOST = 64  # addresses of a request
EXPLAINED = 16  # prompts of a request
T = TypeVar("T")


def edit_key(given: Mapping[str, str]) -> str:
    """The name of some edits: equal where they are, in whatever order they were given."""
    return json.dumps(given, sort_keys=True)


def edits_of(served: Served, given: Mapping[str, str], tell: Tell) -> dict[str, Edit]:
    """The edits that the field `edit` names. Means are computed when first asked for, which takes seconds.

    Raises UsageError for an address or a kind that there is not.
    """
    if len(given) > MOST:
        raise UsageError(f"edit has {len(given)} addresses: give at most {MOST}.", argument="edit")
    found: dict[str, Edit] = {}
    for address, kind in given.items():
        if kind not in KINDS:
            raise UsageError(f"edit has {kind!r} for {address}: give one of {', '.join(KINDS)}.", argument="edit")
        for name in expand(served.model, address):
            means = served.means.computed() if kind == "mean" else served.means.text
            found |= switch(served.model, name, kind, means)
    return found


def explained(
    served: Served, prompts: Sequence[Sequence[int]], given: Mapping[str, str], names: Sequence[str], tell: Tell
) -> list[dict[str, Any]]:
    """For each prompt the analyses of these names, as their `to_dict` has them."""
    if len(prompts) > EXPLAINED:
        raise UsageError(f"explain is for at most {EXPLAINED} prompts of a request: send several.", argument="explain")
    edit = edits_of(served, given, tell)
    answers = []
    for ids in prompts:
        tell()
        run = trace(served.checkpoint, list(ids), edit=edit)
        answers.append({name: ANALYSES[name](run).to_dict() for name in names})
    return answers


async def in_thread(jobs: Jobs, work: Callable[[Tell], T], timeout: float) -> T:
    """What `work(tell)` returns, computed by one of the threads of `jobs`; it stops where nobody waits any more.

    Raises Refused where it refuses, fails, takes longer than `timeout` seconds, or too many wait.
    """
    try:
        job = Job(work, jobs)
    except Busy as busy:
        raise Refused(429, str(busy)) from None
    try:
        async with asyncio.timeout(timeout):
            report = await job.next()
            while "progress" in report:
                report = await job.next()
    except TimeoutError:
        raise too_late(timeout) from None
    finally:
        job.stop.set()
    if "failure" in report:
        raise Refused(500, "this is a fault of the program: the server's log has more.")
    if "error" in report:
        raise Refused(400, report["error"])
    found: T = report["answer"]
    return found
