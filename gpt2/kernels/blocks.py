"""All blocks of GPT-2 in one call of the compiled kernel, for passes that extend a cache on the CPU.

In: the residual stream of new positions [B, T, C] and the companions of the pass. Out: the stream behind the last
block; keys and values are in the cache then. It is what `gpt2/block.py` computes step by step, without a stop between
the steps, so that a token takes little longer than reading the weights. Where anything asks for a value inside, or a
part is of another kind, the blocks go through their own steps. Read next: fast.py, which puts this into a model.
"""

import ctypes
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as any_module

from gpt2.attention import CausalSelfAttention
from gpt2.block import MLP, Block, LayerNorm
from gpt2.cache import KVCache, Mask
from gpt2.forward_pass import Pass
from gpt2.kernels import threads
from gpt2.kernels.library import KINDS, library
from gpt2.kernels.linear import QuantisedLinear
from gpt2.model import GPT2

_NUMBER, _POINTER = ctypes.c_int64, ctypes.c_void_p
_HOOKS = (any_module._global_forward_hooks, any_module._global_forward_pre_hooks)


class _Map(ctypes.Structure):
    _fields_ = (("kind", _NUMBER), *((name, _POINTER) for name in ("w", "scale", "bias")))


class _Block(ctypes.Structure):
    _fields_ = (
        *((name, _NUMBER) for name in ("width", "heads", "inner", "half")),
        *((name, ctypes.c_float) for name in ("eps", "scale")),
        *((name, _POINTER) for name in ("norm_1", "shift_1", "norm_2", "shift_2")),
        *((name, _Map) for name in ("attn", "out", "up", "down")),
    )


class _Cache(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("keys", "values")),
        *((name, _NUMBER) for name in ("row_stride", "head_stride")),
        *((name, _POINTER) for name in ("row", "slot")),
    )


class FastGPT2(GPT2):
    """A model whose blocks are computed by the kernel where that gives the same."""

    fused: "Blocks"

    def blocks(self, x: Tensor, here: Pass, start: int = 0, stop: int | None = None) -> Tensor:
        """As of any model. Raises MemoryError."""
        whole = start == 0 and stop in (None, self.config.n_layer)
        y = self.fused.compute(x, here) if whole else None
        return super().blocks(x, here, start, stop) if y is None else y


