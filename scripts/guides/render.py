"""Templates to documents: Jinja puts code, outputs, figures, numbers and verdicts into prose.

In: scripts/guides/templates/NAME.md.j2, docs/claims.toml, what was measured, the ablation study's results.
Out: the text of docs/NAME.md. In a template:

    {{ n.tokens.trained.cat_dog | d(2) }}    a measured number
    {{ code("gpt2.block.MLP.forward") }}     source, by name
    {{ run('gpt2 next "The cat"') }}         a command and what it prints (lines `first` to `last`, if given)
    {{ draw("gelu", "what it shows") }}      a drawn figure (teaching/gallery.py); `teach` are its numbers
    {{ live("off=0.mlp", "words") }}         a link to the live page in a state
    {{ claim("T3") }} {{ ledger("T") }}      a verdict; a link to a section of the ledger
    {{ statements("T") }}                    all statements of a section, judged: what docs/ledger.md consists of
    study, sizes, presets                    study.Evidence, sizes.py, gpt2.PRESETS
"""

import importlib
import inspect
import json
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import jinja2

from gpt2.base.presets import PRESETS
from scripts.guides import sizes
from scripts.guides.ledger import Claim, Ledger, judged, measured, training_command
from scripts.guides.measure_inside import wilson
from scripts.guides.study import Evidence, Findings, adjusted
from scripts.guides.subject import EXAMPLE, ROOT
from scripts.guides.teaching.gallery import Gallery
from scripts.guides.trained import Collapse, Dropout
from scripts.guides.verdicts import SMALLEST, USUAL, VERDICTS

TEMPLATES = Path(__file__).parent / "templates"
DOCS = ROOT / "docs"
GUIDE = DOCS / "guide"
MEASURED = GUIDE / "measured.json"
LEDGER = "ledger.md"
DOCUMENTS = ("component_functions.md", "gpt2_architecture_guide.md", LEDGER, "what_matters.md")
STUDIES = ("minute", "gpu")  # the first has every contestant; gpu-small is left out, see docs/log.md
WALK = 'gpt2 walk "The cat sat on the" --target " floor"'
RESULTS = ROOT / "results" / "ablation"
NEIGHBOURS = GUIDE / "neighbours.json"
LINES = GUIDE / "ledger.json"  # the line of a command's output that the ledger quotes, by command
OPENAI = GUIDE / "openai.json"


def decimals(x: float, k: int = 2) -> str:
    """A number with k decimals, no -0."""
    return f"{0.0 if round(x, k) == 0 else x:.{k}f}"


def chance(p: float) -> str:
    """A probability in percent, one figure where it is small."""
    return f"{p:.1%}" if p >= 0.001 else f"{100 * p:.1g}%"


FILTERS: dict[str, Callable[..., Any]] = {
    "d": decimals,
    "signed": lambda x, k=2: f"{x:+.{k}f}",
    "pct": lambda x, k=0: f"{x:.{k}%}",
    "chance": chance,
    "list": lambda xs, k=3: ", ".join(decimals(x, k) for x in xs),
    "thousands": lambda x: f"{x:,}",
    "interval": lambda xs: f"{xs[0]:+.2f} [{xs[1]:+.2f}, {xs[2]:+.2f}]",
    "share": lambda xs: f"{xs[0]:.0%} [{xs[1]:.0%}, {xs[2]:.0%}]",
    "difference": lambda s: f"{s.mean:+.3f} [{s.low:+.3f}, {s.high:+.3f}]",
    "times": lambda x: f"{x:.2f}" if x >= 0.1 else f"{x:.1g}" if x else "0",
    "within_smallest": lambda xs: True if xs[-1] < SMALLEST else False if xs[-2] >= SMALLEST else None,
    "below_smallest": lambda s: None if s is None else FILTERS["within_smallest"]([s.low, s.high]),
    "all_below": lambda xs, x: None if not xs else True if max(xs) < x else False if min(xs) >= x else None,
    "over_last": lambda xs: [x / xs[-1] for x in xs],
}


