# SPDX-License-Identifier: MIT
"""One axis: filter, grid and edge become a band.

**Convention:** a rule makes windows as if the input had no end (`first` may be negative); `fold` then deals with what
is outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import grids
from ._band import Band
from .edges import Edge
from .errors import HalfpixelValueError
from .filters import Filter

Float = NDArray[np.float64]
Index = NDArray[np.int64]

SNAP = 1e-15


@dataclass(frozen=True)
class Axis:
    """What one axis is to do: c(o) = step * o + offset in index space, `stretch` the antialiasing factor of the
    filter.
    """

    n_in: int
    n_out: int
    step: Fraction
    offset: Fraction
    filter: Filter
    edge: Edge
    antialias: bool = True
    fill: float = 0.0

    @property
    def stretch(self) -> Fraction:
        return max(abs(self.step), Fraction(1)) if self.antialias else Fraction(1)


@dataclass(frozen=True, eq=False)
class Link:
    """One step along an axis: apply `band`, or solve it; add `bias`; do what `post` names. A chain is a tuple of
    them.
    """

    band: Band
    bias: Float | None = None
    solve: bool = False
    post: tuple[Any, ...] | None = None

    @property
    def is_identity(self) -> bool:
        return self.bias is None and self.post is None and self.band.is_identity

    @property
    def selects(self) -> bool:
        """Every output is one input element, untouched."""
        return self.bias is None and self.post is None and not self.solve and self.band.is_selection

    @property
    def T(self) -> Link:
        """The transposed linear part."""
        return Link(self.band.T, solve=self.solve)


Chain = tuple[Link, ...]


def _sample(axis: Axis, i0: int, i1: int) -> tuple[Index, Float]:
    """Every integer tap in the open interval (c - r, c + r), weighted by the filter."""
    stretch, support = axis.stretch, axis.filter.support
    taps = max(math.ceil(2 * Fraction(support) * stretch), 1)
    base, frac = grids.split(axis.step, axis.offset, i0, i1)
    # Coordinates repeat their remainders with the period of the step's denominator: weights are made once for each.
    phases = axis.step.denominator if 2 * axis.step.denominator <= i1 - i0 else i1 - i0
    f, scale = frac[:phases], float(stretch)
    low = np.floor(f - support * scale).astype(np.int64) + 1
    x = ((low[:, None] + np.arange(taps)) - f[:, None]) / scale
    weight = np.where(np.abs(x) < support, axis.filter(x), 0.0)
    weight = _normalised(weight, axis.filter)
    if phases < i1 - i0:
        phase = np.arange(i1 - i0) % phases
        weight, low = weight[phase], low[phase]
    return base + low, weight


def _normalised(weight: Float, filter: Filter) -> Float:
    total = weight.sum(axis=1, keepdims=True)
    if not (np.isfinite(total).all() and (total != 0).all()):
        raise HalfpixelValueError(
            f"filter {filter.name!r} gives a row of weights whose sum is zero or not finite",
            "a filter whose samples at unit distance add up to something",
        )
    weight = weight / total
    weight[np.abs(weight) < SNAP] = 0.0
    return weight


def _nearest(axis: Axis, i0: int, i1: int) -> tuple[Index, Float]:
    """floor(c + 1/2), ties upwards: floor((o + 1/2) n / m) on the half-pixel grid."""
    base, _ = grids.split(axis.step, axis.offset + grids.HALF, i0, i1)
    return base, np.ones((i1 - i0, 1))


def _half_open(axis: Axis, i0: int, i1: int) -> tuple[Index, Float]:
    """Every tap in (c - r, c + r], all equal."""
    radius = axis.stretch * Fraction(axis.filter.support)
    first = grids.split(axis.step, axis.offset - radius, i0, i1)[0] + 1
    count = grids.split(axis.step, axis.offset + radius, i0, i1)[0] + 1 - first
    count = np.maximum(count, 1)
    taken = np.arange(int(count.max())) < count[:, None]
    return first, taken / count[:, None]


def _overlap(axis: Axis, i0: int, i1: int) -> tuple[Index, Float]:
    """Overlap of pixel [j, j + 1) with the output pixel [o step, (o + 1) step), over the latter's length."""
    length = abs(axis.step) or Fraction(1)
    low = axis.offset + grids.HALF - length / 2
    first, begin = grids.split(axis.step, low, i0, i1)
    last, end = grids.split(axis.step, low + length, i0, i1)
    end = end + (last - first)
    k = np.arange(max(int(np.ceil(end.max())), 1))
    cover = np.minimum(end[:, None], k + 1) - np.maximum(begin[:, None], k)
    weight = np.maximum(cover, 0.0) / float(length)
    weight[weight < SNAP] = 0.0
    return first, weight


RULES: dict[str, Callable[[Axis, int, int], tuple[Index, Float]]] = {
    "sample": _sample,
    "nearest": _nearest,
    "half_open": _half_open,
    "overlap": _overlap,
}


