# SPDX-License-Identifier: MIT
"""Cubic convolution."""

from __future__ import annotations

from ._interpolating import Interpolating, projected, projected_adds
from ._registry import Shape, register


@register(
    "cubic", source="Keys, Cubic convolution interpolation for digital image processing (1981)", parameters=projected,
    multiply_adds=projected_adds, dims=(1, 2, 3),
)  # fmt: skip
class Cubic(Interpolating):
    """Cubic convolution, four samples per axis.

    Options: a: the slope; -0.5 reproduces parabolas, -0.75 is torch's bicubic. edge: as in `halfpixel.resize`.
    """

    mode = "cubic"

    def __init__(self, shape: Shape, *, a: float = -0.5, edge: str = "edge") -> None:
        super().__init__(shape, edge, f"cubic(a={a})")
        self.a = a

    def start(self, mode: str) -> str | None:
        """torch's is a = -0.75."""
        if mode == "cubic" and self.a != -0.75:
            return f"a is {self.a}, torch's bicubic has -0.75"
        return super().start(mode)
