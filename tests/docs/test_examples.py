"""What fine-tuning learns from: windows of a text, the order of examples, the part that is held out."""

import numpy as np
import torch

from gpt2.data.examples import Example, Examples, Shuffled, draw, windows


def test_windows_predict_every_token_once() -> None:
    for n, context in ((100, 8), (97, 32), (9, 8), (5, 8)):
        examples = windows(np.arange(n, dtype=np.int32), context)
        ids, targets = examples.rows(0, len(examples))
        assert sorted(targets[targets >= 0].tolist()) == list(range(1, n))
        assert torch.equal(targets[targets >= 0], ids[targets >= 0] + 1)
        assert examples.longest <= context


def test_every_example_comes_once_a_pass_and_rows_are_those_of_the_batch() -> None:
    stream = Shuffled(Examples(Example(np.array([n, n], dtype=np.int32)) for n in range(21)), batch_size=6, seed=3)
    seen = torch.cat([stream.batch(step)[0][:, 0] for step in range(7)]).tolist()  # two passes
    assert sorted(seen[:21]) == sorted(seen[21:]) == list(range(21))
    assert seen[:21] != seen[21:]
    whole, part = stream.batch(4), stream.batch(4, slice(2, 5))
    assert torch.equal(whole[0][2:5], part[0])
    assert torch.equal(whole[1][2:5], part[1])
    other = Shuffled(stream.examples, 6, seed=4)
    assert other.batch(0)[0].tolist() != stream.batch(0)[0].tolist()


def test_draw_keeps_to_the_limit_and_never_draws_nothing() -> None:
    sizes = [5, 900, 7, 6, 5, 8, 6, 7]
    drawn = draw(sizes, 20, seed=0)
    assert 1 not in drawn
    assert 10 < sum(sizes[n] for n in drawn) <= 20
    assert draw(sizes, 20, seed=0) == drawn
    assert draw([40, 30, 50], 20, seed=0) == {1}
