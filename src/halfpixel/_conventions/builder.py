# SPDX-License-Identifier: MIT
"""Preset: a row of names that builds recipes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from halfpixel._axis import Chain, Link
from halfpixel._band import Band
from halfpixel._recipe import ORDERS as OWN_ORDERS
from halfpixel._recipe import Recipe, Request
from halfpixel.errors import HalfpixelNotImplementedError, HalfpixelValueError

from . import jax, matlab, onnx, onnxruntime, opencv, opencv_rounds, pillow, scipy, torch, windows
from .line import Columns, Line, Variant

COORDS = {
    **windows.COORDS,
    **torch.COORDS,
    **pillow.COORDS,
    **opencv.COORDS,
    **scipy.COORDS,
    **jax.COORDS,
    **matlab.COORDS,
    **onnx.COORDS,
    **onnxruntime.COORDS,
}
WEIGHTS = {
    **windows.WEIGHTS,
    **torch.WEIGHTS,
    **opencv.WEIGHTS,
    **scipy.WEIGHTS,
    **jax.WEIGHTS,
    **matlab.WEIGHTS,
    **onnx.WEIGHTS,
    **onnxruntime.WEIGHTS,
}
ROUNDS = {
    **torch.ROUNDS,
    **pillow.ROUNDS,
    **opencv_rounds.ROUNDS,
    **scipy.ROUNDS,
    **jax.ROUNDS,
    **matlab.ROUNDS,
    **onnx.ROUNDS,
    **onnxruntime.ROUNDS,
}
ROUTES = {**torch.ROUTES, **opencv.ROUTES}

Box = tuple[tuple[float, float], ...]
Lines = Sequence[Line]
ORDERS: dict[str, Callable[[Lines], tuple[int, ...]]] = {
    "default": lambda lines: OWN_ORDERS["default"](lines[0].sizes_in, lines[0].sizes_out),
    "last_axis_first": lambda lines: tuple(reversed(range(len(lines)))),
    **pillow.ORDERS,
    **matlab.ORDERS,
}
# From which sample on an axis is copied, or None where it is resampled.
SKIPS: dict[str, Callable[[Line], int | None]] = {
    "never": lambda line: None,
    "equal": lambda line: 0 if line.n_in == line.n_out and line.is_whole else None,
    "all_equal": lambda line: 0 if line.sizes_in == line.sizes_out else None,
    **pillow.SKIPS,
    **scipy.SKIPS,
    **onnx.SKIPS,
    **onnxruntime.SKIPS,
}
SIZES: dict[str, Callable[[int, float], int | None]] = {
    "caller": lambda n, scale: None,
    "floor": lambda n, scale: math.floor(n * scale),
    "ceil": lambda n, scale: math.ceil(n * scale),
    "half_even": lambda n, scale: round(n * scale),
    **onnx.SIZES,
    **onnxruntime.SIZES,
}


@dataclass(frozen=True, eq=False)
class Preset(Columns):
    """A library's convention under a name: a row of `presets.TABLE`, or one with some of its `options` set.

    **Convention:** the columns are names of rules; `options` maps an option's name to its values, and each value to the
    columns that it replaces. Presets with the same name are equal.
    """

    options: Mapping[str, Mapping[Any, Mapping[str, Any]]] = field(default_factory=dict, repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Preset) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        from halfpixel.presets import get

        return get, (self.name,)

    def variant(self, dtype: str) -> str:
        return dtype

    def size(self, n_in: int, scale: Fraction, raw: float) -> int | None:
        return SIZES[self.size_rule](n_in, raw)

    def check(self, request: Request) -> None:
        """Raises: ValueError for what the library has no rule for."""
        count = len(request.n_in)
        if request.box is not None:
            BOXES[self.box_rule](self, request.box, request.n_in)
        if self.most_axes and count > self.most_axes:
            works = f"{self.most_axes} axes at a time"
            raise HalfpixelNotImplementedError(f"like={self.name!r} along {count} axes", works)

    def recipe(self, request: Request, variant: str) -> Recipe:
        sizes = request.n_in, request.n_out, request.raw_scale, request.box, request.fill
        asked = [Line(self, p, *sizes) for p in range(len(request.n_in))]
        row = self._routed(asked)
        how = ROUNDS[row.round_rule][variant]
        lines = [replace(line, row=row, real=how.real) for line in asked]
        chains = tuple(_chain(line, how) for line in lines)
        return Recipe(chains, ORDERS[row.pass_order](lines), how.compute, how.rounding)

    def _routed(self, lines: Lines) -> Preset:
        """This row, or the one that its library takes for these sizes."""
        from halfpixel.presets import PARTS, TABLE

        for rule, name in self.routes:
            if ROUTES[rule](lines):
                return (TABLE.get(name) or PARTS[name])._routed(lines)
        return self


def _chain(line: Line, how: Variant) -> Chain:
    copied = SKIPS[how.skip_rule or line.row.skip_rule](line)
    if copied is not None:
        return (Link(Band(line.n_in, copied + np.arange(line.n_out), np.ones((line.n_out, 1)))),)
    step, centre = COORDS[how.coord_rule or line.row.coord_rule](line)
    return how.finish(line, WEIGHTS[how.weight_rule or line.row.weight_rule](line, step, centre))


def _no_box(row: Preset, box: Box, n_in: tuple[int, ...]) -> None:
    works = "resize(x[start:stop], ...), which crops first"
    raise HalfpixelNotImplementedError(f"like={row.name!r} has no box: {row.library} has none", works)


def _box_inside(row: Preset, box: Box, n_in: tuple[int, ...]) -> None:
    for (start, stop), n in zip(box, n_in, strict=True):
        if start < 0 or stop > n:
            raise HalfpixelValueError(
                f"the box ({start}, {stop}) leaves an axis of {n}: {row.library} refuses it", f"a box within (0, {n})"
            )


def _any_box(row: Preset, box: Box, n_in: tuple[int, ...]) -> None:
    """What lies outside the samples is `fill`."""


BOXES: dict[str, Callable[[Preset, Box, tuple[int, ...]], None]] = {
    "none": _no_box,
    "float32": _box_inside,
    "roi": _any_box,
}
