# SPDX-License-Identifier: MIT
"""How much each sample of an axis weighs in an output, in whole numbers: windows for label maps.

**Convention:** a label wins by comparison, so a factor common to a whole output changes nothing: weights are not
normalised, and rational coordinates make them integers. Samples outside the axis have no weight; an output that sees
none inside takes the border sample.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import grids
from ._axis import Axis

Whole = NDArray[Any]  # int64, or Python integers where those may overflow
Windows = tuple[Whole, Whole]

_BITS = 62  # of the largest sum over a window of all axes


class Votes(NamedTuple):
    """Output o reads `sample[first[o]:first[o + 1]]` (ascending, without gaps) with those `weight`s, all positive."""

    first: NDArray[np.int64]
    sample: NDArray[np.int64]
    weight: NDArray[np.int64]


def _places(axis: Axis, offset: Fraction, unit: int) -> Whole:
    """step * o + offset for every output, in units of 1 / unit."""
    a, b, n = int(axis.step * unit), int(offset * unit), axis.n_out
    large = max(abs(a) * n + abs(b), unit * (axis.n_in + n)) >= 1 << 60
    return a * np.arange(n, dtype=object if large else np.int64) + b


def _nearest(axis: Axis) -> Windows:
    """One sample, the nearest; of two the higher."""
    offset = axis.offset + grids.HALF
    unit = math.lcm(axis.step.denominator, offset.denominator)
    first = _places(axis, offset, unit) // unit
    return first, np.ones((axis.n_out, 1), first.dtype)


def _linear(axis: Axis) -> Windows:
    """stretch - |j - c|."""
    stretch = axis.stretch
    unit = math.lcm(axis.step.denominator, axis.offset.denominator, stretch.denominator)
    c, radius = _places(axis, axis.offset, unit), int(stretch * unit)
    first = (c - radius) // unit + 1
    j = first[:, None] + np.arange(max(math.ceil(2 * stretch), 1))
    return first, np.maximum(radius - abs(j * unit - c[:, None]), 0)


def _majority(axis: Axis) -> Windows:
    """How much of pixel [j, j + 1) the output pixel covers, where the axis shrinks; the nearest sample elsewhere."""
    if axis.step <= 1:
        return _nearest(axis)
    low = axis.offset + grids.HALF - axis.step / 2
    unit = math.lcm(axis.step.denominator, low.denominator)
    begin, length = _places(axis, low, unit), int(axis.step * unit)
    first = begin // unit
    j = first[:, None] + np.arange(math.ceil(axis.step) + 1)
    cover = np.minimum((begin + length)[:, None], (j + 1) * unit) - np.maximum(begin[:, None], j * unit)
    return first, np.maximum(cover, 0)


RULES: dict[str, Callable[[Axis], Windows]] = {"nearest": _nearest, "linear": _linear, "majority": _majority}


@functools.lru_cache(maxsize=256)
def _windows(axis: Axis, method: str) -> tuple[Whole, Whole, int]:
    """First samples, weights without a common divisor, and the largest sum of an output's weights."""
    first, weight = RULES[method](axis)
    j = first[:, None] + np.arange(weight.shape[1])
    weight = np.where((j >= 0) & (j < axis.n_in), weight, 0)
    lost = ~(weight > 0).any(axis=1)
    first = np.where(lost, np.clip(first, 0, axis.n_in - 1), first)
    weight[lost] = 0
    weight[lost, 0] = 1
    weight = weight // np.gcd.reduce(weight, axis=1, keepdims=True)
    return first, weight, int(weight.sum(axis=1).max())


def _fitted(weight: Whole, total: int, bits: int) -> Whole:
    """The same, each output's sum rounded to about 2**bits where that is less; no weight becomes 0."""
    if total < 1 << bits:
        return weight
    exact = weight.astype(object)
    scaled = ((exact << (bits + 1)) // exact.sum(axis=1, keepdims=True) + 1) >> 1
    return np.where(weight > 0, np.maximum(scaled, 1), 0)


def votes(axes: Sequence[Axis], method: str) -> list[Votes]:
    """The windows of every axis. The sum over a window of all axes fits in 63 bits.

    Where exact weights do not fit, those of axes whose sums are long are rounded to 2**(62 / axes - 1) parts of it.

    Example:
        >>> from halfpixel import edges, filters
        >>> axis = Axis(2, 4, Fraction(1, 2), Fraction(-1, 4), filters.get("linear"), edges.get("crop"))
        >>> [v.tolist() for v in votes([axis], "linear")[0]]
        [[0, 1, 3, 5, 6], [0, 0, 1, 0, 1, 1], [1, 3, 1, 1, 3, 1]]
    """
    found = [_windows(axis, method) for axis in axes]
    exact = math.prod(total for *_, total in found) < 1 << _BITS
    bits = _BITS if exact else _BITS // len(found) - 1
    return [_listed(first, _fitted(weight, total, bits)) for first, weight, total in found]


def _listed(first: Whole, weight: Whole) -> Votes:
    used = weight > 0
    index = (first[:, None] + np.arange(weight.shape[1]))[used]
    ends = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    return Votes(ends.astype(np.int64), index.astype(np.int64), weight[used].astype(np.int64))
