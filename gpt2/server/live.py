"""The live page as one file that opens from disk without a server or a network, or as a folder for a server of files.

In: a checkpoint and a text. Out: HTML; in the folder, the model beside it. Any text up to the context, every switch,
patching and generation are computed in the reader's browser; the answers for the text that it opens with are inside, so
that the first picture is there before the model has been unpacked. What needs many texts is inside where it is shipped,
or measured while the page is written (measured.py); else the page names the command.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import safetensors.torch

from gpt2.base.disk import whole_file
from gpt2.base.errors import UsageError
from gpt2.base.ours import Folder, always, check_directory, check_file
from gpt2.data.documents import documents
from gpt2.explain import reference
from gpt2.explain.live.brought import parts, weights
from gpt2.explain.live.contexts import contexts
from gpt2.explain.live.graphs import graph_of
from gpt2.explain.live.rounded import Cost, cost, rounded, shipped_costs
from gpt2.inference.generate import ends_of
from gpt2.server.answers.attribution import Why
from gpt2.server.answers.neurons import EXAMPLES
from gpt2.server.answers.parameters import Scene
from gpt2.server.export import (
    LENS_ROWS,
    SAMPLING,
    Asked,
    Beside,
    Link,
    assemble,
    is_page,
    key,
    packed,
    store,
    zipped,
)  # fmt: skip
from gpt2.server.jobs import Tell, silent
from gpt2.server.means import Means
from gpt2.server.measured import measure, measured
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.server.switches import SWITCHED
from gpt2.server.wire import pack

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint

AT_ONCE = 8 * 2**20  # bytes of a piece
COSTED = 200_000  # characters of documents on which the cost of rounding is measured
PIECE = re.compile(r"(parts|weights)-[0-9a-f]{12}-\d+\.bin")
SITE = Folder("a page that this program wrote", {r"index\.html": is_page, PIECE.pattern: always})


class Brings(NamedTuple):
    """What a live page brings beside its first text.

    weights   "float16", or "int8", which is a third of the size and rounds (gpt2/explain/live/rounded.py)
    measured  a file of documents: head scores, importance and the cost of rounding are measured on them, which takes
              minutes; None: what is shipped
    """

    weights: Literal["float16", "int8"] = "float16"
    measured: Path | None = None


USUAL = Brings()


def write_live(
    checkpoint: "Checkpoint", text: str, path: Path | str, tell: Tell = silent, brings: Brings = USUAL
) -> Path:
    """Write the live page that opens with `text`; all of it or nothing. `tell` hears the share that is done.

    Raises UsageError for a file that is there and is no such page, for a text that is empty or too long, for a variant
    that the page cannot compute, and for a tokenizer that the page's engine does not have.
    """
    target = check_file(path, is_page, "a page that this program wrote")
    session, tell = _opened(checkpoint, text, brings, tell)
    html = live_html(session, text, tell, measuring=brings.measured is not None)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return target


def write_site(
    checkpoint: "Checkpoint", text: str, directory: Path | str, tell: Tell = silent, brings: Brings = USUAL
) -> Path:
    """The same as a folder for any server of files: index.html, and the model in pieces that browsers keep.

    A folder that is such a site is written anew. Raises UsageError for one that holds anything else, else as
    `write_live`.
    """
    target = check_directory(directory, SITE, overwrite=True, argument="site")
    session, tell = _opened(checkpoint, text, brings, tell)
    page, files = site_files(session, text, tell, measuring=brings.measured is not None)
    target.mkdir(parents=True, exist_ok=True)
    for name, content in {**files, "index.html": page.encode()}.items():  # the page last: what it names is there
        with whole_file(target / name) as temporary:
            temporary.write_bytes(content)
    for path in target.iterdir():
        if PIECE.fullmatch(path.name) and path.name not in files:
            path.unlink()
    return target


def _opened(checkpoint: "Checkpoint", text: str, brings: Brings, tell: Tell) -> tuple[Session, Tell]:
    """The session whose answers the page brings, and how the page's own progress is told after the work done here."""
    Session(checkpoint).encode(text)  # refused before anything is computed
    graph_of(checkpoint.model)
    made = rounded(checkpoint) if brings.weights == "int8" else None
    new = checkpoint if made is None else made.checkpoint
    means, costs, share = Means(new), list[Cost](), 0.0
    if brings.measured is not None:
        means.text = reference(new, brings.measured)
    if made is not None and brings.measured is None:
        costs = shipped_costs(made)
    elif made is not None and brings.measured is not None:
        some, share = _first(documents(brings.measured), COSTED), 0.1
        costs = [cost(checkpoint, made, brings.measured.name, some, lambda part: tell(share * part))]
    session = Session(new, means)
    session.rounded, session.costs = made, costs
    return session, lambda part=0.0, partial=None: tell(share + (1 - share) * part)


