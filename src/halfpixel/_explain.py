# SPDX-License-Identifier: MIT
"""`explain`: what a resize does to one output sample, who computes it, and why."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from . import _sizes, backends
from ._axis import band_of
from ._plan import Plan, plan
from ._recipe import ORDERS, OWN, Program, axes_of
from ._spline import samples_itself
from .backends._dtypes import CODES, compute_dtype
from .errors import HalfpixelTypeError, HalfpixelValueError

# Above this many rows an axis is explained from the rows asked for, and no whole band is built.
_WHOLE = 1 << 22


@dataclass(frozen=True)
class AxisExplanation:
    """One axis at one output index: exact coordinate (None where a preset does not compute one), taps and their
    weights.
    """

    axis: int
    n_in: int
    n_out: int
    index: int
    step: Fraction | None
    coordinate: Fraction | None
    taps: tuple[tuple[int, float], ...]
    bias: float
    note: str

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values; fractions as text."""
        text = {
            name: None if v is None else str(v) for name, v in (("step", self.step), ("coordinate", self.coordinate))
        }
        taps = [{"index": j, "weight": w} for j, w in self.taps]
        plain = {k: getattr(self, k) for k in ("axis", "n_in", "n_out", "index", "bias", "note")}
        return {**plain, **text, "taps": taps}

    def __str__(self) -> str:
        lines = [f"axis {self.axis}: {self.n_in} -> {self.n_out}, output {self.index}"]
        if self.coordinate is not None and self.step is not None:
            edge = self.coordinate + Fraction(1, 2)
            lines.append(
                f"  step {self.step}, centre at pixel {_shown(self.coordinate)} (edge coordinate {_shown(edge)})"
            )
        lines += [f"  {w:+.9f} * x[{j}]" for j, w in self.taps]
        if self.bias:
            lines.append(f"  {self.bias:+.9f} from outside")
        return "\n".join([*lines, f"  {self.note}"] if self.note else lines)


