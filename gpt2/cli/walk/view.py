"""Prints a `Walk` as a page to read from top to bottom, on which every sum can be checked by hand.

In: the record of explain/walk/record.py. Out: lines on the terminal. view_block.py prints one block in full,
view_dropout.py what training adds.
"""

from collections.abc import Callable, Sequence

from gpt2.base.counted import counted
from gpt2.cli.walk.guide import GUIDE, Section
from gpt2.cli.walk.page import CELL, HEAD, Page, fit, norm_of, num, percent, right
from gpt2.cli.walk.view_block import print_block, print_norm
from gpt2.explain.walk.record import BlockStep, Candidate, Target, Vector, Walk

Show = Callable[[int], str]
LISTED = 8  # vectors that a list shows


def print_walk(walk: Walk, name: str, show: Show, values: int) -> Page:
    """The whole walk. `show` gives a token's text; the page comes back, so that more can follow on it."""
    page = Page(values)
    tokens = [show(i) for i in walk.ids]
    _opening(page, walk, name)
    _tokens(page, walk, tokens)
    _embedding(page, walk, tokens)
    short: list[BlockStep] = []
    for block in walk.blocks:
        if block.detail is None:
            short.append(block)
            continue
        _short_blocks(page, short, show)
        short = []
        print_block(page, walk, block, block.detail, tokens)
    _short_blocks(page, short, show)
    _prediction(page, walk, show)
    if walk.target is not None:
        _loss(page, walk, walk.target, show)
    return page


def _opening(page: Page, walk: Walk, name: str) -> None:
    c = walk.config
    page.heading("From text to prediction")
    page.say(
        f"{name}: {counted(c.n_layer, 'block')} of {counted(c.n_head, 'head')}, width {c.n_embd}, vocabulary "
        f"{c.vocab_size}, context {c.n_positions}; {walk.dtype}, evaluation mode."
    )
    page.say(
        f"Of each vector the first {min(page.values, c.n_embd)} numbers are shown, and its norm (its length). All is "
        "rounded: a sum may be off by one in the last digit. Blocks, heads and positions count from 0. At the right "
        "stand a tensor's address, as gpt2.probe reads it, and its shape.",
        "dim",
    )
    page.say(
        f"Each step names the section of the guide ({GUIDE}) that explains it. The guide's sections have the order of "
        "the steps, except that it explains residual connections and norms, which come again and again, after the MLP.",
        "dim",
    )
    if walk.dtype in ("bfloat16", "float16"):
        page.say(f"{walk.dtype} also rounds every step of the model, so that sums agree only roughly here.", "dim")


def _tokens(page: Page, walk: Walk, tokens: Sequence[str]) -> None:
    T, n = len(tokens), page.columns
    page.step(
        Section.TOKENS, "Text to tokens", "The text is cut into pieces; the model sees only ids. A space shows as ·."
    )
    parts = [range(start, min(start + n, T)) for start in range(0, T, n)]
    if len(parts) > 3:
        around = max(n, min(walk.position + 3, T) - n)
        parts = [parts[0], range(around, around + n)]
    for number, part in enumerate(parts):
        if number and part.start > parts[number - 1].stop:
            page.line("    ", (f"... {counted(part.start - parts[number - 1].stop, 'token')}", "dim"))
        page.line("    ", (fit("position", HEAD) + "".join(f"{i:>{CELL}}" for i in part), "dim"))
        followed = [(right(tokens[i], CELL), "bold" if i == walk.position else "") for i in part]
        page.line("    ", (fit("token", HEAD), "dim"), *followed)
        page.line("    ", (fit("id", HEAD), "dim"), "".join(f"{walk.ids[i]:>{CELL}}" for i in part))
    if parts[-1].stop < T:
        page.line("    ", (f"... {counted(T - parts[-1].stop, 'token')}", "dim"))
    if walk.position < T - 1:
        page.say(f"Position {walk.position} is followed. It cannot see the tokens after it: they play no part below.")


def _embedding(page: Page, walk: Walk, tokens: Sequence[str]) -> None:
    c, p = walk.config, walk.position
    shape = (len(tokens), c.n_embd)
    table = f"wte [{c.vocab_size}, {c.n_embd}]"
    page.step(
        Section.TOKEN_EMBEDDINGS,
        "Token vectors",
        f"Each id picks its row of the learned table {table}.",
        "embed.tok",
        shape,
    )
    _list(page, [f"{i} {token}" for i, token in enumerate(tokens)], walk.embed_tok)
    table = f"wpe [{c.n_positions}, {c.n_embd}]"
    page.step(
        Section.POSITIONS,
        "Position vectors",
        f"Each position picks its row of the learned table {table}.",
        "embed.pos",
        shape,
    )
    _list(page, [f"position {i}" for i in range(p + 1)], walk.embed_pos)
    page.step(
        Section.POSITIONS,
        "Their sum",
        f"What the token is plus where it stands; here at position {p}.",
        "embed.out",
        shape,
    )
    tok, pos, out = walk.embed_tok[p], walk.embed_pos[p], walk.embed_out[p]
    page.rows(
        [
            ("", f"token {tokens[p]}", tok.values, norm_of(tok)),
            ("+", f"position {p}", pos.values, norm_of(pos)),
            ("=", "stream", out.values, norm_of(out)),
        ]
    )
    page.say("Dropout would come here; in evaluation it does nothing (see --train).", "dim")


