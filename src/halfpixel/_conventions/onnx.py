# SPDX-License-Identifier: MIT
"""ONNX Resize as the standard's reference evaluator computes it: everything in double, rounded once.

A scale that was given is a float32 tensor in ONNX. Where it is kept, the resized length is the real number n * scale;
onnxruntime takes the whole number of samples instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from halfpixel import filters
from halfpixel._axis import Chain, Link
from halfpixel._band import Band

from .kernels import kernel
from .line import Finish, Float, Line, Variant, Windows, by_dtype, folded
from .windows import normalised, selected

Single = np.float32


def cubic_columns(a: float) -> dict[str, Any]:
    """Keys' convolution with that parameter."""
    return {"filter": filters.cubic(a=a).name}


class Axis(NamedTuple):
    """What a coordinate transformation is told: outputs, lengths, scale, the resized length, and the region."""

    o: Float
    n: int
    m: int
    scale: Any
    length: float
    roi: tuple[np.float32, np.float32]


def given_scale(line: Line) -> float | None:
    """The scale as ONNX stores it."""
    return None if line.kept is None else float(Single(line.kept))


def region(line: Line) -> tuple[np.float32, np.float32]:
    """The region of interest that a box in pixel edges stands for: 0 is the first sample's centre, 1 the last's."""
    if line.box is None or line.n_in == 1:
        return Single(0), Single(1)
    return Single(line.box[0] / (line.n_in - 1)), Single((line.box[1] - 1) / (line.n_in - 1))


def _half_pixel(a: Axis) -> Float:
    return (a.o + 0.5) / a.scale - 0.5


def _symmetric(a: Axis) -> Float:
    return a.n / 2 * (1 - a.m / a.length) + (a.o + 0.5) / a.scale - 0.5


def _pytorch(a: Axis) -> Float:
    return np.full(len(a.o), -0.5) if a.length == 1 else _half_pixel(a)


def _corners(a: Axis) -> Float:
    return np.zeros(len(a.o)) if a.length == 1 else a.o * (a.n - 1) / (a.length - 1)


def _crop(a: Axis) -> Float:
    # The region's products are float32, as its numbers are.
    (start, stop), last = a.roi, Single(a.n - 1)
    first = np.float64(start * last)
    if a.length == 1:
        return np.full(len(a.o), np.float64((stop - start) * last / Single(2)) + first)
    return a.o * (stop - start) * (a.n - 1) / (a.length - 1) + first


TRANSFORMATIONS: dict[str, Callable[[Axis], Float]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": _pytorch,
    "align_corners": _corners,
    "asymmetric": lambda a: a.o / a.scale,
    "tf_half_pixel_for_nn": lambda a: (a.o + 0.5) / a.scale,
    "tf_crop_and_resize": _crop,
}


def _points(line: Line, kept: float | None) -> tuple[Any, Float]:
    scale = line.n_out / line.n_in if kept is None else kept
    o = np.arange(line.n_out, dtype=np.float64)
    axis = Axis(o, line.n_in, line.n_out, scale, scale * line.n_in, region(line))
    return scale, TRANSFORMATIONS[line.row.grid](axis)


def points(line: Line) -> tuple[Any, Float]:
    """Index space, double; the scale as ONNX stores it."""
    return _points(line, given_scale(line))


def exact_points(line: Line) -> tuple[Any, Float]:
    """Index space, double; the scale as it is: what keep_aspect_ratio_policy makes of sizes is a double."""
    return _points(line, line.kept)


def _nearest(round_: Callable[[Float, float], Float]) -> Any:
    def rule(line: Line, scale: Any, centre: Float) -> Windows:
        base = np.floor(centre)
        index = base + round_(centre - base, scale)
        return selected(np.clip(index, 0, line.n_in - 1))

    return rule


# How far above the whole part the chosen sample lies; a coordinate on a sample takes that one. "simple" is opset 10's.
NEAREST: dict[str, Any] = {
    "round_prefer_floor": _nearest(lambda part, scale: part > 0.5),
    "round_prefer_ceil": _nearest(lambda part, scale: part >= 0.5),
    "floor": _nearest(lambda part, scale: np.zeros(len(part))),
    "ceil": _nearest(lambda part, scale: part > 0),
    "simple": _nearest(lambda part, scale: (part > 0) & (scale < 1)),
}


def reached(line: Line, scale: Any, centre: Float) -> Windows:
    """The kernel at every sample within reach, normalised before the edge rule; cropped, normalised again."""
    support, function = kernel(line.row.filter)
    shrink = min(scale, 1.0) if line.row.antialias else 1.0
    half = math.ceil(support / shrink)
    first = np.ceil(centre).astype(np.int64) - half
    tap = first[:, None] + np.arange(2 * half + 1)
    weight = function((tap - centre[:, None]) * shrink)
    if line.row.antialias:
        weight = normalised(weight)
    return Windows(first, cropped(line, tap, weight))


def cropped(line: Line, tap: Float, weight: Float) -> Float:
    """Edge "crop": taps outside dropped, the rest divided by its sum. Other edges find the taps as they are."""
    if line.row.edge != "crop":
        return weight
    return normalised(np.where((tap >= 0) & (tap < line.n_in), weight, weight.dtype.type(0)))


def as_they_are(weight: Float) -> Float:
    """Weights are stored as they were computed."""
    return weight


def extrapolated(coords: dict[str, Any], *post: Any, stored: Callable[[Float], Float] = as_they_are) -> Finish:
    """The band; rows whose coordinate leaves the samples are `fill`, where the row has a region."""

    def finish(line: Line, windows: Windows) -> Chain:
        away = np.zeros(line.n_out, bool)
        if line.row.box_rule == "roi":
            centre = coords[line.row.coord_rule](line)[1]
            away = (centre < 0) | (centre > line.n_in - 1)
        band = Band(line.n_in, np.zeros(line.n_out), np.zeros((line.n_out, 1)))
        if not away.all():
            weight = np.where(away[:, None], 0.0, windows.weight)
            band = folded(line, Windows(windows.first, weight))[0].band
        bias = np.where(away, line.fill, 0.0)
        band = Band(line.n_in, band.start, stored(band.weight))
        return (Link(band, bias=bias if bias.any() else None, post=post or None),)

    return finish


def unscaled(line: Line) -> int | None:
    """An axis whose scale is 1 and whose length stays is copied, unless a region cuts it."""
    is_one = line.kept is None or math.isclose(float(Single(line.kept)), 1.0)
    whole = line.row.box_rule != "roi" or line.is_whole
    return 0 if line.n_in == line.n_out and is_one and whole else None


def floor32(n: int, scale: float) -> int:
    """floor of n times the float32 scale, the product a double."""
    return math.floor(n * float(Single(scale)))


COORDS = {"onnx": points, "onnx.exact": exact_points}
WEIGHTS = {"onnx": reached, **{f"onnx.{name}": rule for name, rule in NEAREST.items()}}
ROUNDS = {"onnx": by_dtype(Variant(compute="double", finish=extrapolated(COORDS)))}
SKIPS = {"unscaled": unscaled}
SIZES = {"floor_float32": floor32}
