# SPDX-License-Identifier: MIT
"""Linear interpolation, a convolution, and spatial attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError

from ._base import Upsampler, conv
from ._interpolating import linear
from ._registry import Shape, Sizes, register


def _parameters(shape: Shape, kernel_size: int = 3, attention: int = 7) -> int:
    d = shape.dims
    return (shape.in_channels * kernel_size**d + 1) * shape.out_channels + 2 * attention**d


def _multiply_adds(shape: Shape, size: Sizes, kernel_size: int = 3, attention: int = 7) -> int:
    d = shape.dims
    each = shape.in_channels * shape.out_channels * kernel_size**d + 2 * attention**d
    return each * math.prod(shape.grown(size))


@register(
    "hybrid", source="Odena et al. (2016); spatial attention: Woo et al., CBAM (2018)", parameters=_parameters,
    multiply_adds=_multiply_adds, dims=(1, 2, 3),
)  # fmt: skip
class Hybrid(Upsampler):
    """Linear interpolation, a convolution, and a gate per place from the mean and the maximum over its channels.

    **Convention:** y = conv(linear(x)); result y * sigmoid(attention([mean y, max y])). Parameters `conv`, `attention`
    (without bias).
    Options: kernel_size, attention: odd kernels of the two convolutions.
    """

    def __init__(self, shape: Shape, *, kernel_size: int = 3, attention: int = 7) -> None:
        super().__init__(shape)
        for name, k in (("kernel_size", kernel_size), ("attention", attention)):
            if k < 1 or k % 2 == 0:
                raise HalfpixelValueError(f"{name} is {k}", "an odd one, which does not shift")
        self.conv = conv(shape.dims, shape.in_channels, shape.out_channels, kernel_size)
        self.attention = conv(shape.dims, 2, 1, attention, bias=False)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        y = self.conv(linear(x, size))
        told = torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)
        return y * torch.sigmoid(self.attention(told))
