# SPDX-License-Identifier: MIT
"""cv2.resize, as OpenCV's own code computes it (IPP off).

Coordinates are doubles rounded to float32, weights float32. uint8 has integer weights: the pass along the row keeps
all bits, the pass down the columns rounds. The last axis is the row; a single axis is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .line import Float, Index, Line, Windows
from .windows import selected

Single = np.float32


def step_of(line: Line) -> float:
    """1 / (m / n), or 1 / scale where it is kept: two roundings, not one."""
    return 1.0 / (line.n_out / line.n_in if line.kept is None else line.kept)


def doubles(line: Line) -> tuple[Any, Float]:
    """Index space, double."""
    step = step_of(line)
    return step, (np.arange(line.n_out) + 0.5) * step - 0.5


def points(line: Line) -> tuple[Any, Float]:
    """Index space, double, rounded to float32."""
    step, centre = doubles(line)
    return step, centre.astype(Single)


def corners(line: Line) -> tuple[Any, Float]:
    """o * step in double."""
    step = step_of(line)
    return step, np.arange(line.n_out) * step


def fixed_point(line: Line, step: Any, centre: Float) -> Windows:
    """NEAREST_EXACT of OpenCV 4: the step and the coordinate with 16 fractional bits."""
    n, m = line.n_in, line.n_out
    unit = ((n << 16) + m // 2) // m
    index = (unit * np.arange(m, dtype=np.int64) + unit // 2 - n % 2) >> 16
    return selected(np.minimum(index, n - 1))


def _split(centre: Float) -> tuple[Index, Float]:
    first = np.floor(centre)
    return first.astype(np.int64), centre - first


def _snapped(line: Line, first: Index, part: Float) -> tuple[Index, Float]:
    """Coordinates before the first or beyond the last sample become that sample."""
    outside = (first < 0) | (first >= line.n_in - 1)
    return np.clip(first, 0, line.n_in - 1), np.where(outside, part.dtype.type(0), part)


def _pair(line: Line, first: Index, part: Float) -> Windows:
    """Two taps. Only the row is snapped: a column keeps both taps at its ends, and integer rounding shows it."""
    if line.is_last:
        first, part = _snapped(line, first, part)
    return Windows(first, np.stack([1 - part, part], axis=1))


def two_taps(line: Line, step: Any, centre: Float) -> Windows:
    """Linear."""
    return _pair(line, *_split(centre))


def area_taps(line: Line, step: Any, centre: Float) -> Windows:
    """AREA where an axis grows: two taps, the second weighing the overlap with the next sample."""
    o = np.arange(line.n_out)
    first = np.floor(o * step).astype(np.int64)
    part = ((o + 1) - (first + 1) * (1.0 / step)).astype(Single)
    return _pair(line, first, np.where(part <= 0, Single(0), part - np.floor(part)))


def _exact_taps(bits: int) -> Any:
    def taps(line: Line, step: Any, centre: Float) -> Windows:
        first, part = _snapped(line, *_split(centre))
        part = np.rint(part * (1 << bits)) / (1 << bits)
        return Windows(first, np.stack([1 - part, part], axis=1))

    return taps


def four_taps(line: Line, step: Any, centre: Float) -> Windows:
    """Cubic convolution, a = -0.75; the fourth weight is what the others leave of 1."""
    first, x = _split(centre)
    a, y = Single(-0.75), 1 - x
    before = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a
    here = ((a + 2) * x - (a + 3)) * x * x + 1
    after = ((a + 2) * y - (a + 3)) * y * y + 1
    return Windows(first - 1, np.stack([before, here, after, 1 - before - here - after], axis=1))


_EIGHTH = math.sqrt(0.5)
_SINES = np.array([1, -_EIGHTH, 0, _EIGHTH, -1, _EIGHTH, 0, -_EIGHTH])
_COSINES = np.array([0, -_EIGHTH, 1, -_EIGHTH, 0, _EIGHTH, -1, _EIGHTH])


def eight_taps(line: Line, step: Any, centre: Float) -> Windows:
    """Lanczos of four lobes: one sine and cosine per row, turned by eighths of a circle, over the squared distance."""
    first, x = _split(centre)
    ahead = x + Single(3)
    angle = -ahead.astype(np.float64) * math.pi * 0.25
    distance = ahead[:, None] - np.arange(8, dtype=Single)
    y = -distance.astype(np.float64) * math.pi * 0.25
    wave = _SINES * np.sin(angle)[:, None] + _COSINES * np.cos(angle)[:, None]
    on_sample = np.abs(distance) < Single(1e-6)
    weight = np.where(on_sample, Single(1e30), (wave / np.where(on_sample, 1.0, y * y)).astype(Single))
    return Windows(first - 3, weight * (Single(1) / np.cumsum(weight, axis=1, dtype=Single)[:, -1:]))


def cells(line: Line, step: Any, centre: Float) -> Windows:
    """AREA where both axes shrink: overlaps with [o s, (o + 1) s) over its length, slivers up to 1e-3 left out."""
    low, n = np.arange(line.n_out) * step, line.n_in
    high, length = low + step, np.minimum(step, n - low)
    last = np.minimum(np.floor(high).astype(np.int64), n - 1)
    whole = np.minimum(np.ceil(low).astype(np.int64), last)
    head, tail = whole - low, high - last
    tap = (whole - 1)[:, None] + np.arange(int((last - whole).max()) + 2)
    weight = np.where((tap >= whole[:, None]) & (tap < last[:, None]), (1.0 / length)[:, None], 0.0)
    weight[:, 0] = np.where(head > 1e-3, head / length, 0.0)
    ends = np.where(tail > 1e-3, np.minimum(np.minimum(tail, 1.0), length) / length, 0.0)
    np.put_along_axis(weight, (last - whole + 1)[:, None], ends[:, None], axis=1)
    return Windows(whole - 1, weight.astype(Single))


def blocks(line: Line, step: Any, centre: Float) -> Windows:
    """AREA by whole factors: every sample of the block, with weight 1; the last pass divides."""
    factor = round(step)
    tap = np.arange(line.n_out, dtype=np.int64)[:, None] * factor + np.arange(factor)
    weight = (tap < line.n_in).astype(np.float64)
    # A ragged last block, which only a kept scale makes, counts its samples up to a whole one.
    return Windows(tap[:, 0], weight * (factor / np.maximum(weight.sum(axis=1, keepdims=True), 1)))


def _steps(lines: Sequence[Line]) -> list[float]:
    return [step_of(line) for line in lines]


def halves(lines: Sequence[Line]) -> bool:
    """Half the size along both axes: LINEAR is redirected to AREA, and integers round halves upwards."""
    return len(lines) == 2 and _steps(lines) == [2.0, 2.0]


def enlarges(lines: Sequence[Line]) -> bool:
    """An axis grows."""
    return any(step < 1.0 for step in _steps(lines))


def divides(lines: Sequence[Line]) -> bool:
    """Whole factors along every axis."""
    return all(abs(step - round(step)) < 2.0**-52 for step in _steps(lines))


COORDS = {"opencv": points, "opencv.double": doubles, "opencv.corners": corners}
WEIGHTS = {
    "opencv.two_taps": two_taps,
    "opencv.four_taps": four_taps,
    "opencv.eight_taps": eight_taps,
    "opencv.exact8": _exact_taps(8),
    "opencv.exact16": _exact_taps(16),
    "opencv.area_taps": area_taps,
    "opencv.cells": cells,
    "opencv.blocks": blocks,
    "opencv.fixed_point": fixed_point,
}
ROUTES = {"halves": halves, "enlarges": enlarges, "divides": divides}
