# SPDX-License-Identifier: MIT
"""The cheapest learned one: a 1x1 expansion and a shuffle."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from halfpixel.nn import functional

from ._base import Upsampler, conv
from ._registry import Shape, Sizes, register
from .pixel_shuffle import icnr_


def _parameters(shape: Shape) -> int:
    return (shape.in_channels + 1) * shape.out_channels * shape.block


def _multiply_adds(shape: Shape, size: Sizes) -> int:
    return shape.in_channels * shape.out_channels * shape.block * math.prod(size)


@register(
    "lightweight", source="Shi et al. (2016); hard swish: Howard et al., MobileNetV3 (2019)", parameters=_parameters,
    multiply_adds=_multiply_adds, integer_only=True, dims=(1, 2, 3),
)  # fmt: skip
class Lightweight(Upsampler):
    """A 1x1 convolution to the pixels of a block, a pixel shuffle, and hard swish.

    **Convention:** parameter `expand`; first weights are equal for a block's pixels.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.expand = conv(shape.dims, shape.in_channels, shape.out_channels * shape.block, 1)
        icnr_(self.expand, shape)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        return torch.nn.functional.hardswish(functional.pixel_shuffle(self.expand(x), self.scale))
