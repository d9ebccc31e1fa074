# SPDX-License-Identifier: MIT
"""What must hold before a row is timed: ours and every peer equal the float64 definition. No figure on a red gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

import halfpixel
from halfpixel.testing.cases import Case

# Inputs lie in [0, 1], or in that part of an integer's range. Ours rounds once. A peer may use fixed-point weights and
# round between passes (2 levels of 8 bits, 16 of 16 bits), or take coordinates in float32 (OpenCV, torch), whose error
# grows with the size of the image.
_OURS = {"float64": 1e-12, "float32": 4e-6, "float16": 1e-3, "bfloat16": 8e-3}
_PEER = {"float64": 1e-9, "float32": 5e-4, "float16": 2e-3, "bfloat16": 1.6e-2, "uint16": 16.0}


_SLAB = 1 << 24  # input elements


class WrongResult(Exception):
    """A result is not what the definition says."""


def part(case: Case, x: np.ndarray) -> np.ndarray:
    """The first two channels of the first sample, whole images: enough to judge, small enough for float64."""
    return x if case.layout == "interleaved" else x[:1, :2]


def definition(case: Case, x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """`x` resized by the case's bands in float64, unrounded, limited to the range of an integer dtype: in slabs along
    the first resampled axis, small beside a large picture.
    """
    first, *others = halfpixel.plan(case.shape, case.size, **case.options).bands
    step = max(1, _SLAB * first.n_out // max(x.size, 1))
    for begin in range(0, first.n_out, step):
        end = min(begin + step, first.n_out)
        window, band = first.rows(begin, end)
        y = band.apply(_along(x, case.axes[0], window).astype(np.float64), case.axes[0])
        for axis, band in zip(case.axes[1:], others, strict=True):
            y = band.apply(y, axis)
        if x.dtype.kind in "iu":
            y = np.clip(y, np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
        yield slice(begin, end), y


def _along(x: np.ndarray, axis: int, window: slice) -> np.ndarray:
    return x[(slice(None),) * (axis % x.ndim) + (window,)]


def ours(case: Case, result: np.ndarray, x: np.ndarray) -> float:
    """The largest difference of our result from the definition.

    Raises:
        WrongResult: it is larger than one rounding explains.
    """
    levels = 2.0 if case.like else 0.5 + 1e-3 if case.dtype == "uint8" else 0.5 + 0.05
    return _judge("halfpixel", case, part(case, result), part(case, x), _OURS.get(case.dtype, levels))


def peer(case: Case, name: str, edge: str | None, result: np.ndarray, x: np.ndarray) -> float:
    """The largest difference of a peer's result from the definition under the peer's own edge rule.

    Raises:
        WrongResult: the peer computes something else.
    """
    row = replace(case, edge=edge) if edge is not None else case
    return _judge(name, row, part(case, result), part(case, x), _PEER.get(case.dtype, 2.0))


def preset(case: Case, name: str, result: np.ndarray, mine: np.ndarray) -> None:
    """A row that names a preset promises the peer's result, bit for bit.

    Raises:
        WrongResult: some elements differ.
    """
    different = int((result != mine).sum())
    if case.like is not None and different:
        raise WrongResult(f"{name} and like={case.like!r} differ in {different} elements of {mine.size}")


def _judge(name: str, case: Case, result: np.ndarray, x: np.ndarray, tolerance: float) -> float:
    want = tuple(dict(zip(case.axes, case.size, strict=True)).get(axis, n) for axis, n in enumerate(x.shape))
    if result.shape != want:
        raise WrongResult(f"{name} returned shape {result.shape}, the definition has {want}")
    error = 0.0
    for window, expected in definition(case, x):
        error = max(float(np.abs(_along(result, case.axes[0], window).astype(np.float64) - expected).max()), error)
        if not error <= tolerance:
            raise WrongResult(f"{name} is {error:.3g} away from the definition, {tolerance:g} was allowed")
    return float(f"{error:.3g}")
