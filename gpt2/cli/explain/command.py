"""`gpt2 explain`: a prediction seen through, or one of the analyses by name.

In: the words typed. Out: the command that they mean, see `parse`. The analyses are in text.py, switch.py and model.py
beside this. A text is never taken for an analysis, nor an analysis misspelt for a text: behind `--` every word is text,
and a lone word that names an analysis which needs a text, or nearly one, is refused with both spellings.
"""

import difflib
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from gpt2.base.errors import UsageError
from gpt2.base.pictures import save_picture
from gpt2.cli.common import File, Flag, print_json, read_text
from gpt2.cli.console import progress
from gpt2.cli.explain.analyses import ANALYSES, NEED_NO_TEXT, analysis_of
from gpt2.cli.explain.options import Foil, Options, Text, Token, show_table
from gpt2.cli.hints import tell_file


def usage() -> str:
    """The text of `gpt2 explain --help`."""
    rows = "\n".join(f"  {name:<13}{summary}" for name, (_, _, summary) in ANALYSES.items())
    return f"""usage: gpt2 explain TEXT [options]
       gpt2 explain ANALYSIS [TEXT] [options]

See through a prediction: its tokens, what each block would predict (lens), what
adds to the winner's lead over the runner-up, and the heads that matter.

{rows}

  gpt2 explain ANALYSIS --help   the options of an analysis
  gpt2 explain -- TEXT           whatever the text is, also "lens" or "heads"

options of gpt2 explain TEXT:
  --model MODEL     bundled model (storyteller, the default), a directory, a
                    Hugging Face id, or a file of nanoGPT or llm.c
  --tokenizer DIR   read text with the tokenizer in this directory
  --activation NAME take this activation function where the file names none
  --target TOKEN    the prediction to explain (default: the likeliest)
  --foil TOKEN      the token to compare with (default: the runner-up, the
                    likeliest other token); "mean": all tokens' mean logit
  --page            open the live page in a browser
  --port N          port of the page (default: a free one)
  --no-browser      with --page: print the address, open no browser
  --beside MODEL    with --page: another model with the same tokenizer, whose
                    answers the page shows beside those of the first
  --html FILE       write the live page as one file that needs no server: the
                    model is inside it, and answers for any text
  --site DIR        write the live page as a folder for any server of files
  --weights int8    with --html or --site: the model in 8 bits, less than half
                    the size (17 MB for storyteller); the page says what the
                    rounding costs
  --measure FILE    with --html or --site: measure head scores and importance
                    on these documents ("stories": the bundled stories) while
                    the page is written; it takes minutes, and the page of
                    storyteller brings them without it
  --still           with --html: a file of this run alone, about 1 MB
  --png FILE        the lens and the attributions as a picture
  --dtype TYPE      float32 (default), bfloat16, float16 or float64
  --device WHERE    cpu (default), cuda, cuda:N, mps, or auto: cuda if present
  --json            print JSON, for machines

examples:
  gpt2 explain "The cat sat on the"
  gpt2 explain "The cat sat on the" --page
  gpt2 explain attribution "The cat sat on the" --target " mat" --foil " floor"
  gpt2 explain off "3.head.1,4.mlp"
"""


def parse(argv: list[str]) -> Any:
    """The command that these words mean. Raises UsageError for an analysis misspelt, or a text that reads like one."""
    from gpt2.cli.main import build

    first = argv[0] if argv else ""
    if first in ("-h", "--help"):
        print(usage(), end="")
        raise SystemExit(0)
    if first == "--":
        return build(Overview, [*(f"--text-is={text}" for text in argv[1:2]), *argv[2:]], "gpt2 explain")
    if first in ANALYSES:
        if len(argv) == 1 and first not in NEED_NO_TEXT and sys.stdin.isatty():
            raise UsageError(
                f'{first!r} is an analysis and needs a text: gpt2 explain {first} "Once upon a time". '
                f"To explain the text {first!r} itself: gpt2 explain -- {first}"
            )
        module, name, _ = ANALYSES[first]
        return build(getattr(import_module(module), name), argv[1:], f"gpt2 explain {first}")
    refuse_misspelt(argv)
    return build(Overview, argv, "gpt2 explain")


def refuse_misspelt(argv: list[str]) -> None:
    """UsageError where the first word is no text but nearly an analysis, more nearly if nothing but options follows; or
    what others call one."""
    if argv and (analysis := analysis_of(argv[0])):
        from gpt2.cli.other_names import explained

        raise UsageError(
            f"there is no analysis {argv[0]!r}: did you mean {explained(analysis, argv[1:])}? "
            f"To explain the text {argv[0]!r} itself: gpt2 explain -- {argv[0]}"
        )
    if not argv or not argv[0].isalpha():
        return
    first, *rest = argv
    followed = bool(rest) and not rest[0].startswith("-")
    near = difflib.get_close_matches(first.lower(), ANALYSES, n=1, cutoff=0.6 if followed else 0.8)
    if near:
        alone = f"To explain the text {first!r} itself: gpt2 explain -- {first}"
        raise UsageError(
            f"there is no analysis {first!r}: did you mean 'gpt2 explain {near[0]}'? "
            + ("A text of several words goes in quotation marks." if followed else alone)
        )


