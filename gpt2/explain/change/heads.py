"""What each head looks at, and whether it matters: scores with intervals, baselines, and a causal check.

In: a model, a text. Out: a `HeadReport`: on a sequence of random tokens that comes twice, and on natural text, how much
each head attends to the previous token, to itself, to the first token, to earlier copies of its token, and to what
followed them (induction); entropy, distance, copying; by how much the loss of the second copy rises without the head.
A label needs a score above 0.4 and an interval above both baselines. Weight alone is not effect: a label is called
causal only where the loss agrees.
Source: Olsson et al. 2022, "In-context Learning and Induction Heads"; Elhage et al. 2021, "A Mathematical Framework
for Transformer Circuits" (copying). Read next: head_report.py, which prints and draws it.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gpt2.base.errors import UsageError
from gpt2.base.onednn import forward_only
from gpt2.checkpoint.opened import Model, opened
from gpt2.explain.change.head_report import HeadReport, Scores
from gpt2.explain.change.intervals import Estimate, bootstrap
from gpt2.explain.change.off import excerpt, off_document
from gpt2.explain.change.switch import switch
from gpt2.explain.run.lacks import Lacking, without
from gpt2.explain.run.reference import Reference, reference
from gpt2.explain.see.attention import evenness
from gpt2.model import GPT2
from gpt2.probe import Probe

SAMPLES, LONGEST = 16, 50  # random sequences, and how many distinct tokens each has
PATTERNS = ("previous", "current", "first", "duplicate", "induction")


def heads(
    model: Model,
    text: Reference | None = None,
    *,
    bos: bool = False,
    causal: bool = True,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeadReport:
    """Score every head.

    text    natural text (default: the bundled stories, 16 documents of up to 256 tokens)
    bos     put `<|endoftext|>` before the random sequences: only for a model that was trained to see one there
    causal  switch every head off in turn as well, most of the time that this takes; without it no label is causal
    progress  told how many of the parts are done, of how many

    Raises UsageError for a model too small for a sequence of two tokens twice, or `bos` without such a token; for one
    without attention or the norms that `copying_scores` folds in (a variant), before anything is computed.
    """
    gpt, tokenizer = opened(model)
    if missing := without(gpt, "ln_1", "attention", "a final norm"):
        raise Lacking(
            f"the head report needs attention and norms as in a plain GPT-2, and this model is without {missing}: "
            "use gpt2 explain off, which measures what each component is worth."
        )
    if text is None:
        text = excerpt(model, reference(model), documents=16, tokens=256)
    eot = None if tokenizer is None else tokenizer.eot_id
    if bos and eot is None:
        raise UsageError(
            "there is no <|endoftext|> to put first: leave bos out, or give a checkpoint with a tokenizer."
        )
    n = min(LONGEST, (gpt.config.n_positions - 1) // 2, gpt.config.vocab_size - 1)
    if n < 2:
        raise UsageError("this model is too small for a random sequence of two tokens, twice: it needs 5 positions.")
    rows = repeated(gpt.config.vocab_size, n, eot, seed, eot if bos else None)
    initial = copy.deepcopy(gpt)
    initial.init_weights(seed)
    total = 3 + (SAMPLES if causal else 0)
    losses, effect = None, None
    if causal:
        losses, effect = second_copy(gpt, rows, n, lambda done: progress(done, total))
    random = scores(gpt, initial, [(row, repeated_sets(len(row), n)) for row in rows], "random tokens, twice")
    progress(total - 2, total)
    natural = scores(gpt, initial, [(row, text_sets(row)) for row in text.rows], "text")
    progress(total - 1, total)
    entropy, distance = spread(gpt, text.rows)
    copying = copying_scores(gpt)
    progress(total, total)
    return HeadReport(n, SAMPLES, bos, text.to_dict(), random, natural, entropy, distance, copying, losses, effect)


def repeated(vocab_size: int, n: int, eot: int | None, seed: int, first: int | None) -> list[list[int]]:
    """SAMPLES rows: n distinct random tokens, never `eot`, then the same n again; `first` before them if given."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(SAMPLES):
        order = [t for t in torch.randperm(vocab_size, generator=generator).tolist() if t != eot][:n]
        rows.append([*([] if first is None else [first]), *order, *order])
    return rows


Sets = dict[str, Tensor]  # name -> [T, T], True at the keys j that a head of that kind attends to from row i


def repeated_sets(T: int, n: int) -> Sets:
    """For s + s, the one key of each kind for each row of the second copy: i-1, i, 0, i-n, i-n+1."""
    i = torch.arange(T - n, T)
    keys = {"previous": i - 1, "current": i, "first": torch.zeros_like(i), "duplicate": i - n, "induction": i - n + 1}
    sets = {name: torch.zeros(T, T, dtype=torch.bool) for name in keys}
    for name, j in keys.items():
        sets[name][i, j] = True
    return sets


def text_sets(ids: Sequence[int]) -> Sets:
    """For natural text: {i-1}, {i}, {0}, {j < i: t[j] = t[i]}, {1 <= j <= i: t[j-1] = t[i]}, in rows i >= 1."""
    t, T = torch.tensor(list(ids)), len(ids)
    i, j = torch.arange(T)[:, None], torch.arange(T)[None]
    rows = i >= 1
    return {
        "previous": (j == i - 1) & rows,
        "current": (j == i) & rows,
        "first": (j == 0) & rows,
        "duplicate": (t[None] == t[:, None]) & (j < i),
        "induction": (t.roll(1)[None] == t[:, None]) & (j >= 1) & (j <= i),
    }


