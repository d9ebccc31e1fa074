# SPDX-License-Identifier: MIT
"""Grids: where output sample o lies in the input, as an exact rational. A new grid is one row of `TABLE`.

**Convention:** coordinates are in index space (pixel centres at integers). Every grid is affine: c(o) = step * o +
offset with Fractions, so coordinates are held as integer numerators over one denominator and never rounded before
they are split into a whole part (int64) and a remainder (float64 in [0, 1]).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .errors import HalfpixelTypeError, unknown_name

HALF = Fraction(1, 2)
_LIMIT = 1 << 62

Affine = Callable[[Fraction, Fraction, int, Fraction], tuple[Fraction, Fraction]]


@dataclass(frozen=True)
class Grid:
    """A named grid: `affine(start, stop, n_out, step) -> (step, offset)` for the input interval [start, stop) in edge
    units.
    """

    name: str
    affine: Affine
    summary: str
    source: str


def _half_pixel(start: Fraction, stop: Fraction, n_out: int, step: Fraction) -> tuple[Fraction, Fraction]:
    return step, start + step / 2 - HALF


def _align_corners(start: Fraction, stop: Fraction, n_out: int, step: Fraction) -> tuple[Fraction, Fraction]:
    return ((stop - start - 1) / (n_out - 1) if n_out > 1 else Fraction(0)), start


def _asymmetric(start: Fraction, stop: Fraction, n_out: int, step: Fraction) -> tuple[Fraction, Fraction]:
    return step, start


def _half_pixel_symmetric(start: Fraction, stop: Fraction, n_out: int, step: Fraction) -> tuple[Fraction, Fraction]:
    return step, start + step / 2 - HALF + (stop - start - n_out * step) / 2


_ROWS = [
    Grid(
        "half_pixel", _half_pixel, "pixel edges map to pixel edges: (o + 1/2) step - 1/2", "torch, Pillow, OpenCV, JAX"
    ),
    Grid(
        "align_corners",
        _align_corners,
        "first and last centres map onto each other: o (n-1)/(m-1); one sample: the first",
        "torch",
    ),
    Grid("asymmetric", _asymmetric, "first centres map onto each other: o step", "TensorFlow 1, ONNX asymmetric"),
    Grid(
        "half_pixel_symmetric",
        _half_pixel_symmetric,
        "half_pixel, centred when the scale is kept",
        "ONNX 19, ResizeRight",
    ),
]
TABLE: dict[str, Grid] = {row.name: row for row in _ROWS}


def get(name: str | Grid) -> Grid:
    """The grid of that name. Raises: ValueError with the nearest known names."""
    if isinstance(name, Grid):
        return name
    if not isinstance(name, str):
        raise HalfpixelTypeError(f"grid is {name!r}", f"one of {', '.join(TABLE)}")
    if name not in TABLE:
        raise unknown_name("grid", name, TABLE)
    return TABLE[name]


def _split_block(a: int, b: int, d: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    whole, rest = divmod(b, d)
    step_whole, step_rest = divmod(a, d)
    k = np.arange(count, dtype=np.int64)
    carry, rem = np.divmod(step_rest * k + rest, d)
    return whole + step_whole * k + carry, rem / float(d)


def _split_wide(a: int, b: int, d: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    pairs = [divmod(a * k + b, d) for k in range(count)]
    return np.array([p[0] for p in pairs], np.int64), np.array([p[1] / d for p in pairs], np.float64)


def split(step: Fraction, offset: Fraction, i0: int, i1: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Whole part and remainder of c(o) = step * o + offset for o in [i0, i1), exact whatever the sizes.

    Every block of rows starts from Python integers, and is short enough that numerators inside it fit in 63 bits.

    Example:
        >>> split(Fraction(1, 2), Fraction(-1, 4), 2**24 + 1, 2**24 + 2)
        (array([8388608]), array([0.25]))
    """
    d = math.lcm(step.denominator, offset.denominator)
    a, b = int(step * d), int(offset * d)
    block = _LIMIT // d
    if block >= i1 - i0:
        return _split_block(a, a * i0 + b, d, i1 - i0)
    if block < 16:
        return _split_wide(a, a * i0 + b, d, i1 - i0)
    parts = [_split_block(a, a * i + b, d, min(block, i1 - i)) for i in range(i0, i1, block)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
