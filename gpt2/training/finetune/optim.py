"""The optimiser's settings in a fine-tune: a recipe's, with what the model and the run's length choose left open.

In: nothing. Out: `TuneOptim`, a part of `Settings` and of the command's options. Read next: settings.py.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from gpt2.training.recipe import OptimRecipe


@dataclass(frozen=True)
class TuneOptim(OptimRecipe):
    """The optimiser and its learning rate; None is chosen by the model, the method or the run's length."""

    lr: float | None = None  # type: ignore[assignment]
    """Peak rate of AdamW."""
    schedule: Literal["cosine", "linear", "constant", "wsd"] = "linear"
    """Shape after the warm-up; wsd stays at the peak and then falls."""
    warmup_steps: int | None = None  # type: ignore[assignment]
    """Steps of linear warm-up."""
    floor: float = 0.0
    """Rate at the end, as a share of the peak."""

    def completed(self, lr: float, warmup_steps: int) -> OptimRecipe:
        """A recipe's settings: these, and what is given here where they leave it open."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return OptimRecipe(**{"lr": lr, "warmup_steps": warmup_steps} | given)
