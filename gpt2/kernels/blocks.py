"""All blocks of GPT-2 in one call of the compiled kernel, for passes that extend a cache on the CPU.

In: the residual stream of new positions [B, T, C] and the companions of the pass. Out: the stream behind the last
block; keys and values are in the cache then. It is what `gpt2/block.py` computes step by step, without a stop between
the steps, so that a token takes little longer than reading the weights. Where anything asks for a value inside, or a
part is of another kind, the blocks go through their own steps. Read next: fast.py, which puts this into a model.
"""

import ctypes
from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any, cast

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
    """The blocks of a model as the kernel reads them; `most` is up to how many positions it computes a pass.

    What every pass has to find out is asked in few steps: behind a pass nothing of Python is in the processor's caches.
    """

    def __init__(self, blocks: Sequence[Block], most: int) -> None:
        self.most, self._blocks = most, blocks
        modules = [module for block in blocks for module in block.modules()]
        self._hooks = [*_HOOKS, *(of for m in modules for of in (m._forward_hooks, m._forward_pre_hooks))]
        self._tensors = [of for m in modules for of in (m._parameters, m._buffers) if of]
        self._weights, self._cache = _Weights(blocks), _Places()

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
            or any(self._hooks)
        ):
            return None
        weights = self._weights.of([tensor for of in self._tensors for tensor in of.values()], x)
        where = self._cache.of(cache, here.mask, x.shape, self._blocks) if weights is not None else None
        if weights is None or where is None:
            return None
        y = x.clone(memory_format=torch.contiguous_format)
        with threads.of_pass(N) as count:
            failed = found.gpt2_blocks(weights, len(self._blocks), y.data_ptr(), where, N, count)
        if failed:
            raise MemoryError("the blocks have no room for so many rows: give fewer at a time.")
        return y


class _Weights:
    """Where the kernel finds the weights."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        self._held: list[Tensor] = []
        self._at: list[int] = []
        self._described: Any = None
        self._dtype: torch.dtype | None = None

    def of(self, tensors: list[Tensor | None], x: Tensor) -> Any:
        """The description of all blocks, whose tensors these are now; None where the kernel does not take them for x.

        It is made again where they have moved. Until then they are held, so that no other one comes to lie in the place
        of one that is gone.
        """
        at = [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
        if at != self._at:
            self._at, self._held = at, [tensor.detach() for tensor in tensors if tensor is not None]
            read: list[Tensor] = []
            found = [_described(block, read) for block in self._blocks]
            described = [one for one in found if one is not None]
            self._described = (_Block * len(described))(*described)
            self._dtype = read[0].dtype if len(described) == len(found) and _alike(read, read[0].dtype) else None
        return self._described if x.dtype is self._dtype and x.is_cpu else None


class _Places:
    """Where the kernel finds keys and values, and the place of each position of a pass among them."""

    def __init__(self) -> None:
        self._held: list[Tensor] = []
        self._shape: tuple[int, ...] = ()
        self._where: Any = None

    def of(self, cache: KVCache, mask: Mask, shape: torch.Size, blocks: Sequence[Block]) -> Any:
        """For a pass over x of this shape; None unless each position sees of its row what the cache holds, the new ones
        up to itself, and nothing else, and the cache is one of this model with room for them."""
        B, T, C = shape
        tensors = [*cache.keys, *cache.values]
        own = cache.mask(T)
        if mask is not own and (mask is None or own is None or not torch.equal(own, mask)):
            return None
        heads, dtype = blocks[0].attn.n_head, tensors[0].dtype
        size = (B, heads, cache.capacity, C // heads)
        if size != self._shape or len(tensors) != len(self._held) or not all(map(is_, tensors, self._held)):
            fits = len(tensors) == 2 * len(blocks) and all(tensor.shape == size for tensor in tensors)
            if not (fits and _alike(tensors, dtype)):
                return None
            self._held, self._shape = tensors, size
            self._where = (_Cache * len(blocks))(*(
                _Cache(keys.data_ptr(), values.data_ptr(), keys.stride(0), keys.stride(1))
                for keys, values in zip(cache.keys, cache.values, strict=True)
            ))  # fmt: skip
        if dtype is not blocks[0].ln_1.weight.dtype or max(cache.lengths) + T > cache.capacity:
            return None
        numbers = _NUMBER * (B * T)
        self._rows = numbers(*(row for row in range(B) for _ in range(T)))
        self._slots = numbers(*(n + t for n in cache.lengths for t in range(T)))
        rows, slots = ctypes.addressof(self._rows), ctypes.addressof(self._slots)
        for one in self._where:
            one.row, one.slot = rows, slots
        return self._where


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
    modules: tuple[tuple[nn.Module, int, int], ...] = (
        (attn.c_attn, C, 3 * C), (attn.c_proj, C, C), (mlp.c_fc, C, inner), (mlp.c_proj, inner, C)
    )  # fmt: skip
    for module, size, out in modules:
        bias, scale = cast(Tensor, module.bias), None
        read.append(bias)
        if isinstance(module, QuantisedLinear):
            weight, scale, shape = module.values, module.scale.data_ptr(), module.shape
        else:
            weight = cast(Tensor, module.weight)
            shape = cast(tuple[int, int], tuple(weight.shape))
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
