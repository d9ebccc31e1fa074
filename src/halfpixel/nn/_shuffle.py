# SPDX-License-Identifier: MIT
"""Pixel shuffle, its inverse, and channel shuffle: rearrangements, exact for every dtype."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelError, HalfpixelShapeError, HalfpixelTypeError, describe_call, unknown_name

from . import _tensors
from ._linear import Composite

Sizes = tuple[int, ...]

# Where the position in a block stands beside the channel, slow to fast: after it, or before it.
ORDERS = {"torch": "channel, then block", "onnx": "block, then channel"}


def pixel_shuffle(
    input: Tensor, upscale_factor: int | Sequence[int], *, order: str = "torch", size_like: Tensor | None = None
) -> Tensor:
    """Blocks of channels become blocks of pixels: `torch.nn.functional.pixel_shuffle` along any number of axes.

    **Convention:** input (*, C * prod(factors), *spatial), output (*, C, *spatial times factors). With order "torch"
    a channel's block lies together (ONNX: DepthToSpace CRD); with "onnx", channels of one position do (DCR, and
    TensorFlow's depth_to_space). 4-D inputs keep channels-last, all else becomes contiguous, as in torch.
    Arguments:
        upscale_factor: one for height and width, or one per spatial axis: (2,) for signals, (1, 2, 2) for volumes.
        order: "torch" or "onnx".
        size_like: a tensor whose spatial sizes the result is cut to, at the end, at most a block less one.
    Returns: a new tensor of input's dtype; with size_like a view of one.
    Raises: ValueError that is a RuntimeError, as torch's, where shapes do not fit; TypeError.
    Source: Shi et al., Real-Time Single Image and Video Super-Resolution (2016).
    Example:
        >>> import torch
        >>> pixel_shuffle(torch.zeros(1, 8, 3, 5), 2).shape
        torch.Size([1, 2, 6, 10])
        >>> pixel_shuffle(torch.zeros(1, 8, 3, 5, 4), (2, 1, 2)).shape
        torch.Size([1, 2, 6, 5, 8])
    """
    try:
        factors = _factors(input, upscale_factor, order)
        channels, block = input.shape[-len(factors) - 1], math.prod(factors)
        if channels % block:
            raise HalfpixelShapeError(
                f"{channels} channels are not divisible by the {_times(factors)} = {block} pixels of a block",
                f"a multiple of {block} channels",
            )
        y = _SHUFFLE(input, factors, order, False)
        return y if size_like is None else _cut(y, size_like, factors)
    except HalfpixelError as error:
        raise error.in_call(
            describe_call("pixel_shuffle", input, upscale_factor, order=_unless(order, "torch"), size_like=size_like)
        ) from None


def pixel_unshuffle(input: Tensor, downscale_factor: int | Sequence[int], *, order: str = "torch") -> Tensor:
    """Blocks of pixels become channels: the inverse of `pixel_shuffle`.

    **Convention:** input (*, C, *spatial), output (*, C * prod(factors), *spatial over factors); all else as there.
    Arguments: downscale_factor: one for height and width, or one per spatial axis. order: "torch" or "onnx".
    Returns: a new tensor of input's dtype.
    Raises: ValueError that is a RuntimeError, as torch's, where shapes do not fit; TypeError.
    Example:
        >>> import torch
        >>> pixel_unshuffle(torch.zeros(1, 2, 6, 10), 2).shape
        torch.Size([1, 8, 3, 5])
    """
    try:
        factors = _factors(input, downscale_factor, order)
        spatial = tuple(input.shape[-len(factors) :])
        if any(n % f for n, f in zip(spatial, factors, strict=True)):
            raise HalfpixelShapeError(
                f"the spatial size {spatial} is not divisible by {factors}",
                f"a size such as {tuple(-(-n // f) * f for n, f in zip(spatial, factors, strict=True))}, by padding",
            )
        return _SHUFFLE(input, factors, order, True)
    except HalfpixelError as error:
        raise error.in_call(
            describe_call("pixel_unshuffle", input, downscale_factor, order=_unless(order, "torch"))
        ) from None


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """`torch.nn.functional.channel_shuffle`: channel g * (C / groups) + i goes to i * groups + g.

    **Convention:** input (N, C, *spatial), output the same shape; 4-D inputs keep channels-last.
    Arguments: groups: a divisor of C.
    Returns: a new tensor.
    Raises: ValueError that is a RuntimeError, as torch's, where shapes do not fit.
    Source: Zhang et al., ShuffleNet (2018).
    Example:
        >>> import torch
        >>> channel_shuffle(torch.arange(4.0).reshape(1, 4, 1), 2).flatten()
        tensor([0., 2., 1., 3.])
    """
    try:
        if input.dim() < 3:
            raise HalfpixelShapeError(f"the input has {input.dim()} dimensions", "(N, C, *spatial), 3 or more")
        if isinstance(groups, bool) or not isinstance(groups, int):
            raise HalfpixelTypeError(f"groups is {groups!r}", "an integer")
        channels = input.shape[1]
        if groups < 1 or channels % groups:
            raise HalfpixelShapeError(f"{channels} channels in {groups} groups", "a positive divisor of the channels")
        return _CHANNELS(input, groups, channels // groups)
    except HalfpixelError as error:
        raise error.in_call(describe_call("channel_shuffle", input, groups)) from None


def _unless(value: Any, default: Any) -> Any:
    return None if value == default else value


def _times(factors: Sizes) -> str:
    return " x ".join(map(str, factors))


def _factors(input: Tensor, factor: Any, order: str) -> Sizes:
    if order not in ORDERS:
        raise unknown_name("order", order, ORDERS)
    factors = tuple(factor) if isinstance(factor, (list, tuple)) else (factor, factor)
    if not factors or any(isinstance(f, bool) or not isinstance(f, int) for f in factors):
        raise HalfpixelTypeError(f"the factor is {factor!r}", "an integer, or one per spatial axis")
    if min(factors) < 1:
        raise HalfpixelShapeError(f"the factor is {factor!r}", "factors of at least 1")
    if input.dim() < len(factors) + 1:
        need = "(*, C, " + ", ".join("DHW"[-len(factors) :] if len(factors) < 4 else "*spatial") + ")"
        raise HalfpixelShapeError(f"the input has {input.dim()} dimensions for {len(factors)} spatial axes", need)
    return factors


def _cut(y: Tensor, reference: Tensor, factors: Sizes) -> Tensor:
    made, wanted = tuple(y.shape[-len(factors) :]), tuple(reference.shape[-len(factors) :])
    fits = len(wanted) == len(made) and all(n - f < m <= n for n, m, f in zip(made, wanted, factors, strict=True))
    if not fits:
        works = f"a reference whose sizes are at most {factors} - 1 smaller than {made}"
        raise HalfpixelShapeError(f"size_like is {wanted}, the shuffled input {made}", works)
    return y[(..., *(slice(m) for m in wanted))]


def _packed(shape: Sizes, factors: Sizes, order: str) -> tuple[Sizes, list[int]]:
    """The packed tensor's shape with its channels taken apart, and the order (*, C, *factors, *spatial) of its axes."""
    d, lead = len(factors), len(shape) - len(factors) - 1
    channels = shape[lead] // math.prod(factors)
    split = (channels, *factors) if order == "torch" else (*factors, channels)
    at = range(lead, lead + d + 1)
    inner = list(at) if order == "torch" else [at[-1], *at[:-1]]
    return (*shape[:lead], *split, *shape[lead + 1 :]), [*range(lead), *inner, *range(lead + d + 1, lead + 2 * d + 1)]


