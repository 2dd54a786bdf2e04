"""One run as a file: the same page, its answers inside, opened from disk without a server or a network.

In: a checkpoint, a text, perhaps a second prompt for patching. Out: HTML with one inline script, one inline style and
one block of data, under a content security policy that names their hashes and allows nothing else.

The data are the answers to what a reader may ask of this run: each component off and mean, every head's pattern,
attribution, neurons, positions, the patching grids. What is not among them the page greys out, with the command.
"""

import base64
import gzip
import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gpt2.base.disk import whole_file
from gpt2.base.ours import check_file
from gpt2.base.plain import plain
from gpt2.explain.live.characters import characters
from gpt2.explain.live.columns import columns
from gpt2.explain.run.lacks import Lacking
from gpt2.explain.see.readout import NoSum
from gpt2.server.answers.parameters import Scene
from gpt2.server.bundle import join
from gpt2.server.jobs import Tell, silent
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.server.static import files
from gpt2.server.still import KeptMeans, groups, look_together
from gpt2.server.switches import SCALED, components, states

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint

LENS_ROWS = 16  # as in web/run.js
ROWS = 24  # rows, from the end, for which attribution and neurons are included
TARGETS = 10  # as many as the page lists
SAMPLING = {"temperature": 0.8, "top_k": 0, "top_p": 0.95, "seed": 0}  # as in web/state.js
TITLE = "<title>Glassbox GPT-2: one forward pass</title>"
NO_ENGINE = {  # what source.js takes from the engine, for a page that has none
    "engine/answers.js": "export const ANSWERS = {};\n",
    "engine/engine.js": "export const openEngine = () => null;\n",
    "engine/kernel.js": "export class NoEngine extends Error {}\n",
    "engine/session.js": "export class NoAnswer extends Error {}\n",
}
NOT_WHOLE = (  # covers the page after some seconds, unless its script, which stands last, has taken it away
    '<p id="cut">This page is damaged or not all there, or this browser runs no scripts: fetch the file again.</p>'
)
Asked = tuple[str, dict[str, Any]]
Link = tuple[str, str]  # title, address


class Beside(NamedTuple):
    """What lies in files beside a page on a server: their names, and the size of all in bytes."""

    files: Sequence[str]
    size: int


NO_MODEL: Mapping[str, str | Beside] = {}


class Export(Scene):
    """What the page was showing: it opens in the same state (`view` is the fragment of its address)."""

    corrupt: str = ""
    view: str = ""


def export_html(checkpoint: "Checkpoint", text: str, path: Path | str, corrupt: str = "", tell: Tell = silent) -> Path:
    """Write the page of one run to `path`; all of it or nothing. `corrupt` adds the patching grids against it.

    Raises UsageError for a file that is there and is no such page, for a text that is empty or too long, as `Patching`
    for unequal prompts, and as `Session` for a variant.
    """
    target = check_file(path, is_page, "a page that this program wrote")
    html = page_html(Session(checkpoint, KeptMeans(checkpoint)), Export(text=text, corrupt=corrupt), tell)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return target


def is_page(path: Path) -> bool:
    """Whether a file is a page of ours: its head has the title."""
    with open(path, "rb") as file:
        return TITLE.encode() in file.read(2000)


def answer(session: Session, ask: Export, tell: Tell) -> dict[str, Any]:
    """The same for the page's own button: {"html": ...}."""
    return {"html": page_html(session, ask, tell)}


def page_html(session: Session, ask: Export, tell: Tell, links: Sequence[Link] = ()) -> str:
    """The file's text. `links` stand above the page: those of a site whose front page it is."""
    ids, asked = session.encode(ask.text), list(questions(session, ask))
    scenes = [parameters["switches"] for name, parameters in asked if name == "picture" and parameters["switches"]]
    passes = {id(some[0]): some for some in groups(len(ids), scenes)}
    answers: dict[str, Any] = {}
    plain_of: dict[str, str] = {}
    for done, (name, parameters) in enumerate(asked):
        tell(done / len(asked))
        question = QUESTIONS[name]
        if name == "picture" and (some := passes.get(id(parameters["switches"]))):
            with suppress(Lacking):  # means cannot be taken: what needs none is asked alone
                look_together(session, ids, some)
        checked = read_parameters(question, json.dumps(parameters))
        with suppress(NoSum, Lacking):  # a variant has no answer to some
            answers[key(name, parameters)] = question.answer(session, checked, tell_only_stop(tell))
            if parameters.get("switches"):
                plain_of[key(name, parameters)] = key(name, {**parameters, "switches": {}})
    return assemble(store_lean(answers, plain_of, {"view": ask.view, "text": ask.text, "corrupt": ask.corrupt}), links)


def tell_only_stop(tell: Tell) -> Tell:
    """Progress inside one answer of many is not reported; the end of the answer is."""
    return lambda share=0.0, partial=None: tell()


