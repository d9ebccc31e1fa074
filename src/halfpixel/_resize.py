# SPDX-License-Identifier: MIT
"""`resize` and `resize_image`: the functions most programs call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._plan import Plan, plan_of
from ._request import Options
from ._sizes import is_sequence
from .errors import HalfpixelError, HalfpixelTypeError, HalfpixelValueError, describe_call

_MAX_READY = 2048
# Argument sets seen before -> their plan. Written under the interpreter's own dict lock; emptied when full.
_ready: dict[Any, Plan] = {}


def resize(
    x: Any,
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
    nan: str | float = "propagate",
    mask: Any = None,
    out: NDArray[Any] | None = None,
    spacing: Any = None,
    new_spacing: Any = None,
) -> NDArray[Any]:
    """Resample an array along some of its axes.

    **Convention:** `size` and `scale` follow `axes` (default: the last len(size) axes; one number without `axes` for
    1 or 2 dimensions only). Pixel edges map to pixel edges (grid "half_pixel"), the step is n_in / n_out, coordinates
    are exact. The result has x's dtype and memory order; integers round half up and saturate; halves and small
    integers compute in float32, the others in float64.
    Arguments:
        x: an array, or anything that numpy.asarray makes one of: floats, integers, bool or complex, any strides. Or a
            torch tensor: the result is one too, differentiable, see `halfpixel.nn.functional.resize`.
        size, scale: output lengths, or factors (int, float or Fraction); exactly one of them, or spacing and
            new_spacing.
        axes: the axes to resample.
        filter: a name from `filters.TABLE`, a factory call such as "cubic(a=-0.75)", or a `filters.Filter`.
        grid, edge: names from `grids.TABLE` and `edges.TABLE`.
        antialias: stretch the filter by the step where it is above 1.
        box: one (start, stop) per axis, in pixel edges: what to resample instead of the whole axis. Taps may reach
            outside it.
        rounding: how scale becomes a size: "round" (half up), "floor" or "ceil".
        fill: what stands outside with edge="constant".
        like: a preset in place of filter, grid, edge and antialias, such as "pillow.lanczos".
        nan: "propagate"; "ignore" (NaN counts as missing, the rest is renormalised); or the least valid weight, above
            0 and up to 1, below
            which the result is NaN.
        mask: bool, broadcastable to x, True where x is valid.
        out: where to write; x's dtype, the result's shape, any strides, no memory of x.
        spacing, new_spacing: distances of samples before and after, in place of size.
    Returns: a new array, or `out`.
    Raises: ValueError and TypeError that name the call, the reason, and what would work.
    Example:
        >>> import numpy as np
        >>> resize(np.array([0.0, 4.0]), 4, edge="edge")
        array([0., 1., 3., 4.])
    """
    key = (
        getattr(x, "shape", None), size, scale, axes, filter, grid, edge, antialias, box, rounding, fill, like,
        spacing, new_spacing,
    )  # fmt: skip
    try:
        plan = _ready[key]
    except (KeyError, TypeError):
        plan = None
    try:
        if plan is not None and type(x) is np.ndarray and mask is None and nan == "propagate":
            return plan(x, out)
        return _resize(x, key, plan, nan, mask, out)
    except HalfpixelError as error:
        raise error.in_call(Options(*key[1:]).described("resize", x, mask=mask, out=out)) from None


def _resize(x: Any, key: Any, plan: Plan | None, nan: Any, mask: Any, out: Any) -> NDArray[Any]:
    from . import _missing, backends

    if backends.is_tensor(x):
        return _resize_tensor(x, Options(*key[1:]), nan, mask, out)
    a = backends.as_array(x)
    if plan is None:
        plan = plan_of(a.shape, Options(*key[1:]))
        _remember(key, plan)
    if mask is None and isinstance(nan, str) and nan == "propagate":
        return plan.run(a, out)
    return _missing.resize_valid(plan, a, nan, mask, out)


def _resize_tensor(x: Any, options: Options, nan: Any, mask: Any, out: Any) -> Any:
    from .nn import functional

    if mask is not None or out is not None or nan != "propagate" or options.new_spacing is not None:
        works = "size= or scale= and the options of halfpixel.nn.functional.resize, or x.numpy()"
        raise HalfpixelTypeError("tensors take no mask, nan, out or spacing", works)
    told = {k: v for k, v in options._asdict().items() if k not in ("spacing", "new_spacing")}
    return functional.resize(x, told.pop("size"), **told)


def _remember(key: Any, plan: Plan) -> None:
    try:
        hash(key)
    except TypeError:
        return
    if len(_ready) >= _MAX_READY:
        _ready.clear()
    _ready[key] = plan


def resize_image(img: Any, size: Any = None, **options: Any) -> NDArray[Any]:
    """Resample a picture of shape (height, width) or (height, width, channels).

    **Convention:** `size` is (height, width); a number for `scale` holds for both; all else as in `resize`. Channels
    are independent: premultiply alpha yourself.
    Arguments: img: HW or HWC, 1 to 4 channels or more. size: (height, width). options: those of `resize`, without axes.
    Returns: a new array of img's dtype and memory order.
    Raises: as `resize`; ValueError for other numbers of dimensions.
    Example:
        >>> import numpy as np
        >>> resize_image(np.zeros((48, 64, 3), np.uint8), (24, 32)).shape
        (24, 32, 3)
    """
    ndim = np.ndim(img)
    try:
        if ndim not in (2, 3):
            raise HalfpixelValueError(
                f"the picture has {ndim} dimensions", "an array (height, width) or (height, width, channels)"
            )
        if "axes" in options:
            raise HalfpixelValueError("resize_image always resamples height and width", "resize(), which takes axes=")
        if size is not None and not (is_sequence(size) and len(size) == 2):
            raise HalfpixelValueError(f"size is {size!r}", "size=(height, width)")
    except HalfpixelError as error:
        raise error.in_call(describe_call("resize_image", img, size=size, **options)) from None
    return resize(img, size, axes=(-2, -1) if ndim == 2 else (-3, -2), **options)
