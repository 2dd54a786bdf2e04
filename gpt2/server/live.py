"""The live page as one file: the page, the model and its engine, opened from disk without a server or a network.

In: a checkpoint and a text. Out: HTML. Any text up to the context, every switch, patching and generation are computed
in the reader's browser; the answers for the text that it opens with are inside, so that the first picture is there
before the model has been unpacked. What needs many texts (the scores of heads, importance, what excites a neuron) is
not: the page greys it out, with the command.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2.base.disk import whole_file
from gpt2.base.ours import check_file
from gpt2.explain.live.brought import parts, weights
from gpt2.inference.generate import ends_of
from gpt2.server.answers.parameters import Scene
from gpt2.server.export import LENS_ROWS, SAMPLING, Asked, Link, assemble, is_page, key, packed, store
from gpt2.server.jobs import Tell, silent
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.server.switches import SWITCHED
from gpt2.server.wire import pack

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint


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


def live_html(session: Session, text: str, tell: Tell = silent, links: Sequence[Link] = ()) -> str:
    """The file's text. `links` stand above the page: those of a site whose front page it is."""
    asked = list(opening(session, text))
    tell(0.02)
    model = {"parts": packed(model_parts(session, lambda share: tell(0.02 + 0.68 * share)))}
    tell(0.7)
    answers = {}
    for name, parameters in asked:
        question = QUESTIONS[name]
        checked = read_parameters(question, json.dumps(parameters))
        answers[key(name, parameters)] = pack(question.answer(session, checked, silent))
    tell(0.75)
    model["weights"] = packed(weights(session.checkpoint))
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
    first = (T - 1) // LENS_ROWS * LENS_ROWS
    for start in sorted({0, first}):
        yield "lens", {**scene, "first": start, "stop": start + LENS_ROWS}
    yield "draw", {**scene, "row": T - 1, **SAMPLING}
