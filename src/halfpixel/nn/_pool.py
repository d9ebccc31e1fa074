# SPDX-License-Identifier: MIT
"""Max pooling that remembers places, and the unpooling that goes back to them."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from halfpixel.backends import cpu
from halfpixel.errors import HalfpixelError, HalfpixelShapeError, HalfpixelValueError, describe_call

from . import _tensors, _windows
from ._linear import Composite, unwatched
from ._windows import Dense, Sizes, Windows

_CODES = {
    torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16", torch.uint8: "u8",
    torch.int8: "i8", torch.int16: "i16", torch.int32: "i32",
}  # fmt: skip
_MAX_PLANE = 2**31
_THEIRS = {1: torch.max_pool1d, 2: torch.max_pool2d, 3: torch.max_pool3d}
_THEIRS_PLACES = {
    1: torch.nn.functional.max_pool1d_with_indices,
    2: torch.nn.functional.max_pool2d_with_indices,
    3: torch.nn.functional.max_pool3d_with_indices,
}


def max_pool(
    dims: int, input: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, indices: bool
) -> Any:
    """The result, or it and the places."""
    try:
        window = _windows.windows(dims, kernel_size, stride, padding, dilation)
        size = _pooled_size(input, dims, window, ceil_mode)
        if not unwatched(input) or not _ours(input, dims):
            theirs = (_THEIRS_PLACES if indices else _THEIRS)[dims]
            return theirs(input, *map(list, window), ceil_mode)
        if input.requires_grad and torch.is_grad_enabled():
            y, places = _MaxPool.apply(input, window, size)
        else:
            y, places = _pooled(input, window, size, indices)
        return (y, places) if indices else y
    except HalfpixelError as error:
        raise error.in_call(
            describe_call(
                f"max_pool{dims}d", input, kernel_size, stride=stride, padding=padding, dilation=dilation,
                ceil_mode=ceil_mode or None,
            )
        ) from None  # fmt: skip


def _checked(dims: int, input: Tensor) -> Sizes:
    if input.dim() not in (dims + 1, dims + 2):
        works = f"(N, C, *spatial), {dims + 2} dimensions, or {dims + 1} without the batch"
        raise HalfpixelShapeError(f"the input has {input.dim()} dimensions", works)
    shape = tuple(input.shape[-dims:])
    if 0 in tuple(input.shape[1:]):
        raise HalfpixelShapeError(f"the input's shape is {tuple(input.shape)}", "axes of at least 1, but for the batch")
    return shape


def _pooled_size(input: Tensor, dims: int, window: Windows, ceil: bool) -> Sizes:
    shape = _checked(dims, input)
    if any(2 * p > k for p, k in zip(window.padding, window.kernel, strict=True)):
        raise HalfpixelShapeError(f"padding {window.padding} of windows {window.kernel}", "at most half a window")
    size = tuple(_windows.pooled_size(n, window, a, ceil) for a, n in enumerate(shape))
    if min(size) < 1:
        raise HalfpixelShapeError(f"windows {window.kernel} over {shape} make {size}", "a larger input")
    return size


def _ours(x: Tensor, dims: int) -> bool:
    return x.dtype in _CODES and math.prod(x.shape[-dims:]) < _MAX_PLANE and cpu.why_not() is None


def pooled(x: Tensor, dims: int, window: Windows, ceil: bool) -> tuple[Tensor, Tensor]:
    """Maxima and places, by the kernel.

    Raises: ValueError, also for dtypes that the kernel does not take.
    """
    if not _ours(x, dims):
        raise HalfpixelValueError(f"no kernel for {x.dtype}", "torch's own")
    y, places = _pooled(x, window, _pooled_size(x, dims, window, ceil), True)
    return y, places


class _How(NamedTuple):
    """What the kernel is told of a pooling, and the result's sizes and strides."""

    where: Dense
    shape: Sizes
    stride: Sizes
    sizes: list[list[int]]


@functools.lru_cache(maxsize=512)
def _how(shape: Sizes, stride: Sizes, window: Windows, size: Sizes) -> _How:
    """Of an input of this shape and stride."""
    dims = len(size)
    where = Dense(torch.empty_strided(shape, stride, device="meta"), dims)
    out = torch.empty((*where.lead, *size), device="meta", memory_format=where.layout)
    fill, none = (1,) * (3 - dims), (0,) * (3 - dims)
    sizes = [
        [*fill, *shape[-dims:]], [*fill, *size], [*fill, *window.kernel], [*fill, *window.stride],
        [*none, *window.padding], [*fill, *window.dilation],
    ]  # fmt: skip
    return _How(where, tuple(out.shape), out.stride(), sizes)


