# SPDX-License-Identifier: MIT
"""Windows of weights that several libraries share."""

from __future__ import annotations

from typing import Any

import numpy as np

from halfpixel._axis import SNAP

from .kernels import kernel
from .line import Float, Index, Line, Windows


def selected(index: Index) -> Windows:
    """One tap of weight 1 per row."""
    return Windows(index.astype(np.int64), np.ones((len(index), 1)))


def floors(line: Line, step: Any, centre: Float) -> Windows:
    """The sample under the centre: floor, as far as the last."""
    return selected(np.clip(np.floor(centre).astype(np.int64), 0, line.n_in - 1))


def in_order(weight: Float) -> Float:
    """Row sums, added up tap by tap as a loop does (NumPy's own sum goes by pairs)."""
    total: Float = np.cumsum(weight, axis=1, dtype=weight.dtype)[:, -1:]
    return total


def normalised(weight: Float) -> Float:
    """Rows divided by their sums, rows that sum to nothing left alone."""
    total = in_order(weight)
    return weight / np.where(total != 0, total, weight.dtype.type(1))


def truncated(line: Line, step: Any, centre: Float) -> Windows:
    """`with_noise`, without weights that are rounding noise only: a NaN goes no further than the filter."""
    first, weight = with_noise(line, step, centre)
    weight[np.abs(weight) < SNAP] = 0
    return Windows(first, weight)


def with_noise(line: Line, step: Any, centre: Float) -> Windows:
    """The antialiased window of Pillow and torch: centres in edge space, both ends rounded by adding a half and
    truncating, then cut off at the borders and normalised. Noise decides ties where integers are rounded.
    """
    real = line.real
    support, function = kernel(line.row.filter)
    stretch = max(step, real(1)) if line.row.antialias else real(1)
    reach = real(support) * stretch
    low = np.maximum(np.trunc((centre - reach).astype(np.float64) + 0.5).astype(np.int64), 0)
    high = np.minimum(np.trunc((centre + reach).astype(np.float64) + 0.5).astype(np.int64), line.n_in)
    tap = low[:, None] + np.arange(max(int((high - low).max()), 1))
    distance = (tap.astype(real) - centre[:, None]).astype(np.float64) + 0.5
    distance = (distance * float(real(1) / stretch)).astype(real)
    weight = function(distance.astype(np.float64)).astype(real)
    weight[tap >= high[:, None]] = 0
    return Windows(low, normalised(weight))


def overlapping(low: Float, high: Float) -> Windows:
    """Lengths of overlap of pixel [j, j + 1) with [low, high): not normalised."""
    first = np.floor(low).astype(np.int64)
    tap = first[:, None] + np.arange(max(int(np.ceil(high - first).max()), 1))
    edge = tap.astype(low.dtype)
    cover = np.minimum(high[:, None], edge + 1) - np.maximum(low[:, None], edge)
    return Windows(first, np.maximum(cover, low.dtype.type(0)))


def by_index(line: Line) -> tuple[Any, Float]:
    """For rules that need the output's index alone."""
    return None, np.arange(line.n_out, dtype=np.float64)


COORDS = {"by_index": by_index}
WEIGHTS = {"floor": floors, "truncated": truncated, "with_noise": with_noise}
