# SPDX-License-Identifier: MIT
"""The published ends of networks: convolutions to the pixels of a block, and pixel shuffles."""

from __future__ import annotations

import math
from typing import Any

import torch

from halfpixel.errors import HalfpixelValueError
from halfpixel.nn import PixelShuffle
from halfpixel.upsamplers import Shape
from halfpixel.upsamplers.pixel_shuffle import icnr_

from ._base import upsampler_of


def sub_pixel(in_channels: int, out_channels: int, scale: int) -> torch.nn.Sequential:
    """A 3x3 convolution and a pixel shuffle; at first equal for all pixels of a block, so that no checkerboard shows.

    **Convention:** keys `0.weight` and `0.bias`, channels in torch's order.
    """
    conv = torch.nn.Conv2d(in_channels, out_channels * scale**2, 3, padding=1)
    icnr_(conv, Shape(in_channels, out_channels, (scale, scale), None, 2))
    return torch.nn.Sequential(conv, PixelShuffle(scale))


def factors(scale: int, name: str) -> list[int]:
    """The steps to a scale: twos, or one three.

    Raises: ValueError for other scales.
    """
    if scale == 3:
        return [3]
    if scale & (scale - 1):
        raise HalfpixelValueError(f"{name} has no tail for scale={scale}", "3, or a power of two; or upsampler=")
    return [2] * int(math.log2(scale))


def stepped(channels: int, scale: int, upsampler: str | None, options: dict[str, Any], name: str) -> Any:
    """Steps of two, or one of three, each a sub-pixel convolution; or the upsampler of a name, once.

    **Convention:** keys of published steps `0.weight`, `2.weight`, ...
    """
    if upsampler is not None:
        return upsampler_of(upsampler, channels, channels, scale, options)
    steps = [layer for step in factors(scale, name) for layer in sub_pixel(channels, channels, step)]
    return torch.nn.Sequential(*steps)
