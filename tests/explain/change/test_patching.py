"""Patching: every cell is the pass that a hook in transformers' model gives; refusals; the gradient estimate."""

import pytest
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel
from twins import SMALL, twins

from gpt2.base.errors import UsageError
from gpt2.explain.change.gradient_patching import gradient_grids
from gpt2.explain.change.patching import GRIDS, Patching
from gpt2.explain.run.sweep import Base
from gpt2.model import GPT2
from gpt2.probe import Probe

T, TARGET, FOIL = 9, 5, 11
L, H, D = SMALL.n_layer, SMALL.n_head, SMALL.head_dim


@pytest.fixture(scope="module")
def prompts() -> tuple[list[int], list[int]]:
    clean = torch.randint(97, (T,), generator=torch.Generator().manual_seed(3)).tolist()
    corrupt = [*clean[:3], 40, clean[4], 41, *clean[6:]]  # differs at 3 and 5
    return clean, corrupt


@pytest.fixture(scope="module")
def models(prompts: tuple[list[int], list[int]]) -> tuple[GPT2, GPT2LMHeadModel]:
    return twins(SMALL, 4, torch.tensor([prompts[0]]))


class Hooked:
    """transformers' model with forward hooks: the reference for what a patch does."""

    def __init__(self, hf: GPT2LMHeadModel, source: list[int], receiver: list[int]) -> None:
        self.hf, self.receiver = hf, receiver
        self.kept: dict[tuple[str, int], Tensor] = {}
        handles = [
            self.at(g, l, lambda x, g=g, l=l: self.kept.update({(g, l): x.clone()})) for g in GRIDS for l in range(L)
        ]
        self.m_source = self.m(source)
        for handle in handles:
            handle.remove()
        self.m_receiver = self.m(receiver)

    def at(self, grid: str, layer: int, change):
        block = self.hf.transformer.h[layer]
        if grid == "resid":
            return block.register_forward_pre_hook(lambda m, a: None if (y := change(a[0])) is None else (y, *a[1:]))
        if grid == "head":
            return block.attn.c_proj.register_forward_pre_hook(
                lambda m, a: None if (y := change(a[0])) is None else (y,)
            )
        if grid == "mlp":
            return block.mlp.register_forward_hook(lambda m, a, out: change(out))
        return block.attn.register_forward_hook(
            lambda m, a, out: None if (y := change(out[0])) is None else (y, *out[1:])
        )

    def m(self, ids: list[int]) -> float:
        with torch.no_grad():
            logits = self.hf(torch.tensor([ids])).logits[0, -1]
        return (logits[TARGET] - logits[FOIL]).item()

    def score(self, grid: str, layer: int, column: int) -> float:
        def patch(x: Tensor) -> Tensor:
            x = x.clone()
            where = (slice(None), slice(None), slice(column * D, column * D + D)) if grid == "head" else (0, column)
            x[where] = self.kept[grid, layer][where]
            return x

        handle = self.at(grid, layer, patch)
        moved = self.m(self.receiver) - self.m_receiver
        handle.remove()
        return moved / (self.m_source - self.m_receiver)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_every_cell_is_one_hooked_pass(models, prompts, direction) -> None:
    ours, hf = models
    clean, corrupt = prompts
    patching = Patching(ours, clean, corrupt, TARGET, FOIL, direction)
    hooked = Hooked(hf, *((clean, corrupt) if direction == "denoise" else (corrupt, clean)))
    assert patching.m_clean - patching.m_corrupt == pytest.approx(
        (hooked.m_source - hooked.m_receiver) * (1 if direction == "denoise" else -1), abs=1e-10
    )
    for grid in GRIDS if direction == "denoise" else ("resid", "head"):
        scores = patching.grid(grid).scores
        assert scores.shape == (L, H if grid == "head" else T)
        for l, row in enumerate(scores.tolist()):
            for k, score in enumerate(row):
                assert score == pytest.approx(hooked.score(grid, l, k), abs=1e-10), (grid, l, k)


def test_cells_that_cannot_differ_are_zero_and_come_first(models, prompts) -> None:
    cells = list(Patching(models[0], *prompts, TARGET, FOIL).cells("resid"))
    free = [(c.layer, c.column) for c in cells[: 3 * L + 4]]
    assert sorted(free) == sorted({*((l, p) for l in range(L) for p in range(3)), (0, 4), (0, 6), (0, 7), (0, 8)})
    assert {c.score for c in cells[: len(free)]} == {0.0}
    assert len({(c.layer, c.column) for c in cells}) == L * T


