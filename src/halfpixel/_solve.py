# SPDX-License-Identifier: MIT
"""Banded LU without pivoting, and the solve that goes with it. For spline prefilters and `Band.solve`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import HalfpixelValueError

Array = NDArray[np.float64]

# Entries of an inverse below this are left out: they decay by powers, and float64 ends at 1e-16.
_NEGLIGIBLE = 1e-25


class Tables(NamedTuple):
    """Factors as the kernels take them: t[i] = y[i] - lower[i] . t[i - below : i], x[i] = scale[i] t[i] - upper[i] .
    x[i + 1 : i + 1 + above], and then x -= correction @ x[column]. Row `head` stands for `repeats` more after it.
    """

    lower: Array
    scale: Array
    upper: Array
    column: NDArray[np.int64]
    correction: Array
    head: int
    repeats: int


def _tables(lu: BandedLU, column: NDArray[np.int64], correction: Array) -> Tables:
    """Inside the axis the factors of a spline do not change: its longest run of equal rows becomes one."""
    diagonal = lu.upper[:, :1]
    columns = [lu.lower, 1.0 / diagonal, lu.upper[:, 1:] / diagonal, correction]
    n = len(diagonal)
    changes = functools.reduce(np.logical_or, ((c[1:] != c[:-1]).any(axis=1) for c in columns))
    bounds = np.concatenate([[0], np.flatnonzero(changes) + 1, [n]])
    longest = int(np.diff(bounds).argmax())
    head, end = int(bounds[longest]), int(bounds[longest + 1])
    lower, scale, upper, correction = (np.concatenate([c[: head + 1], c[end:]]) for c in columns)
    return Tables(lower, scale[:, 0], upper, column, correction, head, end - head - 1)


@dataclass(frozen=True, eq=False)
class BandedLU:
    """Row i of L holds `lower[i, bw]` left of a unit diagonal; row i of U holds `upper[i, bw + 1]` from the diagonal
    on.
    """

    lower: Array
    upper: Array

    @functools.cached_property
    def tables(self) -> Tables:
        return _tables(self, np.empty(0, np.int64), np.empty((len(self.lower), 0)))

    def solve(self, y: NDArray[Any]) -> NDArray[Any]:
        """A new array: the solution along axis 0 of `y`, in y's dtype."""
        x = np.array(y, copy=True, order="C")
        n, below, above = len(self.lower), self.lower.shape[1], self.upper.shape[1] - 1
        lower, upper = self.lower.astype(x.real.dtype), self.upper.astype(x.real.dtype)
        for i in range(n):
            for k in range(max(0, below - i), below):
                if lower[i, k] != 0.0:
                    x[i] -= lower[i, k] * x[i - below + k]
        for i in range(n - 1, -1, -1):
            for k in range(1, min(above, n - 1 - i) + 1):
                if upper[i, k] != 0.0:
                    x[i] -= upper[i, k] * x[i + k]
            x[i] /= upper[i, 0]
        return x

    def inverse_column(self, j: int) -> Array:
        """Column j of the inverse, from the rows around j where it has not died away."""
        n, ends, reach = len(self.lower), self.lower.shape[1] + self.upper.shape[1], 64
        while True:
            a, b = max(j - reach, 0), min(j + reach, n)
            near = BandedLU(self.lower[a:b], self.upper[a:b]).solve(np.eye(1, b - a, j - a)[0])
            left = np.abs(near[:ends]).max() if a > 0 else 0.0
            right = np.abs(near[-ends:]).max() if b < n else 0.0
            if max(left, right) < _NEGLIGIBLE:
                return np.pad(near, (a, n - b))
            reach *= 2


def factor(diagonals: Array, below: int) -> BandedLU:
    """LU of the matrix whose row i holds `diagonals[i, k]` in column i - below + k.

    Raises: ValueError when a pivot vanishes: the matrix is singular, or needs pivoting.
    """
    n = len(diagonals)
    packed = diagonals.astype(np.float64)
    rows: list[list[float]] = []
    least = 1e-10 * float(np.abs(diagonals).max(initial=0.0))
    changes = np.flatnonzero((diagonals[1:] != diagonals[:-1]).any(axis=1)) + 1
    i = 0
    while i < n:
        rows = [*rows[-below - 1 :], _eliminated(packed[i].tolist(), rows, below)]
        if abs(rows[-1][below]) <= least:
            raise HalfpixelValueError("the band is singular, or nearly so", "a least-squares solve of band.dense()")
        end = i + 1
        if len(rows) == below + 2 and all(row == rows[0] for row in rows):
            # The same row of the matrix, after the same rows of factors: nothing changes until the matrix does.
            after = np.searchsorted(changes, i, side="right")
            end = int(changes[after]) if after < len(changes) else n
        packed[i:end] = rows[-1]
        i = end
    return BandedLU(packed[:, :below].copy(), packed[:, below:].copy())


def _eliminated(row: list[float], before: list[list[float]], below: int) -> list[float]:
    """A row of the matrix without what stands under the pivots of the rows before it: their ratios are kept there."""
    for k in range(max(below - len(before), 0), below):
        if row[k] != 0.0:
            earlier = before[k - below]
            row[k] /= earlier[below]
            for c in range(1, len(row) - below):
                row[k + c] -= row[k] * earlier[below + c]
    return row


@dataclass(frozen=True, eq=False)
class CyclicLU:
    """A banded matrix plus corners, by Woodbury: solve the band, then subtract `correction @ x[column]`."""

    core: BandedLU
    column: NDArray[np.int64]
    correction: Array

    @functools.cached_property
    def tables(self) -> Tables:
        return _tables(self.core, self.column, self.correction)

    def solve(self, y: NDArray[Any]) -> NDArray[Any]:
        """A new array: the solution along axis 0 of `y`, in y's dtype."""
        x = self.core.solve(y)
        flat = x.reshape(len(x), -1)
        flat -= (self.correction @ flat[self.column]).astype(x.dtype)
        return x


def factor_cyclic(diagonals: Array, below: int, rows: NDArray[np.int64], corner: Array) -> BandedLU | CyclicLU:
    """Factors of a banded matrix with extra entries `corner[r, n]` in the rows `rows`."""
    core = factor(diagonals, below)
    if len(rows) == 0:
        return core
    column = np.flatnonzero(corner.any(axis=0))
    spread = np.stack([core.inverse_column(int(j)) for j in rows], axis=1)
    small = np.eye(len(rows)) + corner[:, column] @ spread[column]
    correction = spread @ np.linalg.solve(small, corner[:, column])
    return CyclicLU(core, column, correction)