class Renderer:
    """One rendering of all documents; `ledger.cited` says afterwards which claims they cite.

    numbers, outputs  what measure.py found, and what commands printed
    want_output       called for a command whose output is not there yet
    """

    def __init__(
        self,
        numbers: Mapping[str, Any],
        outputs: dict[str, str],
        want_output: Callable[[str], str] | None = None,
        results: Path = RESULTS,
        lines: dict[str, str] | None = None,
    ) -> None:
        self.outputs, self.want_output = outputs, want_output
        self.lines = json.loads(LINES.read_text("utf-8")) if lines is None else lines
        self.used: list[str] = []
        self.quoted: set[str] = set()
        self.book = Ledger(DOCS / "claims.toml")
        recipes = ROOT / "recipes" / "ablation"
        self.evidence = Evidence([Findings(recipes / f"{s}.toml", results / f"{s}.jsonl") for s in STUDIES])
        own = {s: Findings(recipes / f"{s}.toml", RESULTS / f"{s}.jsonl") for s in ("dropout", "collapse", "evening")}
        self.environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=False,
            keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self.environment.filters |= FILTERS
        neighbours = json.loads(NEIGHBOURS.read_text("utf-8")) if NEIGHBOURS.exists() else None
        self.gallery = Gallery.load(numbers, self.evidence)
        bench = sizes.newest_benchmark(ROOT / "benchmarks" / "results")
        self.names: dict[str, Any] = {
            "n": _Sections(numbers), "study": self.evidence, "sizes": sizes, "presets": PRESETS, "bench": bench,
            "evening": own["evening"], "neighbours": neighbours, "neighbour_table": neighbour_table, "code": code,
            "folded": folded, "run": self.run,
            "draw": self.gallery.show, "teach": _spaced(self.gallery.teaching), "live": live, "claim": self.claim,
            "statements": self.statements, "by_verdict": self.by_verdict,
            "dropout": Dropout(own["dropout"]), "collapse": Collapse(own["collapse"]), "adjusted": adjusted,
            "openai": _spaced(json.loads(OPENAI.read_text("utf-8"))), "SMALLEST": SMALLEST, "USUAL": USUAL,
            "wilson": wilson, "sections": self.book.sections,
            "ledger": self.ledger, "tally": self.tally, "trained": self.trained, "walk": WALK,
            "speed": lambda: sizes.speed(bench), "training": sizes.training(ROOT / "benchmarks" / "results"),
            "ledger_size": lambda: len(self.book.claims),
        }  # fmt: skip

    def document(self, name: str) -> str:
        """The text of docs/`name`."""
        text = self.environment.get_template(f"{name}.j2").render(self.names)
        lines = [line.rstrip() for line in text.splitlines()]
        note = f"<!-- Rendered by `python -m scripts.guides` from scripts/guides/templates/{name}.j2: edit that. -->"
        return "\n".join([lines[0], "", note, *filled(lines[1:])]) + "\n"

    def run(self, command: str, first: str = "", last: str = "", prompt: bool = True) -> str:
        """A console block: the command and its output, or the part from the line with `first` to before `last`.

        Without `prompt` that part alone, where the command has been shown before.
        """
        if command not in self.outputs:
            if self.want_output is None:
                raise ValueError(f"`{command}` has no recorded output: run python -m scripts.guides.")
            self.outputs[command] = self.want_output(command)
        self.used.append(command)
        shown = cut(self.outputs[command].rstrip("\n").splitlines(), first, last)
        if not prompt:
            return "\n".join(["```text", *(line for line in shown if line != "..."), "```"])
        return "\n".join(["```console", f"$ {command}", *shown, "```"])

    def claim(self, id: str) -> str:
        """A claim's id and verdict, for the middle of a sentence."""
        claim = self.book.cite(id)
        return f"({claim.id}, {self.judge(claim)})"

    def trained(self, contestant: str, words: str) -> str:
        """A sentence on a model trained with or without something, and the verdict of the claim that rests on it."""
        ids = [claim.id for claim in self.book.claims.values() if claim.contestant == contestant]
        return (
            f"Trained with {words}: {self.evidence.contrast(contestant)} {' '.join(map(self.claim, ids))}".rstrip()
            + "."
        )

    def judge(self, claim: Claim) -> str:
        """The verdict, with the claim's id in any error."""
        try:
            return judged(claim, self.evaluate, self.evidence)
        except Exception as error:
            raise ValueError(f"{claim.id}: its verdict cannot be computed: {error}.") from error

    def evaluate(self, expression: str) -> Any:
        """The value of an expression over the same names as a template."""
        return self.environment.compile_expression(expression, undefined_to_none=False)(self.names)

    def fill(self, text: str) -> str:
        """A piece of template."""
        return self.environment.from_string(text).render(self.names).strip()

    def ledger(self, section: str) -> str:
        """A sentence that leads from a chapter of a guide to its section of the ledger."""
        claims = self.book.of(section)
        for claim in claims:
            self.book.cite(claim.id)
        counts = in_words(Counter(self.judge(claim) for claim in claims))
        place = f"{LEDGER}#{anchor(self.book.sections[section])}"
        return f"The original guide makes {len(claims)} statements on this subject: {counts} ([ledger]({place}))."

    def statements(self, section: str) -> str:
        """Each statement of a section: its verdict, what was measured, and the command that measures it again."""
        return "\n\n".join(self.statement(claim) for claim in self.book.of(section))

    def by_verdict(self) -> str:
        """All statements by their verdict, with links."""
        rows = []
        for verdict in VERDICTS:
            ids = [claim.id for claim in self.book.claims.values() if self.judge(claim) == verdict]
            if ids:
                rows.append([verdict, str(len(ids)), ", ".join(f"[{id}](#{id.lower()})" for id in ids)])
        return sizes.table(("verdict", ">statements", "which"), rows)

    def statement(self, claim: Claim) -> str:
        """One of them."""
        self.book.cite(claim.id)
        lines = [f"### {claim.id}", "", f"> {claim.says}", "", f"**{self.judged(claim)}.** {self.measured(claim)}", ""]
        studies = claim.studies(self.evidence)
        source = (
            "from results of trainings (cached)" if studies else "from the weights" if claim.sections else "computed"
        )
        if "openai." in claim.text:
            source = "from OpenAI's vocabulary (cached)"
        lines.append(f"- `python -m scripts.guides.claim {claim.id}`: {source}")
        if studies:
            again = ", ".join(f"`{training_command(study)}`" for study in studies)
            lines.append(f"- the trainings again: {again}")
        if "openai." in claim.text:
            lines.append("- read again: `gpt2 fetch gpt2`, then `python -m scripts.guides.openai DIRECTORY`")
        if claim.command:
            command = self.fill(claim.command)
            line = self.line(claim) if claim.shows else ""
            lines.append(f"- `{command}`" + (f" prints `{line}`" if line else ""))
        return "\n".join(lines)

    def line(self, claim: Claim) -> str:
        """The line of a command's output that the ledger quotes: the first that holds what the claim shows."""
        command, text = self.fill(claim.command), self.fill(claim.shows)
        key = f"{command} | {text}"
        self.quoted.add(key)
        if key not in self.lines:
            if self.want_output is None:
                raise ValueError(f"`{command}` has no recorded line: run python -m scripts.guides.")
            lines = [" ".join(line.split()) for line in self.want_output(command).splitlines()]
            found = [line for line in lines if text in line]
            if not found:
                raise ValueError(f"{claim.id}: no line of `{command}` holds {text!r}.")
            self.lines[key] = found[0]
        return self.lines[key]

    def judged(self, claim: Claim) -> str:
        """The verdict, and whether the rule that gave it was written with the figures known."""
        return f"{self.judge(claim)}{' (exploratory)' if claim.exploratory else ''}"

    def measured(self, claim: Claim) -> str:
        """What was measured, in one line."""
        try:
            return " ".join(measured(claim, self.fill, self.evaluate, self.evidence).split())
        except Exception as error:
            raise ValueError(f"{claim.id}: what was measured cannot be shown: {error}.") from error

    def tally(self) -> str:
        """How many claims there are, by verdict."""
        return in_words(Counter(self.judge(claim) for claim in self.book.claims.values()))


