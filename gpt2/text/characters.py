"""Characters as they are shown, and as they are before and after a tokenizer.

In: bytes or a text. Out: a text. `gpt2/text/tokenizer.py` uses all three; tables show what `visible` returns.
"""


def visible(data: bytes) -> str:
    r"""A token as it is printed: a space as `·`, a new line as `\n`, a tab as `\t`, the rest as it is.

    Control and formatting characters, and bytes that are not whole UTF-8, are printed as `\xNN`.
    """
    return "".join(map(_visible_char, data.decode("utf-8", "surrogateescape")))


def _visible_char(char: str) -> str:
    named = {" ": "·", "\n": "\\n", "\t": "\\t"}
    if char in named:
        return named[char]
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def well_formed(text: str) -> str:
    """The text with paired surrogates joined and lone ones replaced by U+FFFD."""
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def cleaned(text: str) -> str:
    """A text without the spaces that joining words left before punctuation (`clean_up_tokenization_spaces`)."""
    for mark in ".?!,":
        text = text.replace(f" {mark}", mark)
    text = text.replace(" ' ", "'")
    for ending in ("n't", "'m", "'s", "'ve", "'re"):
        text = text.replace(f" {ending}", ending)
    return text
