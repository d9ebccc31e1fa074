# SPDX-License-Identifier: MIT
"""`resize_labels`: label maps without one-hot memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _sizes, filters
from ._memory import fresh
from ._plan import Plan, plan_like, plan_of
from ._recipe import axes_of
from ._request import Options
from ._votes import RULES, votes
from .errors import HalfpixelError, HalfpixelTypeError, HalfpixelValueError, unknown_name

Array = NDArray[Any]


def resize_labels(
    labels: Any,
    size: Any = None,
    *,
    scale: Any = None,
    axes: Any = None,
    method: str = "nearest",
    ignore_index: int | None = None,
    grid: Any = "half_pixel",
    box: Any = None,
    rounding: str = "round",
    spacing: Any = None,
    new_spacing: Any = None,
) -> Array:
    """Resample a map of labels: no label appears that was not there, and none is averaged.

    **Convention:** sizes, axes, grid and box as in `resize`. "linear" and "majority" give the argmax over all labels
    of the resize of their one-hot maps, without those maps: every sample of an output's window gives its label a
    weight, and the heaviest wins; of equal ones the smallest label. Weights are whole numbers (coordinates are
    rational), so sums and ties are exact; see docs/labels.md for sizes whose weights do not fit in 62 bits.
    Arguments:
        labels: integers or bools, any shape and strides; or such a tensor of the CPU.
        size, scale, axes, grid, box, rounding, spacing, new_spacing: as in `resize`.
        method: "nearest"; "majority", what covers most of the output pixel along axes that shrink and the nearest
            sample along those that grow; "linear", the tent of `resize`, stretched where an axis shrinks.
        ignore_index: a label without weight. An output is ignored where its whole window is.
    Returns: a new array of the labels' dtype, its axes nested in memory as theirs are.
    Raises: ValueError and TypeError that name the call, the reason, and what would work.
    Example:
        >>> import numpy as np
        >>> resize_labels(np.array([3, 3, 3, 7, 7, 255]), 2, method="majority", ignore_index=255)
        array([3, 7])
    """
    options = Options(
        size, scale, axes, grid=grid, box=box, rounding=rounding, spacing=spacing, new_spacing=new_spacing
    )
    try:
        return _resize_labels(labels, options, method, ignore_index)
    except HalfpixelError as error:
        call = options.described("resize_labels", labels, method=method, ignore_index=ignore_index)
        raise error.in_call(call) from None


def _resize_labels(labels: Any, options: Options, method: str, ignore_index: Any) -> Any:
    from . import backends

    if method not in RULES:
        raise unknown_name("method", method, RULES)
    if backends.is_tensor(labels):
        from .nn import _labels as tensors

        return tensors.resize_labels(labels, options, method, ignore_index)
    a = backends.as_array(labels)
    check_labels(a.dtype.kind, a.dtype)
    ignored = ignored_label(ignore_index, a.dtype)
    plan = plan_of(a.shape, options)
    if (copying := copies(plan, method)) is not None:
        return copying.run(a)
    shape = plan.shape_out(a.shape)
    _sizes.check_total(shape, a.itemsize)
    a = backends.behaved(a)
    out = fresh(a, shape)
    vote(plan, a, out, method, ignored)
    return out


def copies(plan: Plan, method: str) -> Plan | None:
    """The plan that takes nearest samples, where the method means no more than that between these sizes."""
    shrinks = any(axis.step > 1 for axis in axes_of(plan.request))
    if method == "linear" or (method == "majority" and shrinks):
        return None
    return plan_like(plan, replace(plan.request, filter=filters.get("nearest")))


def vote(plan: Plan, a: Array, out: Array, method: str, ignored: int | None) -> None:
    """The labels by votes, into `out`; of the plan only sizes and coordinates count."""
    from .backends import labels

    if out.size:
        labels.run(a, out, plan.axes, votes(axes_of(plan.request), method), ignored)


def check_labels(kind: str, dtype: Any) -> None:
    """Raises: TypeError for anything but integers and bools."""
    if kind not in "iub":
        raise HalfpixelTypeError(f"labels have dtype {dtype}", "integers or bools; for pictures, resize()")


def ignored_label(ignore_index: Any, dtype: np.dtype[Any]) -> int | None:
    """The label as an int.

    Raises: ValueError where the dtype does not hold it, TypeError for what is no integer.
    """
    if ignore_index is None:
        return None
    label = _sizes.integer(ignore_index, "ignore_index")
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not low <= label <= high:
        works = "a label that the map can hold, or ignore_index=None"
        raise HalfpixelValueError(f"ignore_index is {label}, {dtype} holds {low} to {high}", works)
    return label
