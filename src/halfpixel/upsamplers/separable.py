# SPDX-License-Identifier: MIT
"""Depthwise-separable sub-pixel convolution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from halfpixel import nn
from halfpixel.errors import HalfpixelValueError
from halfpixel.nn import functional

from ._base import Upsampler, conv, identity_conv_
from ._registry import Shape, Sizes, register
from .pixel_shuffle import icnr_


def _parameters(shape: Shape, kernel_size: int = 3) -> int:
    c = shape.in_channels
    return c * (kernel_size**shape.dims + 1) + (c + 1) * shape.out_channels * shape.block


def _multiply_adds(shape: Shape, size: Sizes, kernel_size: int = 3) -> int:
    c = shape.in_channels
    return (c * kernel_size**shape.dims + c * shape.out_channels * shape.block) * math.prod(size)


@register(
    "separable", source="Howard et al., MobileNets (2017); Shi et al. (2016)", parameters=_parameters,
    multiply_adds=_multiply_adds, integer_only=True, dims=(1, 2, 3),
)  # fmt: skip
class Separable(Upsampler):
    """A depthwise convolution, a 1x1 convolution to the pixels of a block, and a pixel shuffle.

    **Convention:** parameters `depthwise`, `pointwise`; first weights are equal for a block's pixels.
    Options: kernel_size: odd, of the depthwise convolution.
    """

    def __init__(self, shape: Shape, *, kernel_size: int = 3) -> None:
        super().__init__(shape)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise HalfpixelValueError(f"kernel_size is {kernel_size}", "an odd one, which does not shift")
        c = shape.in_channels
        self.depthwise = conv(shape.dims, c, c, kernel_size, groups=c)
        self.pointwise = conv(shape.dims, c, shape.out_channels * shape.block, 1)
        icnr_(self.pointwise, shape)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        return functional.pixel_shuffle(self.pointwise(self.depthwise(x)), self.scale)

    def start(self, mode: str) -> str | None:
        """Both convolutions copy."""
        if mode != "nearest":
            return super().start(mode)
        with torch.no_grad():
            self.depthwise.weight.zero_()[(..., *(k // 2 for k in self.depthwise.kernel_size))] = 1
        nn.init.icnr_(self.pointwise.weight, self.scale, initializer=identity_conv_)
        torch.nn.init.zeros_(self.depthwise.bias)
        torch.nn.init.zeros_(self.pointwise.bias)
        return None
