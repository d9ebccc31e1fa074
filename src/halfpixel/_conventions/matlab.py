# SPDX-License-Identifier: MIT
"""MATLAB's imresize (R2015b and later): symmetric borders, the smaller scale first, integers rounded per dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .kernels import Kernel, kernel
from .line import INTEGERS, Float, Line, Variant, Windows, by_dtype
from .pillow import rounded

_EPS = float(np.finfo(np.float64).eps)


def _lanczos(lobes: int) -> Kernel:
    def function(x: Float) -> Float:
        value = (np.sin(math.pi * x) * np.sin(math.pi * x / lobes) + _EPS) / (math.pi**2 * x**2 / lobes + _EPS)
        return value * (np.abs(x) < lobes)

    return function


# The half-open box lies the other way round than Pillow's.
_OWN: dict[str, Kernel] = {
    "box": lambda x: np.where((x >= -0.5) & (x < 0.5), 1.0, 0.0),
    "lanczos2": _lanczos(2),
    "lanczos3": _lanczos(3),
}


def scale_of(line: Line) -> float:
    """As given, or m / n."""
    return line.n_out / line.n_in if line.kept is None else line.kept


def points(line: Line) -> tuple[Any, Float]:
    """Index space counted from 1: x / scale + (1 - 1 / scale) / 2."""
    scale = scale_of(line)
    return scale, np.arange(1, line.n_out + 1) / scale + 0.5 * (1.0 - 1.0 / scale)


def contributions(line: Line, scale: Any, centre: Float) -> Windows:
    """All taps of the kernel's width, normalised before the border rule moves them."""
    support, function = kernel(line.row.filter)
    function, width = _OWN.get(line.row.filter, function), 2.0 * support
    shrink = scale if line.row.antialias and scale < 1 else 1.0
    width = width / shrink
    left = np.floor(centre - width / 2).astype(np.int64)
    tap = left[:, None] + np.arange(math.ceil(width) + 2)
    weight = shrink * function(shrink * (centre[:, None] - tap))
    return Windows(left - 1, weight / weight.sum(axis=1, keepdims=True))


def ascending_scale(lines: Sequence[Line]) -> tuple[int, ...]:
    """The dimension with the smallest scale first; of equal ones the first."""
    return tuple(sorted(range(len(lines)), key=lambda p: scale_of(lines[p])))


_ROUNDED = {name: rounded(name) for name in INTEGERS}
_SINGLE = dict.fromkeys(("float32", "float16", "bfloat16", "complex64"), Variant(compute="double"))

COORDS = {"matlab": points}
WEIGHTS = {"matlab": contributions}
ROUNDS = {"matlab": by_dtype(Variant(), **_ROUNDED, **_SINGLE)}
ORDERS = {"ascending_scale": ascending_scale}
