# SPDX-License-Identifier: MIT
"""Laws that every resampler obeys, as functions that raise `LawBroken`; and the one place that says how close is equal.

**Convention:** a law takes a plan, an array, and the name of a backend (None: the one that would be chosen). Outputs
are poisoned before a backend writes them. The definition is the float64 matrix of every axis, applied by einsum: no
backend's code takes part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfpixel import backends
from halfpixel._axis import Chain
from halfpixel._plan import Plan
from halfpixel.backends._dtypes import compute_dtype

Array = NDArray[Any]

# Bits of mantissa: of the arithmetic, and of the stored result.
_EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


class LawBroken(AssertionError):
    """A law does not hold."""


def eps_of(dtype: Any) -> float:
    """The spacing of floats at 1: of the real part for complex ones, 0 for integers, which are exact."""
    kind = np.dtype(dtype)
    if kind.kind == "c":
        return _EPS["float32" if kind.itemsize == 8 else "float64"]
    return _EPS.get(kind.name, 0.0)


def tolerance(dtype: Any, taps: int, gain: float = 1.0, largest: float = 1.0) -> float:
    """How far a result may be from the float64 definition.

    Arguments: dtype: of the array. taps: of all passes together. gain: the largest sum of |weights| of a row, over
    all passes.
    largest: the largest |value| of the input.
    """
    kind = np.dtype(dtype)
    compute = eps_of(compute_dtype(kind, "natural"))
    rounding = (taps + 2) * compute * gain * largest
    return rounding + 0.5 * eps_of(kind) * (gain * largest + rounding) + 1e-300


def matrix(chain: Chain) -> tuple[Array, Array]:
    """The dense matrix and the bias of one axis, in float64."""
    m: Array = np.eye(chain[0].band.n_in)
    bias: Array = np.zeros(len(m))
    for link in chain:
        dense = link.band.dense()
        if link.solve:
            m, bias = np.linalg.solve(dense, m), np.linalg.solve(dense, bias)
        else:
            m, bias = dense @ m, dense @ bias + (0 if link.bias is None else link.bias)
    return m, bias


def matrices(plan: Plan, dtype: Any = np.float64) -> list[tuple[Array, Array]]:
    """Matrix and bias of every axis, in the order of `plan.axes`."""
    pairs = [matrix(chain) for chain in plan.recipe(dtype).chains]
    return [(m.T, np.zeros(m.shape[1])) for m, _ in pairs] if plan.transposed else pairs


def definition(plan: Plan, x: Array) -> Array:
    """The result in float64 (or complex128), before it is stored in x's dtype."""
    v = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    for axis, (m, bias) in zip(plan.axes, matrices(plan, x.dtype), strict=True):
        v = np.moveaxis(np.moveaxis(v, axis, -1) @ m.T + bias, -1, axis)
    return v


def gain_of(plan: Plan, dtype: Any = np.float64) -> float:
    """The largest sum of |weights| over all passes: what an error of the input may grow to."""
    gain = 1.0
    for chain in plan.recipe(dtype).chains:
        for link in chain:
            m = np.abs(np.linalg.inv(link.band.dense()) if link.solve else link.band.dense())
            gain *= max(float(m.sum(axis=0 if plan.transposed else 1).max()), 1.0)
    return gain


def taps_of(plan: Plan, dtype: Any = np.float64) -> int:
    """The taps of all passes together; a solve counts as its two substitutions along the axis' memory of it."""
    return sum(4 * s.link.band.taps + 16 if s.link.solve else s.link.band.taps for s in plan.program(dtype).stages)


def poisoned(shape: Sequence[int], dtype: Any) -> Array:
    """An array that shows what was not written: NaN in floats, an odd pattern elsewhere."""
    kind = np.dtype(dtype)
    if kind.kind in "fc" or kind.name == "bfloat16":
        return np.full(tuple(shape), np.nan).astype(kind)
    return np.frombuffer(b"\xa5" * int(np.prod(shape)) * kind.itemsize, np.uint8).view(kind).reshape(shape).copy()


def run(plan: Plan, x: Array, backend: str | None = None) -> Array:
    """The plan applied by a backend, into poisoned memory."""
    return backends.apply(plan, x, poisoned(plan.shape_out(x.shape), x.dtype), backend=backend)


def _largest(x: Array) -> float:
    return float(np.abs(x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)).max(initial=0.0))


def slack(plan: Plan, x: Array) -> float:
    """`tolerance` of this plan and input."""
    largest = max(_largest(x), abs(plan.request.fill) if np.isfinite(plan.request.fill) else 0.0)
    return tolerance(x.dtype, taps_of(plan, x.dtype), gain_of(plan, x.dtype), largest)


