# SPDX-License-Identifier: MIT
"""Fresh outputs in the memory order of their input, large ones on cache lines.

Kernels store large results past the caches, a whole line at a time; rows that begin inside a line cost two partial
stores each.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LINE = 64
_LARGE = 1 << 20


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE:
        return np.empty(shape, dtype)
    raw = np.empty(size + _LINE, np.uint8)
    start = -raw.__array_interface__["data"][0] % _LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def fresh(x: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
    """An uninitialised array of x's dtype (or `dtype`), its axes nested in memory as x's are."""
    dtype = x.dtype if dtype is None else dtype
    if x.flags.c_contiguous:
        return _aligned(shape, dtype)
    order = sorted(range(x.ndim), key=lambda a: (-abs(x.strides[a]), a))
    back = np.argsort(order)
    return _aligned(tuple(shape[a] for a in order), dtype).transpose(back)
