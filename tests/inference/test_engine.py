"""The engine: its texts are those of `generate`; who joins, leaves or fails does nothing to the others."""

import random
import threading
import time
import warnings
from collections import defaultdict
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch

from gpt2.base.errors import UsageError
from gpt2.explain.run.edits import zero
from gpt2.inference.engine import Closed, Engine, Full, Limits, Request
from gpt2.inference.engine.passes import Passes
from gpt2.inference.generate import Piece, generate
from gpt2.inference.sampling import Sampling
from tests.generating import TOKENIZER, make, prompts_of

CONTEXT = 40
SHORT = Sampling(max_tokens=5, temperature=0)
LONG = Sampling(max_tokens=10**6, temperature=1, ignore_eos=True)


@contextmanager
def engine(model=None, **limits):
    """An engine that runs, over a tiny model in float64."""
    made = Engine(model or make(CONTEXT, layers=1), TOKENIZER, Limits(**limits))
    made.start()
    try:
        yield made
    finally:
        made.stop()


def completions(ticket):
    """What `generate` returns for one prompt."""
    done = {piece.sample: piece.completion for piece in ticket if piece.completion is not None}
    return [done[sample] for sample in sorted(done)]


def alone(ids, sampling, **options):
    """The same without an engine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of texts that slide
        return generate(make(CONTEXT, layers=1), TOKENIZER, [ids], sampling, **options)[0]


def close(found, expected):
    """Whether completions are equal, and their log probabilities but for rounding."""
    for one, other in zip(found, expected, strict=True):
        assert (one.text, one.ids, one.finish_reason) == (other.text, other.ids, other.finish_reason)
        for mine, theirs in zip(one.logprobs or (), other.logprobs or (), strict=True):
            assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-5)
            assert [i for i, _ in mine.top] == [i for i, _ in theirs.top]


def test_200_requests_from_four_threads_are_what_generate_gives_alone():
    """Of all lengths, past the context too, with settings of their own; in float64 all are equal."""
    source = random.Random(3)
    asked = []
    for number in range(200):
        ids = prompts_of([source.choice([1, 2, 5, 20, 30, CONTEXT])], seed=number // 3)[0]
        options = {
            "max_tokens": source.choice([1, 2, 3, 7]), "temperature": source.choice([0, 0.7, 1.0]),
            "top_p": source.choice([1.0, 0.9]), "seed": number, "n": source.choice([1, 1, 1, 3]),
            "logprobs": source.choice([None, None, 0, 2]), "frequency_penalty": source.choice([0, 0.5]),
            "slide": source.random() < 0.8, "stop": source.choice([(), ("a", "b")]),
        }  # fmt: skip
        asked.append((ids, Sampling(**options)))
    found = {}
    with engine(rows=12, prefill_chunk=16) as running:

        def client(first):
            tickets = {n: running.submit(Request(*asked[n])) for n in range(first, len(asked), 4)}
            found.update({n: completions(ticket) for n, ticket in tickets.items()})

        threads = [threading.Thread(target=client, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert running.state["prefix_hits"] > 50
    for number, (ids, sampling) in enumerate(asked):
        close(found[number], alone(ids, sampling))


def test_the_queue_is_full_and_whoever_leaves_makes_room():
    with engine(rows=2, waiting=1) as running:
        first = running.submit(Request([1], LONG))
        second = running.submit(Request([2], LONG))
        assert [next(iter(ticket)).token for ticket in (first, second)]
        third = running.submit(Request([3], SHORT))
        with pytest.raises(Full, match="1 requests wait already: send this one again later"):
            running.submit(Request([4], SHORT))
        assert running.state["rows"] == 2
        first.cancel()
        close(completions(third), alone([3], SHORT))
        assert all(isinstance(piece, Piece) for piece in first)
        waits = running.submit(Request([5], SHORT))
        waits.cancel()
        assert waits.cancelled
        second.cancel()
        list(second)
        list(waits)
        close(completions(running.submit(Request([4], SHORT))), alone([4], SHORT))
        until = time.monotonic() + 60  # the last piece is out a moment before its memory is free
        while running.state["kv_bytes"] and time.monotonic() < until:
            time.sleep(0.01)
        assert (running.state["rows"], running.state["waiting"], running.state["kv_bytes"]) == (0, 0, 0)


def test_keys_and_values_never_take_more_than_the_limit():
    """A position takes 2 x 32 x 8 bytes here; 3 full windows have room, 20 requests want it."""
    limit, most = 3 * CONTEXT * 512, 0
    with engine(rows=20, kv_bytes=limit) as running:
        tickets = [running.submit(Request(ids, LONG)) for ids in prompts_of([20] * 20)]
        for ticket in tickets:
            assert next(iter(ticket)).token >= 0
            most = max(most, running.state["kv_bytes"])
            ticket.cancel()
        assert 0 < most <= limit
        for ticket in tickets:
            list(ticket)
        assert running.state["kv_bytes"] <= limit
    with engine(kv_bytes=20 * 512) as running:
        with pytest.raises(
            UsageError, match=r"need 12,288 bytes .* the limit is 10,240: give a shorter prompt, or fewer"
        ):
            running.submit(Request([1] * 20, SHORT))
        close(completions(running.submit(Request([1] * 16, SHORT))), alone([1] * 16, SHORT))


def test_what_is_known_already_gives_the_same_numbers():
    (ids,) = prompts_of([30])
    scored = Sampling(max_tokens=4, temperature=0, logprobs=3, ignore_eos=True)
    with engine(rows=4) as running:
        first = completions(running.submit(Request(ids, scored)))
        again = completions(running.submit(Request(ids, scored)))
        longer = completions(running.submit(Request([*ids, *first[0].ids[:3], 9], scored)))
        other = completions(running.submit(Request([*ids[:15], *ids[16:]], scored)))
        state = running.state
    close(again, first)
    close(again, alone(ids, scored))
    close(longer, alone([*ids, *first[0].ids[:3], 9], scored))
    close(other, alone([*ids[:15], *ids[16:]], scored))
    assert (state["prefix_hits"], state["prefix_tokens"]) == (2, 29 + 33)


def test_a_long_prompt_stops_the_others_for_no_longer_than_a_chunk(monkeypatch):
    sizes, read = [], Passes.read

    def noted(self, ids, cache):
        sizes.append((len(ids), max(map(len, ids))))
        return read(self, ids, cache)

    monkeypatch.setattr(Passes, "read", noted)
    with engine(rows=4, prefill_chunk=8) as running:
        running_text = running.submit(Request([1], LONG))
        assert next(iter(running_text)).token >= 0
        tickets = [running.submit(Request(ids, SHORT)) for ids in prompts_of([35, 3, 3, 30])]
        assert all(completions(ticket) for ticket in tickets)
    chunks = [index for index, (rows, T) in enumerate(sizes) if T > 1]
    assert all(sizes[index][0] * sizes[index][1] <= 8 for index in chunks)
    assert all(later - earlier > 1 for earlier, later in pairwise(chunks[1:]))


def test_edits_reach_their_own_request_alone():
    """Beside the same prompt without an edit; equal keys share what is known, no key shares nothing."""
    (ids,) = prompts_of([24], seed=4)
    how = Sampling(max_tokens=6, temperature=0, logprobs=1, n=2)

    def scaled(x, at):
        assert not at.rows.any()
        return x * (1 + at.positions)[..., None]

    edits = [None, {"0.head.1": zero}, {"0.mlp": scaled}, {"logits": lambda x: -x}]
    with engine(rows=32) as running:
        keyed = [Request(ids, how, edit=edit, edit_key=f"{n}") for n, edit in enumerate(edits)]
        tickets = [running.submit(request) for request in (*keyed, *keyed)]
        tickets += [running.submit(Request(ids, how, edit=edit)) for edit in edits]
        for number, ticket in enumerate(tickets):
            close(completions(ticket), alone(ids, how, edit=edits[number % 4]))
        hits = running.state["prefix_hits"]
        for edit in edits[1:]:
            close(completions(running.submit(Request(ids, SHORT, edit=edit))), alone(ids, SHORT, edit=edit))
        assert running.state["prefix_hits"] == hits
        close(completions(running.submit(keyed[1])), alone(ids, how, edit=edits[1]))
        assert running.state["prefix_hits"] == hits + 2


def test_an_error_ends_its_own_request_alone():
    def fails_late(x, at):
        if int(at.positions.max()) > 6:
            raise ZeroDivisionError("an edit")
        return x

    def breaks_late(x, at):
        return x * torch.where(at.positions > 6, torch.nan, 1.0)[..., None]

    with engine(rows=16) as running:
        good = [running.submit(Request([n, n], SHORT)) for n in range(3)]
        short = running.submit(Request([7, 7], SHORT, edit={"0.mlp": fails_late}, edit_key="late"))
        bad = running.submit(Request([7] * 4, SHORT, edit={"0.mlp": fails_late}, edit_key="late"))
        broken = [running.submit(Request([7] * n, SHORT, edit={"logits": breaks_late}, edit_key="nan")) for n in (1, 5)]
        with pytest.raises(ZeroDivisionError):
            list(bad)
        with pytest.raises(ValueError, match="the model's logits are not finite"):
            list(broken[1])
        close(completions(broken[0]), alone([7], SHORT))
        close(completions(short), alone([7, 7], SHORT))
        for n, ticket in enumerate(good):
            close(completions(ticket), alone([n, n], SHORT))
        assert running.state["rows"] == 0


@pytest.mark.parametrize("sampling", [None, SHORT, Sampling(max_tokens=3, n=2)])
def test_the_log_probabilities_of_a_prompt(sampling):
    """Whole before the first piece, with a prompt that is known already, in chunks."""
    model, (ids,) = make(CONTEXT, layers=1), prompts_of([CONTEXT])
    with torch.no_grad():
        expected = model(torch.tensor([ids])).float().log_softmax(-1)[0]
    with engine(prefill_chunk=16) as running:
        list(running.submit(Request(ids, SHORT)))
        ticket = running.submit(Request(ids, sampling, prompt_logprobs=2))
        for piece in ticket:
            assert ticket.prompt_logprobs is not None
            assert piece.token >= 0
        assert running.state["tokens"] == 5 + (0 if sampling is None else sampling.n * sampling.max_tokens)
    first, *others = ticket.prompt_logprobs
    assert first is None
    assert [one.id for one in others] == ids[1:]
    for one, row in zip(others, expected):
        assert one.logprob == pytest.approx(row[one.id].item(), abs=1e-5)
        assert [i for i, _ in one.top] == row.topk(2).indices.tolist()


def test_events_go_to_a_callback_those_of_before_too():
    events, done = [], threading.Event()

    def hear(event):
        events.append(event)
        if event is None:
            done.set()

    with engine() as running:
        ticket = running.submit(Request([1, 2], SHORT))
        next(iter(ticket))
        ticket.subscribe(hear)
        assert done.wait(60)
        left = running.submit(Request([1, 2], LONG))
        left.subscribe(lambda event: 1 / 0)
        close(completions(running.submit(Request([3], SHORT))), alone([3], SHORT))
        assert left.cancelled
    assert [event.token for event in events[:-1]] == alone([1, 2], SHORT)[0].ids[1:]


def test_who_still_waits_when_the_engine_stops_is_told():
    with engine(rows=1) as running:
        tickets = [running.submit(Request([n], LONG)) for n in range(3)]
        next(iter(tickets[0]))
        running.stop()
        for ticket in tickets:
            with pytest.raises(Closed, match="the engine has stopped"):
                list(ticket)
        with pytest.raises(Closed):
            running.submit(Request([1], SHORT))


@pytest.mark.parametrize(
    "request_, problem",
    [
        (lambda: Request([], SHORT), "the prompt is empty"),
        (lambda: Request([300], SHORT), "there is no token 300"),
        (lambda: Request([1] * 99, SHORT), "the prompt has 99 tokens and this model's context is 40"),
        (lambda: Request([1], Sampling(max_length=1)), "max_length is 1: the longest prompt has 1 tokens"),
        (lambda: Request([1], Sampling(logit_bias={999: 1})), "there is no token 999"),
        (lambda: Request([1], SHORT, edit={"0.mlp": 3}), "the edit of 0.mlp is a int"),
        (lambda: Request([1], SHORT, edit={"9.mlp": zero}), "there is no layer 9"),
        (lambda: Request([1], SHORT, prompt_logprobs=-1), "prompt_logprobs is -1: it must be"),
        (lambda: Request([1], None), "the request asks for nothing"),
        (lambda: Limits(rows=0), "rows is 0: it must be a whole number of at least 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_at_once(request_, problem):
    with pytest.raises(ValueError, match=problem):
        Engine(make(CONTEXT, layers=1), TOKENIZER).submit(request_())


def test_a_prompt_that_is_cut_is_read_from_its_last_tokens():
    how = Sampling(max_tokens=8, temperature=0, truncate="left")
    (ids,) = prompts_of([99])
    with engine() as running, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ticket = running.submit(Request(ids, how))
        close(completions(ticket), alone(ids, how))
        assert ticket.ids == ids[-33:]


def test_the_counts_of_an_engine_add_up():
    tokens = defaultdict(int)
    with engine(rows=3) as running:
        tickets = [running.submit(Request([n], Sampling(max_tokens=4, n=2, ignore_eos=True))) for n in range(4)]
        for ticket in tickets:
            for piece in ticket:
                tokens[piece.sample] += 1
        assert running.state["tokens"] == sum(tokens.values()) == 4 * 4 * 2
