"""Names of arguments that do not exist, answered with those that do.

In: the names that a caller gave, and the names that there are. Out: nothing, or a UsageError.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping

from gpt2.base.errors import UsageError


def check_names(
    given: Iterable[str], known: Collection[str], what: str, elsewhere: Mapping[str, str] | None = None
) -> None:
    """Raise UsageError for a name that is not `known`.

    what       the word for such a name in the sentence: "setting of Sampling"
    elsewhere  what to do instead, for names that other libraries use
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            otherwise = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
            mend = f"{elsewhere[name]}." if elsewhere and name in elsewhere else otherwise
            raise UsageError(f"there is no {what} {name!r}: {mend}")
