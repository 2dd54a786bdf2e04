"""Batches are a pure function of (seed, step, row) and visit every window of an epoch exactly once."""

from pathlib import Path

import numpy as np
import pytest
import torch

import gpt2
from gpt2.data.batches import Mix, permute
from gpt2.data.prepare import prepare
from gpt2.data.shards import TokenShards
from gpt2.text.tokenizer import Tokenizer


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 1000, 4097])
def test_permute_is_a_permutation(n: int) -> None:
    sent = permute(np.arange(n), n, "key")
    assert sorted(sent.tolist()) == list(range(n))
    assert np.array_equal(permute(np.arange(n)[::-1], n, "key"), sent[::-1])  # index by index, no state


def test_permute_depends_on_the_key_and_mixes() -> None:
    a, b = permute(np.arange(1000), 1000, "a"), permute(np.arange(1000), 1000, "b")
    assert (a == b).mean() < 0.02
    assert abs(np.corrcoef(np.arange(1000), a)[0, 1]) < 0.1
    assert abs(np.corrcoef(a[:-1], a[1:])[0, 1]) < 0.1


def numbered(n: int) -> np.ndarray:
    """A token set in which every token tells its own place."""
    return np.arange(n, dtype=np.uint16)


def test_every_window_of_an_epoch_once_whatever_the_split() -> None:
    mix = Mix([numbered(1003)], [1.0], context=10, batch_size=7, seed=5)
    assert mix.windows == [100]
    steps = [mix.batch(step) for step in range(15)]
    starts = torch.cat([ids[:, 0] for ids, _ in steps])[:100]
    assert sorted((starts // 10).tolist()) == list(range(100))
    for step, (ids, targets) in enumerate(steps):
        assert torch.equal(ids[:, 1:], targets[:, :-1])
        assert torch.equal(targets, ids + 1)
        parts = [mix.batch(step, slice(first, first + 3))[0] for first in (0, 3, 6)]
        assert torch.equal(torch.cat(parts), ids)  # micro-batches and processes see rows of the same batch


@pytest.fixture(scope="module")
def stories(tmp_path_factory) -> TokenShards:
    """A real prepared set in several shards."""
    out = tmp_path_factory.mktemp("data") / "stories"
    prepare([Path(gpt2.__file__).parent / "assets" / "stories.txt"], out, Tokenizer.bytes(), shard_tokens=9_999)
    return TokenShards(out)


class Watched:
    """A token set that remembers what was asked of it."""

    def __init__(self, tokens: TokenShards) -> None:
        self.tokens, self.asked = tokens, []

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, part: slice) -> np.ndarray:
        self.asked.append((part.start, part.stop))
        return self.tokens[part]


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_every_window_of_a_prepared_set_once_for_every_world_size(stories, world_size: int, micro_batch: int) -> None:
    """Each process reads its own rows, in micro-batches; together they read each window of an epoch exactly once."""
    T, B = 256, 12
    processes = [Mix([Watched(stories)], [1.0], T, B, seed=3) for _ in range(world_size)]
    windows, own = (len(stories) - 1) // T, B // world_size
    whole = torch.from_numpy(stories[: windows * T + 1].astype(np.int64))
    expected = {tuple(whole[n * T : n * T + T + 1].tolist()): 0 for n in range(windows)}
    assert len(expected) == windows > 200
    seen = 0
    for step in range(windows // B):
        rows = []
        for rank, mix in enumerate(processes):
            for first in range(rank * own, (rank + 1) * own, micro_batch):
                ids, targets = mix.batch(step, slice(first, min(first + micro_batch, (rank + 1) * own)))
                rows += torch.cat([ids, targets[:, -1:]], dim=1).tolist()
        ids, targets = Mix([stories], [1.0], T, B, seed=3).batch(step)
        assert rows == torch.cat([ids, targets[:, -1:]], dim=1).tolist()
        for row in rows:
            expected[tuple(row)] += 1
            seen += 1
    assert seen == sum(expected.values()) > windows - B
    assert set(expected.values()) <= {0, 1}
    asked = [part for mix in processes for part in mix.sets[0].asked]
    assert len(asked) == len(set(asked)) == seen  # nobody reads another's rows


def test_documents_begin_after_the_separator_within_a_window(stories) -> None:
    """What a mask that keeps documents apart is built from: the ids themselves say where documents begin."""
    eot, T = stories.manifest["eot_id"], 4096
    begins = set(stories.doc_starts.tolist())
    found = {0}
    for start in range(0, len(stories) - T, T):
        found |= {start + place + 1 for place in np.flatnonzero(stories[start : start + T] == eot).tolist()}
    assert len(found) > 25
    assert found == {place for place in begins if place < len(stories) // T * T}


def test_epochs_differ_in_order_and_a_seed_decides() -> None:
    mix = Mix([numbered(1001)], [1.0], context=10, batch_size=100, seed=5)
    first, second = mix.batch(0)[0][:, 0], mix.batch(1)[0][:, 0]
    assert sorted(first.tolist()) == sorted(second.tolist())
    assert not torch.equal(first, second)
    assert torch.equal(Mix([numbered(1001)], [1.0], 10, 100, 5).batch(1)[0][:, 0], second)
    assert not torch.equal(Mix([numbered(1001)], [1.0], 10, 100, 6).batch(1)[0][:, 0], second)


def test_a_mix_visits_each_set_as_often_as_it_says() -> None:
    """Two passes over a set visited 2.5 times and one visited 0.4 times: 5 whole epochs, and 0.8 of one."""
    mix = Mix([numbered(101), numbered(501)], [2.5, 0.4], context=10, batch_size=9, seed=1)
    assert mix.visits == [25, 20]
    assert mix.steps_per_pass == 5
    which, window = mix.locate(np.arange(90))
    assert np.bincount(window[which == 0]).tolist() == [5] * 10
    assert np.bincount(window[which == 1], minlength=50).max() == 1
    assert (which == 1).sum() == 40


def test_sets_that_cannot_be_used_are_named() -> None:
    with pytest.raises(ValueError, match="data set 1 has 10 tokens: a window of 10"):
        Mix([numbered(50), numbered(10)], [1, 1], context=10, batch_size=2, seed=0)
    with pytest.raises(ValueError, match="visit no window"):
        Mix([numbered(50)], [0.0], context=10, batch_size=2, seed=0)
