"""The key/value cache: cached logits are full ones, at every length, in unequal rows, to the context's end."""

import pytest
import torch

from gpt2.cache import KVCache
from gpt2.config import GPT2Config
from gpt2.model import GPT2

CONTEXT = 24
CONFIG = GPT2Config(vocab_size=61, n_positions=CONTEXT, n_embd=32, n_layer=3, n_head=4)


@pytest.fixture(scope="module")
def model():
    """Random weights, none zero, large enough for attention to be far from uniform."""
    model = GPT2(CONFIG).double().eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def tokens(rows, columns, seed=1):
    return torch.randint(CONFIG.vocab_size, (rows, columns), generator=torch.Generator().manual_seed(seed))


def new_cache(rows, capacity=CONTEXT):
    return KVCache(CONFIG, rows, capacity, dtype=torch.float64)


def full(model, ids):
    """Logits of one text, computed at once."""
    return model(ids[None])[0]


def assert_same(cached, reference):
    """Equal to 1e-10 of the logits' standard deviation."""
    assert (cached - reference).abs().max() <= 1e-10 * reference.std()


@torch.no_grad()
@pytest.mark.parametrize("prompt", range(1, CONTEXT))
def test_prefill_then_one_token_at_a_time(model, prompt):
    """At every prompt length: a cache that fails on its second step only would be seen."""
    ids = tokens(2, CONTEXT)
    reference = model(ids)
    cache = new_cache(2)
    parts = [model(ids[:, :prompt], cache=cache)]
    parts += [model(ids[:, t : t + 1], cache=cache) for t in range(prompt, CONTEXT)]
    assert cache.lengths == [CONTEXT, CONTEXT]
    assert_same(torch.cat(parts, dim=1), reference)


@torch.no_grad()
@pytest.mark.parametrize("sizes", [(5, 1, 7, 2, 9), (1,) * CONTEXT, (CONTEXT - 1, 1), (3, 21)])
def test_several_tokens_at_a_time(model, sizes):
    ids = tokens(2, sum(sizes))
    cache = new_cache(2)
    parts = [model(part, cache=cache) for part in ids.split(sizes, dim=1)]
    assert_same(torch.cat(parts, dim=1), model(ids))


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(3, 7, 1, 7), (1, 20), (19, 2, 11), (CONTEXT - 1, 1)])
def test_unequal_prompts_padded_on_the_right(model, lengths):
    """Each row gives what it gives alone, and its new keys lie over the padding, up to the context's end."""
    ids = tokens(len(lengths), CONTEXT)
    reference = [full(model, row) for row in ids]
    padded = ids[:, : max(lengths)].clone()
    for row, n in zip(padded, lengths):
        row[n:] = 0
    cache = new_cache(len(lengths))
    logits = model(padded, cache=cache, lengths=lengths)
    assert cache.lengths == list(lengths)
    for b, n in enumerate(lengths):
        assert_same(logits[b, :n], reference[b][:n])
    for step in range(CONTEXT - max(lengths)):
        new = torch.stack([ids[b, n + step] for b, n in enumerate(lengths)])[:, None]
        logits = model(new, cache=cache)
        for b, n in enumerate(lengths):
            assert_same(logits[b, 0], reference[b][n + step])
    assert max(cache.lengths) == CONTEXT


@torch.no_grad()
def test_unequal_rows_with_unequal_parts(model):
    """Rows of unequal length take parts of unequal length: padding in the middle of the work."""
    ids = tokens(3, CONTEXT)
    cache = new_cache(3)
    done = [0, 0, 0]
    for counts in ((4, 1, 6), (3, 5, 1), (2, 2, 6), (1, 4, 2)):
        part = torch.zeros(3, max(counts), dtype=torch.long)
        for b, count in enumerate(counts):
            part[b, :count] = ids[b, done[b] : done[b] + count]
        logits = model(part, cache=cache, lengths=counts)
        for b, count in enumerate(counts):
            assert_same(logits[b, :count], full(model, ids[b])[done[b] : done[b] + count])
            done[b] += count
    assert cache.lengths == done == [10, 12, 15]


@torch.no_grad()
def test_float32_differs_by_rounding_only():
    model = GPT2(CONFIG, seed=3).eval()
    ids = tokens(2, CONTEXT)
    cache = KVCache(CONFIG, 2, CONTEXT)
    parts = [
        model(ids[:, :9], cache=cache),
        *(model(ids[:, t : t + 1], cache=cache) for t in range(9, CONTEXT)),
    ]
    reference = model(ids)
    assert (torch.cat(parts, dim=1) - reference).abs().max() <= 1e-5 * reference.std()


@torch.no_grad()
def test_selected_rows_go_on_as_before(model):
    ids, lengths = tokens(3, CONTEXT), (2, 6, 4)
    cache = new_cache(3)
    model(ids[:, :6], cache=cache, lengths=lengths)
    chosen = cache.select([2, 0, 2])
    assert chosen.lengths == [4, 2, 4]
    logits = model(torch.stack([ids[2, 4], ids[0, 2], ids[2, 5]])[:, None], cache=chosen)
    assert_same(logits[0, 0], full(model, ids[2])[4])
    assert_same(logits[1, 0], full(model, ids[0])[2])
    other = torch.cat([ids[2, :4], ids[2, 5:6]])  # the same row a second time, with another token
    assert_same(logits[2, 0], full(model, other)[4])
    assert cache.lengths == [2, 6, 4]
    assert_same(model(ids[:1, 2:3].expand(3, 1), cache=cache)[0, 0], full(model, ids[0])[2])


@torch.no_grad()
def test_truncated_rows_forget(model):
    ids = tokens(1, CONTEXT)[0]
    cache = new_cache(1)
    model(ids[None, :10], cache=cache)
    cache.truncate(4)
    other = torch.cat([ids[:4], ids[15:20]])
    assert_same(model(other[None, 4:], cache=cache)[0], full(model, other)[4:])


def test_gradients_through_the_cache(model):
    """Keys and values of an earlier pass carry gradients as those of one pass do."""
    ids = tokens(2, 8)
    names = [name for name, _ in model.named_parameters()]
    cache = new_cache(2)
    parts = [model(ids[:, a:b], cache=cache) for a, b in ((0, 5), (5, 6), (6, 8))]
    cached = torch.autograd.grad(torch.cat(parts, dim=1).square().mean(), list(model.parameters()))
    reference = torch.autograd.grad(model(ids).square().mean(), list(model.parameters()))
    for name, got, want in zip(names, cached, reference):
        assert (got - want).norm() <= 1e-9 * want.norm(), name


def test_a_full_cache_is_refused(model):
    cache = new_cache(1, capacity=6)
    model(tokens(1, 6), cache=cache)
    with pytest.raises(ValueError, match="7 positions do not fit into a cache of 6"):
        model(tokens(1, 1), cache=cache)


def test_past_the_context_is_refused(model):
    """Positions are baked into keys and values: a cache cannot roll."""
    cache = new_cache(1, capacity=2 * CONTEXT)
    model(tokens(1, CONTEXT), cache=cache)
    with pytest.raises(ValueError, match=f"this model takes 1 to {CONTEXT}"):
        model(tokens(1, 1), cache=cache)
