# SPDX-License-Identifier: MIT
"""torch.nn's upsampling modules: the same constructors, attributes and text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import functional


class Upsample(torch.nn.Upsample):
    """`torch.nn.Upsample` on halfpixel's kernels, and `antialias=`.

    **Convention:** input (N, C, *spatial), 1 to 3 spatial dimensions; see `functional.interpolate`. No parameters, so
    that checkpoints of either load into the other.
    Arguments: size, scale_factor, mode, align_corners, recompute_scale_factor: as torch's. antialias: stretch the
        filter when shrinking.
    Example:
        >>> import torch
        >>> Upsample(scale_factor=2, mode="bicubic")(torch.ones(1, 3, 4, 4)).shape
        torch.Size([1, 3, 8, 8])
    """

    antialias: bool = False  # of modules that were torch's

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
        antialias: bool = False,
    ) -> None:
        torch.nn.Upsample.__init__(self, size, scale_factor, mode, align_corners, recompute_scale_factor)
        self.antialias = antialias

    def forward(self, input: Tensor) -> Tensor:
        """The input at the module's size."""
        return functional.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor,
            self.antialias,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """torch's text, and antialias where it is on."""
        return super().extra_repr() + (", antialias=True" if self.antialias else "")


class UpsamplingNearest2d(Upsample, torch.nn.UpsamplingNearest2d):
    """`torch.nn.UpsamplingNearest2d`: nearest, of images."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        Upsample.__init__(self, size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample, torch.nn.UpsamplingBilinear2d):
    """`torch.nn.UpsamplingBilinear2d`: bilinear with aligned corners, of images."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        Upsample.__init__(self, size, scale_factor, mode="bilinear", align_corners=True)
