# SPDX-License-Identifier: MIT
"""Super-resolution that refines an interpolated image: two strided convolutions and two upsampling stages."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError
from halfpixel.nn import functional

from ._base import SuperResolver, check_count
from ._reach import Span, through
from ._registry import register
from ._stages import ReflectConv2d, UpStage

_CUBIC = 2  # input pixels to either side that cubic convolution takes


@register(
    "super_resolution", task="super-resolution",
    source="Johnson et al., Perceptual losses (2016); Kim et al., VDSR (2016), for the residual",
)  # fmt: skip
class SuperResolution(SuperResolver):
    """The image by cubic interpolation, plus what an encoder of two strides and two upsampling stages adds to it.

    **Convention:** see `SuperResolver`. The network works on the interpolated image; every stride halves, rounded up.
    Arguments: scale: whole; 1 restores an image without making it bigger. in_channels, out_channels: None: as many.
        channels: of the first maps; each stride doubles them. upsampler: a name of `halfpixel.upsamplers`, without
        guide. options: the upsampler's own.
    Raises: ValueError and TypeError that say what would work.
    Source: Johnson et al. (2016), without residual blocks and normalisation; the sum: Kim et al. (2016).
    Example:
        >>> import torch
        >>> SuperResolution(scale=3, channels=4)(torch.zeros(1, 3, 5, 7)).shape
        torch.Size([1, 3, 15, 21])
    """

    def __init__(
        self, scale: int = 2, in_channels: int = 3, out_channels: int | None = None, channels: int = 32,
        upsampler: str = "pixel_shuffle", **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            dict(scale=scale, in_channels=in_channels, out_channels=out_channels, channels=channels,
                 upsampler=upsampler, **options)
        )  # fmt: skip
        check_count("channels", channels)
        if self.in_channels not in (1, self.out_channels):
            why = f"{self.in_channels} channels cannot be added to {self.out_channels}"
            raise HalfpixelValueError(why, "in_channels=1, or as many as out_channels")
        self.stride = 4 // math.gcd(4, scale)
        self.conv_first = ReflectConv2d(in_channels, channels)
        self.down1 = ReflectConv2d(channels, 2 * channels, 4, 2)
        self.down2 = ReflectConv2d(2 * channels, 4 * channels, 4, 2)
        self.up1 = UpStage(4 * channels, 2 * channels, upsampler, None, options)
        self.up2 = UpStage(2 * channels, channels, upsampler, None, options)
        self.conv_last = ReflectConv2d(channels, self.out_channels)
        # At first the network is the interpolation: what it adds starts at nothing.
        torch.nn.init.zeros_(self.conv_last.weight)
        torch.nn.init.zeros_(self.conv_last.bias)

    def upscale(self, x: Tensor) -> Tensor:
        """x, bigger."""
        relu = torch.nn.functional.relu
        big = self._interpolated(x)
        first = relu(self.conv_first(big))
        half = relu(self.down1(first))
        y = self.up1(relu(self.down2(half)), half.shape[2:])
        return big + self.conv_last(self.up2(y, first.shape[2:]))

    def needs(self, span: Span) -> Span | None:
        """The input pixels of these output pixels."""
        layers = [self.conv_first, self.down1, self.down2, self.up1, self.up2, self.conv_last]
        found = through(layers, span)
        return None if found is None else found.shuffled(self.scale, _CUBIC if self.scale > 1 else 0)

    def _interpolated(self, x: Tensor) -> Tensor:
        if self.scale == 1:
            return x
        size = tuple(n * self.scale for n in x.shape[2:])
        return functional.resize(x, size, filter="cubic", edge="edge", antialias=False)