@dataclass
class Overview(Options):
    """See through a prediction: tokens, lens, attributions, heads that matter."""

    text: Text = None
    """The text, in quotes; `-` or none: standard input."""
    text_is: Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")] = None
    """The text, where it reads like an option or an analysis."""
    target: Token = None
    """The prediction to explain (default: the likeliest)."""
    foil: Foil = None
    """The token to compare with (default: the runner-up, the likeliest other token); "mean": all tokens' mean logit."""
    page: Flag = False
    """Open the live page in a browser."""
    port: Annotated[int, tyro.conf.arg(help_behavior_hint="")] = 0
    """Port of the page (default: a free one)."""
    no_browser: Flag = False
    """With --page: print the address and open no browser."""
    beside: Annotated[str | None, tyro.conf.arg(metavar="MODEL", help_behavior_hint="")] = None
    """With --page: another model with the same tokenizer, whose answers the page shows beside those of the first."""
    html: File = None
    """Write the live page as one file that needs no server: the model is inside, and answers for any text."""
    site: Annotated[str | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Write the live page as a folder for any server of files: for larger models, whose parts browsers keep."""
    weights: Literal["float16", "int8"] = "float16"
    """With --html or --site: how the page holds the model; int8 is less than half the size, and rounds."""
    measure: File = None
    """With --html or --site: measure head scores and importance on these documents ("stories": the bundled ones)."""
    still: Flag = False
    """With --html: a file of this run alone, about 1 MB, whose answers are computed now."""

    def run(self) -> None:
        """Print the overview, or open or write the page."""
        from gpt2.server.run import check_port

        self._check_file()
        check_port(self.port)
        text = self.text_is if self.text_is is not None else read_text(self.text)
        tell_file(text)
        checkpoint = self.load()
        if self.html or self.site:
            self._write(checkpoint, text)
        if self.page:
            from gpt2.cli.explain.page import show_page

            other = None if self.beside is None else replace(self, model=self.beside, png=None).load()
            show_page(checkpoint, text, self.port, browser=not self.no_browser, beside=other)
            return
        if (self.html or self.site) and not (self.png or self.json):
            return
        from gpt2.explain import trace
        from gpt2.explain.see.overview import overview

        with progress("reading the text"):
            result = overview(trace(checkpoint, text), self.target, self.foil)
        if self.png:
            save_picture(result.plot(), self.png)
        if self.json:
            print_json({"model": checkpoint.name, **result.to_dict()})
        elif not (self.html or self.site):
            show_table(result)

    def _check_file(self) -> None:
        """UsageError where the options of a page in a file do not go together."""
        if self.beside is not None and (self.html or self.site):
            raise UsageError(
                "--beside is for the page that this program serves, and a page in a file holds one model: "
                "use --page instead of --html and --site."
            )
        if self.beside is not None and not self.page:
            raise UsageError(f"--beside shows two models on a page: add --page, as in --page --beside {self.beside}.")
        if self.still and not self.html:
            raise UsageError("a still page is written to a file", "name one, such as {html}.", html="page.html")
        given = {"--weights int8": self.weights == "int8", "--measure": self.measure is not None}
        option = next((name for name, is_given in given.items() if is_given), None)
        if option and self.still:
            raise UsageError(
                f"{option} is for the live page, and a still page holds no model: leave out one of the two."
            )
        if option and not (self.html or self.site):
            raise UsageError(
                f"{option} is for the live page in a file", "name one, such as {html}.", html="page.html"
            )  # fmt: skip
        if self.measure not in (None, "stories") and not Path(self.measure or "").is_file():
            raise UsageError(
                f"--measure is {self.measure}, but there is no such file: name a .txt, .txt.gz or .jsonl file, or "
                '"stories" for the bundled stories.'
            )

    def _write(self, checkpoint: Any, text: str) -> None:
        """Write the page as a file, as a folder, or both."""
        from functools import partial

        from gpt2.explain.run.reference import STORIES
        from gpt2.server.export import export_html
        from gpt2.server.live import Brings, write_live, write_site

        measured = STORIES if self.measure == "stories" else Path(self.measure) if self.measure else None
        brings = Brings(self.weights, measured)

        def told(share: float = 0.0, partial: Any = None) -> None:
            if share > 0:
                tell(share, 1)

        live, site = (partial(write, brings=brings) for write in (write_live, write_site))
        for path, write in ((self.html, export_html if self.still else live), (self.site, site)):
            if path is None:
                continue
            with progress("writing the page") as tell:
                written = write(checkpoint, text, Path(path), tell=told)
            size = sum(one.stat().st_size for one in ([written] if written.is_file() else written.iterdir())) / 1e6
            print(f"written: {written} ({size:.1f} MB)", file=sys.stderr if self.json else sys.stdout)


Command = Overview  # what `gpt2 explain` means unless `parse` finds an analysis
