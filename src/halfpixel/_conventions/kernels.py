# SPDX-License-Identifier: MIT
"""Filter kernels in the order of operations that Pillow, torch and MATLAB share.

Where integer weights or rounding between passes follow, the last bit of a weight decides ties: so these are the
libraries' own expressions, and sines come from the C library, not from NumPy's vectorised ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfpixel import filters

Float = NDArray[Any]
Kernel = Callable[[Float], Float]


def _sin(x: Float) -> Float:
    return np.fromiter(map(math.sin, x.ravel()), np.float64, x.size).reshape(x.shape)


def _cos(x: Float) -> Float:
    return np.fromiter(map(math.cos, x.ravel()), np.float64, x.size).reshape(x.shape)


def _sinc(x: Float) -> Float:
    y = x * math.pi
    return np.where(y == 0, 1.0, _sin(y) / np.where(y == 0, 1.0, y))


def linear(x: Float) -> Float:
    x = np.abs(x)
    return np.where(x < 1.0, 1.0 - x, 0.0)


def box(x: Float) -> Float:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def keys(a: float) -> Kernel:
    def kernel(x: Float) -> Float:
        x = np.abs(x)
        near, far = ((a + 2.0) * x - (a + 3.0)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
        return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))

    return kernel


# The two constants of the window are single-precision literals.
_HAMMING = float(np.float32(0.54)), float(np.float32(0.46))


def hamming(x: Float) -> Float:
    x = np.abs(x)
    window = _HAMMING[0] + _HAMMING[1] * _cos(x * math.pi)
    return np.where(x == 0.0, 1.0, np.where(x < 1.0, _sinc(x) * window, 0.0))


def lanczos3(x: Float) -> Float:
    return np.where((x >= -3.0) & (x < 3.0), _sinc(x) * _sinc(x / 3), 0.0)


def mks2021(x: Float) -> Float:
    x = np.abs(x)
    pieces = (
        577.0 / 576.0 - 239.0 / 144.0 * x * x,
        35.0 / 36.0 * (x - 1.0) * (x - 239.0 / 140.0),
        1.0 / 6.0 * (x - 2.0) * (65.0 / 24.0 - x),
        1.0 / 36.0 * (x - 3.0) * (x - 15.0 / 4.0),
        -1.0 / 288.0 * (x - 4.5) * (x - 4.5),
    )
    return np.select([x < k + 0.5 for k in range(5)], pieces, 0.0)


_OWN: dict[str, Kernel] = {
    "box": box,
    "linear": linear,
    "hamming": hamming,
    "cubic": keys(-0.5),
    "cubic(a=-0.75)": keys(-0.75),
    "lanczos3": lanczos3,
    "mks2021": mks2021,
}


def kernel(name: str) -> tuple[float, Kernel]:
    """Support and function of the filter of that name."""
    found = filters.get(name)
    return found.support, _OWN.get(name, found)
