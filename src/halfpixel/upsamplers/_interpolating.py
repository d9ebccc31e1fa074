# SPDX-License-Identifier: MIT
"""What the methods without weights share: a resize by a filter, and no parameters but a projection's."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from torch import Tensor

from halfpixel.nn import functional

from ._base import Upsampler
from ._registry import Shape, Sizes


def projected(shape: Shape, **options: Any) -> int:
    """The parameters of a projection, if there is one."""
    return (shape.in_channels + 1) * shape.out_channels if shape.in_channels != shape.out_channels else 0


def projected_adds(shape: Shape, size: Sizes, **options: Any) -> int:
    """The multiply-adds of a projection, if there is one."""
    differ = shape.in_channels != shape.out_channels
    return shape.in_channels * shape.out_channels * math.prod(size) if differ else 0


def linear(x: Tensor, size: Sizes) -> Tensor:
    """x at size, linear with half-pixel coordinates: torch's align_corners=False."""
    return x if tuple(x.shape[2:]) == tuple(size) else functional.resize(x, size, filter="linear", antialias=False)


def nearest(x: Tensor, size: Sizes) -> Tensor:
    """x at size, sample p being that of floor((p + 1/2) * n / m): torch's nearest-exact."""
    return x if tuple(x.shape[2:]) == tuple(size) else functional.resize(x, size, filter="nearest", antialias=False)


def interpolated(x: Tensor, size: Sizes, mode: str) -> Tensor:
    """x at size, by mode "nearest" or "linear"."""
    return nearest(x, size) if mode == "nearest" else linear(x, size)


class Interpolating(Upsampler):
    """A resize by a filter of halfpixel's table."""

    mode: ClassVar[str] = ""

    def __init__(self, shape: Shape, edge: str, filter: str) -> None:
        super().__init__(shape, project=True)
        self.edge, self.filter = edge, filter

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        return functional.resize(x, size, filter=self.filter, edge=self.edge, antialias=False)

    def start(self, mode: str) -> str | None:
        """Without weights it is what it is."""
        if mode == self.mode and (mode == "nearest" or self.edge == "edge"):
            return None
        return super().start(mode)