def _spread(shape: Sizes, factors: Sizes) -> tuple[Sizes, list[int]]:
    """The same of the spread tensor: every spatial axis taken apart."""
    d, lead = len(factors), len(shape) - len(factors)
    split = [part for n, f in zip(shape[lead:], factors, strict=True) for part in (n // f, f)]
    return (*shape[:lead], *split), [
        *range(lead), *range(lead + 1, lead + 2 * d, 2), *range(lead, lead + 2 * d, 2)
    ]  # fmt: skip


def _shapes(shape: Sizes, factors: Sizes, inverse: bool) -> Sizes:
    d, block = len(factors), math.prod(factors)
    pairs = list(zip(shape[-d:], factors, strict=True))
    channels = shape[-d - 1] * block if inverse else shape[-d - 1] // block
    return (*shape[: -d - 1], channels, *(n // f if inverse else n * f for n, f in pairs))


class _Strides(NamedTuple):
    """The result, and the elements of input and result in one order, by sizes and strides."""

    shape: Sizes
    stride: Sizes
    sizes: Sizes
    x: Sizes
    out: Sizes


@functools.lru_cache(maxsize=512)
def _strides(shape: Sizes, stride: Sizes, factors: Sizes, order: str, inverse: bool) -> _Strides:
    """Of an input of this shape and stride; kept, since views cost more than small tensors take to copy."""
    x = torch.empty_strided(shape, stride, device="meta")
    out = _tensors.result(x, _shapes(shape, factors, inverse), len(factors))
    packed, spread = (out, x) if inverse else (x, out)
    (a_shape, a_axes), (b_shape, b_axes) = (
        _packed(tuple(packed.shape), factors, order),
        _spread(tuple(spread.shape), factors),
    )
    a, b = packed.view(a_shape).permute(a_axes), spread.view(b_shape).permute(b_axes)
    a, b = (b, a) if inverse else (a, b)
    return _Strides(tuple(out.shape), out.stride(), tuple(a.shape), a.stride(), b.stride())


def shuffled(x: Tensor, factors: Sizes, order: str, inverse: bool) -> Tensor:
    """Shapes that fit, shuffled by the kernel."""
    x = _tensors.plain(x)
    how = _strides(tuple(x.shape), x.stride(), factors, order, inverse)
    out = _tensors.advised(x.new_empty_strided(how.shape, how.stride))
    _tensors.rearrange(x.as_strided(how.sizes, how.x), out.as_strided(how.sizes, how.out))
    return out


def _shuffled_by_views(x: Tensor, factors: Sizes, order: str, inverse: bool) -> Tensor:
    if order == "torch" and len(factors) == 2 and factors[0] == factors[1]:
        shuffle = torch.pixel_unshuffle if inverse else torch.pixel_shuffle
        y: Tensor = shuffle(x, factors[0])
        return y
    shape = _shapes(tuple(x.shape), factors, inverse)
    packed, spread = (shape, tuple(x.shape)) if inverse else (tuple(x.shape), shape)
    (a_shape, a_axes), (b_shape, b_axes) = _packed(packed, factors, order), _spread(spread, factors)
    if inverse:
        (a_shape, a_axes), (b_shape, b_axes) = (b_shape, b_axes), (a_shape, a_axes)
    back = sorted(range(len(b_axes)), key=b_axes.__getitem__)
    return x.reshape(a_shape).permute(a_axes).permute(back).reshape(shape)


def channels_shuffled(x: Tensor, groups: int, each: int) -> Tensor:
    """Groups of so many channels each, shuffled by the kernel."""
    out = _tensors.advised(_tensors.result(x, tuple(x.shape)))
    n, _, *spatial = x.shape
    _tensors.rearrange(x.view(n, groups, each, *spatial).transpose(1, 2), out.view(n, each, groups, *spatial))
    return out


def _channels_by_views(x: Tensor, groups: int, each: int) -> Tensor:
    y: Tensor = torch.channel_shuffle(x, groups)
    return y


_SHUFFLE = Composite(shuffled, _shuffled_by_views, lambda factors, order, inverse: (factors, order, not inverse))
_CHANNELS = Composite(channels_shuffled, _channels_by_views, lambda groups, each: (each, groups))
