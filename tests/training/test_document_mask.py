"""`data.document_mask`: packed documents are scored as each of them alone."""

import pytest
import torch

from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.training.document_mask import document_positions

EOT = 19
ROWS = torch.tensor(
    [
        [3, 4, 5, EOT, 6, 7, EOT, EOT, 8, 9],  # begins within a document, holds an empty one
        [EOT, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    ]
)


@pytest.fixture
def model() -> GPT2:
    return GPT2(GPT2Config(vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=2)).double().eval()


def test_positions_and_mask_by_hand() -> None:
    packed = document_positions(ROWS[:1, 2:8], EOT)  # 5 | EOT 6 7 | EOT | EOT
    assert packed["positions"].tolist() == [[0, 0, 1, 2, 0, 0]]
    assert packed["mask"][0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


def test_packed_documents_have_the_logits_of_each_alone(model: GPT2) -> None:
    packed = model(ROWS, **document_positions(ROWS, EOT))
    documents = [(0, 0, 3), (0, 3, 6), (0, 6, 7), (0, 7, 10), (1, 0, 10)]
    for row, first, last in documents:
        alone = model(ROWS[row : row + 1, first:last])[0]
        torch.testing.assert_close(packed[row, first:last], alone, atol=1e-12, rtol=0)
    plain = model(ROWS)
    assert (packed[0, 3:] - plain[0, 3:]).abs().amax(dim=-1).min() > 1e-4  # without it neighbours are seen
    torch.testing.assert_close(packed[1], plain[1], atol=1e-12, rtol=0)


def test_nothing_is_kept_between_passes(model: GPT2) -> None:
    packed = document_positions(ROWS, EOT)
    assert torch.equal(model(ROWS, **packed), model(ROWS, **packed))


def test_the_compiler_takes_it_in_one_piece(model: GPT2) -> None:
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for rows in (ROWS, ROWS.flip(1)):
        expected = model(rows, rows, reduction="none", **document_positions(rows, EOT))
        assert torch.equal(compiled(rows, rows, reduction="none", **document_positions(rows, EOT)), expected)
