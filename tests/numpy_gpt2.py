"""GPT-2 again, in numpy and float64: the independent computation that explanations are checked against.

In: a state dict under Hugging Face's names in our orientation ([out, in]), one text's ids. Out: every intermediate
value by its address, without a batch axis. No torch, nothing of the package.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class NumpyGPT2:
    """`values` of one text: `values["1.attn.pattern"]` [H, T, T]; `w` are the weights by name."""

    def __init__(self, state: dict[str, object], n_head: int, ids: Sequence[int], eps: float = 1e-5) -> None:
        self.w: dict[str, Array] = {k: np.asarray(v, dtype=np.float64) for k, v in state.items()}
        self.n_head, self.eps, self.ids = n_head, eps, list(ids)
        self.n_layer = sum(name.endswith(".ln_1.weight") for name in self.w)
        self.values: dict[str, Array] = {}
        v, T = self.values, len(self.ids)
        v["embed.tok"] = self.w["transformer.wte.weight"][self.ids]
        v["embed.pos"] = self.w["transformer.wpe.weight"][:T]
        x = v["embed.out"] = v["embed.tok"] + v["embed.pos"]
        for l in range(self.n_layer):
            x = self._block(l, x)
        v["final.scale"], v["final.out"] = self.norm(x, "transformer.ln_f")
        v["logits"] = v["final.out"] @ self.w["lm_head.weight"].T

    def norm(self, x: Array, name: str) -> tuple[Array, Array]:
        """sigma [...], and the normed x [..., C]."""
        sigma = np.sqrt(((x - x.mean(-1, keepdims=True)) ** 2).mean(-1) + self.eps)
        out = (x - x.mean(-1, keepdims=True)) / sigma[..., None] * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]
        return sigma, out

    def linear(self, x: Array, name: str) -> Array:
        """x W^T + b."""
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def _block(self, l: int, x: Array) -> Array:
        v, name, (T, C) = self.values, f"transformer.h.{l}", x.shape
        v[f"{l}.resid_pre"] = x
        v[f"{l}.ln_1.scale"], v[f"{l}.ln_1.out"] = self.norm(x, f"{name}.ln_1")
        qkv = self.linear(v[f"{l}.ln_1.out"], f"{name}.attn.c_attn").reshape(T, 3, self.n_head, -1)
        q, k, val = (v.setdefault(f"{l}.attn.{n}", qkv[:, i].transpose(1, 0, 2)) for i, n in enumerate("qkv"))
        scores = v[f"{l}.attn.scores"] = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        masked = np.where(np.tril(np.ones((T, T), dtype=bool)), scores, -np.inf)
        e = np.exp(masked - masked.max(-1, keepdims=True))
        pattern = v[f"{l}.attn.pattern"] = e / e.sum(-1, keepdims=True)
        z = v[f"{l}.attn.z"] = pattern @ val  # (H, T, D)
        w_o = self.w[f"{name}.attn.c_proj.weight"].T.reshape(self.n_head, -1, C)
        v[f"{l}.head.out"] = z @ w_o  # (H, T, C)
        v[f"{l}.attn.out"] = v[f"{l}.head.out"].sum(0) + self.w[f"{name}.attn.c_proj.bias"]
        x = v[f"{l}.resid_mid"] = x + v[f"{l}.attn.out"]
        v[f"{l}.ln_2.scale"], v[f"{l}.ln_2.out"] = self.norm(x, f"{name}.ln_2")
        pre = v[f"{l}.mlp.pre"] = self.linear(v[f"{l}.ln_2.out"], f"{name}.mlp.c_fc")
        post = 0.5 * pre * (1 + np.tanh(np.sqrt(2 / np.pi) * (pre + 0.044715 * pre**3)))
        v[f"{l}.mlp.post"] = post
        v[f"{l}.mlp.out"] = self.linear(post, f"{name}.mlp.c_proj")
        v[f"{l}.resid_post"] = x + v[f"{l}.mlp.out"]
        return v[f"{l}.resid_post"]
