# SPDX-License-Identifier: MIT
"""RAFT's convex upsampling."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError
from halfpixel.nn import functional

from ._attending import adds_of, check_window
from ._base import Upsampler, conv
from ._interpolating import projected, projected_adds
from ._registry import Shape, Sizes, register


def _source(shape: Shape) -> int:
    return shape.out_channels if shape.guide_channels is None else shape.guide_channels


def _parameters(shape: Shape, hidden: int = 256, up_kernel: int = 3, **options: Any) -> int:
    return projected(shape) + (_source(shape) * 9 + 1) * hidden + (hidden + 1) * up_kernel**2 * shape.block


def _multiply_adds(shape: Shape, size: Sizes, hidden: int = 256, up_kernel: int = 3, **options: Any) -> int:
    each = _source(shape) * 9 * hidden + hidden * up_kernel**2 * shape.block
    sums = adds_of(shape.out_channels, up_kernel, shape.grown(size))
    return projected_adds(shape, size) + each * math.prod(size) + sums


@register(
    "convex", source="Teed and Deng, RAFT: recurrent all-pairs field transforms for optical flow (2020)",
    parameters=_parameters, multiply_adds=_multiply_adds, integer_only=True,
)  # fmt: skip
class Convex(Upsampler):
    """Every output pixel is a convex combination of the 3 x 3 input pixels around its own, from a mask head.

    **Convention:** parameters `mask.0` (3x3) and `mask.2` (1x1), as RAFT's update block; weights softmax(mask / 4). The
    mask comes from x, or with guide_channels from the guide, which then has x's size (RAFT's hidden state). Zeros
    outside, as published, darken borders; "renorm" and "replicate" are convex there too.
    Options: hidden: width of the head. up_kernel: the window, odd. flow: x are displacements in pixels, which grow with
        the scale: first along x, then along y. padding: "zeros", "renorm", "replicate".
    """

    takes_guide = True
    guide_at_input = True

    def __init__(
        self, shape: Shape, *, hidden: int = 256, up_kernel: int = 3, flow: bool = False, padding: Any = "zeros"
    ) -> None:
        super().__init__(shape, project=True)
        check_window("up_kernel", up_kernel, padding)
        if flow and shape.out_channels != 2:
            raise HalfpixelValueError(f"a flow of {shape.out_channels} channels", "2, along x and along y")
        self.up_kernel, self.flow, self.padding = up_kernel, flow, padding
        self.mask = torch.nn.Sequential(
            conv(2, _source(shape), hidden, 3), torch.nn.ReLU(inplace=True),
            conv(2, hidden, up_kernel**2 * shape.block, 1),
        )  # fmt: skip

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        scores = 0.25 * self.mask(x if guide is None else guide)
        if self.flow:
            x = x * x.new_tensor(self.scale[::-1]).view(1, 2, 1, 1)
        return functional.reassemble(x, scores, self.up_kernel, self.scale, padding=self.padding, softmax=True)
