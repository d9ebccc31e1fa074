# SPDX-License-Identifier: MIT
"""Edges: what stands outside the input. A new edge rule is one row of `TABLE`.

**Convention:** `fold` maps any index to one inside [0, n), and the weight of a tap moves with it; without `fold` taps
outside are dropped. `renormalise` divides what is left by its sum; `fills` adds fill * (weight dropped).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import HalfpixelTypeError, unknown_name

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Edge:
    """A named edge rule.

    `prefilter` says how an interpolating spline meets this edge: "" (its coefficients obey the same rule), or the
    rule that they obey once the data have been continued by this one.
    """

    name: str
    fold: Callable[[Index, int], Index] | None
    summary: str
    source: str
    renormalise: bool = False
    fills: bool = False
    periodic: bool = False
    prefilter: str = ""


def _clamp(j: Index, n: int) -> Index:
    return np.clip(j, 0, n - 1)


def _reflect(j: Index, n: int) -> Index:
    if n == 1:
        return np.zeros_like(j)
    j = np.mod(j, 2 * n - 2)
    return np.minimum(j, 2 * n - 2 - j)


def _symmetric(j: Index, n: int) -> Index:
    j = np.mod(j, 2 * n)
    return np.minimum(j, 2 * n - 1 - j)


def _wrap(j: Index, n: int) -> Index:
    return np.mod(j, n)


_ROWS = [
    Edge(
        "crop",
        None,
        "taps outside are dropped, the rest renormalised; where none is left, the border pixel",
        "Pillow, torch antialias, JAX",
        renormalise=True,
    ),
    Edge(
        "edge",
        _clamp,
        "the border pixel goes on: a a|a b c|c c",
        "torch, OpenCV replicate, SciPy nearest",
        prefilter="symmetric",
    ),
    Edge("reflect", _reflect, "mirrored about the border pixel's centre: c b|a b c|b a", "NumPy reflect, SciPy mirror"),
    Edge("symmetric", _symmetric, "mirrored about the border: b a|a b c|c b", "NumPy symmetric, SciPy reflect, MATLAB"),
    Edge("wrap", _wrap, "periodic: b c|a b c|a b", "NumPy wrap, SciPy grid-wrap", periodic=True),
    Edge("zero", None, "zeros outside, nothing renormalised", "ResizeRight", prefilter="reflect"),
    Edge("constant", None, "`fill` outside", "SciPy grid-constant", fills=True, prefilter="reflect"),
]
TABLE: dict[str, Edge] = {row.name: row for row in _ROWS}


def get(name: str | Edge) -> Edge:
    """The edge rule of that name. Raises: ValueError with the nearest known names."""
    if isinstance(name, Edge):
        return name
    if not isinstance(name, str):
        raise HalfpixelTypeError(f"edge is {name!r}", f"one of {', '.join(TABLE)}")
    if name not in TABLE:
        raise unknown_name("edge", name, TABLE)
    return TABLE[name]
