# SPDX-License-Identifier: MIT
"""How large the output shall be, said once for pictures of any size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from halfpixel import _sizes
from halfpixel.errors import HalfpixelValueError

Size = tuple[int, int]


@dataclass(frozen=True)
class SizeRule:
    """Exactly one way of saying a size; ``width`` and ``height`` may stand together.

    **Convention:** pixels, as seen after EXIF orientation; lengths round half up, 1 at least; ``size`` and ``fit`` are
    (width, height) as the command line writes them. ``fit`` keeps the aspect and is met on one side at least;
    ``megapixels`` keeps it too.
    Raises: ValueError when none or several ways are given, or a number is not above 0.

    >>> SizeRule(fit=(100, 100)).of((300, 400))
    (75, 100)
    """

    scale: Fraction | None = None
    size: tuple[int, int] | None = None
    width: int | None = None
    height: int | None = None
    fit: tuple[int, int] | None = None
    megapixels: float | None = None

    def __post_init__(self) -> None:
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) != 1 and given != ["width", "height"]:
            why = f"{' and '.join(given)} were given" if given else "no size was given"
            raise HalfpixelValueError(why, "one of scale, size, width, height, width and height, fit, megapixels")
        if self.scale is not None:
            _sizes.check_scale(self.scale)
        for name in given:
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if not all(math.isfinite(number) and number > 0 for number in numbers):
                raise HalfpixelValueError(f"{name} is {value}", "numbers above 0")

    def arguments(self, size: Size) -> Mapping[str, Any]:
        """What `halfpixel.plan` is told for an input of ``size``: a scale stays a scale, as presets mind."""
        return {"scale": (self.scale, self.scale)} if self.scale is not None else {"size": self.of(size)}

    def of(self, size: Size) -> Size:
        """(height, width) of the output for an input of (height, width)."""
        height, width = size
        if self.size is not None:
            return self.size[1], self.size[0]
        if self.width is not None and self.height is not None:
            return self.height, self.width
        if self.width is not None:
            return _length(height, Fraction(self.width, width)), self.width
        if self.height is not None:
            return self.height, _length(width, Fraction(self.height, height))
        ratio = self._ratio(height, width)
        return _length(height, ratio), _length(width, ratio)

    def _ratio(self, height: int, width: int) -> Fraction:
        if self.scale is not None:
            return self.scale
        if self.fit is not None:
            return min(Fraction(self.fit[0], width), Fraction(self.fit[1], height))
        return Fraction(math.sqrt((self.megapixels or 0) * 1e6 / (height * width)))


def _length(n: int, ratio: Fraction) -> int:
    return max(1, _sizes.scaled(Fraction(n), ratio, "round"))