def questions(session: Session, ask: Export) -> Iterator[Asked]:
    """What a reader of the file may ask; first what may be refused."""
    ids, config = session.encode(ask.text), session.config
    T, L, H = len(ids), config.n_layer, config.n_head
    on = {"text": ask.text, "switches": {}}
    switched = ((a, s) for a in components(config) for s in states(a) if s not in SCALED)  # a small file holds no more
    scenes = [on, *({"text": ask.text, "switches": {a: s}} for a, s in switched)]
    if ask.switches and ask.switches not in [scene["switches"] for scene in scenes]:
        scenes.append({"text": ask.text, "switches": ask.switches})
    rows = range(max(0, T - ROWS), T)
    if ask.corrupt:
        for grid in ("resid", "attn", "mlp", "head"):
            for direction in ("denoise", "noise"):
                yield "patch", {
                    "clean": ask.text, "corrupt": ask.corrupt, "target": "", "foil": "", "grid": grid,
                    "direction": direction,
                }  # fmt: skip
    yield "model", {}
    for scene in scenes:
        yield "picture", scene
        for first in range(0, T, LENS_ROWS):
            yield "lens", {**scene, "first": first, "stop": first + LENS_ROWS}
        yield "draw", {**scene, "row": T - 1, **SAMPLING}
    for l in range(L):
        yield "attention", {**on, "block": l}
        for h in range(H):
            yield "head", {**on, "block": l, "head": h}
    for token in session.look(ids, {}).likeliest(-1, TARGETS):
        word = session.word(token)
        # Part of a character cannot be asked for by its text, whose escapes may be more tokens than a text may have.
        if session.tokenizer.encode(word.replace("·", " ")) == [token]:
            yield "attribution", {**on, "row": T - 1, "target": word, "foil": "", "of": ""}
    for row in rows:
        why = {**on, "row": row, "target": "", "foil": ""}
        divided = [f"{l}.head.{h}" for l in range(L) for h in range(H)] if row == T - 1 else []
        for of in ["", *(f"{l}.mlp" for l in range(L)), *divided]:
            yield "attribution", {**why, "of": of}
        for l in range(L):
            yield "neurons", {**on, "block": l, "row": row}
        if row < T - 1:
            yield "draw", {**on, "row": row, **SAMPLING}
    yield "positions", {"count": max(16, T)}
    for token in sorted(set(ids)):
        yield "neighbours", {"token": token}
    for scene in [on, *([{**on, "switches": ask.switches}] if ask.switches else [])]:
        yield "continuation", {**scene, "tokens": 24, **SAMPLING}


def key(name: str, parameters: Any) -> str:
    """The name under which web/source.js looks an answer up."""
    return name + json.dumps(
        plain(parameters, _as_javascript), ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )


def _as_javascript(value: Any) -> Any:
    """A whole number as JavaScript writes it: 1.0 is 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def store(answers: dict[str, bytes], meta: dict[str, Any]) -> str:
    """Answers as text for a page, `packed`:  uint32 n | n bytes of JSON {meta, index} | answers."""
    index, tail = {}, bytearray()
    for name, data in answers.items():
        index[name] = [len(tail), len(data)]
        tail += data + b"\0" * (-len(data) % 4)
    header = json.dumps({"meta": meta, "index": index}, ensure_ascii=False).encode()
    header += b" " * (-len(header) % 4)
    whole = struct.pack("<I", len(header)) + header + bytes(tail)
    return packed(whole)


def store_lean(answers: dict[str, Any], plain_of: Mapping[str, str], meta: dict[str, Any]) -> str:
    """The same in less: `gpt2.server.columns` says how.  uint32 n | n bytes of JSON {meta, index, families, words} |
    columns."""
    index, families, words, tail = columns(answers, plain_of)
    header = json.dumps(
        {"meta": meta, "index": index, "families": families, "words": words}, ensure_ascii=False, separators=(",", ":")
    ).encode()
    return packed(struct.pack("<I", len(header)) + header + tail)


def packed(content: bytes) -> str:
    """Bytes as text for a page: characters of gzip."""
    return characters(zipped(content))


def zipped(content: bytes) -> bytes:
    """gzip, the same for the same bytes."""
    return gzip.compress(content, 9, mtime=0)


def assemble(data: str, links: Sequence[Link] = (), model: "Mapping[str, str | Beside]" = NO_MODEL) -> str:
    """index.html with its style, its script and the data inside, and links above it where there are any.

    model  what the page's own engine needs, by the name of its element: only then may the page run WebAssembly
    """
    sources = {name: content.decode() for name, (content, _) in files().items()}
    scripts = {name: source for name, source in sources.items() if name.endswith(".js")}
    script = join(scripts if model else {**scripts, **NO_ENGINE}, "main.js")
    style = "".join(source for name, source in sorted(sources.items(), reverse=True) if name.endswith(".css"))
    wasm = " 'wasm-unsafe-eval'" if model else ""
    fetch = "connect-src 'self'; " if any(isinstance(held, Beside) for held in model.values()) else ""
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'{wasm}; style-src '{_hash(style)}'; img-src data:; {fetch}"
        "base-uri 'none'; form-action 'none'"
    )
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="content-security-policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        TITLE,
        '<link rel="icon" href="data:,">',
        f"<style>{style}</style>",
    ]
    above = "".join(f'<a href="{escape(address)}">{escape(title)}</a>' for title, address in links)
    body = sources["index.html"].partition("<body>")[2].partition("</body>")[0].strip()
    if above:
        body = body.replace("<header>", f'<nav id="site" aria-label="documents">{above}</nav>\n<header>', 1)
    stored = "\n".join(_element(name, held) for name, held in {"data": data, **model}.items())
    return "\n".join([
        "<!doctype html>", '<html lang="en">', "<head>", *head, "</head>", "<body>", NOT_WHOLE, body, stored,
        f"<script>{script}</script>", "</body>", "</html>", "",
    ])  # fmt: skip


def _element(name: str, held: "str | Beside") -> str:
    kind = f'<script type="application/octet-stream" id="{name}"'
    if isinstance(held, str):
        return f"{kind}>{held}</script>"
    return f'{kind} data-files="{" ".join(held.files)}" data-size="{held.size}"></script>'


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
