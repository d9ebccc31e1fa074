# SPDX-License-Identifier: MIT
"""Haar's wavelet, backwards: the inverse of the downsampler `haar_pool`."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelShapeError, HalfpixelValueError
from halfpixel.nn import functional

from ._base import Downsampler, Upsampler, extended
from ._interpolating import projected, projected_adds
from ._registry import Shape, Sizes, register


def _none(shape: Shape, *more: Any) -> int:
    return 0


def _is_packed(shape: Shape) -> bool:
    return shape.guide_channels is None


def _parameters(shape: Shape) -> int:
    return 0 if _is_packed(shape) else projected(shape)


def _multiply_adds(shape: Shape, size: Sizes) -> int:
    return 0 if _is_packed(shape) else projected_adds(shape, size)


def _check_two(shape: Shape) -> None:
    if set(shape.scale) != {2}:
        raise HalfpixelValueError(f"the scale is {shape.scale}, Haar's wavelet halves", "scale=2")


def _fewer(in_channels: int, block: int) -> int:
    if in_channels % block:
        why = f"{in_channels} channels are not divisible by {block}, the bands of a channel"
        raise HalfpixelShapeError(why, f"a multiple of {block}, or out_channels= and guide_channels=")
    return in_channels // block


@register(
    "haar_unpool", source="Yoo et al., Photorealistic style transfer via wavelet transforms (2019)",
    parameters=_parameters, multiply_adds=_multiply_adds, integer_only=True, dims=(1, 2, 3),
    out_channels=_fewer,
)  # fmt: skip
class HaarUnpool(Upsampler):
    """The inverse Haar transform: averages and details become pixels, exactly those that `haar_pool` took apart.

    **Convention:** without guide_channels x holds the 2**dims bands of every channel side by side, the average (times
    2**(dims / 2)) first. With guide_channels = out_channels x is the average band alone, and the details come from the
    guide, a map of the result's size.
    """

    takes_guide = True
    guide_matches = True

    def __init__(self, shape: Shape) -> None:
        packed = _is_packed(shape)
        super().__init__(shape, project=not packed)
        _check_two(shape)
        if packed and shape.in_channels != shape.out_channels * shape.block:
            why = f"{shape.in_channels} channels hold {shape.block} bands each of {shape.out_channels}"
            raise HalfpixelShapeError(why, f"in_channels={shape.out_channels * shape.block}, or guide_channels=")

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        if guide is not None:
            details = haar(functional.pixel_unshuffle(guide, (2,) * self.dims), self.dims)
            block = 2**self.dims
            bands = details.unflatten(1, (-1, block))
            x = torch.cat([x.unsqueeze(2), bands[:, :, 1:]], 2).flatten(1, 2)
        return functional.pixel_shuffle(haar(x, self.dims), (2,) * self.dims)


@register(
    "haar_pool", kind="downsampler", source="Yoo et al., Photorealistic style transfer via wavelet transforms (2019)",
    parameters=_none, multiply_adds=_none, integer_only=True, dims=(1, 2, 3),
    out_channels=lambda in_channels, block: in_channels * block,
)  # fmt: skip
class HaarPool(Downsampler):
    """The Haar transform: 2**dims bands of every channel side by side, orthonormal; `haar_unpool` is the inverse.

    **Convention:** odd sizes repeat their last sample.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        _check_two(shape)
        if shape.out_channels != shape.in_channels * shape.block:
            why = f"out_channels is {shape.out_channels}, and {shape.in_channels} channels have {shape.block} bands"
            raise HalfpixelShapeError(why, f"out_channels={shape.in_channels * shape.block}")

    def downsample(self, x: Tensor, size: Sizes) -> Tensor:
        """x at size."""
        x = extended(x, [2 * n for n in size])
        return haar(functional.pixel_unshuffle(x, (2,) * self.dims), self.dims)


def haar(x: Tensor, dims: int) -> Tensor:
    """Sums and differences along the axes of a block, whose pixels lie side by side: orthonormal, its own inverse."""
    y = x.unflatten(1, (x.shape[1] // 2**dims, *(2,) * dims))
    for axis in range(2, dims + 2):
        a, b = y.unbind(axis)
        y = torch.stack([a + b, a - b], axis)
    return y.flatten(1, dims + 1) * math.sqrt(0.5) ** dims