def require_close(got: Array, want: Array, atol: float, what: str) -> None:
    """Raise unless `got`, of any dtype, is the stored form of the float64 values `want` to within `atol`.

    Integers must be a nearest integer of the value clipped to their range; bools its comparison with one half.
    """
    if got.shape != want.shape:
        raise LawBroken(f"{what}: shape {got.shape}, expected {want.shape}")
    kind = got.dtype.kind
    if kind == "b":
        wrong = (got != (want >= 0.5)) & (np.abs(want - 0.5) > atol)
    elif kind in "iu":
        info = np.iinfo(got.dtype)
        wide = np.clip(want, float(info.min), float(info.max))
        wrong = ~(np.abs(got.astype(np.float64) - wide) <= 0.5 + atol + 2.0**-52 * np.abs(wide))
    else:
        value = got.astype(want.dtype)
        wrong = ~((np.abs(value - want) <= atol) | ((value == want) | (np.isnan(value) & np.isnan(want))))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        count = f"{int(wrong.sum())} of {wrong.size} differ"
        raise LawBroken(f"{what}: {count}; at {at} {got[at]!r} for {want[at]!r}, {atol=:.3g}")


def require_equal(got: Array, want: Array, what: str) -> None:
    """Raise unless both hold the same bits (NaN equals NaN)."""
    if got.shape != want.shape or got.dtype != want.dtype:
        raise LawBroken(f"{what}: {got.dtype} {got.shape}, expected {want.dtype} {want.shape}")
    same = got == want
    if got.dtype.kind not in "iub":
        same = same | (np.isnan(got) & np.isnan(want))
    if not same.all():
        at = tuple(int(i) for i in np.argwhere(~same)[0])
        count = f"{int((~same).sum())} of {same.size} differ"
        raise LawBroken(f"{what}: {count}; at {at} {got[at]!r} for {want[at]!r}")


def matches_definition(plan: Plan, x: Array, backend: str | None = None) -> None:
    """The backend computes the float64 matrices' result, stored once."""
    got, want = run(plan, x, backend), definition(plan, x)
    require_close(got, want, slack(plan, x), f"{plan} on {x.dtype} is not its definition")


def adjoint(plan: Plan, x: Array, y: Array, backend: str | None = None) -> None:
    """<B x, y> = <x, B.T y>, for floating x and y and a plan without fill."""
    forward, backward = run(plan, x, backend), run(plan.T, y, backend)
    wide = np.complex128 if x.dtype.kind == "c" else np.float64
    left: Any = np.vdot(forward.astype(wide), y.astype(wide))
    right: Any = np.vdot(x.astype(wide), backward.astype(wide))
    ones = np.abs(y.astype(wide)).sum(), np.abs(x.astype(wide)).sum()
    atol = slack(plan, x) * ones[0] + slack(plan.T, y) * ones[1]
    if not abs(left - right) <= atol:
        raise LawBroken(f"{plan} on {x.dtype}: <Bx, y> = {left}, <x, B.T y> = {right}, {atol=:.3g}")


def layouts_of(x: Array) -> dict[str, Array]:
    """The same values in other memory: Fortran order, every second element, reversed, shifted by one element,
    broadcast.
    """
    double = np.repeat(x, 2, axis=-1)
    shifted = np.empty(x.size + 1, x.dtype)[1:].reshape(x.shape)
    shifted[...] = x
    back = np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    first = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    up = np.ascontiguousarray(x[::-1])[::-1]
    views = {"fortran": np.asfortranarray(x), "strided": double[..., ::2], "shifted": shifted}
    return {**views, "reversed": back, "last": first, "up": up}


def layout_invariance(plan: Plan, x: Array, backend: str | None = None) -> None:
    """The memory layout of input and output changes no bit."""
    want = run(plan, np.ascontiguousarray(x), backend)
    for name, view in layouts_of(x).items():
        require_equal(run(plan, view, backend), want, f"{plan} on {x.dtype}, {name} input")
    for name, out in layouts_of(poisoned(want.shape, want.dtype)).items():
        require_equal(backends.apply(plan, x, out, backend=backend), want, f"{plan} on {x.dtype}, {name} output")