def scores(model: GPT2, initial: GPT2, texts: Sequence[tuple[Sequence[int], Sets]], on: str) -> Scores:
    """Mean attention mass on each set, over the rows where it is not empty; the same at initialisation, and uniform."""
    ours, theirs = _masses(model, texts), _masses(initial, texts)
    found: dict[str, Estimate] = {}
    uniform, before = {}, {}
    for name in PATTERNS:
        counts = torch.stack([sets[name].any(-1).sum() for _, sets in texts])
        if int(counts.sum()) == 0:
            continue  # no row of this text has such a key
        found[name] = bootstrap(ours[name], counts)
        before[name] = theirs[name].sum(0) / counts.sum()
        flat = [(sets[name].sum(-1) / torch.arange(1, len(row) + 1)).sum() for row, sets in texts]
        uniform[name] = float(torch.stack(flat).sum() / counts.sum())
    return Scores(on, found, uniform, before)


def patterns(model: GPT2, ids: Sequence[int]) -> Tensor:
    """Every head's pattern over one text, [L, H, T, T]."""
    probe = Probe("*.attn.pattern")
    with forward_only(model.lm_head.weight):
        model.hidden(torch.tensor([list(ids)], device=model.lm_head.weight.device), probe=probe)
    return torch.stack([probe[f"{l}.attn.pattern"][0] for l in range(model.config.n_layer)])


def _masses(model: GPT2, texts: Sequence[tuple[Sequence[int], Sets]]) -> dict[str, Tensor]:
    """The attention on each set, summed over rows: {name: [texts, L, H]}."""
    sums: dict[str, list[Tensor]] = {name: [] for name in PATTERNS}
    for row, sets in texts:
        weights = patterns(model, row)
        for name in PATTERNS:
            i, j = sets[name].to(weights.device).nonzero(as_tuple=True)
            sums[name].append(weights[:, :, i, j].double().sum(-1).cpu())
    return {name: torch.stack(each) for name, each in sums.items()}


def spread(model: GPT2, rows: Sequence[Sequence[int]]) -> tuple[Estimate, Estimate]:
    """Means over rows i >= 1, each [L, H]: entropy H(A[i, :i+1]) / log(i + 1), and distance sum_j A[i,j] (i - j)."""
    entropies, distances = [], []
    for row in rows:
        weights = patterns(model, row).double()  # (L, H, T, T)
        entropies.append(evenness(weights).sum(-1).cpu())
        i = torch.arange(len(row), device=weights.device)
        distances.append((weights[:, :, 1:] * (i[1:, None] - i)).sum((-2, -1)).cpu())
    counts = torch.tensor([len(row) - 1 for row in rows])
    return bootstrap(torch.stack(entropies), counts), bootstrap(torch.stack(distances), counts)


def copying_scores(model: GPT2) -> Tensor:
    """sum(lambda) / sum|lambda| of each head's map from a token it reads to the logits it writes, [L, H], -1 to 1.

    The map is U W_O W_V diag(gamma_1) E^T, V x V, with E the embedding centred over channels, as ln_1 does, and U the
    head's rows times the final gamma, centred likewise and, since only differences of logits count, over the
    vocabulary: so raw and folded weights agree. Its eigenvalues other than 0 are those of the D x D matrix
    W_V diag(gamma_1) E^T U W_O, which is what is computed. Source: Elhage et al. 2021.
    """
    c, tower = model.config, model.transformer
    product = torch.zeros(c.n_embd, c.n_embd, dtype=torch.float64, device=model.lm_head.weight.device)  # E^T U
    middle_row = model.lm_head.weight.detach().double().mean(0)
    for e, w in zip(tower.wte.weight.detach().split(8192), model.lm_head.weight.detach().split(8192)):
        u = (w.double() - middle_row) * tower.ln_f.weight.detach()
        product += (e.double() - e.double().mean(-1, keepdim=True)).t() @ (u - u.mean(-1, keepdim=True))
    found = torch.zeros(c.n_layer, c.n_head, dtype=torch.float64)
    for l, block in enumerate(tower.h):
        middle = block.ln_1.weight.detach().double()[:, None] * product  # (C, C)
        w_v = block.attn.c_attn.weight.detach().double()[2 * c.n_embd :].view(c.n_head, c.head_dim, c.n_embd)
        w_o = block.attn.c_proj.weight.detach().double().t().view(c.n_head, c.head_dim, c.n_embd)
        eigenvalues = torch.linalg.eigvals(w_v @ middle @ w_o.transpose(1, 2))  # (H, D)
        found[l] = (eigenvalues.sum(-1).real / eigenvalues.abs().sum(-1)).cpu()
    return found


def second_copy(
    model: GPT2, rows: Sequence[Sequence[int]], n: int, progress: Callable[[int], None] = lambda done: None
) -> tuple[Estimate, Estimate]:
    """The losses of both copies [2], and the rise of the second one's with each head mean-ablated, [L, H].

    A copy's loss is the mean over its tokens but the first, which nothing announces. The means are those of the same
    repeated sequences, so that what is lost is what the head tells apart in them.
    """
    c = model.config
    means = reference(model, [list(row) for row in rows])
    names = [f"{l}.head.{h}" for l in range(c.n_layer) for h in range(c.n_head)]
    cells = [switch(model, name, "mean", means) for name in names]
    plain, effects = [], []
    for done, row in enumerate(rows, start=1):
        document = off_document(model, row, cells)
        second = slice(len(row) - n, len(row) - 1)  # the rows that predict the second copy's tokens 2 to n
        first = slice(len(row) - 2 * n, len(row) - n - 1)
        plain.append(torch.stack([document.loss[first].mean(), document.loss[second].mean()]))
        effects.append(document.loss_change[:, second].mean(-1).view(c.n_layer, c.n_head))
        progress(done)
    return bootstrap(torch.stack(plain)), bootstrap(torch.stack(effects))
