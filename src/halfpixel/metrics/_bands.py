# SPDX-License-Identifier: MIT
"""The inner boundaries of all classes of a label map at once.

The band of a class is its mask without the mask eroded d times by 3 x 3, with nothing outside the image. A pixel
survives that erosion where every pixel up to d away, in rows and in columns, exists and has its label: where the
smallest and the largest label of the square are equal. So two running extremes serve every class, and doubling makes
them in log2(d) steps.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def reach(shape: tuple[int, ...], ratio: float) -> int:
    """How wide the band of an image is: that share of its diagonal in whole pixels, 1 or more."""
    return max(1, round(ratio * math.hypot(*shape)))


def bands(labels: Array, d: int) -> NDArray[np.bool_]:
    """Where a (height, width) map is within d pixels of another label or of the image's edge."""
    found = np.ones(labels.shape, np.bool_)
    if min(labels.shape) > 2 * d:
        low = _running(_running(labels, 2 * d + 1, np.minimum), 2 * d + 1, np.minimum, columns=True)
        high = _running(_running(labels, 2 * d + 1, np.maximum), 2 * d + 1, np.maximum, columns=True)
        found[d:-d, d:-d] = low != high
    return found


def _running(x: Array, length: int, extreme: np.ufunc, columns: bool = False) -> Array:
    """The extreme of every window of that length that lies inside, along one axis."""
    reached = 1
    while reached < length:
        step = min(reached, length - reached)
        x = extreme(x[:, :-step], x[:, step:]) if columns else extreme(x[:-step], x[step:])
        reached += step
    return x