def filled(lines: list[str]) -> list[str]:
    """Paragraphs and list items broken anew at 120 columns, all else as it is."""
    done: list[str] = []
    inside = False
    for block in re.split(r"\n{2,}", "\n".join(lines)):
        prose = not inside and not re.match(r"[|<#!`\s]|$", block)
        inside ^= bool(len(re.findall(r"^```", block, re.MULTILINE)) % 2)
        if prose and "```" not in block:
            quote = "> " if block.startswith("> ") else ""  # the mark stands before every line of a quotation
            items = re.split(r"\n(?=- |\d\. )", re.sub(r"^> ", "", block, flags=re.MULTILINE))
            block = "\n".join(_filled_item(item, quote) for item in items)
        done += [*block.split("\n"), ""]
    return done[:-1]


def _filled_item(item: str, quote: str) -> str:
    mark = re.match(r"- |\d\. ", item)
    below = quote + " " * len(mark[0] if mark else "")
    return textwrap.fill(quote + " ".join(item.split()), 120, subsequent_indent=below, break_long_words=False,
                         break_on_hyphens=False)  # fmt: skip


def in_words(counts: Counter[str]) -> str:
    """12 hold, 3 fail, 1 illustration, 2 undecided."""
    several = {"holds": "hold", "fails": "fail", "illustration": "are illustrations", "undecided": "are undecided",
               "too small to matter": "are too small to matter", "depends": "depend on the setting"}  # fmt: skip
    one = {"holds": "holds", "fails": "fails", "illustration": "is an illustration", "undecided": "is undecided",
           "too small to matter": "is too small to matter", "depends": "depends on the setting"}  # fmt: skip
    parts = [f"{counts[v]} {(one if counts[v] == 1 else several)[v]}" for v in VERDICTS if counts[v]]
    return ", ".join(parts)