def _list(page: Page, labels: Sequence[str], vectors: Sequence[Vector]) -> None:
    """All of a short list, else the first and the last."""
    T = len(vectors)
    listed = range(T) if T <= LISTED else [0, 1, 2, *range(T - LISTED + 4, T)]
    for i in listed:
        page.rows([("", labels[i], vectors[i].values, norm_of(vectors[i]))])
        if i == 2 and len(listed) < T:
            page.line("      ", (f"... {T - len(listed)} more", "dim"))


def _short_blocks(page: Page, blocks: Sequence[BlockStep], show: Show) -> None:
    if not blocks:
        return
    first, last = blocks[0].layer, blocks[-1].layer
    page.heading(f"Blocks {first} to {last}" if last > first else f"Block {first}")
    page.say(
        "The same steps with weights of their own, a line each: norms of the stream, of the two writes added to it, "
        "and of the stream after them, with its first numbers. The guess is the likeliest next token if the stream "
        "went straight to the final norm and the head."
    )
    n = min(2, page.values)
    names = "".join(right(h, CELL) for h in ("stream", "+ attn", "+ MLP", "= out"))
    page.line("    ", (f"{fit('block', 5)}{names}  {fit('first numbers', n * CELL + 5)}guess", "dim"))
    for b in blocks:
        norms = "".join(num(v.norm, CELL) for v in (b.resid_pre, b.attn_out, b.mlp_out, b.resid_post))
        numbers = "".join(num(x, CELL) for x in b.resid_post.values[:n])
        guess = f"{fit(show(b.guess.id), 9)} {percent(b.guess.probability):>6}"
        page.line("    ", f"{fit(str(b.layer), 5)}{norms}  {numbers}", (" ... ", "dim"), guess)


def _prediction(page: Page, walk: Walk, show: Show) -> None:
    c, T, best = walk.config, len(walk.ids), walk.next[0]
    page.heading("The prediction")
    print_norm(page, walk, walk.final, walk.blocks[-1].resid_post, "at the end", "final")
    page.step(Section.HEAD, "Logits",
              f"The head scores each of the {c.vocab_size} tokens: logit = out . row, with the row of wte "
              f"that stands for the token at the input too. Here for {show(best.id)}, the highest.",
              "logits", (T, c.vocab_size))  # fmt: skip
    out, row = walk.final.out.values, walk.best_row.values
    page.rows([("", "out", out), ("*", f"row {best.id} {show(best.id)}", row), ("=", "products", out * row)])
    page.say(f"The {c.n_embd} products sum to {num(best.logit)}. The mean of all logits is "
             f"{num(walk.logits.mean())}.")  # fmt: skip
    page.step(Section.HEAD, "Probabilities", "Softmax over all logits: p = exp(logit) / sum of exp(logit).")
    page.say(f"{show(best.id)}: exp({num(best.logit)} - log(sum)) = {num(best.probability)}, with log(sum) = "
             f"{num(walk.logsumexp)}", "dim")  # fmt: skip
    _candidates(page, walk.next, show)
    page.line()
    page.line("    most likely next: ", (show(best.id), "bold green"), f" ({percent(best.probability)})")
    if walk.following is not None:
        f = walk.following
        page.say(f"The text itself goes on with {show(f.id)}: {percent(f.probability)}, rank {f.rank}.")


def _candidates(page: Page, rows: Sequence[Candidate], show: Show) -> None:
    page.line("      ", (f"{fit('rank', 6)}{fit('token', 14)}{'id':>6}{'logit':>{CELL + 1}}  probability", "dim"))
    scale = (page.width - 56) / rows[0].probability
    for r in rows:
        bar = "█" * round(scale * r.probability)
        page.line("      ", f"{r.rank:<6}", (fit(show(r.id), 14), "bold"), f"{r.id:>6}{num(r.logit, CELL + 1)}",
                  f"  {percent(r.probability):>7}  ", (bar, "green"))  # fmt: skip


def _loss(page: Page, walk: Walk, target: Target, show: Show) -> None:
    token, p = show(target.id), f"{target.probability:.4g}"
    page.heading(f"If the next token is {token}")
    page.step(Section.TRAINING, "Loss",
              "How surprised the model is by the token that does follow: loss = -log p. Training takes the "
              "mean of this over every position of a text.")  # fmt: skip
    rank = f"rank {target.rank} of {walk.config.vocab_size}"
    page.say(f"p = {p} ({rank}), loss = -log({p}) = {num(target.loss)}")
    page.step(Section.TRAINING, "Gradient",
              f"d loss / d logit is p - 1 for {token} and p for every other token, 0 in sum. To lower "
              f"the loss is to go against it: raise the logit of {token}, lower each other one in "
              "proportion to its p.")  # fmt: skip
    page.line("      ", (f"{fit('token', 14)}{'id':>6}{'gradient':>{CELL + 2}}", "dim"))
    for i, g in ((target.id, float(target.gradient[target.id])), *target.pushed_down):
        wish = ("raise", "green") if i == target.id else ("lower", "red")
        page.line("      ", (fit(show(i), 14), "bold"), f"{i:>6}{g:>+{CELL + 2}.4f}  ", wish)
