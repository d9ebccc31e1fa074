# SPDX-License-Identifier: MIT
"""scipy.ndimage.zoom: B-splines of order 0 to 5 at float64 coordinates, everything computed in double."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from halfpixel import edges, filters
from halfpixel._axis import Axis, Chain, Link, band_of, fold
from halfpixel._band import Band
from halfpixel._spline import PAD

from .line import Float, Line, Variant, Windows, by_dtype
from .windows import in_order

# Stands for a coordinate outside the data under mode "constant": the output sample is cval.
OUTSIDE = -1.0


def _as_it_is(c: Float, n: int) -> Float:
    return c


def _outside(c: Float, n: int) -> Float:
    return np.where((c < 0) | (c > n - 1), OUTSIDE, c)


def _mirror(c: Float, n: int) -> Float:
    if n == 1:
        return np.zeros_like(c)
    c = np.mod(c, 2.0 * n - 2.0)
    return np.where(c >= n, 2.0 * n - 2.0 - c, c)


def _reflect(c: Float, n: int) -> Float:
    if n == 1:
        return np.zeros_like(c)
    below = np.where(c < 0, -c - 1.0, c)
    return np.where(below > n - 0.5, 2.0 * n - 1.0 - below, below)


def _wrap(c: Float, n: int) -> Float:
    if n == 1:
        return np.zeros_like(c)
    period = n - 1.0
    below = np.where(c < 0, c + period * (np.trunc(-c / period) + 1.0), c)
    return np.where(c > n - 1, c - period * np.trunc(c / period), below)


def _grid_wrap(c: Float, n: int) -> Float:
    if n == 1:
        return np.zeros_like(c)
    below = np.where(c < 0, c + n * (np.trunc((-1.0 - c) / n) + 1.0), c)
    return np.where(c > n - 1, c - n * np.trunc(c / n), below)


class Mode(NamedTuple):
    """A boundary mode: how coordinates outside are mapped, the edge rule of taps, of the prefilter, and of the samples
    that are put around the data before it (None: none are). `skips` says which axes are copied: all rules but "reflect"
    give back the samples where nothing changes.
    """

    map: Callable[[Float, int], Float]
    taps: str
    prefilter: str
    padding: str | None = None
    skips: str = "equal"


MODES = {
    "constant": Mode(_outside, "reflect", "reflect"),
    "reflect": Mode(_reflect, "symmetric", "symmetric", skips="zoom_1"),
    "grid-mirror": Mode(_reflect, "symmetric", "symmetric", skips="zoom_1"),
    "mirror": Mode(_mirror, "reflect", "reflect"),
    "grid-constant": Mode(_as_it_is, "constant", "reflect", "constant"),
    "nearest": Mode(_as_it_is, "edge", "symmetric", "edge"),
    "wrap": Mode(_wrap, "reflect", "reflect"),
    "grid-wrap": Mode(_grid_wrap, "wrap", "wrap"),
}


def _order(line: Line) -> int:
    return int(filters.get(line.row.filter).degree)


def _prefilters(line: Line) -> bool:
    return line.row.prefilter and _order(line) > 1


def _padding(line: Line) -> int:
    return PAD if _prefilters(line) and MODES[line.row.edge].padding else 0


def points(line: Line) -> tuple[Any, Float]:
    """Index space of the padded axis: o (n - 1) / (m - 1), or (o + 1/2) n / m - 1/2; then mapped as the mode says."""
    o, n, m = np.arange(line.n_out, dtype=np.float64), line.n_in, line.n_out
    if line.row.grid == "half_pixel":
        step = n / m
        centre = (o + 0.5) * step - 0.5
    else:
        step = (n - 1) / (m - 1) if m > 1 else 1.0
        centre = o * step
    around = _padding(line)
    return step, MODES[line.row.edge].map(centre + around, n + 2 * around)


def splines(line: Line, step: Any, centre: Float) -> Windows:
    """The B-spline at the order + 1 samples around, the last weight being what the others leave of 1; no weight at all
    where the coordinate is outside.
    """
    order = _order(line)
    base = np.floor(centre if order % 2 else centre + 0.5)
    first = base.astype(np.int64) - order // 2
    distance = (centre - base)[:, None] + order // 2 - np.arange(order + 1)
    weight = np.ones((len(centre), 1)) if order == 0 else filters.get(line.row.filter)(distance)
    weight[:, -1] = 1.0 - in_order(weight[:, :-1])[:, 0] if order else 1.0
    return Windows(first, np.where((centre == OUTSIDE)[:, None], 0.0, weight))


# Poles of the B-splines' inverse filters.
_POLES = {
    2: (math.sqrt(8.0) - 3.0,),
    3: (math.sqrt(3.0) - 2.0,),
    4: tuple(math.sqrt(664.0 + s * math.sqrt(438976.0)) - s * math.sqrt(304.0) - 19.0 for s in (-1.0, 1.0)),
    5: tuple(math.sqrt(67.5 + s * math.sqrt(4436.25)) - s * math.sqrt(26.25) - 6.5 for s in (-1.0, 1.0)),
}


def reflected(n: int, z: float) -> Band:
    """What SciPy's recursive filter for one pole inverts under mode "reflect".

    Its start-up reads its own accumulator where it means the first sample: an error of z**(2n - 1), up to 1e-2 on axes
    of two or three samples. That changes the first row of the matrix, at both of its ends.
    """
    i, j = (a.ravel() for a in np.indices((n, 3)))
    entries = np.tile([1.0, -(z + 1.0 / z), 1.0], n)
    column = np.clip(i + j - 1, 0, n - 1)
    small, ratio = z ** (2 * n - 1), z / (1.0 - z ** (2 * n))
    gain, alpha = 1.0 + ratio * (1.0 + small), small + ratio * small * (1.0 + small)
    beta, scale = ratio * small * z ** (n - 1), -1.0 / (1.0 + small - alpha / gain) / gain
    first, last = i == 0, i == n - 1
    rows = [
        (column[first], -alpha * entries[first]),
        (column[last], -beta * entries[last]),
        ([0, 1], [-small / z, small]),
    ]
    more, extra = (np.concatenate([row[k] for row in rows]) for k in (0, 1))
    i, column = np.concatenate([i, np.zeros_like(more)]), np.concatenate([column, more])
    weight = np.concatenate([entries, extra * scale]) / ((1.0 - z) * (1.0 - 1.0 / z))
    return Band.from_entries((n, n), i, column, weight, periodic=True)


def _prefilter(line: Line, n: int, edge: str) -> Chain:
    if edge == "symmetric" and n > 1:
        return tuple(Link(reflected(n, z), solve=True) for z in _POLES[_order(line)])
    axis = Axis(n, n, Fraction(1), Fraction(0), filters.get(line.row.filter), edges.TABLE[edge])
    return (Link(band_of(axis)[0], solve=True),)


def _edge_link(line: Line, around: int, edge: str) -> Link:
    wide = line.n_in + 2 * around
    axis = Axis(
        line.n_in, wide, Fraction(1), Fraction(-around), filters.TABLE["nearest"], edges.TABLE[edge], fill=line.fill
    )
    return Link(*band_of(axis))


def chain(line: Line, windows: Windows) -> Chain:
    """Padding where the mode has it, the prefilter, the splines."""
    mode, around, links = MODES[line.row.edge], _padding(line), []
    n = line.n_in + 2 * around
    if around and mode.padding:
        links.append(_edge_link(line, around, mode.padding))
    if _prefilters(line):
        links += _prefilter(line, n, mode.prefilter)
    empty = np.asarray(~windows.weight.any(axis=1))
    band, lost = Band(n, np.zeros(len(empty)), np.zeros((len(empty), 1))), None
    if not empty.all():
        band, lost = fold(windows.first, windows.weight, n, edges.TABLE[mode.taps])
    weighs = empty.astype(np.float64) if lost is None else empty + lost
    bias = np.multiply(weighs, line.fill, out=np.zeros_like(weighs), where=weighs != 0)
    links.append(Link(band, bias=bias if bias.any() else None))
    return tuple(links)


def zoomed_by_1(line: Line) -> int | None:
    """Arrays are copied where every zoom is 1, whatever the mode; sizes may also stay with a zoom near 1."""
    return 0 if line.sizes_in == line.sizes_out and set(line.scales or (1.0,)) == {1.0} else None


_DOUBLE = Variant(compute="double", rounding="half_away", finish=chain)

COORDS = {"scipy": points}
WEIGHTS = {"scipy.splines": splines}
SKIPS = {"zoom_1": zoomed_by_1}
ROUNDS = {"scipy": by_dtype(_DOUBLE)}
