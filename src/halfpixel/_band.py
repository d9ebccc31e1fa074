# SPDX-License-Identifier: MIT
"""Band: a matrix whose rows are short contiguous windows. It knows nothing of images."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._solve import BandedLU, CyclicLU, factor_cyclic
from .errors import HalfpixelValueError

Float = NDArray[np.float64]
Index = NDArray[np.int64]


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


class Band:
    """A linear map of one axis: row i is `sum over k of weight[i, k] * x[start[i] + k]`.

    **Convention:** `start` (int64, n_out) and `weight` (float64, n_out x taps) are read-only; windows lie inside [0,
    n_in). With `periodic`, indices count modulo n_in. Entries of weight 0 are not part of the matrix: what they would
    read is never read.
    Arguments: n_in: length of the input axis. start, weight: as above. periodic: windows may run over the end.
    Raises: ValueError when shapes disagree, a window leaves the input, or a weight is not finite.
    Example:
        >>> half = Band(4, [0, 2], [[0.5, 0.5], [0.5, 0.5]])
        >>> half.apply([1.0, 3.0, 5.0, 7.0])
        array([2., 6.])
    """

    __slots__ = ("__dict__", "__weakref__", "n_in", "periodic", "start", "weight")

    n_in: int
    start: Index
    weight: Float
    periodic: bool
    # NumPy arrays leave `@` to this class, which refuses them.
    __array_ufunc__ = None

    def __init__(self, n_in: int, start: ArrayLike, weight: ArrayLike, periodic: bool = False) -> None:
        begin, table = np.array(start, dtype=np.int64), np.array(weight, dtype=np.float64, order="C")
        _check(int(n_in), begin, table, periodic)
        self._set(int(n_in), np.mod(begin, int(n_in)) if periodic else begin, table, periodic)

    @classmethod
    def trusted(cls, n_in: int, start: Index, weight: Float, periodic: bool = False) -> Band:
        """A band from arrays that are known to be right; they are frozen, not copied."""
        self = cls.__new__(cls)
        self._set(n_in, start, weight, periodic)
        return self

    def _set(self, n_in: int, start: Index, weight: Float, periodic: bool) -> None:
        values = {"n_in": n_in, "start": _frozen(start), "weight": _frozen(weight), "periodic": bool(periodic)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Band is immutable: cannot set {name!r}")

    @classmethod
    def identity(cls, n: int) -> Band:
        """The band that changes nothing."""
        return cls.trusted(n, np.arange(n, dtype=np.int64), np.ones((n, 1), dtype=np.float64))

    @classmethod
    def from_entries(cls, shape: tuple[int, int], i: Index, j: Index, w: Float, periodic: bool = False) -> Band:
        """The narrowest band with entries w at (i, j); entries at one place add up.

        Arguments: shape: (n_out, n_in). i, j, w: flat arrays of equal length. periodic: windows may run over the end.
        """
        n_out, n_in = shape
        keep = w != 0
        i, j, w = i[keep], j[keep], w[keep]
        low, high = _arcs(n_out, n_in, i, j) if periodic else _extents(n_out, n_in, i, j)
        taps = max(int((high - low).max(initial=0)) + 1, 1)
        start = low if periodic else np.minimum(low, n_in - taps)
        k = np.mod(j - start[i], n_in) if periodic else j - start[i]
        weight = np.asarray(np.bincount(i * taps + k, weights=w, minlength=n_out * taps), dtype=np.float64)
        return cls.trusted(n_in, start, weight.reshape(n_out, taps), periodic)

    @property
    def n_out(self) -> int:
        return len(self.start)

    @property
    def taps(self) -> int:
        return self.weight.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in), as of the dense matrix."""
        return self.n_out, self.n_in

    def columns(self) -> Index:
        """The column of every entry, (n_out, taps)."""
        j = self.start[:, None] + np.arange(self.taps)
        return np.mod(j, self.n_in) if self.periodic else j

    def entries(self) -> tuple[Index, Index, Float]:
        """Row, column and weight of every nonzero entry, as three flat arrays."""
        i, k = np.nonzero(self.weight)
        j = self.start[i] + k
        return i, (np.mod(j, self.n_in) if self.periodic else j), self.weight[i, k]

    @functools.cached_property
    def T(self) -> Band:
        """The transposed matrix: still a band, and still a gather."""
        i, j, w = self.entries()
        return Band.from_entries((self.n_in, self.n_out), j, i, w, self.periodic)

    def __matmul__(self, first: Band) -> Band:
        """The band that applies `first`, then this one."""
        if not isinstance(first, Band):
            return NotImplemented
        if first.n_out != self.n_in:
            raise HalfpixelValueError(
                f"cannot compose bands: the second reads {self.n_in} samples, the first writes {first.n_out}",
                "bands with second.n_in == first.n_out",
            )
        i, mid, w = self.entries()
        rows = np.repeat(i, first.taps)
        columns = first.columns()[mid].ravel()
        weight = (w[:, None] * first.weight[mid]).ravel()
        return Band.from_entries((self.n_out, first.n_in), rows, columns, weight, self.periodic or first.periodic)

    def rows(self, i0: int, i1: int) -> tuple[slice, Band]:
        """The slice of the input that rows [i0, i1) read, and the band that makes them from that slice.

        Example:
            >>> part, band = Band(4, [0, 2], [[0.5, 0.5], [0.5, 0.5]]).rows(1, 2)
            >>> part, band.n_in
            (slice(2, 4, None), 2)
        """
        if not 0 <= i0 < i1 <= self.n_out:
            raise HalfpixelValueError(f"rows({i0}, {i1}) of a band with {self.n_out} rows", "0 <= i0 < i1 <= n_out")
        start, weight = self.start[i0:i1], self.weight[i0:i1].copy()
        low, high = int(start.min()), int(start.max()) + self.taps
        if self.periodic and high > self.n_in:
            return slice(0, self.n_in), Band.trusted(self.n_in, start.copy(), weight, True)
        return slice(low, high), Band.trusted(high - low, start - low, weight)

    def dense(self) -> Float:
        """The matrix itself, (n_out, n_in) float64."""
        out = np.zeros(self.shape)
        i, j, w = self.entries()
        np.add.at(out, (i, j), w)
        return out

    def row_sum(self) -> Float:
        """What every row makes of a constant 1."""
        return self.weight.sum(axis=1)

    @functools.cached_property
    def is_selection(self) -> bool:
        """Every row has one entry, and it is 1: nothing is computed, elements are copied."""
        single = self.taps == 1 or bool((np.count_nonzero(self.weight, axis=1) == 1).all())
        return single and bool((self.weight.sum(axis=1) == 1.0).all())

    @functools.cached_property
    def is_identity(self) -> bool:
        return self.n_in == self.n_out and self.is_selection and bool((self.selected() == np.arange(self.n_in)).all())

    def selected(self) -> Index:
        """The column of every row's first nonzero entry: the whole map when `is_selection`."""
        j = self.start + (self.weight != 0).argmax(axis=1)
        return np.mod(j, self.n_in) if self.periodic else j

    def apply(self, x: ArrayLike, axis: int = -1) -> NDArray[Any]:
        """The definition: float64 (or complex128), taps in order, entries of weight 0 not read.

        Example:
            >>> Band(3, [0], [[0.0, 1.0]]).apply([float("nan"), 2.0, 3.0])
            array([2.])
        """
        a = np.asarray(x)
        a = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
        a = np.moveaxis(a, axis, -1)
        self._check_length(a.shape[-1])
        out = np.zeros((*a.shape[:-1], self.n_out), dtype=a.dtype)
        j = self.columns()
        for k in range(self.taps):
            w = self.weight[:, k]
            out += np.where(w != 0, w * np.where(w != 0, a[..., j[:, k]], 0), 0)
        return np.moveaxis(out, -1, axis)

    def _check_length(self, n: int) -> None:
        if n != self.n_in:
            raise HalfpixelValueError(
                f"the axis holds {n} samples, the band reads {self.n_in}", f"an axis of {self.n_in}"
            )

    @functools.cached_property
    def factors(self) -> BandedLU | CyclicLU:
        if self.n_in != self.n_out:
            works = "a square band, or numpy.linalg.lstsq(band.dense(), y)"
            raise HalfpixelValueError(f"cannot solve a band of {self.n_out} rows and {self.n_in} columns", works)
        i, j, w = self.entries()
        offset = j - i
        near = np.abs(offset) <= self.taps if self.periodic else np.full(len(i), True)
        below = int(max(-offset[near].min(initial=0), 0))
        diagonals = np.zeros((self.n_in, below + int(max(offset[near].max(initial=0), 0)) + 1))
        diagonals[i[near], offset[near] + below] = w[near]
        rows = np.unique(i[~near])
        corner = np.zeros((len(rows), self.n_in))
        corner[np.searchsorted(rows, i[~near]), j[~near]] = w[~near]
        return factor_cyclic(diagonals, below, rows, corner)

    def solve(self, y: ArrayLike, axis: int = -1) -> NDArray[Any]:
        """The x with `apply(x) == y`, for a square band: float64 (or complex128), banded LU.

        Raises: ValueError when the band is not square, or singular.
        """
        b = np.asarray(y)
        b = np.moveaxis(b.astype(np.complex128 if b.dtype.kind == "c" else np.float64), axis, 0)
        factors = self.factors
        self._check_length(b.shape[0])
        return np.moveaxis(factors.solve(b), 0, axis)

    @functools.cached_property
    def _key(self) -> tuple[Any, ...]:
        return self.n_in, self.periodic, self.weight.shape, self.start.tobytes(), self.weight.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Band) and (self is other or self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple[Any, ...]:
        return Band, (self.n_in, self.start, self.weight, self.periodic)

    def __repr__(self) -> str:
        kind = ", periodic" if self.periodic else ""
        return f"Band({self.n_in} -> {self.n_out}, taps={self.taps}{kind})"


def _check(n_in: int, start: Index, weight: Float, periodic: bool) -> None:
    if n_in < 1:
        raise HalfpixelValueError(f"a band needs an input of at least one sample, not {n_in}")
    if start.ndim != 1 or weight.ndim != 2 or len(start) != len(weight) or weight.shape[1] < 1 or len(start) < 1:
        shapes = f"start {start.shape}, weight {weight.shape}"
        raise HalfpixelValueError(
            f"shapes of a band disagree: {shapes}", "start (n_out,), weight (n_out, taps), neither empty"
        )
    if not np.isfinite(weight).all():
        raise HalfpixelValueError("a weight of the band is not finite")
    taps = weight.shape[1]
    if taps > n_in:
        raise HalfpixelValueError(f"{taps} taps on {n_in} samples", "taps <= n_in")
    if not periodic and (start.min() < 0 or start.max() + taps > n_in):
        window = f"[{start.min()}, {start.max() + taps})"
        raise HalfpixelValueError(f"windows {window} leave the input [0, {n_in})", "0 <= start, start + taps <= n_in")


def _extents(n_out: int, n_in: int, i: Index, j: Index) -> tuple[Index, Index]:
    """First and last column of every row."""
    low, high = np.full(n_out, n_in, dtype=np.int64), np.full(n_out, -1, dtype=np.int64)
    if (j[1:] >= j[:-1]).all():
        # As in a transpose: the first and the last entry of a row hold its extremes, and the last assignment stays.
        low[i[::-1]] = j[::-1]
        high[i] = j
    else:
        np.minimum.at(low, i, j)
        np.maximum.at(high, i, j)
    empty = high < 0
    low[empty] = high[empty] = 0
    return low, high


def _arcs(n_out: int, n_in: int, i: Index, j: Index) -> tuple[Index, Index]:
    """First and last column of every row on the circle of n_in columns: the arc that leaves out the row's largest
    gap.
    """
    order = np.lexsort((j, i))
    i, j = i[order], j[order]
    low, high = np.zeros(n_out, dtype=np.int64), np.zeros(n_out, dtype=np.int64)
    if len(i) == 0:
        return low, high
    first = np.flatnonzero(np.r_[True, i[1:] != i[:-1]])
    last = np.r_[first[1:], len(i)] - 1
    gap = np.empty_like(j)
    gap[1:] = j[1:] - j[:-1]
    gap[first] = j[first] + n_in - j[last]
    widest = np.maximum.reduceat(gap, first)
    before = np.flatnonzero(gap == np.repeat(widest, last - first + 1))
    pick = before[np.searchsorted(before, first)]
    low[i[first]] = j[pick]
    high[i[first]] = j[pick] + n_in - widest
    return low, high
