# SPDX-License-Identifier: MIT
"""How many threads the kernels use."""

from __future__ import annotations

from . import _sizes
from .backends import cpu
from .errors import HalfpixelValueError


def get_num_threads() -> int:
    """How many threads the kernels use: the affinity mask's count unless set, or HALFPIXEL_NUM_THREADS. 1 without
    compiled kernels.

    Example:
        >>> get_num_threads() >= 1
        True
    """
    return 1 if cpu.why_not() else int(cpu.native().num_threads())


def set_num_threads(n: int) -> None:
    """Set how many threads the kernels use from now on; results do not depend on it. Nothing happens without compiled
    kernels.

    Raises: ValueError for less than 1 or more than 4096.
    """
    count = _sizes.integer(n, "the number of threads")
    if not 1 <= count <= 4096:
        raise HalfpixelValueError(f"the number of threads is {n!r}", "an integer from 1 to 4096")
    if cpu.why_not() is None:
        cpu.native().set_num_threads(count)
