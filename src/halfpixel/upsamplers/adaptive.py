# SPDX-License-Identifier: MIT
"""A transposed convolution for small maps, linear interpolation for large ones, of the same weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel import nn

from ._base import Upsampler
from ._interpolating import linear
from ._registry import Shape, Sizes, reach, register
from .conv_transpose import kernel_of, linear_profile, mixed_linear_

# Up to it a transposed convolution of 64 channels costs as much as the interpolation, at 1024 places twice as much, at
# 4096 three times; of 256 channels it is three times from 64 places on, and six from 1024.
THRESHOLD = 256
_CONV = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}


def _parameters(shape: Shape, **options: Any) -> int:
    return (shape.in_channels * math.prod(kernel_of(shape, None)) + 1) * shape.out_channels


def _multiply_adds(shape: Shape, size: Sizes, threshold: int = THRESHOLD) -> int:
    pairs, kernel = shape.in_channels * shape.out_channels, kernel_of(shape, None)
    if math.prod(size) > threshold:
        return pairs * math.prod(size)
    more = [2 * reach(k, int(s)) for k, s in zip(kernel, shape.scale, strict=True)]
    return pairs * math.prod(kernel) * math.prod(n + m for n, m in zip(size, more, strict=True))


@register(
    "adaptive", source="halfpixel", parameters=_parameters, multiply_adds=_multiply_adds, integer_only=True,
    dims=(1, 2, 3),
)  # fmt: skip
class Adaptive(Upsampler):
    """A transposed convolution for small maps; for large ones a 1x1 convolution and linear interpolation.

    **Convention:** parameter `conv`, one set of weights: the 1x1 convolution's are the mean over a block's pixels of
    what the transposed one's sum to. So both make the same of constant maps, on a block's average, and at first they
    are equal on every map, up to rounding. Borders are repeated.
    Options: threshold: the most places (height times width) of an input that counts as small. Beyond the default
        the transposed convolution costs several times as much; training at one size and running at
        another, set it such that both are on one side.
    """

    def __init__(self, shape: Shape, *, threshold: int = THRESHOLD) -> None:
        super().__init__(shape)
        self.threshold = threshold
        made = getattr(nn, f"ConvTranspose{shape.dims}d")
        self.conv: Any = made(
            shape.in_channels, shape.out_channels, kernel_of(shape, None), shape.scale, padding="same",
            padding_mode="replicate",
        )  # fmt: skip
        mixed_linear_(self.conv.weight, shape.scale)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        if math.prod(x.shape[2:]) <= self.threshold:
            return self.conv(x)
        axes = tuple(range(2, self.dims + 2))
        mean = self.conv.weight.sum(axes, keepdim=True).transpose(0, 1) / self.shape.block
        return linear(_CONV[self.dims](x, mean, self.conv.bias), size)

    def start(self, mode: str) -> str | None:
        """The kernel of linear interpolation, channel by channel."""
        if mode != "linear":
            return super().start(mode)
        with torch.no_grad():
            self.conv.weight.zero_()
            profile = linear_profile(self.conv.weight.shape[2:], self.scale).to(self.conv.weight)
            for i in range(self.in_channels):
                self.conv.weight[i, i] = profile
        torch.nn.init.zeros_(self.conv.bias)
        return None
