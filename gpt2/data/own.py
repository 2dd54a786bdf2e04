"""What `gpt2 prepare` writes, and so may replace: a finished data set, and one that is being made.

In: a directory. Out: its `Folder` (gpt2/base/ours.py). Read next: prepare.py, unfinished.py.
"""

import re
from pathlib import Path

from gpt2.base.ours import Folder, always
from gpt2.checkpoint.target import TOKENIZER as TOKENIZER_KIND
from gpt2.data.shards import DOC_STARTS, MANIFEST, TOKENIZER, read_manifest

STATE = "unfinished.json"
LOCK = "lock"
STARTS = "doc_starts.u64"
"""The numbers of doc_starts.npy while their number is not known yet."""
AIDS = (STATE, LOCK, STARTS)
"""What a finished data set does not need."""
SHARD = r"shard-\d{5,}\.bin"

UNFINISHED = Folder(
    "an unfinished data set",
    {
        SHARD: always,
        "|".join(map(re.escape, (MANIFEST, DOC_STARTS, f"{STATE}.tmp", *AIDS))): always,
        TOKENIZER: TOKENIZER_KIND,
    },
)
"""The hidden directory in which a data set is made."""


def data_set(directory: Path) -> Folder:
    """What a finished data set holds: the shards that its manifest names, and what the program puts beside them.

    Without a manifest that can be read nothing in the directory is ours.
    """
    what = "a prepared data set"
    try:
        manifest = read_manifest(directory)
        shards = [re.escape(shard["file"]) for shard in manifest["shards"] if re.fullmatch(SHARD, shard["file"])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Folder(what)
    names = [*map(re.escape, (MANIFEST, DOC_STARTS, *AIDS)), *shards]
    return Folder(what, {"|".join(names): always, TOKENIZER: TOKENIZER_KIND})
