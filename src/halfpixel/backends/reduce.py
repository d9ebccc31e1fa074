# SPDX-License-Identifier: MIT
"""A resize whose result is reduced as it is made: extremes along an axis with their positions, and thresholds.

**Convention:** what is compared are the elements that the plan would store, bit for bit, whatever the backend. The
first of equal elements counts; NaN comes before every number and is never above a threshold. Compiled kernels hold a
strip of the resize for each thread; where they cannot run the plan, a few channels at a time are resized as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from halfpixel._memory import fresh

from . import bind, choose, cpu, execute, warn_of_lost_bits
from ._dtypes import VIEWS, code_of

if TYPE_CHECKING:
    from halfpixel._plan import Plan

Array = NDArray[Any]
# Channels from, to -> those channels resized.
Part = Callable[[int, int], Array]

_PART = 1 << 20  # elements of a part that is resized as a whole


def fresh_without(x: Array, dim: int, shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised array for x's resized `shape` without `dim`, its axes nested in memory as x's are."""
    first = x[(slice(None),) * dim + (0,)]
    return fresh(first, shape[:dim] + shape[dim + 1 :], np.dtype(dtype))


def extremes(plan: Plan, x: Array, dim: int, smallest: bool, index: Array | None, values: Array | None) -> None:
    """The largest or smallest elements of the resized x along `dim`, and where they are, into `values` and `index`.

    Arguments: x: native and aligned, of a real dtype. dim: not negative, not resampled. index, values: of the shape
    that is left, with equal strides in elements where both are given; values of x's dtype.
    """
    program, code = plan.program(x.dtype), code_of(x.dtype)
    compiled = cpu.reducer(program, x.dtype) if choose(program, x.dtype) == cpu.name else None
    if compiled is None:
        step = max(1, _PART * x.shape[dim] // max(x.size, int(np.prod(plan.shape_out(x.shape), dtype=np.int64))))
        by_parts(lambda c0, c1: _resized(plan, x, dim, c0, c1), x.shape[dim], step, dim, smallest, index, values)
        return
    if code in ("i64", "u64") and not program.copies:
        warn_of_lost_bits(x, 6)
    view = VIEWS.get(code)
    if view is not None:
        x, values = x.view(view), None if values is None else values.view(view)
    compiled.reduce(x, dim, index, values, code, smallest)


def by_parts(
    part: Part, n: int, step: int, dim: int, smallest: bool, index: Array | None, values: Array | None
) -> None:
    """The same from parts of at most `step` of the n channels, each resized as a whole."""
    best: Array | None = None
    where: Array | None = None
    for c0 in range(0, n, step):
        y = part(c0, min(c0 + step, n))
        at = y.argmin(dim) if smallest else y.argmax(dim)
        found = np.take_along_axis(y, np.expand_dims(at, dim), dim).squeeze(dim)
        if best is None or where is None:
            best, where = found, at + c0
            continue
        ahead = ~(found >= best if smallest else found <= best) & (best == best)
        np.copyto(best, found, where=ahead)
        np.copyto(where, at + c0, where=ahead)
    if index is not None and where is not None:
        index[...] = where
    if values is not None and best is not None:
        values[...] = best


def above(plan: Plan, x: Array, threshold: float, out: Array) -> None:
    """Where the resized x is above the threshold, as bools into `out`; x is native and aligned.

    A threshold for floating dtypes is one of their values; for integers it may be any number.
    """
    program, code = plan.program(x.dtype), code_of(x.dtype)
    limit = integer_limit(threshold, code) if x.dtype.kind in "iub" else threshold
    if isinstance(limit, bool):
        out[...] = limit
        return
    compiled = cpu.reducer(program, x.dtype) if choose(program, x.dtype) == cpu.name else None
    if compiled is None:
        y = fresh(x, plan.shape_out(x.shape))
        execute(*bind(plan, x.dtype), x, y)
        with np.errstate(invalid="ignore"):
            np.greater(y, x.dtype.type(limit), out=out)
        return
    if code in ("i64", "u64") and not program.copies:
        warn_of_lost_bits(x, 5)
    view = VIEWS.get(code)
    whole = limit - (1 << 64) if isinstance(limit, int) and limit >= 1 << 63 else limit
    compiled.above(x if view is None else x.view(view), out.view(np.uint8), code, float(limit),
                   int(whole) if code in ("i64", "u64") else 0)  # fmt: skip


def integer_limit(threshold: float, code: str) -> int | bool:
    """The integer of the dtype that stands for the threshold: v > threshold where v > it. Or the answer for every v."""
    low, high = _RANGES[code]
    if not threshold < high:  # NaN too
        return False
    return True if threshold < low else int(threshold // 1)


_RANGES = {f"u{b}": (0, 2**b - 1) for b in (8, 16, 32, 64)} | {f"i{b}": (-(2 ** (b - 1)), 2 ** (b - 1) - 1)
           for b in (8, 16, 32, 64)} | {"bool": (0, 1)}  # fmt: skip


def _resized(plan: Plan, x: Array, dim: int, c0: int, c1: int) -> Array:
    part = x[(slice(None),) * dim + (slice(c0, c1),)]
    y = fresh(part, plan.shape_out(part.shape))
    execute(*bind(plan, x.dtype), part, y)
    return y.astype(np.float32) if y.dtype.name == "bfloat16" else y
