# SPDX-License-Identifier: MIT
"""What a user asked, made exact: options -> a `Request`, the axes, and who builds the recipe."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from . import _sizes, edges, filters, grids
from ._recipe import OWN, Builder, Request
from .errors import HalfpixelTypeError, HalfpixelValueError, describe_call

Sizes = tuple[int, ...]
Interval = tuple[Fraction, Fraction]


class Options(NamedTuple):
    """The options that `plan` and `resize` share, as the user wrote them."""

    size: Any = None
    scale: Any = None
    axes: Any = None
    filter: Any = "linear"
    grid: Any = "half_pixel"
    edge: Any = "crop"
    antialias: Any = True
    box: Any = None
    rounding: str = "round"
    fill: Any = 0.0
    like: Any = None
    spacing: Any = None
    new_spacing: Any = None

    def described(self, name: str, *args: Any, **more: Any) -> str:
        """The call that had these options; the ones left at their defaults are left out."""
        defaults = self._field_defaults
        said = {k: v for k, v in self._asdict().items() if v is not defaults[k] and not _same(v, defaults[k])}
        return describe_call(name, *args, **said, **more)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)


def resolve(shape: Sizes, options: Options) -> tuple[Request, Sizes, int | None, Builder]:
    """The request, its axes (ascending, negative), how many dimensions arrays must have (None: any), and the builder.

    Raises: ValueError and TypeError that say what would work.
    """
    builder, by = _builder(options), _one_way(options)
    given = {"size": options.size, "scale": options.scale, "spacing": options.new_spacing}[by]
    count = len(given) if _sizes.is_sequence(given) else None
    if count is None:
        _sizes.scalar_needs_axes(by, options.axes, len(shape))
    axes, order, free = _sizes.sorted_axes(options.axes, count, len(shape))
    n_in = tuple(int(shape[a]) for a in axes)
    box = _sizes.checked_box(options.box, len(axes), n_in, order)
    values = _sizes.per_axis(given, len(axes), by)
    n_out, scale, raw = _lengths(builder, options, by, [values[p] for p in order], order, box)
    _sizes.check_lengths(n_in, n_out, f"{by}={given!r}")
    request = Request(
        n_in,
        n_out,
        tuple(start for start, _ in box),
        tuple(stop for _, stop in box),
        scale,
        filters.get(options.filter),
        grids.get(options.grid),
        edges.get(options.edge),
        bool(options.antialias),
        _fill(options.fill),
        None if options.box is None else tuple((float(a), float(b)) for a, b in box),
        raw,
    )
    builder.check(request)
    return request, axes, None if free else len(shape), builder


def _builder(options: Options) -> Builder:
    if options.like is None:
        return OWN
    replaced = ("filter", "grid", "edge", "antialias")
    defaults = options._field_defaults
    both = [f"{k}={v!r}" for k, v in options._asdict().items() if k in replaced and not _same(v, defaults[k])]
    if both:
        works = "like= alone, or the columns alone"
        raise HalfpixelValueError(f"like={options.like!r} and {', '.join(both)}", works)
    from .presets import get

    return get(options.like)


def _one_way(options: Options) -> str:
    if (options.spacing is None) != (options.new_spacing is None):
        raise HalfpixelValueError("spacing and new_spacing belong together", "both of them, and no size or scale")
    given = {"size": options.size, "scale": options.scale, "spacing": options.new_spacing}
    ways = [name for name, value in given.items() if value is not None]
    if len(ways) != 1:
        why = f"{' and '.join(ways)} were given" if ways else "neither size nor scale was given"
        raise HalfpixelValueError(why, "exactly one of size=, scale=, or spacing= with new_spacing=")
    return ways[0]


def _lengths(
    builder: Builder, options: Options, by: str, values: list[Any], order: list[int], box: list[Interval]
) -> tuple[Sizes, tuple[Fraction, ...] | None, tuple[float, ...] | None]:
    """Output lengths in logical order, and the scales where scales were given: exact, and as floats."""
    if by == "size":
        return tuple(_sizes.integer(v, "a size") for v in values), None, None
    if by == "spacing":
        old = _sizes.per_axis(options.spacing, len(values), "spacing")
        values = [_spacing_ratio(old[p], new) for p, new in zip(order, values, strict=True)]
    scale = tuple(_sizes.check_scale(v) for v in values)
    raw = tuple(float(v) for v in values)
    lengths = [stop - start for start, stop in box]
    n_out = [_out_length(builder, n, r, f, options.rounding) for n, r, f in zip(lengths, scale, raw, strict=True)]
    return tuple(n_out), scale, raw


def _spacing_ratio(old: Any, new: Any) -> Fraction:
    before, after = _sizes.rational(old, "spacing"), _sizes.rational(new, "new_spacing")
    if before <= 0 or after <= 0:
        raise HalfpixelValueError(f"spacing {old!r} to {new!r}", "distances above 0")
    return before / after


def _out_length(builder: Builder, length: Fraction, ratio: Fraction, raw: float, rounding: str) -> int:
    own = _sizes.scaled(length, ratio, rounding)
    theirs = builder.size(math.floor(length), ratio, raw)
    return own if theirs is None else theirs


def _fill(fill: Any) -> float:
    if not isinstance(fill, (bool, int, float, np.number)):
        raise HalfpixelTypeError(f"fill is {fill!r}", "a number")
    # One object for every NaN: requests are looked up by equality, and only the same NaN is equal to itself there.
    return math.nan if fill != fill else float(fill)
