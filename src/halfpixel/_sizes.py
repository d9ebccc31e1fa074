# SPDX-License-Identifier: MIT
"""Sizes, scales, axes and boxes as users write them -> integers and Fractions, or an error that says what would
work.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from .errors import HalfpixelTypeError, HalfpixelValueError, unknown_name

MAX_LENGTH = 1 << 40
MAX_BYTES = 1 << 47

ROUNDINGS: dict[str, Callable[[Fraction], int]] = {
    "round": lambda v: math.floor(v + Fraction(1, 2)),
    "floor": math.floor,
    "ceil": math.ceil,
}


def is_sequence(value: Any) -> bool:
    """A list, tuple or one-dimensional array: one value per axis."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def integer(value: Any, what: str) -> int:
    """An int from anything that is a whole number."""
    try:
        return operator.index(value)
    except TypeError:
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            return int(value)
    kind = HalfpixelValueError if isinstance(value, numbers.Real) else HalfpixelTypeError
    raise kind(f"{what} is {value!r}", "a whole number")


def rational(value: Any, what: str) -> Fraction:
    """The exact meaning of a number: floats mean the nearest fraction with a denominator up to 10**6 that rounds back
    to them.

    Example:
        >>> rational(120 / 88, "scale")
        Fraction(15, 11)
    """
    if isinstance(value, Fraction):
        return value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.number)):
        raise HalfpixelTypeError(f"{what} is {value!r}", "an int, a float or a fractions.Fraction")
    if isinstance(value, numbers.Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    if not math.isfinite(value):
        raise HalfpixelValueError(f"{what} is {value!r}", "a finite number")
    exact = Fraction(float(value))
    simple = exact.limit_denominator(10**6)
    kind = type(value) if isinstance(value, np.floating) else float
    return simple if kind(float(simple)) == value else exact


def sorted_axes(axes: Any, count: int | None, ndim: int) -> tuple[tuple[int, ...], list[int], bool]:
    """The axes ascending, the permutation that sorts what was given per axis, and whether they count from the end.

    `count` is how many values were given per axis (None: one for all).
    """
    if axes is None:
        count = ndim if count is None else count
        if count == 0:
            raise HalfpixelValueError("there are no values, so no axes", "one value per axis")
        if count > ndim:
            raise HalfpixelValueError(f"{count} values for an array of {ndim} dimensions", f"at most {ndim} values")
        return tuple(range(-count, 0)), list(range(count)), True
    given = tuple(integer(a, "an axis") for a in (axes if is_sequence(axes) else (axes,)))
    for a in given:
        if not -ndim <= a < ndim:
            raise HalfpixelValueError(f"axis {a} of an array of {ndim} dimensions", f"axes from {-ndim} to {ndim - 1}")
    if len({a % ndim for a in given}) < len(given):
        raise HalfpixelValueError(f"axes {given} name one axis twice", "each axis once")
    if not given:
        raise HalfpixelValueError("axes is empty", "at least one axis")
    if count is not None and count != len(given):
        raise HalfpixelValueError(f"{count} values for {len(given)} axes {given}", "as many values as axes")
    order = sorted(range(len(given)), key=lambda p: given[p] % ndim)
    return tuple(given[p] % ndim - ndim for p in order), order, all(a < 0 for a in given)


def per_axis(value: Any, count: int, what: str) -> tuple[Any, ...]:
    """One value per axis, in the order of `axes`."""
    values = tuple(value) if is_sequence(value) else (value,) * count
    if len(values) != count:
        raise HalfpixelValueError(f"{what} has {len(values)} values for {count} axes", f"{count} values, or one number")
    return values


def scalar_needs_axes(what: str, axes: Any, ndim: int) -> None:
    """One number without `axes` is clear for signals and plain images only."""
    if ndim == 0:
        raise HalfpixelValueError("an array without dimensions has nothing to resample", "at least one dimension")
    if axes is None and ndim > 2:
        works = f"{what}=(height, width) for the last two axes, or axes= with one number"
        raise HalfpixelValueError(f"one number as {what} for an array of {ndim} dimensions: which axes?", works)


def checked_box(box: Any, count: int, n_in: tuple[int, ...], order: list[int]) -> list[tuple[Fraction, Fraction]]:
    """The box in edge units, in logical order; None stands for the whole axis."""
    if box is None:
        return [(Fraction(0), Fraction(n)) for n in n_in]
    works = "box=((start, stop), ...), one pair per axis in the order of axes, in pixel edges, start < stop"
    pairs = tuple(box) if is_sequence(box) else ()
    if len(pairs) != count:
        raise HalfpixelValueError(f"box is {box!r} for {count} axes", works)
    found = []
    for p, n in zip(order, n_in, strict=True):
        pair = (0, n) if pairs[p] is None else pairs[p]
        if not is_sequence(pair) or len(pair) != 2:
            raise HalfpixelValueError(f"box holds {pair!r}", works)
        start, stop = rational(pair[0], "a box's start"), rational(pair[1], "a box's stop")
        if not start < stop:
            raise HalfpixelValueError(f"box holds an empty interval {pair!r}", works + "; to flip, index with [::-1]")
        if max(abs(start), abs(stop)) > MAX_LENGTH:
            raise HalfpixelValueError(f"box reaches to {pair!r}", f"coordinates within +-2**40 (the axis holds {n})")
        found.append((start, stop))
    return found


def scaled(length: Fraction, scale: Fraction, rounding: str) -> int:
    """The output length for an input length and a scale."""
    if rounding not in ROUNDINGS:
        raise unknown_name("rounding", rounding, ROUNDINGS)
    return ROUNDINGS[rounding](length * scale)


def check_scale(scale: Any) -> Fraction:
    """A scale as a Fraction, finite, above zero and not absurd."""
    ratio = rational(scale, "scale")
    if ratio <= 0:
        raise HalfpixelValueError(f"scale is {scale!r}", "a number above 0")
    if not Fraction(1, MAX_LENGTH) <= ratio <= MAX_LENGTH:
        raise HalfpixelValueError(f"scale {scale!r} is absurd", "a number from 2**-40 to 2**40")
    return ratio


def check_lengths(n_in: Sequence[int], n_out: Sequence[int], asked: str) -> None:
    """Every axis has something to read and something to write."""
    for n in n_in:
        if n < 1:
            raise HalfpixelValueError(
                f"a resampled axis has length {n}: there is nothing to read", "axes that hold samples"
            )
    for n, m in zip(n_in, n_out, strict=True):
        if m < 1:
            raise HalfpixelValueError(f"{asked} makes an axis of {n} samples {m} long", "lengths of at least 1")
        if m > MAX_LENGTH:
            raise HalfpixelValueError(
                f"{asked} makes an axis {m} long: the output size overflows", "lengths up to 2**40"
            )


def check_total(shape: Sequence[int], itemsize: int) -> None:
    """An output that no machine can hold is refused before anything is built."""
    total = math.prod(shape) * itemsize
    if total > MAX_BYTES:
        shown = "x".join(map(str, shape))
        raise HalfpixelValueError(
            f"the output size overflows: {shown} is {total} bytes", "outputs of less than 2**47 bytes"
        )
