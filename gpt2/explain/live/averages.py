"""The mean at every switch of a page, which takes a pass over many stories: shipped, kept before, or taken now.

In: a checkpoint. Out: a tensor for each switch, [C], [H, D] or a single number. The bundled model's are shipped; others
are kept on this machine, by the weights and by the stories.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gpt2.addresses import MODEL_POINTS
from gpt2.explain import Reference, reference
from gpt2.explain.live.kept import keep, kept

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint

SHIPPED = Path(__file__).with_name("means.safetensors")


def averages(
    checkpoint: "Checkpoint", points: Sequence[str], progress: Callable[[float], None] = lambda share: None
) -> dict[str, Tensor]:
    """The means at these points of every block, by address; `progress` hears the share of the stories that is read."""
    over = reference(checkpoint)
    key = key_of(checkpoint, over, points)
    own = kept(f"means-{key[:32]}.safetensors")
    for path in (SHIPPED, own):
        if (found := _read(path, key)) is not None:
            return found
    over.compute(lambda done, total: progress(done / total))
    taken = take(over, points)
    keep(own, safetensors.torch.save(taken, {"key": key}))
    return taken


def take(over: Reference, points: Sequence[str]) -> dict[str, Tensor]:
    """The means of a reference text."""
    found = {}
    for layer in (None, *range(over.model.config.n_layer)):
        for point in points:
            if (point in MODEL_POINTS) == (layer is None):
                found[point if layer is None else f"{layer}.{point}"] = over.mean(layer, point).float().contiguous()
    return found


def key_of(checkpoint: "Checkpoint", over: Reference, points: Sequence[str]) -> str:
    """The model, the stories and the points, as one hash."""
    return hashlib.sha256(f"{over.sha256} {' '.join(points)} {model_hash(checkpoint)}".encode()).hexdigest()


def model_hash(checkpoint: "Checkpoint") -> str:
    """The SHA-256 of all that a model computes with: its weights, its configuration, and which variant it is."""
    model = checkpoint.model
    told = [asdict(model.config), getattr(model, "variant", None)]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
    add_weights(digest, checkpoint)
    return digest.hexdigest()


def weights_hash(checkpoint: "Checkpoint") -> str:
    """The SHA-256 of the weights as they are in memory, with their names."""
    digest = hashlib.sha256()
    add_weights(digest, checkpoint)
    return digest.hexdigest()


def add_weights(digest: "hashlib._Hash", checkpoint: "Checkpoint") -> None:
    """Names and numbers of all parameters, in their order."""
    for name, value in checkpoint.model.state_dict().items():
        digest.update(name.encode())
        digest.update(memoryview(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()))


def _read(path: Path, key: str) -> dict[str, Tensor] | None:
    """What a file holds, where it was made for this key; None else."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            return {name: file.get_tensor(name) for name in list(file.keys())}
    except (OSError, safetensors.SafetensorError):
        return None