def test_patching_everything_is_the_source_run(models, prompts) -> None:
    scores = Patching(models[0], *prompts, TARGET, FOIL).spans([(0, 0, T), (1, 3, T), (2, 3, T), (0, 3, 6)])
    torch.testing.assert_close(scores, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_gradient_estimate_is_the_slope_towards_the_source(models, prompts, direction) -> None:
    """Each cell against a finite difference: a hundred-thousandth of the way, then scaled up."""
    model = models[0]
    patching = Patching(model, *prompts, TARGET, FOIL, direction)
    estimates = gradient_grids(patching)
    receiver = torch.tensor([prompts[1] if direction == "denoise" else prompts[0]])
    for grid, l, k in [("resid", 1, 3), ("resid", 2, 8), ("attn", 0, 4), ("mlp", 2, 8), ("head", 1, 2), ("head", 0, 0)]:
        address = f"{l}.head.{k}" if grid == "head" else f"{l}.{GRIDS[grid]}@{k}"
        step = patching.source.probe[address] - patching.receiver.probe[address]
        m = []
        for amount in (1e-5, -1e-5):
            with torch.no_grad():
                logits = model(receiver, probe=Probe(edit={address: lambda x, a=amount, s=step: x + a * s}))[0, -1]
            m.append((logits[TARGET] - logits[FOIL]).item())
        slope = (m[0] - m[1]) / 2e-5 / patching.scale
        assert estimates[grid].scores[l, k].item() == pytest.approx(slope, rel=1e-6, abs=1e-8), (grid, l, k)
    assert all(p.grad is None for p in model.parameters())


def test_the_gradient_estimate_agrees_with_the_exact_grid_for_neighbouring_prompts(models, prompts) -> None:
    """Where the two runs lie close together the estimate is good, and the correlation says so."""
    model = GPT2(SMALL).double().eval()
    model.load_state_dict(models[0].state_dict())
    with torch.no_grad():
        wte, (clean, corrupt) = model.transformer.wte.weight, prompts
        model.lm_head.weight = torch.nn.Parameter(wte.detach().clone() * 300)  # untied, so that m still differs
        for p in (3, 5):
            wte[corrupt[p]] = wte[clean[p]] + 0.01 * (wte[corrupt[p]] - wte[clean[p]])
    patching = Patching(model, *prompts, TARGET, FOIL)
    for grid, estimate in gradient_grids(patching).items():
        exact = patching.grid(grid)
        assert exact.correlation(estimate) > 0.999, grid
        assert estimate.method == "gradient"
        assert "by gradients" in estimate.title


def test_an_abandoned_sweep_stops(models, prompts, monkeypatch) -> None:
    blocks = 0
    block = type(models[0].transformer.h[0])
    forward = block.forward

    def counted(self, *arguments):
        nonlocal blocks
        blocks += 1
        return forward(self, *arguments)

    monkeypatch.setattr(block, "forward", counted)
    patching = Patching(models[0], *prompts, TARGET, FOIL)
    monkeypatch.setattr("gpt2.explain.run.sweep.BATCH_TOKENS", 9)  # a row a batch
    blocks = 0
    cells = patching.cells("head")
    next(cells)
    cells.close()
    assert blocks == L


def test_defaults_are_the_two_predictions(models, prompts) -> None:
    prompts = (prompts[0], [*prompts[0][:-1], 50])
    patching = Patching(models[0], *prompts)
    with torch.no_grad():
        after_clean, after_corrupt = (models[1](torch.tensor([ids])).logits[0, -1] for ids in prompts)
    order = after_corrupt.argsort(descending=True).tolist()
    order.remove(after_clean.argmax().item())
    assert (patching.target, patching.foil) == (after_clean.argmax().item(), order[0])


@pytest.mark.parametrize(
    ("clean", "corrupt", "target", "foil", "message"),
    [
        ([1, 2, 3], [1, 2], 4, 5, "3 tokens and the corrupt one 2"),
        ([1, 2, 3], [1, 2, 3], 4, 5, "the same"),
        ([1, 2, 3], [1, 2, 4], 4, 4, "same token"),
        ([1, 2, 3], [1, 2, 4], 4, 97, "no token 97"),
        ([[1, 2], [3, 4]], [[1, 2], [3, 5]], 4, 5, "pairs file"),
    ],
)
def test_refusals(models, clean, corrupt, target, foil, message) -> None:
    with pytest.raises(UsageError, match=message):
        Patching(models[0], clean, corrupt, target, foil)


def test_too_small_a_difference_is_refused(models, prompts) -> None:
    flat = GPT2(SMALL).double().eval()  # at initialisation all logits are nearly equal
    with pytest.raises(UsageError, match=r"less than 0\.5 apart"):
        Patching(flat, *prompts, TARGET, FOIL)
    with pytest.raises(UsageError, match="no grid 'residual'"):
        Patching(models[0], *prompts, TARGET, FOIL).grid("residual")
    with pytest.raises(UsageError, match="no direction"):
        Patching(models[0], *prompts, TARGET, FOIL, "reverse")


def test_any_cells_at_once_equal_one_pass_each(models) -> None:
    """Edits of every kind of address in one sweep: rows join at their blocks, positions start at the earliest edit."""
    model, ids = models[0], torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    addresses = (
        "0.head.1", "2.mlp@4", "1.resid_pre@3", "final.scale", "embed.pos@2", "2.attn.pattern", "1.block",
        "0.attn.k@6", "2.ln_2.scale@5:7", "1.mlp@7", "1.mlp.post#3", "1.attn.v@2:5", "0.head.2.out",
    )  # fmt: skip
    cells = [{a: lambda x: 0.3 * x + 1} for a in addresses]
    cells.append({"0.mlp@5": lambda x: -x, "2.head.0@7": lambda x: 2 * x})
    seen = []
    for batch in Base(model, ids).sweep(cells):
        for cell, hidden in zip(batch.cells, batch.hidden):
            with torch.no_grad():
                expected = model.hidden(ids, probe=Probe(edit=cells[cell]))[0, batch.first :]
            torch.testing.assert_close(hidden, expected, rtol=0, atol=1e-10)
            seen.append(cell)
    assert sorted(seen) == list(range(len(cells)))


def test_a_grid_shows_itself(models, prompts) -> None:
    grid = Patching(models[0], *prompts, TARGET, FOIL).grid("mlp")
    assert grid.columns[3] == f"{prompts[0][3]}/40"
    assert grid.columns[4] == str(prompts[0][4])
    assert grid.to_dict()["scores"] == grid.scores.tolist()
    assert f"{grid.scores[1, 5]:.2f}" in str(grid)
    assert len(grid.plot().axes) == 2  # the map and its scale
