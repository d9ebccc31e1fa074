# SPDX-License-Identifier: MIT
"""The definition: NumPy, float64, a loop over taps. Also the fallback where the compiled kernels are absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfpixel._axis import Link
from halfpixel._recipe import Program

name = "reference"
Array = NDArray[Any]


def why_not(program: Program | None = None, dtype: np.dtype[Any] | None = None) -> str | None:
    """It runs everything."""
    return None


def bind(program: Program, dtype: np.dtype[Any]) -> Callable[[Array, Array, str], None]:
    """A function `run(x, out, code)`."""
    execute = _copy if program.copies else _compute

    def run(x: Array, out: Array, code: str) -> None:
        execute(program, x, out)

    return run


def apply(program: Program, x: Array, out: Array) -> None:
    """Run the program on x into out."""
    bind(program, x.dtype)(x, out, "")


def _copy(program: Program, x: Array, out: Array) -> None:
    for stage in program.stages:
        x = np.take(x, stage.link.band.selected(), axis=stage.axis)
    out[...] = x


def _compute(program: Program, x: Array, out: Array) -> None:
    v = _loaded(x, program.compute)
    with np.errstate(all="ignore"):
        for stage in program.stages:
            v = pass_along(v, stage.axis, stage.link, program.compute)
        store(v, out, program.rounding)


def _loaded(x: Array, compute: str) -> Array:
    if compute == "fixed":
        return x.astype(np.int64)
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def pass_along(v: Array, axis: int, link: Link, compute: str) -> Array:
    """One pass along an axis."""
    v = np.moveaxis(v, axis, -1)
    if link.solve:
        return np.moveaxis(link.band.solve(v), -1, axis)
    if compute == "fixed":
        return np.moveaxis(_fixed(v, link), -1, axis)
    kind, weight = v.dtype, link.band.weight
    if link.post == ("float32",) and compute == "natural":
        # A float32 loop of another library: its products and sums are rounded one by one.
        kind, weight = np.dtype(np.complex64 if kind.kind == "c" else np.float32), weight.astype(np.float32)
    out = np.zeros((*v.shape[:-1], link.band.n_out), kind)
    if link.bias is not None:
        out += link.bias
    columns = link.band.columns()
    for k in range(link.band.taps):
        w = weight[:, k]
        taken = np.take(v, columns[:, k], axis=-1).astype(kind, copy=False)
        out += taken * w if w.all() else np.where(w != 0, taken * w, 0)
    done = _POSTS[link.post[0]](out, *link.post[1:]) if link.post else out
    return np.moveaxis(done.astype(v.dtype, copy=False), -1, axis)


def _fixed(v: Array, link: Link) -> Array:
    _, pre, tap_shift, shift, lo, hi = link.post or ("fixed", 0, 0, 0, -(2**31), 2**31 - 1)
    out = np.zeros((*v.shape[:-1], link.band.n_out), np.int64)
    columns, weight = link.band.columns(), link.band.weight.astype(np.int64)
    for k in range(link.band.taps):
        out += (weight[:, k] * (np.take(v, columns[:, k], axis=-1) >> pre)) >> tap_shift
    half = 1 << (shift - 1) if shift else 0
    return np.clip((out + half) >> shift, lo, hi)


def _half_away(v: Array) -> Array:
    return np.trunc(v + np.copysign(0.5, v))


_POSTS: dict[str, Callable[..., Array]] = {
    "round_away": lambda v, lo, hi: np.clip(_half_away(v), lo, hi),
    "float32": lambda v: v.astype(np.complex64 if v.dtype.kind == "c" else np.float32),
}

ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "half_up": lambda v: np.floor(v + 0.5),
    "half_even": np.rint,
    "half_away": _half_away,
    "trunc": np.trunc,
}


def store(v: Array, out: Array, rounding: str) -> None:
    """Write float or integer results into out's dtype: floats round once, integers by the rule and saturating, NaN
    becomes 0.
    """
    if out.dtype.kind == "b":
        out[...] = v >= 0.5
    elif out.dtype.kind in "iu":
        _store_integers(v, out, rounding)
    else:
        out[...] = v.astype(out.dtype)


def _store_integers(v: Array, out: Array, rounding: str) -> None:
    info = np.iinfo(out.dtype)
    if v.dtype.kind == "f":
        v = np.nan_to_num(ROUNDINGS[rounding](v), nan=0.0, posinf=np.inf, neginf=-np.inf)
    low, high = v <= float(info.min), v >= float(info.max)
    out[...] = np.where(low | high, 0, v).astype(out.dtype)
    out[low] = info.min
    out[high] = info.max
