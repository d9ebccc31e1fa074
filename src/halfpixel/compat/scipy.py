# SPDX-License-Identifier: MIT
"""scipy.ndimage.zoom in its own signature. SciPy itself is not needed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halfpixel._plan import plan
from halfpixel.errors import HalfpixelRuntimeError
from halfpixel.presets import TABLE

Array = NDArray[Any]

MODES = tuple(TABLE["scipy.zoom"].options["mode"])
_ORDERS = tuple(TABLE["scipy.zoom"].options["order"])
_HELD = ("bool", "float32", "float64", "complex64", "complex128")
# With grid_mode these leave the grid's borders out; the others are what is usually meant.
_MEANT = {"constant": "grid-constant", "wrap": "grid-wrap"}


def zoom(
    input: ArrayLike,
    zoom: Any,
    output: Any = None,
    order: int = 3,
    mode: str = "constant",
    cval: complex = 0.0,
    prefilter: bool = True,
    *,
    grid_mode: bool = False,
) -> Array:
    """Zoom an array by spline interpolation, as scipy.ndimage.zoom does.

    **Convention:** every axis is resampled; lengths are round-half-even(n * zoom). The first and last sample map onto
    each other, or with `grid_mode` the outer edges. Everything is computed in float64; integers round half away from
    zero and saturate. Complex arrays are zoomed by their parts, `grid_mode` included.
    Arguments:
        input: real or complex, at least one dimension.
        zoom: a factor, or one per axis.
        output: a dtype, or the array to write to. order: of the spline, 0 to 5.
        mode: "reflect", "grid-mirror", "constant", "grid-constant", "nearest", "mirror", "grid-wrap" or "wrap".
        cval: what stands outside with the constant modes.
        prefilter: False where `input` holds spline coefficients already.
    Returns: the result, or `output`.
    Raises: RuntimeError, as SciPy does, for an order, mode, shape or dtype that it refuses.
    Source: SciPy 1.17.
    Example:
        >>> zoom([0.0, 4.0], 2, order=1)
        array([0.        , 1.33333333, 2.66666667, 4.        ])
    """
    a = np.asarray(input)
    _check(a, order, mode)
    factors = list(zoom) if np.iterable(zoom) and not isinstance(zoom, str) else [zoom] * a.ndim
    if len(factors) != a.ndim:
        raise HalfpixelRuntimeError("sequence argument must have length equal to input rank")
    factors = [float(z) for z in factors]
    shape = tuple(round(n * z) for n, z in zip(a.shape, factors, strict=True))
    out = _output(output, a, shape)
    if all(z == 1 for z in factors) and prefilter:
        out[...] = a
        return out
    if grid_mode and mode in _MEANT:
        warnings.warn(
            f"It is recommended to use mode = {_MEANT[mode]} instead of {mode} when grid_mode is True.", stacklevel=2
        )
    spec = f"scipy.zoom(order={int(order)}, mode={mode!r}, prefilter={bool(prefilter)}, grid_mode={bool(grid_mode)})"
    if out.size == 0:
        return out
    if a.dtype.kind == "c":
        out.real[...] = _zoomed(a.real, factors, spec, np.real(cval))
        out.imag[...] = _zoomed(a.imag, factors, spec, np.imag(cval))
    else:
        _store(_zoomed(a, factors, spec, cval), out)
    return out


def _check(a: Array, order: int, mode: str) -> None:
    if order not in _ORDERS:
        raise HalfpixelRuntimeError("spline order not supported", f"an order from 0 to 5, not {order!r}")
    if a.ndim < 1:
        raise HalfpixelRuntimeError("input and output rank must be > 0", "an array of at least one dimension")
    if mode not in MODES:
        raise HalfpixelRuntimeError("boundary mode not supported", f"one of {', '.join(MODES)}, not {mode!r}")
    _check_dtype(a.dtype)


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "iu" and dtype.newbyteorder("=").name not in _HELD:
        raise HalfpixelRuntimeError(
            f"array type {dtype!r} not supported", "integers, bool, float32, float64 or complex"
        )


def _output(output: Any, a: Array, shape: tuple[int, ...]) -> Array:
    """The array to write to, from what was asked: nothing, a type or its name, or an array."""
    is_complex = a.dtype.kind == "c"
    if output is None:
        return np.zeros(shape, np.promote_types(a.dtype, np.complex64) if is_complex else a.dtype.name)
    if isinstance(output, (type, np.dtype, str)):
        dtype = np.dtype(output)
        if isinstance(output, str) and not issubclass(dtype.type, np.number):
            raise HalfpixelRuntimeError("output must have numeric dtype")
        if is_complex and dtype.kind != "c":
            if isinstance(output, str):
                raise HalfpixelRuntimeError("output must have complex dtype")
            warnings.warn("promoting specified output dtype to complex", stacklevel=3)
            dtype = np.promote_types(dtype, np.complex64)
        out = np.zeros(shape, dtype)
    else:
        out = np.asarray(output)
        if out.shape != shape:
            raise HalfpixelRuntimeError("output shape not correct", f"an array of shape {shape}, not {out.shape}")
        if is_complex and out.dtype.kind != "c":
            raise HalfpixelRuntimeError("output must have complex dtype")
    _check_dtype(out.dtype)
    return out


def _zoomed(a: Array, factors: list[float], spec: str, cval: Any) -> NDArray[np.float64]:
    x = a.astype(np.float64)
    return plan(x.shape, scale=factors, like=spec, fill=float(cval))(x)


def _store(values: NDArray[np.float64], out: Array) -> None:
    """As SciPy writes: integers half away from zero and saturating, bool by its whole part."""
    if out.dtype.kind == "b":
        out[...] = np.trunc(values) != 0
        return
    if out.dtype.kind not in "iu":
        out[...] = values
        return
    info = np.iinfo(out.dtype)
    low, high = float(info.min), float(info.max)
    whole = np.trunc(values + np.where(values > 0, 0.5, -0.5 if info.min < 0 else 0.0))
    inside = (whole > low) & (whole < high)
    out[...] = np.where(inside, whole, 0.0).astype(out.dtype)
    out[whole <= low] = info.min
    out[whole >= high] = info.max
