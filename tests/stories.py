"""Stories in a file, prepared as a data set and read back, for the tests of `gpt2 prepare`."""

from itertools import pairwise

from gpt2.data.prepare import prepare
from gpt2.data.shards import TokenShards
from gpt2.text.tokenizer import EOT, Tokenizer

SEP = f"\n{EOT}\n"
TEXTS = ["One fox.\n\nTwo crows.\n", "  naïve 🙂 text ", "\n", "a <|endoftext|> inside a line", "last\r\n"]


def prepared(files, out, tokenizer=None, **options):
    manifest = prepare(files, out, tokenizer or Tokenizer.bytes(), **options)
    shards = TokenShards(out)
    assert shards.manifest == manifest
    shards.verify()
    return shards


def texts_of(shards):
    tokenizer, borders = shards.tokenizer(), [*map(int, shards.doc_starts), len(shards)]
    found = []
    for start, end in pairwise(borders):
        assert shards[end - 1 : end].tolist() == [tokenizer.eot_id]
        found.append(tokenizer.decode(shards[start : end - 1].tolist()))
    return found


def left_in(directory):
    return sorted(path.name for path in directory.iterdir())
