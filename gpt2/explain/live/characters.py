"""Bytes as characters that HTML leaves as they are: 16 characters for 13 bytes, where base64 takes 17.3.

In: bytes. Out: text of printable ASCII without `"`, `&` and `<`, so that it may stand inside an element.
Two characters of 91 hold 13 bits, since 91 x 91 is more than 2^13 (the idea of basE91).
Read next: gpt2/server/web/characters.js, which reads it.
"""

import numpy as np
import numpy.typing as npt

ALPHABET = "".join(chr(code) for code in range(33, 127) if chr(code) not in '"&<')
BITS = 13  # of two characters
ALONE = 6  # of one character
AT_ONCE = BITS * 2**16  # bytes; a whole number of pairs


def characters(content: bytes) -> str:
    """The text of some bytes: two characters for each 13 bits, and one for the last where 6 bits or fewer are left."""
    return "".join(_piece(content[start : start + AT_ONCE]) for start in range(0, len(content), AT_ONCE))


def _piece(content: bytes) -> str:
    bits = np.unpackbits(np.frombuffer(content, dtype=np.uint8))
    whole, left = divmod(len(bits), BITS)
    alphabet = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)
    pairs = _numbers(bits[: whole * BITS].reshape(-1, BITS))
    text = alphabet[np.stack(np.divmod(pairs, len(ALPHABET)), axis=-1)].tobytes().decode()
    if not left:
        return text
    size = ALONE if left <= ALONE else BITS
    number = int(_numbers(np.pad(bits[whole * BITS :], (0, size - left))[None])[0])
    first, second = divmod(number, len(ALPHABET))
    return text + (ALPHABET[number] if size == ALONE else ALPHABET[first] + ALPHABET[second])


def _numbers(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Rows of bits, the highest first, as numbers."""
    powers = 1 << np.arange(bits.shape[1] - 1, -1, -1, dtype=np.int32)
    numbers: npt.NDArray[np.int32] = bits.astype(np.int32) @ powers
    return numbers
