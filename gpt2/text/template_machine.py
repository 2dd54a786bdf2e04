"""What runs a chat template: jinja2's sandbox, set up as transformers sets it up.

In: a template's text, and plain values for its variables. Out: the text that it makes, and where in it the assistant
speaks. Nothing but jinja2 is imported, so that template_limits.py starts it fast in a process of its own.

The environment is that of transformers 5.24 (utils/chat_template_utils.py): blocks are trimmed, loops have `break` and
`continue`, and there are `raise_exception`, `strftime_now`, `tojson` that escapes nothing, and `{% generation %}`
around what the assistant says.
"""

import json
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gpt2.base.foreign import shortened

if TYPE_CHECKING:
    import jinja2

Span = tuple[int, int]


class _Written:
    """What is rendered so far, and where in it the assistant speaks."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.spans: list[Span] = []
        self._length, self._counted = 0, 0

    def mark(self, text: str) -> None:
        """Note a text that is written next."""
        self._length += sum(map(len, self.blocks[self._counted :]))
        self._counted = len(self.blocks)
        self.spans.append((self._length, self._length + len(text)))


_rendering: ContextVar[_Written] = ContextVar("what is rendered so far")


def answer(question: str, *given: Any) -> Any:
    """`literals` or `rendered`, by name. ValueError for what the template refuses, or cannot do."""
    return literals(*given) if question == "literals" else rendered(*given)


def literals(source: str) -> str:
    """The texts that a template itself writes, parted by null characters. ValueError where it cannot be read."""
    from jinja2 import nodes

    tree = _compiled(source).environment.parse(source)
    found = {str(node.data) for node in tree.find_all(nodes.TemplateData)}
    found |= {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)}
    return "\0".join(sorted(found))


def rendered(source: str, variables: Mapping[str, Any]) -> tuple[str, list[Span]]:
    """The text, and where in it (first character, one past the last) `{% generation %}` blocks stand.

    Raises ValueError for what the template refuses, or cannot do.
    """
    import jinja2

    template, written = _compiled(source), _Written()
    token = _rendering.set(written)
    try:
        for block in template.generate(**variables):
            written.blocks.append(block)
    except jinja2.TemplateError as error:
        raise ValueError(f"the chat template refuses this conversation: {_sentence(error)}") from None
    except MemoryError:  # whoever set the limit says so
        raise
    except Exception as error:  # a template is a program: it may fail as any other
        raise ValueError(f"the chat template fails on this conversation: {_failure(error)}") from None
    finally:
        _rendering.reset(token)
    return "".join(written.blocks), written.spans


def _failure(error: Exception) -> str:
    return _sentence(f"{type(error).__name__}: {error}".removesuffix(": "))


def _sentence(error: object) -> str:
    return shortened(" ".join(str(error).split()), 300)[1:-1].rstrip(".") + "."


@lru_cache
def _tracker() -> Any:
    """The extension of jinja2 that notes where `{% generation %}` blocks stand in what is rendered."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("mark"), [], [], body).set_lineno(line)

        def mark(self, caller: Any) -> str:
            text = str(caller())
            _rendering.get().mark(text)
            return text

    return Generation


@lru_cache(maxsize=16)
def _compiled(source: str) -> "jinja2.Template":
    import jinja2
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
    from jinja2.utils import Namespace

    class PlainNamespace(Namespace):
        """A namespace without names that begin with an underscore, through which Python's insides are reached."""

        def __init__(*args: Any, **named: Any) -> None:
            self, *given = args
            values = dict(*given, **named)
            for name in values:
                _refuse_hidden(name)
            Namespace.__init__(self, values)

        def __setitem__(self, name: str, value: Any) -> None:
            _refuse_hidden(name)
            super().__setitem__(name, value)

    def _refuse_hidden(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"a namespace may not hold {name!r}")

    class PlainDict:
        def __call__(self, *args: Any, **named: Any) -> dict[Any, Any]:
            return dict(*args, **named)

        def fromkeys(self, *args: Any) -> dict[Any, Any]:
            return dict.fromkeys(*args)

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def strftime_now(form: str) -> str:
        return datetime.now().strftime(form)

    def tojson(
        value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_tracker(), loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": strftime_now,
        "dict": PlainDict(),
        "namespace": PlainNamespace,
    }
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"the chat template cannot be read (line {error.lineno}): {_sentence(error)}") from None
    except MemoryError:
        raise
    except (Exception, RecursionError) as error:  # Python refuses the program that jinja2 made of it
        raise ValueError(f"the chat template cannot be read: {_failure(error)}") from None
