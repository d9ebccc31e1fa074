# SPDX-License-Identifier: MIT
"""ONNX Resize as onnxruntime's CPU kernels compute it: coordinates and weights in float32.

The resized length is the whole number of samples. Linear results of integers are cut off to whole numbers; antialiased
uint8 has 22-bit integer weights, the width first, each pass rounded, as in Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from halfpixel import filters

from .line import INTEGERS, Float, Line, Variant, Windows, by_dtype, limits
from .onnx import Axis, cropped, extrapolated, region
from .pillow import BITS
from .torch import half_away
from .windows import in_order, selected

Single = np.float32
HALF = Single(0.5)


def scale_of(line: Line) -> np.float32:
    """As given, or m / n, in float32."""
    return Single(line.n_out) / Single(line.n_in) if line.kept is None else Single(line.kept)


def _half_pixel(a: Axis) -> Float:
    return (a.o + HALF) / a.scale - HALF


def _symmetric(a: Axis) -> Float:
    # The halves that are added here are doubles, the rest float32.
    shift = Single(a.n) / Single(2) * (Single(1) - Single(a.m) / (a.scale * Single(a.n)))
    return np.float64(shift) + (a.o.astype(np.float64) + 0.5) / np.float64(a.scale) - 0.5


def _pytorch(a: Axis) -> Float:
    return _half_pixel(a) if a.m > 1 else np.zeros(1, Single)


def _corners(a: Axis) -> Float:
    return a.o * Single(a.n - 1) / Single(a.m - 1) if a.m > 1 else np.zeros(1, Single)


def _crop(a: Axis) -> Float:
    start, stop = a.roi
    if a.m == 1:
        return np.full(1, 0.5 * float(start + stop) * (a.n - 1))
    return start * Single(a.n - 1) + (a.o * (stop - start) * Single(a.n - 1)) / Single(a.m - 1)


TRANSFORMATIONS: dict[str, Callable[[Axis], Float]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": _pytorch,
    "align_corners": _corners,
    "asymmetric": lambda a: a.o / a.scale,
    "tf_half_pixel_for_nn": lambda a: (a.o + HALF) / a.scale,
    "tf_crop_and_resize": _crop,
}


def points(line: Line) -> tuple[Any, Float]:
    """Index space, float32."""
    scale, o = scale_of(line), np.arange(line.n_out).astype(Single)
    axis = Axis(o, line.n_in, line.n_out, scale, line.n_out, region(line))
    return scale, TRANSFORMATIONS[line.row.grid](axis).astype(Single)


def centres(line: Line) -> tuple[Any, Float]:
    """Index space as the antialiased filters find it: they add a half, and take it away to see what is outside."""
    scale, centre = points(line)
    return scale, (centre + HALF) - HALF


def _rounded(centre: Float) -> Float:
    return np.trunc(centre + np.copysign(0.5, centre))


def _toward(upwards: int) -> Callable[[Float, Any], Float]:
    """The nearest sample; within 1e-6 of the middle between two, the lower or the upper one."""

    def index(centre: Float, scale: Any) -> Float:
        base = np.floor(centre)
        return np.where(np.abs(centre - base - 0.5) < 1e-6, base + upwards, _rounded(centre))

    return index


def _nearest(index: Callable[[Float, Any], Float]) -> Any:
    def rule(line: Line, scale: Any, centre: Float) -> Windows:
        return selected(np.clip(index(centre.astype(np.float64), scale), 0, line.n_in - 1))

    return rule


NEAREST: dict[str, Any] = {
    "round_prefer_floor": _nearest(_toward(0)),
    "round_prefer_ceil": _nearest(_toward(1)),
    "floor": _nearest(lambda centre, scale: np.floor(centre)),
    "ceil": _nearest(lambda centre, scale: np.ceil(centre)),
    "simple": _nearest(lambda centre, scale: np.ceil(centre) if scale < 1 else np.trunc(centre)),
}


def two_taps(line: Line, scale: Any, centre: Float) -> Windows:
    """Linear: the coordinate is clamped to the samples and then split."""
    centre = np.clip(centre, Single(0), Single(line.n_in - 1))
    first = np.floor(centre)
    part = (centre - first).astype(np.float64)
    return Windows(first.astype(np.int64), np.stack([1 - part, part], axis=1))


def two_short_taps(line: Line, scale: Any, centre: Float) -> Windows:
    """Linear for channels-last bytes: the clamped coordinate cut off to ten fractional bits."""
    centre = np.trunc(np.clip(centre, Single(0), Single(line.n_in - 1)) * Single(1024)) / 1024
    return two_taps(line, scale, centre)


def _parameter(line: Line) -> np.float32:
    """The a of Keys' convolution, which is a / 8 at a distance of 3/2."""
    return Single(8.0 * float(filters.get(line.row.filter)(np.array(1.5))))


