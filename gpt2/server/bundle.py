"""ES modules joined into one script, for a page that opens from disk (browsers load no modules from there).

In: modules by path, each importing others by relative paths. Out: one script in which every module is a function
that returns what it exports, in an order in which each stands behind those it imports. Read next: export.py.

Understood are `import { a, b as c } from "./x.js";` and `export` before `const`, `let`, `class`, `function` and
`async function`: what the page uses. Anything else is refused, so that nothing is joined wrongly. Comments that fill
their lines are left out: they are a quarter of the script.
"""

import posixpath
import re
from collections.abc import Mapping

IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.{1,2}/[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?function\*? |const |let |class )(\w+)", re.MULTILINE)
COMMENT = re.compile(r"^ *(?://.*|/\*\*(?:[^*]|\*(?!/))*\*/)\n", re.MULTILINE)  # whole lines of it
LEFT = re.compile(r"^(import|export)\b.*|\bimport\(", re.MULTILINE)


def join(modules: Mapping[str, str], entry: str) -> str:
    """The script of `entry` and of all that it imports. ValueError for a missing module, a circle, unknown syntax."""
    ordered: list[str] = []
    _visit(modules, entry, ordered, ())
    names = {path: f"module{number}" for number, path in enumerate(ordered)}
    return "(() => {\n" + "".join(_function(path, modules[path], names) for path in ordered) + "})();\n"


def _visit(modules: Mapping[str, str], path: str, ordered: list[str], above: tuple[str, ...]) -> None:
    if path in above:
        raise ValueError(f"the modules import each other in a circle: {' -> '.join([*above, path])}.")
    if path in ordered:
        return
    if path not in modules:
        raise ValueError(f"{above[-1] if above else 'the page'} imports {path}, which is not there.")
    for _, target in IMPORT.findall(modules[path]):
        _visit(modules, _resolve(path, target), ordered, (*above, path))
    ordered.append(path)


def _resolve(path: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def _function(path: str, source: str, names: Mapping[str, str]) -> str:
    def imported(match: re.Match[str]) -> str:
        wanted = ", ".join(part.strip().replace(" as ", ": ") for part in match[1].split(",") if part.strip())
        return f"const {{ {wanted} }} = {names[_resolve(path, match[2])]};\n"

    source = COMMENT.sub("", source)
    exported = [name for _, name in EXPORT.findall(source)]
    body = EXPORT.sub(r"\1\2", IMPORT.sub(imported, source))
    if left := LEFT.search(body):
        raise ValueError(f"{path}: {left[0]!r} cannot be joined: import and export names, nothing else.")
    return f"const {names[path]} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();\n"