def _shown(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{value} = {float(value):.9g}"


@dataclass(frozen=True)
class Explanation:
    """What a resize does: its str is a readable text, `to_dict()` the same as plain values."""

    what: str
    dtype: str
    size_in: tuple[int, ...]
    size_out: tuple[int, ...]
    axes: tuple[AxisExplanation, ...]
    passes: tuple[int, ...]
    arithmetic: str
    backend: str
    refused: dict[str, str]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, ready for JSON."""
        plain = {k: getattr(self, k) for k in ("what", "dtype", "arithmetic", "backend", "refused")}
        lists = {k: list(getattr(self, k)) for k in ("size_in", "size_out", "passes", "notes")}
        return {**plain, **lists, "axes": [a.to_dict() for a in self.axes]}

    def __str__(self) -> str:
        sizes = f"{'x'.join(map(str, self.size_in))} -> {'x'.join(map(str, self.size_out))}"
        passes = ", then ".join(f"axis {a}" for a in self.passes) or "none: every axis is the identity"
        lines = [f"{self.what}, {sizes}, {self.dtype}", *map(str, self.axes), f"passes: {passes}"]
        lines += [f"arithmetic: {self.arithmetic}", f"backend: {self.backend}"]
        lines += [f"  not {name}: {why}" for name, why in self.refused.items()]
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])


def explain(x: Any, size: Any = None, *, index: Any = None, dtype: Any = None, **options: Any) -> Explanation:
    """What `resize(x, size, **options)` does to one output sample.

    **Convention:** coordinates are in index space, pixel centres at integers; `index` is one output index per
    resampled axis, ascending axes (default: the middle); negative ones count from the end.
    Arguments: x: an array, or a shape. size, options: as `plan`. dtype: where x is a shape (default: float32).
    Returns: an `Explanation`: coordinates as fractions, taps and weights, pass order, arithmetic, the backend and why
    others were not taken.
    Raises: as `plan`; ValueError for an index outside the output.
    Example:
        >>> print(explain((4,), 8, index=3).axes[0].coordinate)
        5/4
    """
    shape, kind = _subject(x, dtype)
    p = plan(shape, size, **options)
    where = _checked_index(index, p.size_out)
    whole = max(*p.size_in, *p.size_out) <= _WHOLE
    program = p.program(kind) if whole else None
    refused, backend = _backends(program, kind)
    described = _own_axes(p, where) if p.builder is OWN else _preset_axes(p, kind, where)
    return Explanation(
        repr(p), kind.name, p.size_in, p.size_out, described, _passes(p, program), _arithmetic(program, kind),
        backend, refused, _notes(p, program, kind),
    )  # fmt: skip


def _subject(x: Any, dtype: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if isinstance(x, (tuple, list)) and all(isinstance(n, (int, np.integer)) for n in x):
        kind = np.dtype(np.float32 if dtype is None else dtype)
        if kind not in CODES and kind.name != "bfloat16":
            raise HalfpixelTypeError(f"dtype is {kind}", f"one of {', '.join(d.name for d in CODES)} or bfloat16")
        return tuple(int(n) for n in x), kind
    a = backends.as_array(x)
    return a.shape, a.dtype if dtype is None else np.dtype(dtype)


def _checked_index(index: Any, size_out: tuple[int, ...]) -> tuple[int, ...]:
    if index is None:
        return tuple(m // 2 for m in size_out)
    values = _sizes.per_axis(index, len(size_out), "index")
    found = tuple(_sizes.integer(i, "an index") for i in values)
    for i, m in zip(found, size_out, strict=True):
        if not -m <= i < m:
            raise HalfpixelValueError(f"index {i} of an axis of {m}", f"from {-m} to {m - 1}")
    return tuple(i % m for i, m in zip(found, size_out, strict=True))


def _taps(band: Any, row: int) -> tuple[tuple[int, float], ...]:
    columns = band.columns()[row]
    return tuple((int(j), float(w)) for j, w in zip(columns, band.weight[row], strict=True) if w != 0)


def _own_axes(p: Plan, where: tuple[int, ...]) -> tuple[AxisExplanation, ...]:
    if p.transposed:
        return _preset_axes(p, np.dtype(np.float64), where)
    rows = []
    for a, i, axis in zip(p.axes, where, axes_of(p.request), strict=True):
        band, bias = band_of(axis, i, i + 1)
        spline = axis.filter.degree > 1 and not samples_itself(axis)
        note = "the taps are of a spline: a banded solve belongs to this axis" if spline else ""
        rows.append(
            AxisExplanation(
                a, axis.n_in, axis.n_out, i, axis.step, axis.step * i + axis.offset, _taps(band, 0),
                0.0 if bias is None else float(bias[0]), note,
            )
        )  # fmt: skip
    return tuple(rows)


def _preset_axes(p: Plan, dtype: np.dtype[Any], where: tuple[int, ...]) -> tuple[AxisExplanation, ...]:
    rows = []
    for a, i, n, m, chain in zip(p.axes, where, p.size_in, p.size_out, p.recipe(dtype).chains, strict=True):
        link = chain[0] if p.transposed else chain[-1]
        band = link.band.T if p.transposed else link.band
        bias = 0.0 if p.transposed or link.bias is None else float(link.bias[i])
        note = "" if len(chain) == 1 else f"the last of {len(chain)} steps along this axis"
        rows.append(AxisExplanation(a, n, m, i, None, None, _taps(band, i), bias, note))
    return tuple(rows)


def _passes(p: Plan, program: Program | None) -> tuple[int, ...]:
    if program is not None:
        return tuple(dict.fromkeys(stage.axis for stage in program.stages))
    return tuple(p.axes[k] for k in ORDERS["default"](p.request.n_in, p.request.n_out))


def _arithmetic(program: Program | None, dtype: np.dtype[Any]) -> str:
    if program is not None and program.copies:
        return "none: elements are copied, bit for bit"
    compute = program.compute if program is not None else "natural"
    if compute == "fixed":
        return "32-bit integers, each pass rounded and clamped as the preset says"
    text = f"{compute_dtype(dtype, compute).name}, fused multiply-add in the order of taps"
    if dtype.kind in "iu":
        text += (
            f"; the result is rounded ({(program.rounding if program else 'half_up').replace('_', ' ')}) and saturates"
        )
    return text


def _backends(program: Program | None, dtype: np.dtype[Any]) -> tuple[dict[str, str], str]:
    chosen = backends.choose(program, dtype)
    reasons = {name: backends.why_not(name, program, dtype) for name in backends.BACKENDS if name != chosen}
    order = list(backends.BACKENDS)
    wanted = {
        n: "slower" if order.index(n) > order.index(chosen) else f"HALFPIXEL_BACKEND asks for {chosen}" for n in order
    }
    return {name: why or wanted[name] for name, why in reasons.items()}, chosen


def _notes(p: Plan, program: Program | None, dtype: np.dtype[Any]) -> tuple[str, ...]:
    notes = []
    if dtype.name in ("int64", "uint64") and not (program is not None and program.copies):
        notes.append(
            "64-bit integers beyond 2**53 lose their low bits in float64; a PrecisionWarning says when that happens"
        )
    if p.transposed:
        notes.append("transposed: what stands outside has no part in it")
    return tuple(notes)
