"""Each variant of the user's own built once and run over a few tokens: a broken one is found before any training.

In: a study, the contestants that are due. Out: a UsageError that names the first variant that fails. Read next:
conduct.py, which trains them.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F

from gpt2.ablation.models import build
from gpt2.ablation.study import Study
from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.training.machine.fits import check_fits

VOCABULARY = 64  # in place of the data's, which need not be there yet and would take most of the time
TOKENS = 8


def try_variants(study: Study, contestants: Iterable[str]) -> None:
    """Build each contestant whose variant is of the study's own file, at its sizes; run and train it on a few tokens.

    Variants of the project's own have tests, and are left out: a large one takes seconds.

    Raises UsageError for a variant that fails in either, or whose logits have another shape than the plain model's.
    """
    tried: set[tuple[str, GPT2Config]] = set()
    for name in contestants:
        variant = study.contestants[name].variant
        config = study.recipe(name).model.config(VOCABULARY)
        if variant is None or not study.contestants[name].code or (variant, config) in tried:
            continue
        tried.add((variant, config))
        check_fits(config)
        doing = "be built"
        try:
            model = build(config, {"name": variant}, file=study.variants).train()
            doing = "be run"
            ids = torch.arange(min(TOKENS, config.n_positions))[None]  # (1, T)
            logits = model(ids)
            shape = list(logits.shape)
            if shape == [*ids.shape, VOCABULARY]:
                doing = "be trained"
                F.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
                continue
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
            raise UsageError(f"{name}: the variant {variant!r} cannot {doing}: {reason}. Mend it first.") from error
        wanted = f"[B, T, V] = {[*ids.shape, VOCABULARY]}"
        raise UsageError(f"{name}: the variant {variant!r} gives logits {shape}, not {wanted}: mend it first.")
