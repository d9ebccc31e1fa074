# SPDX-License-Identifier: MIT
"""Missing data: normalised resampling, B(x m) / B(m) with m = 1 where x is valid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import backends, edges
from ._memory import fresh
from ._plan import Plan, plan_like
from .backends import reference
from .backends._dtypes import compute_dtype
from .errors import HalfpixelTypeError, HalfpixelValueError

Array = NDArray[Any]
Bool = NDArray[np.bool_]

# With "ignore", a result needs some valid weight: less than this is rounding noise of filters with negative lobes.
LEAST = 1e-6


def least_weight(nan: Any) -> float | None:
    """What `nan=` asks for: None to propagate, else the least valid weight.

    Raises: ValueError for anything but "propagate", "ignore" or a number above 0 and up to 1.
    """
    if isinstance(nan, str) and nan in ("propagate", "ignore"):
        return None if nan == "propagate" else LEAST
    if isinstance(nan, (int, float, np.number)) and not isinstance(nan, bool) and 0 < nan <= 1:
        return float(nan)
    raise HalfpixelValueError(
        f"nan is {nan!r}", "'propagate', 'ignore', or the least valid weight, above 0 and up to 1"
    )


def _checked_mask(mask: Any, shape: tuple[int, ...]) -> Bool:
    m = np.asarray(mask)
    if m.dtype != np.bool_:
        raise HalfpixelTypeError(f"mask has dtype {m.dtype}", "a bool array, True where x is valid")
    try:
        fits = np.broadcast_shapes(m.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise HalfpixelValueError(
            f"mask of shape {m.shape} does not broadcast to x, {shape}", f"a bool array of shape {shape}"
        )
    return m.reshape((1,) * (len(shape) - m.ndim) + m.shape)


def _valid(a: Array, nan: float | None, mask: Any) -> Bool | None:
    """Where `a` is valid, with batch axes of length 1 where that does not vary; None: everywhere."""
    valid = None if mask is None else _checked_mask(mask, a.shape)
    if nan is not None and a.dtype.kind not in "iub":
        finite: Bool = ~np.isnan(a)
        valid = finite if valid is None else valid & finite
    return None if valid is None or valid.all() else valid


def resize_valid(plan: Plan, a: Array, nan: Any, mask: Any, out: Array | None) -> Array:
    """Resample the valid part of `a`; where too little of it weighs in, floats become NaN and other dtypes `fill`."""
    least = least_weight(nan)
    valid = _valid(a, least, mask)
    shape = plan.shape_out(a.shape)
    if valid is None:
        return plan.run(a, out)
    y = fresh(a, shape) if out is None else backends.checked_out(out, a, shape)
    compute = compute_dtype(a.dtype, "natural")
    weighed = _weight_plan(plan)(_along(valid, a.shape, plan.axes).astype(compute.type(0).real.dtype))
    summed = plan(np.where(valid, a, 0).astype(compute, copy=False))
    enough = weighed >= (LEAST if least is None else least - 1e-6)
    with np.errstate(all="ignore"):
        summed = np.where(enough, summed / np.where(enough, weighed, 1), _nothing(a, plan.request.fill))
    reference.store(summed, y, plan.program(a.dtype).rounding)
    return y


def _along(valid: Bool, shape: tuple[int, ...], axes: tuple[int, ...]) -> Bool:
    """Full length along the resampled axes; batch axes stay as short as they are."""
    full = list(valid.shape)
    for axis in axes:
        full[axis] = shape[axis]
    return np.broadcast_to(valid, full)


def _nothing(a: Array, fill: float) -> float:
    return fill if a.dtype.kind in "iub" else np.nan


def _weight_plan(plan: Plan) -> Plan:
    """The plan that weighs validity: what an edge rule puts outside counts as valid."""
    edge = plan.request.edge
    if edge.fold is not None or edge.renormalise:
        return plan
    return plan_like(plan, replace(plan.request, edge=edges.TABLE["constant"], fill=1.0))
