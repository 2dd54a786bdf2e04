"""A page that did not arrive whole: one sentence says so, and no part of a picture stands behind it.

The browser is conftest.py's. The page is that of a small random model, as a folder on a server of files and as a file.
"""

import functools
import http.server
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gpt2
from gpt2.config import GPT2Config
from gpt2.explain import reference
from gpt2.explain.live import averages
from gpt2.model import GPT2
from gpt2.server.live import write_live, write_site
from tests.explained import storyteller

TEXT = "The cat sat"
OTHER = "The dog ran to the park"
SHOWN = """() => [document.querySelectorAll("#rows .river").length,
  document.querySelector("#sentence").textContent, document.querySelector("#notice")?.textContent ?? "",
  document.querySelector("#cut") !== null && getComputedStyle(document.querySelector("#cut")).visibility === "visible"
    ? document.querySelector("#cut").textContent : ""]"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `site` and `page.html`, and the cache of this test alone."""
    folder = tmp_path_factory.mktemp("damaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr(averages, "reference", lambda checkpoint: reference(checkpoint, ["One day a dog found a ball."]))
        patch.setattr("gpt2.server.live.AT_ONCE", 150_000)  # several pieces
        tokenizer = storyteller().tokenizer
        sizes = GPT2Config(vocab_size=tokenizer.vocab_size, n_positions=32, n_embd=32, n_layer=1, n_head=2)
        checkpoint = gpt2.load(str(gpt2.save(GPT2(sizes, seed=1), tokenizer, folder / "model")))
        write_site(checkpoint, TEXT, folder / "site")
        write_live(checkpoint, TEXT, folder / "page.html")
        yield folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *said: Any) -> None:
        pass


@pytest.fixture
def address(written: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A copy of the folder on a server of files."""
    site = shutil.copytree(written / "site", tmp_path / "site")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", site
    finally:
        server.shutdown()


def first(site: Path, name: str) -> Path:
    return sorted(site.glob(f"{name}-*.bin"))[0]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


AGAIN = r"This file is damaged or not all there: fetch it again\."
MISSING = r"The server of this page does not give \S+\.bin: load the page again, or put the whole folder there\."


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [(n, d, AGAIN) for n in ("parts", "weights") for d in (cut, change)]
    + [(n, Path.unlink, MISSING) for n in ("parts", "weights")],
    ids=lambda value: getattr(value, "__name__", str(value)[:8]),
)
def test_a_site_whose_model_did_not_come_whole(
    browser: Any, address: tuple[str, Path], name: str, damage: Callable[[Path], None], sentence: str
) -> None:
    url, site = address
    damage(first(site, name))
    page = browser.new_page()
    page.goto(f"{url}#text={OTHER}")
    page.wait_for_function("s => new RegExp(s).test(document.body.innerText)", arg=sentence, timeout=60_000)
    rows, said, *_ = page.evaluate(SHOWN)
    assert re.search(sentence, said), said
    assert len(re.findall(sentence, page.inner_text("body"))) == 1
    tokens = len(storyteller().tokenizer.encode(TEXT))
    assert rows in (0, tokens)  # nothing, or the whole picture of the text that the page brings
    page.close()


@pytest.mark.parametrize("share", [0.3, 0.999])
def test_a_file_that_is_cut_off_at_its_end(browser: Any, written: Path, tmp_path: Path, share: float) -> None:
    content = (written / "page.html").read_bytes()
    (tmp_path / "cut.html").write_bytes(content[: int(share * len(content))])
    page = browser.new_page()
    page.goto((tmp_path / "cut.html").as_uri())
    page.wait_for_function(f"() => ({SHOWN})()[3]", timeout=30_000)
    rows, *_, said = page.evaluate(SHOWN)
    assert (rows, said[:41]) == (0, "This page is damaged or not all there, or")
    page.close()


def test_a_whole_file_says_nothing(browser: Any, written: Path) -> None:
    page = browser.new_page()
    page.goto((written / "page.html").as_uri())
    page.wait_for_selector("#rows .river")
    assert page.query_selector("#cut") is None
    page.close()
