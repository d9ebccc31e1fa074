# SPDX-License-Identifier: MIT
"""U-Net's up-convolution: a transposed convolution without overlap, or interpolation and a 1x1 convolution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel import nn
from halfpixel.errors import unknown_name

from ._base import Upsampler, conv, identity_conv_
from ._interpolating import interpolated
from ._registry import Shape, Sizes, checked_whole, register

_MODES = ("transposed", "nearest", "linear")


def _parameters(shape: Shape, mode: str = "transposed") -> int:
    taps = shape.block if mode == "transposed" else 1
    return (shape.in_channels * taps + 1) * shape.out_channels


def _multiply_adds(shape: Shape, size: Sizes, mode: str = "transposed") -> int:
    taps = shape.block if mode == "transposed" else 1
    return shape.in_channels * shape.out_channels * taps * math.prod(size)


@register(
    "upconv", source="Ronneberger et al., U-Net (2015)", parameters=_parameters, multiply_adds=_multiply_adds,
    integer_only=True, dims=(1, 2, 3),
)  # fmt: skip
class UpConv(Upsampler):
    """A transposed convolution with kernel = stride = scale, or interpolation and a 1x1 convolution.

    **Convention:** parameter `conv`. A 1x1 convolution commutes with interpolation, so it runs first, at the low
    resolution: the same numbers, scale**dims times cheaper.
    Options: mode: "transposed"; or "nearest" or "linear", which take any scale and size.
    """

    def __init__(self, shape: Shape, *, mode: str = "transposed") -> None:
        super().__init__(shape)
        if mode not in _MODES:
            raise unknown_name("mode", mode, _MODES)
        self.mode, self.integer_only = mode, mode == "transposed"
        if mode == "transposed":
            checked_whole(shape, "mode 'transposed'")
            made = getattr(nn, f"ConvTranspose{shape.dims}d")
            self.conv: Any = made(shape.in_channels, shape.out_channels, shape.scale, shape.scale)
        else:
            self.conv = conv(shape.dims, shape.in_channels, shape.out_channels, 1)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        y = self.conv(x)
        return y if self.mode == "transposed" else interpolated(y, size, self.mode)

    def start(self, mode: str) -> str | None:
        """Weights that copy."""
        if mode != ("nearest" if self.mode == "transposed" else self.mode):
            return f"upconv in mode {self.mode!r} cannot be {mode}"
        if self.mode == "transposed":
            nn.init.identity_(self.conv.weight, self.scale)
        else:
            identity_conv_(self.conv.weight)
        torch.nn.init.zeros_(self.conv.bias)
        return None
