"""Text from elsewhere, made visible: what would steer a terminal, or hide there, is written out as an escape.

In: text that a file, a model or a user wrote. Out: text of which every character can be seen, for a terminal, an error
sentence, a command to type, or JSON. Read next: gpt2/cli/terminal.py, which shows nothing else to a terminal.

Written out are the control characters but newline and tab (ESC, carriage return, backspace, DEL, those above U+0080),
marks that turn the direction of writing, separators of lines and paragraphs, characters without any width that join
nothing, and halves of surrogate pairs. U+200C and U+200D stay: Persian, Indic scripts and emoji are written with them.
"""

import re
import shlex

CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f"
DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
HIDDEN = "\xad\u180e\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
SURROGATE = "\ud800-\udfff"
_UNSEEN = re.compile(f"[{CONTROL}{DIRECTION}{HIDDEN}{SURROGATE}]")
_UNTYPED = re.compile(f"[\t\n'\\\\{CONTROL}{DIRECTION}{HIDDEN}{SURROGATE}]")


def visible(text: str) -> str:
    r"""The text with every character that cannot be seen as \xNN, \uNNNN or \UNNNNNNNN; newline and tab stay."""
    return _UNSEEN.sub(lambda found: _escape(found[0]), text)


def visible_json(document: str) -> str:
    r"""A JSON document that says the same, with such characters as \uNNNN; they can only stand within its strings."""
    return _UNSEEN.sub(lambda found: _json_escape(found[0]), document)


def quoted(word: str) -> str:
    r"""A word as a shell takes it: plain, in quotes, or as $'...' (bash, zsh) where it holds what cannot be seen."""
    if not re.search(r"[\t\n]", word) and not _UNSEEN.search(word):
        return shlex.quote(word)
    return f"$'{_UNTYPED.sub(lambda found: _shell_escape(found[0]), word)}'"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(character: str) -> str:
    data = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{data[i]:02x}{data[i + 1]:02x}" for i in range(0, len(data), 2))


def _shell_escape(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
