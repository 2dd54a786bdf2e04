"""What the server keeps between questions: the model, its means, and the latest runs.

In: a checkpoint. Out: runs of it with some components switched. Read next: questions.py, switches.py.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from gpt2.base.stopping import turn
from gpt2.explain import Reference, Run
from gpt2.explain.change.off import excerpt
from gpt2.explain.run.lacks import Lacking, without
from gpt2.explain.see.flow import Flow, flow
from gpt2.probe import Edit
from gpt2.server.kept import Kept
from gpt2.server.means import Means
from gpt2.server.switches import edits
from gpt2.text.ids import check_ids
from gpt2.text.words import token_id

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint
    from gpt2.explain.live.rounded import Cost, Rounded

KEPT = 512 * 2**20  # bytes of runs and answers that are kept, the latest first
Switches = Mapping[str, str]
T = TypeVar("T")


class Session:
    """One model under inspection. All methods may be called from several threads.

    rounded   where the model's weights stand for others: what they were rounded to, and what that costs
    beside    another model with the same tokenizer, which the page compares with this one

    Raises UsageError for a model, a variant, that lacks a part which the page draws.
    """

    rounded: "Rounded | None" = None
    costs: "Sequence[Cost]" = ()
    beside: "Session | None" = None

    def __init__(self, checkpoint: "Checkpoint", means: Means | None = None) -> None:
        if missing := without(checkpoint.model):
            variant = getattr(checkpoint.model, "variant", None)
            name = f"the variant {variant['name']!r}" if variant else "this model"
            raise Lacking(
                f"the page draws the parts of a plain GPT-2, and {name} is without {missing}: "
                "use gpt2 explain off, lens or stream in the terminal."
            )
        self.checkpoint = checkpoint
        self.model, self.tokenizer, self.name = checkpoint.model, checkpoint.tokenizer, checkpoint.name
        self.config = self.model.config
        self._kept = Kept(KEPT, apart_from=(checkpoint, self.tokenizer))
        self._passing = threading.Lock()
        self._means = means or Means(checkpoint)

    @property
    def means(self) -> Reference:
        """The bundled stories: what "mean" is the mean over."""
        return self._means.computed()

    @property
    def texts(self) -> Reference:
        """The same, whose means need not have been taken."""
        return self._means.text

    @property
    def excerpt(self) -> Reference:
        """The beginnings of those stories, on which one component's worth is measured in seconds."""
        return self.kept(("excerpt",), lambda: excerpt(self.checkpoint, self.texts))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text. UsageError when it is empty or longer than the context."""
        return check_ids(self.tokenizer.encode(text), self.config, "prompt")

    def word(self, token: int) -> str:
        """A token as the page shows it: a space is a middle dot."""
        return self.tokenizer.label(token)

    def token(self, text: str) -> int:
        """The id of a word of one token, given with a space or a middle dot before it. UsageError otherwise."""
        return token_id(self.model, self.tokenizer, text.replace("·", " "))

    def words(self, tokens: Iterable[int]) -> dict[int, str]:
        """Each of these ids with its text."""
        return {token: self.word(token) for token in sorted(set(tokens))}

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave for this key, if it is still kept; otherwise what it gives now."""
        return self._kept.get(key, make)

    def look(self, ids: list[int], switches: Switches) -> Flow:
        """A text's pass, as the picture draws it; the latest are kept."""
        return self.kept(_look(ids, switches), lambda: self._flow(ids, edits(self, switches)))

    def looked(self, ids: list[int], switches: Switches, found: Flow) -> None:
        """Keep a pass that was made elsewhere, as `look` would."""
        self.kept(_look(ids, switches), lambda: found)

    def _flow(self, ids: list[int], edit: Mapping[str, Edit]) -> Flow:
        with turn(self._passing):  # one new pass at a time: each takes all cores and, for a long text, much memory
            return flow(self.checkpoint, ids, edit)

    def trace(self, ids: list[int], switches: Switches, read: tuple[str, ...] = ()) -> Run:
        """The same pass as gpt2.explain's analyses take it, with what they read besides."""
        run = self.look(ids, switches).run
        if not read:
            return run
        key = ("trace", tuple(ids), tuple(sorted(switches.items())), read)
        return self.kept(key, lambda: run.read(*read))


def _look(ids: list[int], switches: Switches) -> Hashable:
    """The name of a text's pass."""
    return "look", tuple(ids), tuple(sorted(switches.items()))
