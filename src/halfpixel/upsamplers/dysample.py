# SPDX-License-Identifier: MIT
"""DySample: every output pixel samples the input at a learned offset."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError, unknown_name
from halfpixel.nn import functional

from ._attending import check_groups
from ._base import Upsampler, conv
from ._interpolating import projected, projected_adds
from ._registry import Shape, Sizes, register

_STYLES = ("lp", "pl")


def _widths(shape: Shape, style: str, groups: int) -> tuple[int, int]:
    """Channels into and out of the offsets' convolution."""
    if style == "pl":
        return shape.out_channels // shape.block, 2 * groups
    return shape.out_channels, 2 * groups * shape.block


def _parameters(shape: Shape, style: str = "lp", groups: int = 4, dyscope: bool = False) -> int:
    a, b = _widths(shape, style, groups)
    return projected(shape) + (a + 1) * b + (a * b if dyscope else 0)


def _multiply_adds(shape: Shape, size: Sizes, style: str = "lp", groups: int = 4, dyscope: bool = False) -> int:
    a, b = _widths(shape, style, groups)
    large = math.prod(shape.grown(size))
    convolved = a * b * (large if style == "pl" else math.prod(size)) * (2 if dyscope else 1)
    return projected_adds(shape, size) + convolved + 4 * shape.out_channels * large


@register(
    "dysample", source="Liu et al., Learning to upsample by learning to sample (2023)", parameters=_parameters,
    multiply_adds=_multiply_adds, convex=True, integer_only=True,
)  # fmt: skip
class DySample(Upsampler):
    """Bilinear samples at learned offsets from the half-pixel grid; without offsets, bilinear interpolation.

    **Convention:** names as published: `offset`, `scope` (with dyscope), buffer `init_pos`, the grid's positions
    within a pixel. Offsets are a quarter of what the convolution says, or half of it times a sigmoid of the scope.
    Samples beyond the border are the border's. Positions are float32 or better, whatever the features' dtype.
    Options: style: "lp" (a convolution at the low resolution, 2 * groups * scale**2 outputs) or "pl" (of the shuffled
        features, whose channels divide by scale**2). groups: of channels that share offsets; the paper has 4, with "pl"
        8. dyscope: the dynamic scope.
    """

    def __init__(self, shape: Shape, *, style: str = "lp", groups: int = 4, dyscope: bool = False) -> None:
        super().__init__(shape, project=True)
        if style not in _STYLES:
            raise unknown_name("style", style, _STYLES)
        if len(set(shape.scale)) > 1:
            raise HalfpixelValueError(f"the scale is {shape.scale}", "one for both axes")
        check_groups(shape.out_channels, groups)
        if style == "pl" and shape.out_channels % shape.block:
            why = f"{shape.out_channels} channels are not divisible by {shape.block}, the pixels of a block"
            raise HalfpixelValueError(why, "style='lp', or a multiple")
        self.style, self.groups, self.dyscope = style, groups, dyscope
        a, b = _widths(shape, style, groups)
        self.offset = conv(2, a, b, 1)
        torch.nn.init.normal_(self.offset.weight, std=0.001)
        torch.nn.init.zeros_(self.offset.bias)
        if dyscope:
            self.scope: Any = conv(2, a, b, 1, bias=False)
            torch.nn.init.zeros_(self.scope.weight)
        s = int(shape.scale[0])
        at = (torch.arange(s, dtype=torch.float32) - (s - 1) / 2) / s
        y, x = torch.meshgrid(at, at, indexing="ij")
        self.register_buffer("init_pos", torch.stack([x, y])[:, None].repeat(1, groups, 1, 1).reshape(1, -1, 1, 1))

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        return functional.sample_offsets(x, self.offsets(x), int(self.scale[0]), self.groups)

    def offsets(self, x: Tensor) -> Tensor:
        """How far from the half-pixel grid each output samples, in input pixels, x before y, then the group.

        Returns: (N, 2 * groups * scale**2, h, w), the place in a block last; with style "pl" (N, 2 * groups, *size).
        """
        features = functional.pixel_shuffle(x, self.scale) if self.style == "pl" else x
        told = self.offset(features)
        return told * torch.sigmoid(self.scope(features)) * 0.5 if self.dyscope else told * 0.25

    def start(self, mode: str) -> str | None:
        """Offsets of zero are bilinear interpolation."""
        if mode != "linear":
            return super().start(mode)
        torch.nn.init.zeros_(self.offset.weight)
        torch.nn.init.zeros_(self.offset.bias)
        return None
