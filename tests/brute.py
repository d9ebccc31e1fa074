# SPDX-License-Identifier: MIT
"""The weights once more, from the formulas, in slow Python that shares no code with the package."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

HALF = Fraction(1, 2)


def _sinc(x):
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


def _keys(x, a):
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def _bc(x, b, c):
    x = abs(x)
    if x < 1:
        return ((12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b) / 6
    if x < 2:
        return ((-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + 8 * b + 24 * c) / 6
    return 0.0


def _lanczos(n):
    return lambda x: _sinc(x) * _sinc(x / n) if abs(x) < n else 0.0


def _spline(degree):
    """Cox-de Boor by recursion over the degree, centred."""

    def basis(k, x):
        if k == 0:
            return 1.0 if -0.5 < x <= 0.5 else 0.0
        h = (k + 1) / 2
        return ((h + x) * basis(k - 1, x + 0.5) + (h - x) * basis(k - 1, x - 0.5)) / k

    return lambda x: basis(degree, x)


def _mks2013(x):
    x = abs(x)
    if x <= 0.5:
        return 17 / 16 - 7 / 4 * x**2
    if x <= 1.5:
        return (1 - x) * (7 / 4 - x)
    return -((x - 5 / 2) ** 2) / 8 if x <= 2.5 else 0.0


def _mks2021(x):
    x = abs(x)
    if x <= 0.5:
        return 577 / 576 - 239 / 144 * x**2
    if x <= 1.5:
        return (140 * x**2 - 379 * x + 239) / 144
    if x <= 2.5:
        return -(24 * x**2 - 113 * x + 130) / 144
    if x <= 3.5:
        return (4 * x**2 - 27 * x + 45) / 144
    return -((2 * x - 9) ** 2) / 1152 if x <= 4.5 else 0.0


def _i0(x):
    return sum((x / 2) ** (2 * k) / math.factorial(k) ** 2 for k in range(60))


# name: (support, function)
FILTERS = {
    "linear": (1, lambda x: max(1 - abs(x), 0.0)),
    "hermite": (1, lambda x: 2 * abs(x) ** 3 - 3 * x**2 + 1 if abs(x) < 1 else 0.0),
    "hamming": (1, lambda x: _sinc(x) * (0.54 + 0.46 * math.cos(math.pi * x)) if abs(x) < 1 else 0.0),
    "cubic": (2, lambda x: _keys(x, -0.5)),
    "cubic(a=-0.75)": (2, lambda x: _keys(x, -0.75)),
    "catmull-rom": (2, lambda x: _keys(x, -0.5)),
    "mitchell": (2, lambda x: _bc(x, 1 / 3, 1 / 3)),
    "bspline": (2, lambda x: _bc(x, 1, 0)),
    "lanczos2": (2, _lanczos(2)),
    "lanczos3": (3, _lanczos(3)),
    "lanczos4": (4, _lanczos(4)),
    "lanczos5": (5, _lanczos(5)),
    "gaussian": (1.5, lambda x: math.exp(-2 * x * x) if abs(x) < 1.5 else 0.0),
    "kaiser": (
        4,
        lambda x: _sinc(x) * _i0(8 * math.sqrt(1 - (x / 4) ** 2)) / _i0(8) if abs(x) < 4 else 0.0,
    ),
    "mks2013": (2.5, _mks2013),
    "mks2021": (4.5, _mks2021),
    "spline1": (1, _spline(1)),
    "spline2": (1.5, _spline(2)),
    "spline3": (2, _spline(3)),
    "spline4": (2.5, _spline(4)),
    "spline5": (3, _spline(5)),
}


def coordinate(grid, n, m, o, start=Fraction(0), stop=None):
    """The sample point of output o, in index space."""
    stop = Fraction(n) if stop is None else stop
    step = (stop - start) / m
    if grid == "half_pixel" or grid == "half_pixel_symmetric":
        return start + (o + HALF) * step - HALF, step
    if grid == "asymmetric":
        return start + o * step, step
    step = (stop - start - 1) / (m - 1) if m > 1 else Fraction(0)
    return start + o * step, step


def raw_row(name, c, step, antialias):
    """Column -> weight, before the edge: sums to 1."""
    stretch = max(abs(step), Fraction(1)) if antialias else Fraction(1)
    if name == "nearest":
        return {math.floor(c + HALF): 1.0}
    if name in ("box", "spline0"):
        inside = [
            j
            for j in range(math.floor(c - stretch) - 1, math.ceil(c + stretch) + 2)
            if -HALF * stretch < j - c <= HALF * stretch
        ]
        return {j: 1.0 / len(inside) for j in inside}
    if name == "area":
        length = abs(step) or Fraction(1)
        low, high = c + HALF - length / 2, c + HALF + length / 2
        covers = {
            j: min(high, Fraction(j + 1)) - max(low, Fraction(j)) for j in range(math.floor(low), math.ceil(high))
        }
        return {j: float(v / length) for j, v in covers.items() if v > 0}
    support, function = FILTERS[name]
    radius = Fraction(support) * stretch
    taps = [j for j in range(math.floor(c - radius), math.ceil(c + radius) + 1) if abs(j - c) < radius]
    values = {j: function(float((j - c) / stretch)) for j in taps}
    total = sum(values.values())
    return {j: v / total for j, v in values.items()}


def folded(edge, j, n):
    """Where an index outside goes, step by step; None: nowhere."""
    if 0 <= j < n:
        return j
    if edge in ("crop", "zero", "constant"):
        return None
    if edge == "edge":
        return 0 if j < 0 else n - 1
    while not 0 <= j < n:
        if edge == "wrap":
            j = j + n if j < 0 else j - n
        elif edge == "symmetric":
            j = -1 - j if j < 0 else 2 * n - 1 - j
        else:
            if n == 1:
                return 0
            j = -j if j < 0 else 2 * n - 2 - j
    return j


def matrix(name, grid, edge, n, m, antialias=True, start=Fraction(0), stop=None):
    """The dense matrix and what every row lost at the edges."""
    out, lost = np.zeros((m, n)), np.zeros(m)
    for o in range(m):
        c, step = coordinate(grid, n, m, o, start, stop)
        for j, w in raw_row(name, c, step, antialias).items():
            k = folded(edge, j, n)
            if k is None:
                lost[o] += w
            else:
                out[o, k] += w
        if edge == "crop" and lost[o]:
            if abs(out[o].sum()) > 1e-9:
                out[o] /= out[o].sum()
            else:
                out[o, 0 if c < 0 else n - 1] = 1.0
    return out, lost