def _trimmed(first: Index, weight: Float) -> tuple[Index, Float]:
    """Without the outer columns that are zero in every row."""
    if weight[:, 0].any() and weight[:, -1].any():
        return first, weight
    used = np.flatnonzero(weight.any(axis=0))
    return first + used[0], np.ascontiguousarray(weight[:, used[0] : used[-1] + 1])


def _widened(start: Index, weight: Float, taps: int, n_in: int) -> tuple[Index, Float]:
    """The same rows in windows of `taps`, shifted back where they would leave the input; rows outside become zero."""
    if weight.shape[1] == taps:
        return start, weight
    moved = np.clip(start, 0, n_in - taps)
    wide = np.zeros((len(start), taps))
    k = np.arange(weight.shape[1]) + (start - moved)[:, None]
    inside = ((k >= 0) & (k < taps)).all(axis=1, keepdims=True)
    np.put_along_axis(wide, np.where(inside, k, 0), np.where(inside, weight, 0.0), axis=1)
    return moved, wide


def _dropped(j: Index, weight: Float, n_in: int, edge: Edge) -> tuple[Float, Float]:
    """Weights with the taps outside taken away, and how much that was."""
    inside = (j >= 0) & (j < n_in)
    kept, lost = np.where(inside, weight, 0.0), np.where(inside, 0.0, weight).sum(axis=1)
    if edge.renormalise:
        total = kept.sum(axis=1, keepdims=True)
        # A row with nothing inside to divide by keeps all its taps: folded, they are the border pixel.
        empty = np.abs(total) <= 1e-9
        kept = np.where(empty, weight, kept / np.where(empty, 1.0, total))
        kept[np.abs(kept) < SNAP] = 0.0
    return kept, lost


def _gathered(j: Index, weight: Float, n_in: int) -> tuple[Index, Float]:
    """Rows with columns j, all inside and perhaps repeated, as the narrowest windows that hold them."""
    used = weight != 0
    low, high = np.where(used, j, n_in).min(axis=1), np.where(used, j, -1).max(axis=1)
    taps = max(int((high - low).max()) + 1, 1)
    start = np.minimum(low, n_in - taps)
    place = np.where(used, j - start[:, None], 0) + taps * np.arange(len(j))[:, None]
    table = np.zeros(taps * len(j))
    np.add.at(table, place.ravel(), np.where(used, weight, 0.0).ravel())
    return start, table.reshape(len(j), taps)


def fold(first: Index, weight: Float, n_in: int, edge: Edge) -> tuple[Band, Float | None]:
    """The band of windows that may reach outside [0, n_in), by an edge rule, and the weight that each row lost.

    Arguments: first, weight: as from a rule; every row adds up to 1. They are not changed, but may become the band's.
    Only rows that reach outside are touched: all others keep their windows.
    """
    first, weight = _trimmed(first, weight)
    taps = weight.shape[1]
    outside = (first < 0) | (first > n_in - taps)
    rows = np.flatnonzero(outside)
    if len(rows) == 0:
        return Band.trusted(n_in, first, weight), None
    if edge.periodic and taps <= n_in:
        return Band.trusted(n_in, np.mod(first, n_in), weight, True), None
    j, w, lost = first[rows, None] + np.arange(taps), weight[rows], None
    if edge.fold is not None:
        j = edge.fold(j, n_in)
    else:
        w, gone = _dropped(j, w, n_in, edge)
        if edge.fills and gone.any():
            lost = np.zeros(len(first))
            lost[rows] = gone
        j = np.clip(j, 0, n_in - 1)
    # A periodic axis comes here only with more taps than samples: one turn holds them all.
    border = _gathered(j, w, n_in)
    if len(rows) == len(first):
        return Band.trusted(n_in, *border), lost
    width = max(taps, border[1].shape[1])
    start, table = _widened(first.copy(), weight.copy(), width, n_in) if width > taps else (first.copy(), weight.copy())
    start[rows], table[rows] = _widened(*border, width, n_in)
    return Band.trusted(n_in, start, table), lost


def band_of(axis: Axis, i0: int = 0, i1: int | None = None) -> tuple[Band, Float | None]:
    """Rows [i0, i1) of the axis' band, and the bias that `fill` adds to them (None: nothing).

    Example:
        >>> from halfpixel import edges, filters
        >>> axis = Axis(2, 4, Fraction(1, 2), Fraction(-1, 4), filters.get("linear"), edges.get("edge"))
        >>> band_of(axis)[0].dense()[1]
        array([0.75, 0.25])
    """
    first, weight = RULES[axis.filter.rule](axis, i0, axis.n_out if i1 is None else i1)
    band, lost = fold(first, weight, axis.n_in, axis.edge)
    if lost is None:
        return band, None
    bias = np.zeros_like(lost)
    np.multiply(lost, axis.fill, out=bias, where=lost != 0)
    return band, (bias if bias.any() else None)
