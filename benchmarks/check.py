# SPDX-License-Identifier: MIT
"""What must hold before a row is timed: ours and every peer equal the float64 definition. No figure on a red gate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import halfpixel
from halfpixel.testing.cases import Case

# Inputs lie in [0, 1], or in that part of an integer's range. Ours rounds once. A peer may use fixed-point weights and
# round between passes (2 levels of 8 bits, 16 of 16 bits), or take coordinates in float32 (OpenCV, torch), whose error
# grows with the size of the image.
_OURS = {"float64": 1e-12, "float32": 4e-6, "float16": 1e-3, "bfloat16": 8e-3}
_PEER = {"float64": 1e-9, "float32": 5e-4, "float16": 2e-3, "bfloat16": 1.6e-2, "uint16": 16.0}


class WrongResult(Exception):
    """A result is not what the definition says."""


def part(case: Case, x: np.ndarray) -> np.ndarray:
    """The first two channels of the first sample, whole images: enough to judge, small enough for float64."""
    return x if case.layout == "interleaved" else x[:1, :2]


def definition(case: Case, x: np.ndarray) -> Any:
    """`x` resized by the case's bands in float64, unrounded, limited to the range of an integer dtype."""
    bands = halfpixel.plan(case.shape, case.size, **case.options).bands
    y = x.astype(np.float64)
    for axis, band in zip(case.axes, bands, strict=True):
        y = band.apply(y, axis)
    if np.dtype(x.dtype).kind in "iu":
        y = np.clip(y, np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    return y


def ours(case: Case, result: np.ndarray, x: np.ndarray) -> float:
    """The largest difference of our result from the definition.

    Raises:
        WrongResult: it is larger than one rounding explains.
    """
    levels = 2.0 if case.like else 0.5 + 1e-3 if case.dtype == "uint8" else 0.5 + 0.05
    return _judge("halfpixel", part(case, result), definition(case, part(case, x)), _OURS.get(case.dtype, levels))


def peer(case: Case, name: str, edge: str | None, result: np.ndarray, x: np.ndarray) -> float:
    """The largest difference of a peer's result from the definition under the peer's own edge rule.

    Raises:
        WrongResult: the peer computes something else.
    """
    row = replace(case, edge=edge) if edge is not None else case
    return _judge(name, part(case, result), definition(row, part(case, x)), _PEER.get(case.dtype, 2.0))


def preset(case: Case, name: str, result: np.ndarray, mine: np.ndarray) -> None:
    """A row that names a preset promises the peer's result, bit for bit.

    Raises:
        WrongResult: some elements differ.
    """
    different = int((result != mine).sum())
    if case.like is not None and different:
        raise WrongResult(f"{name} and like={case.like!r} differ in {different} elements of {mine.size}")


def _judge(name: str, result: np.ndarray, expected: np.ndarray, tolerance: float) -> float:
    if result.shape != expected.shape:
        raise WrongResult(f"{name} returned shape {result.shape}, the definition has {expected.shape}")
    error = float(np.abs(result.astype(np.float64) - expected).max())
    if not error <= tolerance:
        raise WrongResult(f"{name} is {error:.3g} away from the definition, {tolerance:g} was allowed")
    return float(f"{error:.3g}")