def constants(plan: Plan, dtype: Any, value: float = 1.0, backend: str | None = None) -> None:
    """A constant stays that constant, for edges that preserve it."""
    x = np.full(plan.size_in, value).astype(dtype)
    want = np.full(plan.size_out, x.flat[0].astype(np.complex128 if x.dtype.kind == "c" else np.float64))
    require_close(run(plan, x, backend), want, slack(plan, x), f"{plan}: constant")


def linear_ramp(
    plan: Plan, coordinates: Sequence[Array], inside: Sequence[Array], dtype: Any, backend: str | None = None
) -> None:
    """x[j] = j along every axis becomes the sample coordinate, where no tap is outside.

    Arguments: coordinates: per axis, of every output sample. inside: per axis, bool: the row reads nothing outside.
    """
    for k, (c, ok) in enumerate(zip(coordinates, inside, strict=True)):
        shape = [1] * len(plan.size_in)
        shape[k] = -1
        x = np.broadcast_to(np.arange(plan.size_in[k], dtype=dtype).reshape(shape), plan.size_in)
        y = np.moveaxis(run(plan, x, backend), k, -1)[..., ok]
        want = np.broadcast_to(np.asarray(c, np.float64)[ok], y.shape)
        require_close(y, want, slack(plan, x), f"{plan}: ramp along axis {k}")


def flip(plan: Plan, x: Array, backend: str | None = None) -> None:
    """Reversing the input reverses the output, for symmetric filters, grids and edges."""
    y = definition(plan, x)
    for axis in plan.axes:
        got = run(plan, np.flip(x, axis), backend)
        require_close(got, np.flip(y, axis), 2 * slack(plan, x), f"{plan}: flip of axis {axis}")


def identity(plan: Plan, x: Array, backend: str | None = None) -> None:
    """The same sizes give back every bit, for interpolating filters."""
    require_equal(run(plan, x, backend), x, f"{plan} on {x.dtype}: identity")


def composition(first: Plan, second: Plan, x: Array) -> None:
    """The bands of two plans multiply to the band of both, one after the other."""
    want = definition(second, definition(first, x))
    got = x.astype(np.float64)
    for axis, b2, b1 in zip(first.axes, second.bands, first.bands, strict=True):
        got = (b2 @ b1).apply(got, axis)
    atol = 2 * slack(second, x.astype(np.float64)) * gain_of(first)
    require_close(got, want, atol, f"{second} after {first}")


def tiles(plan: Plan, x: Array, cut: int = 3, backend: str | None = None) -> None:
    """Rows of a band on the slice that they need give the bits of the whole, axis by axis."""
    from halfpixel._axis import Link
    from halfpixel._recipe import Program, Stage

    for axis, band in zip(plan.axes, plan.bands, strict=True):
        if band.is_identity:
            continue
        whole = _apply_band(Program((Stage(axis, Link(band)),)), x, axis, band.n_out, backend)
        for i0 in range(0, band.n_out, max(band.n_out // cut, 1)):
            i1 = min(i0 + max(band.n_out // cut, 1), band.n_out)
            part, rows = band.rows(i0, i1)
            where: list[Any] = [slice(None)] * x.ndim
            where[axis] = part
            got = _apply_band(Program((Stage(axis, Link(rows)),)), x[tuple(where)], axis, i1 - i0, backend)
            require_equal(got, np.take(whole, range(i0, i1), axis=axis), f"{plan}: rows {i0} to {i1} of axis {axis}")


def _apply_band(program: Any, x: Array, axis: int, n_out: int, backend: str | None) -> Array:
    shape = list(x.shape)
    shape[axis] = n_out
    out = poisoned(shape, x.dtype)
    name = backend or backends.choose(program, x.dtype)
    backends.BACKENDS[name].apply(program, x, out)
    return out


def nan_stays_local(plan: Plan, x: Array, backend: str | None = None) -> None:
    """A NaN reaches exactly the outputs whose weight for it is not zero."""
    at = tuple(n // 2 for n in x.shape)
    spoilt = x.copy()
    spoilt[at] = np.nan
    reach = np.ones((1,) * x.ndim, dtype=bool)
    for axis, (m, _) in zip(plan.axes, matrices(plan, x.dtype), strict=True):
        shape = [1] * x.ndim
        shape[axis] = -1
        reach = reach & (m[:, at[axis]] != 0).reshape(shape)
    full = np.zeros(plan.shape_out(x.shape), dtype=bool)
    batch = tuple(slice(None) if i - x.ndim in plan.axes else slice(at[i], at[i] + 1) for i in range(x.ndim))
    full[batch] = reach
    require_equal(np.isnan(run(plan, spoilt, backend)), full, f"{plan} on {x.dtype}: reach of a NaN")
