# SPDX-License-Identifier: MIT
"""Windowed sinc."""

from __future__ import annotations

from halfpixel.errors import HalfpixelValueError

from ._interpolating import Interpolating, projected, projected_adds
from ._registry import Shape, register


@register(
    "lanczos", source="Duchon, Lanczos filtering in one and two dimensions (1979)", parameters=projected,
    multiply_adds=projected_adds, dims=(1, 2, 3),
)  # fmt: skip
class Lanczos(Interpolating):
    """Lanczos' windowed sinc, 2 * lobes samples per axis.

    Options: lobes: 2 to 5. edge: as in `halfpixel.resize`.
    """

    def __init__(self, shape: Shape, *, lobes: int = 3, edge: str = "edge") -> None:
        if lobes not in (2, 3, 4, 5):
            raise HalfpixelValueError(f"lobes is {lobes!r}", "2, 3, 4 or 5")
        super().__init__(shape, edge, f"lanczos{lobes}")
