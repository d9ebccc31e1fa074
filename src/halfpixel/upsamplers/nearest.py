# SPDX-License-Identifier: MIT
"""Nearest neighbours."""

from __future__ import annotations

from ._interpolating import Interpolating, projected, projected_adds
from ._registry import Shape, register


@register(
    "nearest", source="torch.nn.functional.interpolate, nearest-exact", parameters=projected,
    multiply_adds=projected_adds, convex=True, dims=(1, 2, 3),
)  # fmt: skip
class Nearest(Interpolating):
    """Every sample is repeated; at any ratio the one at floor((p + 1/2) n / m)."""

    mode = "nearest"

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, "edge", "nearest")
