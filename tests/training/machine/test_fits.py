"""A model that no memory holds is refused by its size, before anything of it is built."""

import pytest

from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.training.machine import fits


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"n_layer": 10**9, "n_embd": 16}, "lower model.n_layer or model.n_embd"),
        ({"n_layer": 10**7, "n_embd": 2}, "GiB of memory, and this machine has 8: lower model.n_layer"),
        ({"n_layer": 1, "n_embd": 2 * 10**9}, "lower model.n_embd or model.n_layer"),
        ({"n_layer": 1, "n_embd": 16, "n_inner": 10**13}, "lower model.n_inner or model.n_embd"),
        ({"n_layer": 1, "n_embd": 2 * 10**400}, r"\.\.\..* parameters, .* lower model.n_embd"),
    ],
)
def test_what_no_memory_holds_is_refused(monkeypatch, sizes, said):
    monkeypatch.setattr(fits, "machine_memory", lambda: 8 * 2**30)
    with pytest.raises(UsageError, match=said):
        fits.check_fits(GPT2Config(vocab_size=256, n_head=2, **sizes))


def test_what_fits_passes(monkeypatch):
    monkeypatch.setattr(fits, "machine_memory", lambda: 8 * 2**30)
    fits.check_fits(GPT2Config())
    monkeypatch.setattr(fits, "machine_memory", lambda: None)
    fits.check_fits(GPT2Config(n_layer=10**9))