def _first(texts: Iterator[str], characters: int) -> list[str]:
    """The first documents, up to about so many characters."""
    found = list(texts)
    ends = accumulate(len(text) for text in found)
    return [text for text, end in zip(found, ends) if end <= characters] or [found[0][:characters]]


def site_files(
    session: Session, text: str, tell: Tell = silent, links: Sequence[Link] = (), measuring: bool = False
) -> tuple[str, dict[str, bytes]]:
    """The page of a site, and the files beside it by name: a name says what its content is, so it can be kept."""
    files: dict[str, bytes] = {}

    def beside(name: str, content: bytes) -> Beside:
        packed, digest = zipped(content), hashlib.sha256(content).hexdigest()[:12]
        starts = range(0, len(packed), AT_ONCE)
        names = [f"{name}-{digest}-{k}.bin" for k in range(len(starts))]
        files.update(zip(names, (packed[start : start + AT_ONCE] for start in starts)))
        return Beside(names, len(packed))

    html = _page(session, text, tell, links, beside, measuring)
    return html, files


def live_html(
    session: Session, text: str, tell: Tell = silent, links: Sequence[Link] = (), measuring: bool = False
) -> str:
    """The text of the one file. `links` stand above the page; `measuring`: what is not shipped is measured now."""
    return _page(session, text, tell, links, lambda name, content: packed(content), measuring)


def _page(
    session: Session, text: str, tell: Tell, links: Sequence[Link], held: Callable[[str, bytes], str | Beside],
    measuring: bool,
) -> str:  # fmt: skip
    asked = list(opening(session, text))
    ends = (0.02, 0.1, 0.95) if measuring else (0.02, 0.7, 0.75)  # shares of the time
    tell(ends[0])
    model = {"parts": held("parts", model_parts(session, lambda share: tell(ends[0] + (ends[1] - ends[0]) * share)))}
    tell(ends[1])
    answers = {}
    for name, parameters in asked:
        question = QUESTIONS[name]
        checked = read_parameters(question, json.dumps(parameters))
        answers[key(name, parameters)] = pack(question.answer(session, checked, silent))
    many = (
        measure(session, lambda share: tell(ends[1] + (ends[2] - ends[1]) * share)) if measuring else measured(session)
    )
    answers |= {key(name, parameters): pack(answer) for name, parameters, answer in many}
    tell(ends[2])
    model["weights"] = held("weights", stored_weights(session))
    return assemble(store(answers, {"view": "", "text": text, "corrupt": ""}), links, model)


def model_parts(session: Session, progress: Callable[[float], None] = lambda share: None) -> bytes:
    """All that the page's engine is made of but the weights: see `gpt2.explain.live.brought.parts`."""
    ends = list(ends_of(session.model, session.tokenizer))
    found = {**parts(session.checkpoint, SWITCHED, lambda share: progress(0.9 * share)), "ends": ends}
    found["contexts"] = contexts(
        session.checkpoint, session.excerpt, EXAMPLES, lambda share: progress(0.9 + 0.1 * share)
    )  # fmt: skip
    return pack(found)


def stored_weights(session: Session) -> bytes:
    """The weights as a safetensors file: in half precision, or in 8 bits where the session's model is such."""
    if session.rounded is None:
        return weights(session.checkpoint)
    return safetensors.torch.save(dict(session.rounded.stored))


def opening(session: Session, text: str) -> Iterator[Asked]:
    """What the page asks before the reader does anything; first what may be refused."""
    T = len(session.encode(text))
    scene = Scene(text=text).model_dump()
    yield "model", {}
    yield "picture", scene
    last = (T - 1) // LENS_ROWS * LENS_ROWS
    for start in range(max(0, last - 3 * LENS_ROWS), T, LENS_ROWS):  # the rows that are in view at the end
        yield "lens", {**scene, "first": start, "stop": start + LENS_ROWS}
    yield "draw", {**scene, "row": T - 1, **SAMPLING}
    why = Why(text=text, row=T - 1)
    with suppress(UsageError):  # a variant whose logits are no sum has none
        found = QUESTIONS["attribution"].answer(session, why, silent)
        yield "attribution", why.model_dump()
        for block, head in reasons(found["parts"]):
            yield "head", {**scene, "block": block, "head": head}
    yield "attention", {**scene, "block": 0}
    yield "head", {**scene, "block": 0, "head": 0}


def reasons(parts: Sequence[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """The heads, as (block, head), among the parts that the page's first sentence names: see web/reasons.js."""
    adding = [p for p in parts if p["kind"] in ("head", "mlp", "attention") and p["value"] > 0]
    for part in sorted(adding, key=lambda p: -p["value"])[:2]:
        if part["kind"] == "head":
            block, _, head = part["name"].split(".")
            yield int(block), int(head)
