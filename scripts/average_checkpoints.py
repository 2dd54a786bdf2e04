"""Average the weights of two checkpoints of one run: `python scripts/average_checkpoints.py A B SHARE_OF_A OUT`.

In: two checkpoint directories of the same model, the later one trained on from the earlier. Out: a checkpoint directory
in half precision. Two points of one valley have a lower loss between them (Izmailov et al. 2018, section 3).
"""

import sys

import torch

from gpt2.checkpoint import load, save


def average(first: str, second: str, share: float, out: str) -> None:
    """Write share * first + (1 - share) * second, parameter by parameter, computed in float32."""
    a, b = load(first), load(second)
    if a.tokenizer.hash != b.tokenizer.hash or a.model.config != b.model.config:
        sys.exit(f"{first} and {second} are not checkpoints of one model: their sizes or tokenizers differ.")
    weights = a.model.state_dict()
    mixed = {name: share * weights[name] + (1 - share) * value for name, value in b.model.state_dict().items()}
    b.model.load_state_dict(mixed)
    save(b.model, b.tokenizer, out, dtype=torch.float16, overwrite=True)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: python scripts/average_checkpoints.py A B SHARE_OF_A OUT")
    average(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4])
