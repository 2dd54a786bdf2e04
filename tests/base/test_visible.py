"""What a terminal would act on is written out; all else stays as it is."""

import json
import shlex
import subprocess
import unicodedata

import pytest

from gpt2.base.errors import UsageError
from gpt2.base.notes import Note
from gpt2.base.visible import quoted, visible, visible_json

PLAIN = "Zoë said:\n\t“日本語” 👩\u200d💻 می\u200cخواهم $x^2$ [bold] \\x1b"
STEERS = "\x1b[2J\x07\r\x08\x00\x7f\x9b\x85\u202e\u2066\u200f\u061c\u2028\u200b\ufeff\U000e0041\udc9b"


def test_plain_text_stays():
    assert visible(PLAIN) == PLAIN
    assert visible_json(json.dumps(PLAIN, ensure_ascii=False)) == json.dumps(PLAIN, ensure_ascii=False)


def test_what_steers_is_written_out():
    assert visible("\x1b[2J\x9bé\r\n\u202e\U000e0041\udc9b") == r"\x1b[2J\x9bé\x0d" + "\n" + r"\u202e\U000e0041\udc9b"
    assert visible(visible(STEERS)) == visible(STEERS)


def test_no_control_and_no_direction_is_left():
    every = "".join(map(chr, range(0x110000)))
    left = {c for c in visible(every) if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs")}
    assert left == {"\n", "\t"}
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not any(unicodedata.bidirectional(c) in turning for c in visible(every))


def test_json_says_the_same_in_characters_that_are_seen():
    """DEL is the control character that json itself leaves as it is."""
    document = visible_json(json.dumps({STEERS: [STEERS, PLAIN]}, ensure_ascii=False))
    assert json.loads(document) == {STEERS: [STEERS, PLAIN]}
    assert document.isascii() is False
    assert visible(document) == document
    assert visible_json(json.dumps("\x7f\U000e0041", ensure_ascii=False)) == r'"\u007f\udb40\udc41"'


@pytest.mark.parametrize("word", ["plain", "two words", "it's", "a\x1b[2Jb's\\", "é\u202e\n\t", "\udcff"])
def test_a_quoted_word_is_what_the_shell_reads(word):
    said = quoted(word)
    assert visible(said) == said
    read = subprocess.run(["bash", "-c", f"printf %s {said}"], capture_output=True, check=True).stdout
    assert read == word.encode("utf-8", "surrogateescape")


def test_a_plain_word_is_quoted_as_ever():
    assert [quoted(w) for w in ("a", "a b", "é")] == [shlex.quote(w) for w in ("a", "a b", "é")]


def test_sentences_and_notes_are_visible_in_python_too():
    error = UsageError("there is no model m\x1b[2J", "try {model}", model="a\u202eb")
    assert str(error) == r"there is no model m\x1b[2J: try model='a\u202eb'"
    assert str(Note("the file \x07.txt")) == r"the file \x07.txt"