def _pooled(x: Tensor, window: Windows, size: Sizes, indices: bool) -> tuple[Tensor, Tensor | None]:
    how = _how(tuple(x.shape), x.stride(), window, size)
    where = how.where
    out = _tensors.advised(x.new_empty_strided(how.shape, how.stride))
    places = _tensors.advised(x.new_empty_strided(how.shape, how.stride, dtype=torch.int64)) if indices else None
    if out.numel():
        cpu.native().max_pool(
            where.array(x), where.array(out), None if places is None else where.array(places), _CODES[x.dtype],
            where.planes, where.channels, where.last, how.sizes,
        )  # fmt: skip
    return out, places


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, window: Windows, size: Sizes) -> Any:
        y, places = _pooled(x, window, size, True)
        ctx.save_for_backward(places)
        ctx.mark_non_differentiable(places)
        ctx.set_materialize_grads(False)
        ctx.size = tuple(x.shape[-len(size) :])
        return y, places

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: Any) -> tuple[Tensor | None, None, None]:
        if grad is None:
            return None, None, None
        return _MAP(grad, ctx.saved_tensors[0], ctx.size, "sum"), None, None


def max_unpool(
    dims: int, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    """The unpooled input."""
    try:
        shape = _checked(dims, input)
        window = _windows.windows(dims, kernel_size, stride, padding)
        if indices.dtype != torch.int64:
            raise HalfpixelShapeError(f"indices are {indices.dtype}", "int64, as max-pooling returns them")
        if indices.shape != input.shape:
            raise HalfpixelShapeError(
                f"the input's shape is {tuple(input.shape)}, that of indices {tuple(indices.shape)}", "equal shapes"
            )
        return _MAP(input, indices, _unpooled_size(shape, window, output_size), "place")
    except HalfpixelError as error:
        raise error.in_call(
            describe_call(
                f"max_unpool{dims}d", input, indices, kernel_size, stride=stride, padding=padding,
                output_size=output_size,
            )
        ) from None  # fmt: skip


def _unpooled_size(shape: Sizes, window: Windows, wanted: Any) -> Sizes:
    own = tuple(
        (n - 1) * s + k - 2 * p for n, k, s, p in zip(shape, window.kernel, window.stride, window.padding, strict=True)
    )
    if wanted is None:
        return own
    size = tuple(wanted)[-len(shape) :] if len(wanted) == len(shape) + 2 else tuple(wanted)
    if len(size) != len(shape):
        raise HalfpixelValueError(f"output_size has {len(wanted)} numbers", f"{len(shape)} or {len(shape) + 2}")
    for n, m, s in zip(own, size, window.stride, strict=True):
        if not n - s < m < n + s:
            raise HalfpixelValueError(
                f"output_size {size} is not what pooling could have made {shape} of",
                f"{own}, each at most {window.stride} - 1 more or less",
            )
    return size


# Maps between windows and places, and their transposes. To places: one value each, the last of several, or sums.
_TRANSPOSE = {"place": "winners", "winners": "place", "sum": "gather", "gather": "sum"}
_TO_PLACES = ("place", "sum")


def _mapped(x: Tensor, places: Tensor, size: Sizes, way: str) -> Tensor:
    """`size` is that of the planes, whichever side is asked for."""
    if x.element_size() > 8 or not places.is_cpu or cpu.why_not() is not None:
        return _by_scatter(x, places, size, way)
    if way in _TO_PLACES:
        return (_windows.unpooled if way == "place" else _windows.summed)(x, places, size)
    return _windows.gathered(x, places, len(size), way == "winners")


def _by_scatter(x: Tensor, places: Tensor, size: Sizes, way: str) -> Tensor:
    """The same in torch's functions. Unpooling adds winners to zeros alone, so that no order matters on any device."""
    dims, n = len(size), math.prod(size)
    flat, at = x.flatten(-dims), places.flatten(-dims)
    if way in _TO_PLACES:
        kept = torch.where(_winners(at, n), flat, 0) if way == "place" else flat
        y = torch.zeros_like(kept[..., :1]).expand(*at.shape[:-1], n).scatter_add(-1, at, kept)
        return y.unflatten(-1, size)
    y = flat.gather(-1, at)
    return (torch.where(_winners(at, n), y, 0) if way == "winners" else y).unflatten(-1, places.shape[-dims:])


def _winners(at: Tensor, n: int) -> Tensor:
    order = torch.arange(at.shape[-1], device=at.device).expand_as(at)
    last = at.new_full((*at.shape[:-1], n), -1).scatter_reduce(-1, at, order, "amax")
    return last.gather(-1, at) == order


_MAP = Composite(_mapped, _by_scatter, lambda places, size, way: (places, size, _TRANSPOSE[way]))