class Blocks:
    """The blocks of a model as the kernel reads them; `most` is up to how many positions it computes a pass."""

    def __init__(self, blocks: Sequence[Block], most: int) -> None:
        self.most = most
        self._blocks, self._places = blocks, _Places()
        self._modules = [module for block in blocks for module in block.modules()]
        self._tensors = [
            (of, name)
            for module in self._modules
            for of in (module._parameters, module._buffers)
            for name in of
            if name != "like"
        ]
        self._held: list[Tensor] = []
        self._at: list[int] = []
        self._dtype: torch.dtype | None = None

    def compute(self, x: Tensor, here: Pass) -> Tensor | None:
        """The stream [B, T, C] through all blocks; None where they have to go through their own steps.

        Raises MemoryError.
        """
        found, cache, N = library(), here.cache, x.size(0) * x.size(1)
        if (
            found is None
            or cache is None
            or self.most < N
            or here.probe is not None
            or here.in_steps
            or torch.is_grad_enabled()
            or any(_HOOKS)
            or any(m._forward_hooks or m._forward_pre_hooks for m in self._modules)
            or not self._is_ready(x.dtype)
            or not _alike(chain([x], cache.keys, cache.values), x.dtype)
            or not self._has_room(cache, x)
            or not self._places.fit(here, x.size(1))
        ):
            return None
        y = x.clone(memory_format=torch.contiguous_format)
        rows, slots = self._places.rows.data_ptr(), self._places.slots.data_ptr()
        where = (_Cache * len(self._blocks))(*(
            (keys.data_ptr(), values.data_ptr(), keys.stride(0), keys.stride(1), rows, slots)
            for keys, values in zip(cache.keys, cache.values, strict=True)
        ))  # fmt: skip
        with threads.of_pass(N) as count:
            failed = found.gpt2_blocks(self._described, len(self._blocks), y.data_ptr(), where, N, count)
        if failed:
            raise MemoryError("the blocks have no room for so many rows: give fewer at a time.")
        return y

    def _has_room(self, cache: KVCache, x: Tensor) -> bool:
        """Whether keys and values have the sizes that these blocks write."""
        B, _, C = x.shape
        heads = self._blocks[0].attn.n_head
        size = (B, heads, cache.capacity, C // heads)
        tensors = [*cache.keys, *cache.values]
        return len(tensors) == 2 * len(self._blocks) and all(tensor.shape == size for tensor in tensors)

    def _is_ready(self, dtype: torch.dtype) -> bool:
        """Whether the kernel takes the weights for a stream of this type; their places are read again where they moved.

        The tensors are held meanwhile, so that no other one can come to lie in the place of one that is gone.
        """
        at = [cast(Tensor, of[name]).data_ptr() for of, name in self._tensors]
        if at != self._at:
            self._at, self._held = at, [cast(Tensor, of[name]).detach() for of, name in self._tensors]
            read: list[Tensor] = []
            found = [_described(block, read) for block in self._blocks]
            described = [one for one in found if one is not None]
            self._described = (_Block * len(described))(*described)
            self._dtype = read[0].dtype if len(described) == len(found) and _alike(read, read[0].dtype) else None
        return dtype is self._dtype


class _Places:
    """The row of the cache, and the slot there, of each position of a pass [N]; kept while passes are alike."""

    def __init__(self) -> None:
        self._of: tuple[int, list[int]] | None = None
        self._mask: Mask = None
        self.rows = self.slots = torch.empty(0)

    def fit(self, here: Pass, T: int) -> bool:
        """Whether each position sees of its row what the cache holds, the new ones up to itself, and nothing else."""
        cache = cast(KVCache, here.cache)
        if self._of != (T, cache.lengths) or self._mask is not here.mask:
            own = cache.mask(T)
            if here.mask is not own and (here.mask is None or own is None or not torch.equal(own, here.mask)):
                return False
            starts = torch.tensor(cache.lengths)
            self.rows = torch.arange(len(starts)).repeat_interleave(T)
            self.slots = (starts[:, None] + torch.arange(T)).flatten()
            self._of, self._mask = (T, [*cache.lengths]), here.mask
        return max(cache.lengths) + T <= cache.capacity


def fuses(model: GPT2) -> bool:
    """Whether the kernel computes what the blocks of this model do: parts of GPT-2's own kind, none replaced."""
    return type(model) is GPT2 and library() is not None and all(map(_fuses, model.transformer.h))


def _fuses(block: Block) -> bool:
    if type(block) is not Block or type(block.attn) is not CausalSelfAttention or type(block.mlp) is not MLP:
        return False
    maps = (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj)
    norms, act = (block.ln_1, block.ln_2), block.mlp.activation
    return (
        all(type(m) in (nn.Linear, QuantisedLinear) and m.bias is not None for m in maps)
        and all(type(m) is LayerNorm and m.eps == block.ln_1.eps for m in norms)
        and all(type(m) is nn.Dropout for m in (block.attn.resid_dropout, block.mlp.dropout))
        and getattr(act, "func", None) is F.gelu
        and getattr(act, "keywords", None) == {"approximate": "tanh"}
        and block.attn.head_dim % 8 == 0
        and not any({"forward", "mix", "mix_in_steps"} & m.__dict__.keys() for m in block.modules())
    )


def _described(block: Block, read: list[Tensor]) -> _Block | None:
    """What the kernel has to know of a block; None where a weight has another size than in a block of GPT-2.

    `read` gets the tensors that must be of the stream's type.
    """
    attn, mlp = block.attn, block.mlp
    C, inner = attn.n_head * attn.head_dim, mlp.c_fc.bias.numel()
    norms = [block.ln_1.weight, block.ln_1.bias, block.ln_2.weight, block.ln_2.bias]
    read += norms
    maps, fits = [], all(tensor.shape == (C,) for tensor in norms)
    modules = ((attn.c_attn, C, 3 * C), (attn.c_proj, C, C), (mlp.c_fc, C, inner), (mlp.c_proj, inner, C))
    for module, size, out in modules:
        bias, scale = cast(Tensor, module.bias), None
        read.append(bias)
        if isinstance(module, QuantisedLinear):
            weight, scale, shape = module.values, module.scale.data_ptr(), module.shape
        else:
            weight, shape = module.weight, tuple(module.weight.shape)
            read.append(weight)
        fits = fits and shape == (out, size) and bias.shape == (out,)
        maps.append(_Map(KINDS.get(weight.dtype, -1), weight.data_ptr(), scale, bias.data_ptr()))
    if not fits:
        return None
    half = norms[0].dtype == torch.bfloat16
    return _Block(C, attn.n_head, inner, half, block.ln_1.eps, 1 / attn.divisor, *(t.data_ptr() for t in norms), *maps)


def _alike(tensors: Iterable[Tensor], dtype: torch.dtype) -> bool:
    """Whether all lie on the CPU in this type, float32 or bfloat16, with no gaps in the last two dimensions."""
    return dtype in (torch.float32, torch.bfloat16) and all(
        t.dtype is dtype and t.is_cpu and t.stride(-1) == 1 and (t.dim() == 1 or t.stride(-2) == t.size(-1))
        for t in tensors
    )
