# SPDX-License-Identifier: MIT
"""The inverse of a band as a band: what a banded solve is where recursions along an axis are dear."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfpixel._band import Band

_NEAR = 64


def inverse_band(band: Band, least: float) -> Band:
    """The inverse of a square band without its entries below `least` times the largest.

    **Convention:** inverses of the bands of splines die away by powers, so that few entries of a row are left; of a
    band whose inverse does not, all are. Columns that are far apart are solved for together: each row reads one.
    Raises: ValueError when the band is not square, or singular.
    Example:
        >>> spline = Band(3, [0, 0, 0], [[0.75, 0.25, 0], [0.125, 0.75, 0.125], [0, 0.25, 0.75]])
        >>> np.allclose(inverse_band(spline, 1e-17).dense() @ spline.dense(), np.eye(3))
        True
    """
    n, apart = band.n_in, _NEAR
    while n >= 2 * apart:
        j, w = _probed(band, apart)
        edge = np.abs(w[:, [0, 1, 2, 3, -4, -3, -2, -1]]).max()
        if edge <= 0.1 * least * np.abs(w).max():
            return _kept(band, j, w, least)
        apart *= 2
    return _kept(band, np.broadcast_to(np.arange(n), (n, n)), band.solve(np.eye(n), axis=0), least)


def _probed(band: Band, apart: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Columns and entries of every row of the inverse, `apart` of them around the diagonal. Unit vectors that are
    `apart` or more from each other, also around the end, are solved for as one: only the nearest reaches a row.
    """
    n = band.n_in
    blocks = n // apart
    begin = np.arange(blocks) * n // blocks
    place = np.arange(n)
    colour = place - begin[np.searchsorted(begin, place, side="right") - 1]
    units = np.zeros((n, int(colour.max()) + 1))
    units[place, colour] = 1.0
    solved = band.solve(units, axis=0)
    j = place[:, None] + np.arange(-(apart // 2), apart - apart // 2)
    inside = np.full(j.shape, True) if band.periodic else (j >= 0) & (j < n)
    j = np.mod(j, n)
    return j, np.where(inside, solved[place[:, None], colour[j]], 0.0)


def _kept(band: Band, j: NDArray[Any], w: NDArray[Any], least: float) -> Band:
    n = band.n_in
    i = np.broadcast_to(np.arange(n)[:, None], w.shape)
    w = np.where(np.abs(w) >= least * np.abs(w).max(), w, 0.0)
    return Band.from_entries((n, n), i.ravel(), j.ravel(), w.ravel(), band.periodic)
