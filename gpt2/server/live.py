"""The live page as one file that opens from disk without a server or a network, or as a folder for a server of files.

In: a checkpoint and a text. Out: HTML; in the folder, the model beside it. Any text up to the context, every switch,
patching and generation are computed in the reader's browser; the answers for the text that it opens with are inside, so
that the first picture is there before the model has been unpacked. What needs many texts is inside as far as it has
been measured (measured.py); else the page names the command.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2.base.disk import whole_file
from gpt2.base.ours import Folder, always, check_directory, check_file
from gpt2.explain.live.brought import parts, weights
from gpt2.inference.generate import ends_of
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
from gpt2.server.measured import measured
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.server.switches import SWITCHED
from gpt2.server.wire import pack

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint

AT_ONCE = 8 * 2**20  # bytes of a piece
PIECE = re.compile(r"(parts|weights)-[0-9a-f]{12}-\d+\.bin")
SITE = Folder("a page that this program wrote", {r"index\.html": is_page, PIECE.pattern: always})


def write_live(checkpoint: "Checkpoint", text: str, path: Path | str, tell: Tell = silent) -> Path:
    """Write the live page that opens with `text`; all of it or nothing. `tell` hears the share that is done.

    Raises UsageError for a file that is there and is no such page, for a text that is empty or too long, for a variant,
    and for a tokenizer that the page's engine does not have.
    """
    target = check_file(path, is_page, "a page that this program wrote")
    html = live_html(Session(checkpoint), text, tell)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return target


def write_site(checkpoint: "Checkpoint", text: str, directory: Path | str, tell: Tell = silent) -> Path:
    """The same as a folder for any server of files: index.html, and the model in pieces that browsers keep.

    A folder that is such a site is written anew. Raises UsageError for one that holds anything else, else as
    `write_live`.
    """
    target = check_directory(directory, SITE, overwrite=True, argument="site")
    page, files = site_files(Session(checkpoint), text, tell)
    target.mkdir(parents=True, exist_ok=True)
    for name, content in {**files, "index.html": page.encode()}.items():  # the page last: what it names is there
        with whole_file(target / name) as temporary:
            temporary.write_bytes(content)
    for path in target.iterdir():
        if PIECE.fullmatch(path.name) and path.name not in files:
            path.unlink()
    return target


def site_files(
    session: Session, text: str, tell: Tell = silent, links: Sequence[Link] = ()
) -> tuple[str, dict[str, bytes]]:
    """The page of a site, and the files beside it by name: a name says what its content is, so it can be kept."""
    files: dict[str, bytes] = {}

    def beside(name: str, content: bytes) -> Beside:
        packed, digest = zipped(content), hashlib.sha256(content).hexdigest()[:12]
        starts = range(0, len(packed), AT_ONCE)
        names = [f"{name}-{digest}-{k}.bin" for k in range(len(starts))]
        files.update(zip(names, (packed[start : start + AT_ONCE] for start in starts)))
        return Beside(names, len(packed))

    html = _page(session, text, tell, links, beside)
    return html, files


def live_html(session: Session, text: str, tell: Tell = silent, links: Sequence[Link] = ()) -> str:
    """The text of the one file. `links` stand above the page."""
    return _page(session, text, tell, links, lambda name, content: packed(content))


def _page(
    session: Session, text: str, tell: Tell, links: Sequence[Link], held: Callable[[str, bytes], str | Beside]
) -> str:
    asked = list(opening(session, text))
    tell(0.02)
    model = {"parts": held("parts", model_parts(session, lambda share: tell(0.02 + 0.68 * share)))}
    tell(0.7)
    answers = {}
    for name, parameters in asked:
        question = QUESTIONS[name]
        checked = read_parameters(question, json.dumps(parameters))
        answers[key(name, parameters)] = pack(question.answer(session, checked, silent))
    answers |= {key(name, parameters): pack(answer) for name, parameters, answer in measured(session)}
    tell(0.75)
    model["weights"] = held("weights", weights(session.checkpoint))
    tell(0.95)
    return assemble(store(answers, {"view": "", "text": text, "corrupt": ""}), links, model)


def model_parts(session: Session, progress: Callable[[float], None] = lambda share: None) -> bytes:
    """All that the page's engine is made of but the weights: see `gpt2.explain.live.brought.parts`."""
    ends = list(ends_of(session.model, session.tokenizer))
    return pack({**parts(session.checkpoint, SWITCHED, progress), "ends": ends})


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
    yield "attention", {**scene, "block": 0}
    yield "head", {**scene, "block": 0, "head": 0}
