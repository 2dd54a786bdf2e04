"""The mean at every switch of the page, which takes a pass over many stories: shipped, kept before, or taken now.

In: a checkpoint. Out: a tensor for each switch, [C], [H, D] or a single number. The bundled model's are shipped; others
are kept on this machine, by the weights and by the stories.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gpt2.explain import Reference, reference
from gpt2.server.jobs import Tell, silent
from gpt2.server.live.kept import keep, kept
from gpt2.server.switches import SWITCHED

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint

SHIPPED = Path(__file__).with_name("means.safetensors")


def averages(checkpoint: "Checkpoint", tell: Tell = silent) -> dict[str, Tensor]:
    """The means, by address; `tell` hears the share of the stories that has been read."""
    over = reference(checkpoint)
    key = key_of(checkpoint, over)
    own = kept(f"means-{key[:32]}.safetensors")
    for path in (SHIPPED, own):
        if (found := _read(path, key)) is not None:
            return found
    over.compute(lambda done, total: tell(done / total))
    taken = take(over)
    keep(own, safetensors.torch.save(taken, {"key": key}))
    return taken


def take(over: Reference) -> dict[str, Tensor]:
    """The means of a reference text."""
    found = {}
    for layer in (None, *range(over.model.config.n_layer)):
        for point in SWITCHED:
            if (point in ("embed.pos", "final.scale")) == (layer is None):
                found[point if layer is None else f"{layer}.{point}"] = over.mean(layer, point).float().contiguous()
    return found


def key_of(checkpoint: "Checkpoint", over: Reference) -> str:
    """The weights and the stories, as one hash."""
    digest = hashlib.sha256(over.sha256.encode())
    for name, value in checkpoint.model.state_dict().items():
        digest.update(name.encode())
        digest.update(memoryview(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()))
    return digest.hexdigest()


def _read(path: Path, key: str) -> dict[str, Tensor] | None:
    """What a file holds, where it was made for this key; None else."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, safetensors.SafetensorError):
        return None
