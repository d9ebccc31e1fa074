# SPDX-License-Identifier: MIT
"""Sub-pixel convolution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel import nn
from halfpixel.errors import HalfpixelValueError
from halfpixel.nn import functional

from ._base import Upsampler, conv, identity_conv_
from ._registry import Shape, Sizes, register

_POOLS = {1: torch.nn.functional.avg_pool1d, 2: torch.nn.functional.avg_pool2d, 3: torch.nn.functional.avg_pool3d}


def _parameters(shape: Shape, kernel_size: int = 3, **options: Any) -> int:
    return (shape.in_channels * kernel_size**shape.dims + 1) * shape.out_channels * shape.block


def _multiply_adds(shape: Shape, size: Sizes, kernel_size: int = 3, **options: Any) -> int:
    return shape.in_channels * kernel_size**shape.dims * shape.out_channels * shape.block * math.prod(size)


@register(
    "pixel_shuffle", source="Shi et al. (2016); ICNR: Aitken et al. (2017); blur: Sugawara et al. (2018)",
    parameters=_parameters, multiply_adds=_multiply_adds, integer_only=True, dims=(1, 2, 3),
)  # fmt: skip
class PixelShuffle(Upsampler):
    """A convolution to the pixels of a block (ICNR: equal at first), a pixel shuffle, and a blur if asked for.

    **Convention:** parameter `conv`, channels in torch's order of pixel_shuffle.
    Options: kernel_size: odd. icnr: the first weights, and biases, of a block's pixels are equal. blur: average twice
        over `scale` pixels, once to either side, so that nothing shifts; what differs from phase to phase averages out.
    """

    def __init__(self, shape: Shape, *, kernel_size: int = 3, icnr: bool = True, blur: bool = False) -> None:
        super().__init__(shape)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise HalfpixelValueError(f"kernel_size is {kernel_size}", "an odd one, which does not shift")
        self.blur = blur
        self.conv = conv(shape.dims, shape.in_channels, shape.out_channels * shape.block, kernel_size)
        if icnr:
            icnr_(self.conv, shape)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        y = functional.pixel_shuffle(self.conv(x), self.scale)
        return blurred(y, self.scale) if self.blur else y

    def start(self, mode: str) -> str | None:
        """Equal pixels of a block, each a copy."""
        if mode != self._mode():
            return f"pixel_shuffle of scale {self.scale}, blur={self.blur} cannot be {mode}"
        nn.init.icnr_(self.conv.weight, self.scale, initializer=identity_conv_)
        torch.nn.init.zeros_(self.conv.bias)
        return None

    def _mode(self) -> str | None:
        if not self.blur:
            return "nearest"
        return "linear" if set(self.scale) <= {1, 2} else None


def icnr_(module: Any, shape: Shape) -> None:
    """A convolution to the pixels of a block: equal weights and biases for all of them."""
    nn.init.icnr_(module.weight, shape.scale, initializer=lambda w: torch.nn.init.kaiming_uniform_(w, a=math.sqrt(5)))
    with torch.no_grad():
        module.bias.copy_(module.bias[:: shape.block].repeat_interleave(shape.block))


def blurred(y: Tensor, scale: Any) -> Tensor:
    """Two averages of `scale` samples, edges repeated: symmetric, so that no pixel moves."""
    pads = [p for s in reversed(scale) for p in (int(s) - 1,) * 2]
    y = torch.nn.functional.pad(y, pads, mode="replicate")
    pool = _POOLS[y.dim() - 2]
    return pool(pool(y, scale, 1), scale, 1)
