# SPDX-License-Identifier: MIT
"""Linear interpolation."""

from __future__ import annotations

from ._interpolating import Interpolating, projected, projected_adds
from ._registry import Shape, register


@register(
    "linear", source="torch.nn.functional.interpolate, align_corners=False", parameters=projected,
    multiply_adds=projected_adds, convex=True, dims=(1, 2, 3),
)  # fmt: skip
class Linear(Interpolating):
    """Linear, bilinear, trilinear interpolation.

    Options: edge: what lies outside, as in `halfpixel.resize`.
    """

    mode = "linear"

    def __init__(self, shape: Shape, *, edge: str = "edge") -> None:
        super().__init__(shape, edge, "linear")