def cut(lines: list[str], first: str, last: str) -> list[str]:
    """The lines from the first that holds `first` to the one before the next that holds `last`, `...` for the rest.

    Raises ValueError where a text does not occur.
    """
    start = next((i for i, line in enumerate(lines) if first in line), None)
    if start is None:
        raise ValueError(f"no line of the output holds {first!r}.")
    end = next((i for i in range(start + 1, len(lines)) if last in lines[i]), None) if last else len(lines)
    if end is None:
        raise ValueError(f"no later line of the output holds {last!r}.")
    shown = lines[start:end]
    while shown and not shown[-1].strip():
        shown.pop()
    return [*(["..."] if start else []), *shown, *(["..."] if end < len(lines) else [])]


def neighbour_table(record: dict[str, Any]) -> str:
    """The nearest tokens of each word at each step."""
    rows = []
    for entry in record["snapshots"]:
        cells = [", ".join(f"`{token}` {cosine:.2f}" for token, cosine in entry["nearest"][w]) for w in record["words"]]
        rows.append([f"{entry['step']:,}", *cells])
    return sizes.table([">step", *(f"`·{word}`" for word in record["words"])], rows)


def live(state: str, words: str, text: str = EXAMPLE) -> str:
    """A link to the live page with this text, in a state of its link grammar (server/web/link.js)."""
    fragment = "&".join(["text=" + quote(text, safe=""), *filter(None, [state])])
    return f"[{words}](index.html#{fragment})"


def folded(name: str) -> str:
    """The source of a class or function, folded away."""
    text = code(name)
    summary = text.split("`")[1]
    return f'<details markdown="1">\n<summary>The real code: <code>{summary}</code></summary>\n\n{text}\n\n</details>'


def code(name: str) -> str:
    """The source of a class or function as it stands, with a link to its file. Raises ValueError for an unknown one."""
    parts = name.split(".")
    for k in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:k]))
        except ModuleNotFoundError:
            continue
        for part in parts[k:]:
            found = getattr(found, part, None)
        if found is not None:
            found = inspect.unwrap(found)  # no_grad wraps a function in one of torch's
            file = Path(inspect.getsourcefile(found) or "").resolve().relative_to(ROOT)
            source = textwrap.dedent(inspect.getsource(found)).rstrip()
            return f"[{file}](../{file}), `{'.'.join(parts[k:])}`:\n\n```py\n{source}\n```"
    raise ValueError(f"there is no {name} to show.")


def anchor(title: str) -> str:
    """The name by which a heading can be linked to."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


class _Sections:
    """Sections of numbers, by attribute; one is looked at only when it is asked for."""

    def __init__(self, numbers: Mapping[str, Any]) -> None:
        self._numbers = numbers

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._numbers:
            raise AttributeError(name)
        self.__dict__[name] = _spaced(self._numbers[name])
        return self.__dict__[name]


def _spaced(value: Any) -> Any:
    """Tables as namespaces that a template reads by attribute; keys that are no names stay reachable as items."""
    if isinstance(value, dict):
        return _Names({key: _spaced(item) for key, item in value.items()})
    return [_spaced(item) for item in value] if isinstance(value, list) else value


class _Names(SimpleNamespace):
    """A table: `t.key`, `t["key"]`, and `t.items()` in order."""

    def __init__(self, table: dict[str, Any]) -> None:
        super().__init__()
        self.__dict__.update(table)

    def __getitem__(self, key: str) -> Any:
        return self.__dict__[key]

    def items(self) -> Any:
        """Pairs in order."""
        return self.__dict__.items()