def four_taps(line: Line, scale: Any, centre: Float) -> Windows:
    """Cubic convolution at the four samples around the coordinate."""
    first = np.floor(centre)
    x, a = centre - first, _parameter(line)
    far = [((a * t - 5 * a) * t + 8 * a) * t - 4 * a for t in (x + 1, 2 - x)]
    near = [((a + 2) * t - (a + 3)) * t * t + 1 for t in (x, 1 - x)]
    weight = np.stack([far[0], near[0], near[1], far[1]], axis=1)
    low = first.astype(np.int64) - 1
    return Windows(low, cropped(line, low[:, None] + np.arange(4), weight))


def _tent(x: Float, a: np.float32) -> Float:
    return np.where(x < 1, 1 - x, Single(0))


def _keys(x: Float, a: np.float32) -> Float:
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, Single(0)))


def stretched(line: Line, scale: Any, centre: Float) -> Windows:
    """Antialiased: the window of Pillow around the coordinate, in float32, normalised before the edge rule; cropped,
    over the samples that are left.
    """
    step, middle = Single(1) / scale, centre + HALF
    support = Single(filters.get(line.row.filter).support) * max(step, Single(1))
    low = np.floor(middle - support + HALF).astype(np.int64)
    high = np.floor(middle + support + HALF).astype(np.int64)
    tap = low[:, None] + np.arange(max(int((high - low).max()), 1))
    distance = (tap.astype(Single) - middle[:, None] + HALF) * (Single(1) / max(step, Single(1)))
    function = _tent if line.row.filter == "linear" else _keys
    weight = function(np.abs(distance), _parameter(line))
    kept = tap < high[:, None]
    if line.row.edge == "crop":
        kept &= (tap >= 0) & (tap < line.n_in)
    weight = np.where(kept, weight, Single(0))
    total = in_order(weight)
    return Windows(low, weight * (Single(1) / np.where(total != 0, total, Single(1))))


def unscaled(line: Line) -> int | None:
    """An axis whose scale is 1 is copied; all are, where no length changes."""
    return 0 if scale_of(line) == 1 or line.sizes_in == line.sizes_out else None


def unchanged(line: Line) -> int | None:
    """Antialiased: an axis whose length stays is copied."""
    return 0 if line.n_in == line.n_out else None


def product32(n: int, scale: float) -> int:
    """The whole part of n times the scale, all in float32."""
    return math.floor(Single(n) * Single(scale))


def _integers(weight: Float) -> Float:
    """Integer weights of 22 bits, as the fractions that they are: doubles hold their sums exactly, and `fill`."""
    return half_away(weight, BITS) / (1 << BITS)


def _rounded_passes(dtype: str) -> Variant:
    return Variant(Single, "double", finish=extrapolated(COORDS, "round_away", *limits(dtype)))


COORDS = {"onnxruntime": points, "onnxruntime.centres": centres}
WEIGHTS = {
    "onnxruntime.two_taps": two_taps,
    "onnxruntime.two_short_taps": two_short_taps,
    "onnxruntime.four_taps": four_taps,
    "onnxruntime.stretched": stretched,
    **{f"onnxruntime.{name}": rule for name, rule in NEAREST.items()},
}
_FLOATS = by_dtype(Variant(Single, finish=extrapolated(COORDS)))
# A result is a float32 before it is cut off: what double arithmetic leaves just below a whole number is that number.
_CUT = Variant(Single, "double", "trunc", extrapolated(COORDS, "float32"))
_SHORT = Variant(Single, "double", "trunc", extrapolated(COORDS), weight_rule="onnxruntime.two_short_taps")
_BYTES = Variant(Single, "double", finish=extrapolated(COORDS, "round_away", 0.0, 255.0, stored=_integers))
ROUNDS = {
    "onnxruntime.float": _FLOATS,
    "onnxruntime": {**_FLOATS, **dict.fromkeys(INTEGERS, _CUT)},
    "onnxruntime.channels_last": {**_FLOATS, **dict.fromkeys(INTEGERS, _CUT), "uint8": _SHORT, "int8": _SHORT},
    "onnxruntime.antialias": {**_FLOATS, **{name: _rounded_passes(name) for name in INTEGERS}, "uint8": _BYTES},
}
SKIPS = {"onnxruntime.unscaled": unscaled, "onnxruntime.unchanged": unchanged}
SIZES = {"product_float32": product32}
