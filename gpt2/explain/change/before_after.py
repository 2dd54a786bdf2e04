"""A continuation before and after edits, with shared noise.

In: a model, a prompt, edits. Out: a `BeforeAfter`, both texts and how far they are the same. Read next: switch.py,
which makes the edits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpt2 import Sampling, generate
from gpt2.base.errors import UsageError
from gpt2.checkpoint.opened import Model, opened
from gpt2.explain.show.result import WIDTH, Result
from gpt2.probe import Edit

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table


@dataclass(frozen=True, repr=False)
class BeforeAfter(Result):
    """One prompt continued twice with the same noise: by the model as it is, and with edits."""

    prompt: str
    before: str
    after: str
    before_ids: tuple[int, ...]
    after_ids: tuple[int, ...]

    @property
    def same(self) -> int:
        """How many tokens both begin with."""
        pairs = enumerate(zip(self.before_ids, self.after_ids))
        return next((k for k, (a, b) in pairs if a != b), min(len(self.before_ids), len(self.after_ids)))

    def table(self) -> "Table":
        """Both texts, side by side."""
        from rich.table import Table

        made = Table(title=self.prompt, title_justify="left")
        for name in ("before", "after"):
            made.add_column(name, max_width=(WIDTH - 7) // 2, overflow="fold")  # 7: the frame
        made.add_row(self.before, self.after)
        return made

    def __rich__(self) -> "Group":
        """Prompt and texts, none of them wider than a printed table, however wide the console."""
        from rich.console import Group
        from rich.constrain import Constrain

        shown = self.table()
        shown.title = None
        return Group(Constrain(self.prompt, WIDTH), shown)

    def to_dict(self) -> dict[str, Any]:
        """The three texts."""
        return {"prompt": self.prompt, "before": self.before, "after": self.after}


def before_after(
    model: Model,
    prompt: str,
    edit: Mapping[str, Edit],
    sampling: Sampling | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> BeforeAfter:
    """Continue a prompt with and without edits, with shared noise: where both see nearly the same, they say the same.

    progress  told the share that is done, at the start of each of the two continuations

    Raises UsageError for a bare GPT2, which has no tokenizer, and as `generate` does.
    """
    gpt, tokenizer = opened(model)
    if tokenizer is None:
        raise UsageError("a bare GPT2 has no tokenizer to write with: give what gpt2.load(name) returns.")
    how = Sampling(max_tokens=60) if sampling is None else sampling
    drawn = []
    for share, edits in [(0.0, None), (0.5, edit)] if edit else [(0.0, None)]:
        progress(share)
        drawn.append(generate(gpt, tokenizer, prompt, how, edit=edits)[0][0])
    before, after = drawn[0], drawn[-1]
    return BeforeAfter(prompt, before.text, after.text, tuple(before.ids), tuple(after.ids))
