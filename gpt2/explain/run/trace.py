"""One pass of a model over a text, kept: the residual stream, the logits, and whatever else was asked for.

In: a model (or a checkpoint, with its tokenizer), a text, the addresses to read, the edits to make (edits.py).
Out: a `Run`, which never changes. Read next: lens.py, attribution.py, effects.py, which read one.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gpt2.addresses import DERIVED, Key
from gpt2.base.calls import one_sentence
from gpt2.base.counted import counted
from gpt2.base.edits import check_edits
from gpt2.base.errors import UsageError
from gpt2.base.onednn import forward_only
from gpt2.base.plain import plain
from gpt2.base.twin import in_evaluation
from gpt2.checkpoint.opened import Model, opened
from gpt2.explain.run.places import parse
from gpt2.explain.run.values import ALL, ALWAYS, Values, size
from gpt2.explain.show.result import Result, number, table
from gpt2.forward_pass import Pass
from gpt2.model import GPT2
from gpt2.probe import At, Edit, Probe
from gpt2.text.tokenizer import Tokenizer
from gpt2.text.words import Text, encode, label, token_id

if TYPE_CHECKING:
    from rich.table import Table

    from gpt2.explain.see.attribution import Attribution
    from gpt2.explain.see.lens import Lens

ROWS = 16  # positions at a time, where two passes are compared
NO_EDIT: Mapping[str, Edit] = MappingProxyType({})
Watch = Callable[[Tensor, At], object]
NO_WATCH: Mapping[str, Watch] = MappingProxyType({})


@one_sentence("gpt2.trace(checkpoint, text)")
def trace(
    model: Model,
    ids: Text,
    read: str | Iterable[str] = (),
    edit: Mapping[str, Edit] = NO_EDIT,
    grad: bool = False,
    watch: Mapping[str, Watch] = NO_WATCH,
) -> "Run":
    """Run `model` over a text, without dropout, and keep what happened.

        run = gpt2.trace(gpt2.load("storyteller"), "The cat sat on the", read="3.attn.pattern")
        run.logits, run["3.attn.pattern"]   # [B, T, V], [B, H, T, T]

    model  a GPT2 (then `ids` are token ids) or what `gpt2.load` returns (then a text is as good)
    ids    one text, or several of equal length: B rows of T tokens. Nothing is put before them
    read   addresses to keep besides the residual stream and the logits, as in `gpt2.probe`; "all" for everything,
           which tells on standard error first how many bytes that is
    edit   address -> f(x, at) -> x, or f(x), see `gpt2.explain.run.edits`
    grad   keep what gradients need: `Run.gradients`
    watch  address -> f(x, at), which sees the value as it passes by: for what is too large to keep

    Returns a `Run`, which prints as a table of what is predicted at each position, and has `lens` and `attribution`.

    Raises UsageError for a text that is empty or too long, for an edit at a position that the text does not have and
    for one that is no function of a value (`to_first` where `to_first()` is meant),
    ValueError for an unknown address (nearest names given) or an edit that returns another shape.
    """
    gpt, tokenizer = opened(model)
    tokens = encode(gpt, tokenizer, ids)
    kept = _addresses(read)
    if "all" in kept:
        kept = tuple(dict.fromkeys((*ALL, *(a for a in kept if a != "all"))))
        megabytes = size(gpt, kept, tokens.size(1), tokens.size(0)) / 1e6
        print(
            f"trace: everything takes {megabytes:,.0f} MB, {counted(tokens.size(1), 'token')} a text", file=sys.stderr
        )
    return _run(gpt, tokenizer, tokens, kept, edit, grad, watch=watch)


@dataclass(frozen=True, eq=False, repr=False)
class Run(Result):
    """What `trace` kept. `run["3.attn.pattern"]` is a copy of the value at an address, batch axis first.

    Values are those after any edit: what the pass went on with.
    """

    model: GPT2
    tokenizer: Tokenizer | None
    ids: Tensor  # (B, T)
    edits: Mapping[str, Edit]
    kept: tuple[str, ...]  # addresses that were asked for
    values: Values

    def __getitem__(self, address: str) -> Tensor:
        """A copy of the value at one address. Raises as `Values.__getitem__`."""
        return self.values[address]

    @property
    def logits(self) -> Tensor:
        """[B, T, V]."""
        return self.values["logits"]

    @property
    def tokens(self) -> tuple[tuple[str, ...], ...]:
        """Every token of every row as it is shown."""
        return tuple(tuple(label(self.tokenizer, i) for i in row) for row in self.ids.tolist())

    def token(self, word: str | int) -> int:
        """The id of a word of one token; UsageError with the nearest one otherwise."""
        return token_id(self.model, self.tokenizer, word)

    def label(self, token: int) -> str:
        """A token as it is shown."""
        return label(self.tokenizer, token)

    def position(self, at: int) -> int:
        """A position from 0; negative ones count from the end. UsageError outside the text."""
        T = self.ids.size(1)
        if not -T <= at < T:
            raise UsageError(f"there is no position {at}: this text has positions 0 to {T - 1}.")
        return at % T

    def read(self, *addresses: str) -> "Run":
        """The same run with more of it kept: itself where all of that is there, otherwise from one more pass.

        Raises ValueError when that pass gives other logits: the weights have changed, or an edit is no function of
        what it is handed.
        """
        if self.values.covers(_keys(self.model, addresses, self.edited_points())):
            return self
        more = _run(self.model, self.tokenizer, self.ids, (*self.kept, *addresses), self.edits, grad=False)
        ours, theirs = self.values.stored(None, "logits"), more.values.stored(None, "logits")
        largest = torch.maximum(ours.max(), -ours.min())
        rounding = 8 * torch.finfo(ours.dtype).eps * largest  # what is kept decides how attention is computed
        # Some positions at a time: logits of a long text are hundreds of megabytes.
        parts = zip(ours.split(ROWS, dim=1), theirs.split(ROWS, dim=1))
        apart = torch.stack([(one - other).abs().max() for one, other in parts]).max()
        if apart > torch.maximum(rounding, 1e-3 * ours.std()):
            raise ValueError("another pass gave other logits (new weights, or a random edit): trace again.")
        return more

    def edited_points(self) -> set[Key]:
        """(layer, point) of every value that an edit replaced."""
        return _edited(self.model, self.edits)

    def edited(self, edit: Mapping[str, Edit], read: str | Iterable[str] = ()) -> "Run":
        """This run with further edits; only the blocks from the first edited one on are computed anew.

        An edit at an address that this run edits already takes its place.
        """
        c = self.model.config
        places = [a for text in edit for a in parse(text, c.n_layer, c.n_head)]
        outside = (0 if a.point.startswith("embed") else c.n_layer for a in places if a.layer is None)
        start = min((*(a.layer for a in places if a.layer is not None), *outside), default=c.n_layer)
        kept = tuple(dict.fromkeys((*self.kept, *_addresses(read))))
        edits = {**self.edits, **edit}
        if not self.values.covers(_keys(self.model, kept, _edited(self.model, edits))):
            start = 0
        return _run(self.model, self.tokenizer, self.ids, kept, edits, grad=False, base=self.values, start=start)

    def gradients(self, of: Tensor) -> Values:
        """d of / d value at every address kept, `of` being one number computed from `run.logits` or other values.

        The model's own `.grad` stays as it is. Raises UsageError for a run traced without `grad=True`.
        """
        if not self.values.stored(None, "logits").requires_grad:
            raise UsageError("this run kept nothing for gradients: trace(..., grad=True).")
        keys = self.values.points
        tensors = [self.values.stored(*key) for key in keys]
        found = torch.autograd.grad(of, tensors, retain_graph=True, allow_unused=True, materialize_grads=True)
        return Values(self.model, dict(zip(keys, found)))

    def lens(self, *, row: int = 0) -> "Lens":
        """What the model would predict if it ended at each point of the stream: `gpt2.explain.lens`."""
        from gpt2.explain.see.lens import lens

        return lens(self, row=row)

    def attribution(
        self,
        target: str | int | None = None,
        vs: str | int | None = None,
        at: int = -1,
        *,
        of: str | None = None,
        row: int = 0,
    ) -> "Attribution":
        """What each component adds to the lead of `target` over `vs`: `gpt2.explain.attribution`."""
        from gpt2.explain.see.attribution import attribution

        return attribution(self, target, vs, at, of=of, row=row)

    def _predictions(self) -> list[dict[str, Any]]:
        logits = self.values.stored(None, "logits").detach()
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
        best, top = wide.max(-1)
        rows: list[dict[str, Any]] = []
        for b, ids in enumerate(self.ids.tolist()):
            for t, token in enumerate(ids):
                following = ids[t + 1] if t + 1 < len(ids) else None
                score = None if following is None else float(wide[b, t, following])
                rank = None if score is None else 1 + int((wide[b, t] > score).sum())
                rows.append({
                    "row": b, "position": t, "token": self.label(token), "prediction": self.label(int(top[b, t])),
                    "probability": float(best[b, t].exp()), "next_rank": rank,
                    "loss": None if score is None else -score,
                })  # fmt: skip
        return rows

    def table(self) -> "Table":
        """Each position: what is predicted there, the rank of the token that really follows, its loss in nats."""
        edits = ", ".join(f"{a}: {getattr(f, 'label', getattr(f, '__name__', 'edit'))}" for a, f in self.edits.items())
        made = table(">position", "token", "prediction", ">probability", ">next's rank", ">loss", caption=edits or None)
        for one in self._predictions():
            made.add_row(
                str(one["position"]), one["token"], one["prediction"], f"{one['probability']:.1%}",
                "" if one["next_rank"] is None else str(one["next_rank"]),
                "" if one["loss"] is None else number(one["loss"]),
            )  # fmt: skip
        return made

    def to_dict(self) -> dict[str, Any]:
        """Tokens and predictions; the tensors themselves are at their addresses."""
        edits = {a: getattr(f, "label", getattr(f, "__name__", "edit")) for a, f in self.edits.items()}
        return plain({"ids": self.ids, "tokens": self.tokens, "edits": edits, "predictions": self._predictions()})


def _addresses(read: str | Iterable[str]) -> tuple[str, ...]:
    return (read,) if isinstance(read, str) else tuple(read)


def _run(
    model: GPT2,
    tokenizer: Tokenizer | None,
    ids: Tensor,
    kept: tuple[str, ...],
    edit: Mapping[str, Edit],
    grad: bool,
    base: Values | None = None,
    start: int = 0,
    watch: Mapping[str, Watch] = NO_WATCH,
) -> Run:
    """The pass itself; from block `start` on, where `base` holds the values of the blocks before it."""
    check_edits(edit)
    T, edited = ids.size(1), _edited(model, edit)
    for text in edit:
        for a in parse(text, model.config.n_layer, model.config.n_head):
            if a.span is not None and not a.span[0] < a.span[1] <= T:
                raise UsageError(f"{a.text!r} lies outside this text: it has positions 0 to {T - 1}.")
    wanted = _keys(model, (*ALWAYS, *kept), edited) | {key for key in edited if key[1] in DERIVED}
    probe = Probe(
        [f"{l}.{p}".removeprefix("None.").replace("head.out", "head.0.out") for l, p in wanted],
        _with(edit, watch),
        grad,
    )
    quiet = in_evaluation(model)
    with torch.enable_grad() if grad else forward_only(model.lm_head.weight):
        if base is None or start == 0:
            base, start = None, 0
            quiet(ids, probe=probe)
        else:
            x = base.stored(start - 1, "resid_post")
            here = Pass(probe=probe).begin(quiet, x)
            quiet.head(quiet.norm(quiet.blocks(x, here, start), here), here)
    tensors = {key: value for key, value in probe.values.items() if key in wanted}
    if base is not None:
        early = {key for key in base.points if (key[1].startswith("embed") if key[0] is None else key[0] < start)}
        tensors |= {key: base.stored(*key) for key in early & wanted}
    values = Values(model, tensors, absent=wanted - tensors.keys())
    return Run(model, tokenizer, ids, MappingProxyType(dict(edit)), kept, values)


def _with(edit: Mapping[str, Edit], watch: Mapping[str, Watch]) -> dict[str, Edit]:
    """The edits, then the watchers, each of which is an edit that returns its value unchanged."""

    def seeing(look: Watch) -> Edit:
        def unchanged(x: Tensor, at: At) -> Tensor:
            look(x, at)
            return x

        return unchanged

    if both := edit.keys() & watch.keys():
        raise UsageError(f"{min(both)} is edited and watched: write one of the two addresses for each block apart.")
    return {**edit, **{address: seeing(look) for address, look in watch.items()}}


def _edited(model: GPT2, edit: Mapping[str, Edit]) -> set[Key]:
    """The points at which edits work."""
    sizes = model.config.n_layer, model.config.n_head
    return {(a.layer, getattr(f, "point", a.point)) for text, f in edit.items() for a in parse(text, *sizes)}


def _keys(model: GPT2, addresses: Iterable[str], edited: set[Key]) -> set[Key]:
    """The points to keep so that these addresses can be read. What follows from others is computed when it is read,
    unless it has been edited itself."""
    keys: set[Key] = set()
    for text in addresses:
        for a in parse(text, model.config.n_layer, model.config.n_head):
            derived = a.point in DERIVED and (a.layer, a.point) not in edited
            keys.add((a.layer, a.point if not derived else {"head.out": "attn.z", "block": "resid_post"}[a.point]))
    return keys
