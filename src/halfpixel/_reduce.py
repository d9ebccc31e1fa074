# SPDX-License-Identifier: MIT
"""Resize and reduce in one pass: `interpolate_argmax`, `interpolate_reduce`, `interpolate_threshold`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _sizes
from ._memory import fresh
from ._plan import plan_of
from ._request import Options
from .errors import HalfpixelError, HalfpixelTypeError, HalfpixelValueError, unknown_name

Array = NDArray[Any]

# reduction -> whether the smallest counts, whether values and whether indices are returned
REDUCTIONS: dict[str, tuple[bool, bool, bool]] = {
    "argmax": (False, False, True),
    "argmin": (True, False, True),
    "amax": (False, True, False),
    "amin": (True, True, False),
    "max": (False, True, True),
    "min": (True, True, True),
}


class Extremes(NamedTuple):
    """What "max" and "min" return: the extreme values, and their positions along the reduced axis."""

    values: Any
    indices: Any


def interpolate_argmax(
    x: Any,
    size: Any = None,
    *,
    dim: int | None = None,
    scale: Any = None,
    axes: Any = None,
    filter: Any = "linear",
    grid: Any = "half_pixel",
    edge: Any = "crop",
    antialias: bool = True,
    box: Any = None,
    rounding: str = "round",
    fill: float = 0.0,
    like: Any = None,
    dtype: Any = None,
) -> Array:
    """`resize(x, size, ...).argmax(dim)` without the resized array: logits in, labels out.

    **Convention:** as `resize`; the compared values are its own, bit for bit. Of equal ones the first counts, NaN
    counts as the largest, as in NumPy and torch. The result lacks `dim`; its axes are nested in memory as x's are. It
    needs memory for itself and for a strip of the resize per thread. No gradient: an index has none.
    Arguments:
        x: an array of a real dtype, or a tensor of the CPU.
        size, scale, axes, filter, grid, edge, antialias, box, rounding, fill, like: as in `resize`.
        dim: the axis of the classes; without it the only axis that is not resampled, or the one in front of the
            resampled ones where these are the last.
        dtype: of the labels, an integer dtype that holds them all (default int64).
    Returns: the labels.
    Raises: as `resize`; ValueError for a `dim` that is resampled, missing or empty, or a dtype that is too small.
    Example:
        >>> import numpy as np
        >>> logits = np.random.default_rng(0).random((19, 32, 64), dtype=np.float32)
        >>> interpolate_argmax(logits, (256, 512), dtype=np.uint8).shape
        (256, 512)
    """
    options = Options(size, scale, axes, filter, grid, edge, antialias, box, rounding, fill, like)
    return _called("interpolate_argmax", x, options, "argmax", dim, dtype)


def interpolate_reduce(
    x: Any,
    size: Any = None,
    *,
    reduction: str = "max",
    dim: int | None = None,
    scale: Any = None,
    axes: Any = None,
    filter: Any = "linear",
    grid: Any = "half_pixel",
    edge: Any = "crop",
    antialias: bool = True,
    box: Any = None,
    rounding: str = "round",
    fill: float = 0.0,
    like: Any = None,
    dtype: Any = None,
) -> Any:
    """An extreme of `resize(x, size, ...)` along `dim`, without the resized array.

    **Convention:** as `interpolate_argmax`. Sums and means are not here: they commute with a resize, so
    `resize(x.mean(dim), ...)` is the same and cheaper.
    Arguments:
        reduction: "argmax", "argmin": where; "amax", "amin": the value; "max", "min": both, as `Extremes(values,
            indices)`.
        the rest: as in `interpolate_argmax`; dtype is that of indices.
    Returns: an array without `dim`, or `Extremes` of two.
    Raises: as `interpolate_argmax`; ValueError for an unknown reduction; NotImplementedError for values of a tensor
        that asks for a gradient.
    Example:
        >>> import numpy as np
        >>> best = interpolate_reduce(np.eye(3, dtype=np.float32)[:, None], (1, 6), reduction="max", edge="edge")
        >>> best.values, best.indices
        (array([[1.  , 0.75, 0.75, 0.75, 0.75, 1.  ]], dtype=float32), array([[0, 0, 1, 1, 2, 2]]))
    """
    options = Options(size, scale, axes, filter, grid, edge, antialias, box, rounding, fill, like)
    return _called("interpolate_reduce", x, options, reduction, dim, dtype)


def interpolate_threshold(
    x: Any,
    threshold: float,
    size: Any = None,
    *,
    scale: Any = None,
    axes: Any = None,
    filter: Any = "linear",
    grid: Any = "half_pixel",
    edge: Any = "crop",
    antialias: bool = True,
    box: Any = None,
    rounding: str = "round",
    fill: float = 0.0,
    like: Any = None,
) -> Array:
    """`resize(x, size, ...) > threshold` without the resized array: a mask of bools.

    **Convention:** as `resize`, and NumPy's comparison with a number: the threshold is rounded to a floating x's
    dtype first; integers (which `resize` rounds) are compared exactly. NaN is not above. No gradient.
    Arguments: x: an array of a real dtype, or a tensor of the CPU. threshold: a number. The rest: as in `resize`.
    Returns: bools of the resized shape, nested in memory as x is.
    Raises: as `resize`.
    Example:
        >>> import numpy as np
        >>> interpolate_threshold(np.array([0.0, 1.0]), 0.5, 6, edge="edge")
        array([False, False, False,  True,  True,  True])
    """
    options = Options(size, scale, axes, filter, grid, edge, antialias, box, rounding, fill, like)
    try:
        return _threshold(x, threshold, options)
    except HalfpixelError as error:
        raise error.in_call(options.described("interpolate_threshold", x, threshold)) from None


def _called(name: str, x: Any, options: Options, reduction: str, dim: Any, dtype: Any) -> Any:
    try:
        return _reduce(x, options, reduction, dim, dtype)
    except HalfpixelError as error:
        told = {} if name == "interpolate_argmax" else {"reduction": reduction}
        kind = getattr(dtype, "__name__", dtype)  # NumPy's types are not arrays, though they look so
        raise error.in_call(options.described(name, x, **told, dim=dim, dtype=kind)) from None


def _reduce(x: Any, options: Options, reduction: str, dim: Any, dtype: Any) -> Any:
    from . import backends

    smallest, with_values, with_index = checked_reduction(reduction)
    if backends.is_tensor(x):
        from .nn import _reduce as tensors

        return tensors.reduce(x, options, reduction, dim, dtype)
    from .backends import reduce

    a = _real(backends.as_array(x))
    plan = plan_of(a.shape, options)
    axis = reduced_axis(dim, a.ndim, plan.axes)
    shape = plan.shape_out(a.shape)
    _sizes.check_total(shape[:axis] + shape[axis + 1 :], 8)
    check_channels(a.shape[axis], axis)
    index = values = None
    if with_index:
        kind = np.dtype(np.int64 if dtype is None else dtype)
        check_index(a.shape[axis], kind.name, np.iinfo(kind).max if kind.kind in "iu" else None)
        index = reduce.fresh_without(a, axis, shape, kind)
    if with_values:
        values = reduce.fresh_without(a, axis, shape, a.dtype.newbyteorder("="))
    some = values if index is None else index
    if some is not None and some.size:
        reduce.extremes(plan, backends.behaved(a), axis, smallest, index, values)
    return Extremes(values, index) if with_values and with_index else some


def _threshold(x: Any, threshold: Any, options: Options) -> Any:
    from . import backends

    checked_threshold(threshold)
    if backends.is_tensor(x):
        from .nn import _reduce as tensors

        return tensors.threshold(x, threshold, options)
    from .backends import reduce

    a = _real(backends.as_array(x))
    plan = plan_of(a.shape, options)
    shape = plan.shape_out(a.shape)
    _sizes.check_total(shape, 1)
    out = fresh(a, shape, np.dtype(np.bool_))
    if out.size:
        with np.errstate(over="ignore"):
            value = threshold if a.dtype.kind in "iub" else float(a.dtype.type(threshold))
        reduce.above(plan, backends.behaved(a), value, out)
    return out


def checked_reduction(reduction: Any) -> tuple[bool, bool, bool]:
    """The row of the reduction. Raises: ValueError for an unknown one."""
    if reduction in ("sum", "mean"):
        works = f"halfpixel.resize(x.{reduction}(dim), ...): that is the same, and cheaper"
        raise HalfpixelValueError(f"a {reduction} of channels commutes with a resize", works)
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise unknown_name("reduction", reduction, REDUCTIONS)
    return REDUCTIONS[reduction]


def checked_threshold(threshold: Any) -> None:
    """Raises: TypeError for what is not a real number."""
    if isinstance(threshold, (bool, np.bool_)) or not isinstance(threshold, (int, float, np.integer, np.floating)):
        raise HalfpixelTypeError(f"threshold is {threshold!r}", "a number")


def reduced_axis(dim: Any, ndim: int, axes: tuple[int, ...]) -> int:
    """The axis to reduce, not negative.

    Arguments: dim: as given, or None. axes: the resampled ones, negative.
    Raises: ValueError where it is not clear, not there, or resampled.
    """
    resampled = {a % ndim for a in axes}
    works = "dim=, an axis that is not resampled"
    if dim is None:
        others = [d for d in range(ndim) if d not in resampled]
        if len(others) == 1:
            return others[0]
        if not others or axes != tuple(range(-len(axes), 0)):
            raise HalfpixelValueError(f"dim is not given, and axes {axes} of {ndim} do not say which it is", works)
        return others[-1]
    found = _sizes.integer(dim, "dim")
    if not -ndim <= found < ndim:
        raise HalfpixelValueError(f"dim is {dim} of an array of {ndim} dimensions", works)
    if found % ndim in resampled:
        raise HalfpixelValueError(f"dim {dim} is resampled", works)
    return found % ndim


def check_channels(n: int, dim: int) -> None:
    """Raises: ValueError where there is nothing to reduce."""
    if n < 1:
        raise HalfpixelValueError(f"axis {dim} holds nothing to reduce", "an axis with at least one channel")


def check_index(n: int, name: str, largest: int | None) -> None:
    """Raises: TypeError for a dtype without integers, ValueError for one that does not hold n - 1."""
    if largest is None:
        raise HalfpixelTypeError(f"dtype is {name}", "an integer dtype, such as uint8 or int64")
    if n - 1 > largest:
        raise HalfpixelValueError(f"{name} holds labels up to {largest}, there are {n} channels", "a wider dtype")


def _real(a: Array) -> Array:
    if a.dtype.kind == "c":
        raise HalfpixelTypeError("complex numbers have no order", "x.real, or abs(x)")
    return a
