# SPDX-License-Identifier: MIT
"""Resize and Upsample."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from halfpixel._plan import plan, plan_like
from halfpixel._sizes import check_scale
from halfpixel.errors import HalfpixelError, HalfpixelValueError, describe_call

from ._arguments import DIALECTS, Array, axes_of, floats, integers, one_of, present, tensor
from ._resize_rules import Rules, checked, said


class Length(NamedTuple):
    """One axis: its lengths, the scale that makes the step (None: the lengths do), and its region of interest."""

    axis: int
    n_in: int
    n_out: int
    scale: float | None
    roi: tuple[float, float] | None


def resize(
    X: Any,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    antialias: int = 0,
    axes: Any = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
    opset: int = 19,
    dialect: str = "onnx",
) -> Array:
    """ONNX Resize.

    **Convention:** `roi`, `scales` and `sizes` follow `axes` (default: all of X's). `roi` holds all starts, then all
    ends; 0 is the first sample's centre and 1 the last's; it is read with tf_crop_and_resize alone, may reach outside
    and may run backwards. Scales and roi are float32, as in a model; a length is the whole part of n * scale. "onnx"
    computes in float64 and rounds integers half to even; "onnxruntime" computes in float32, see docs/presets.md.
    Arguments:
        X: any number of dimensions. scales, sizes: exactly one of them.
        opset: operator set whose rules hold, from 10 (asymmetric only, nearest and linear). Attributes of later sets
            are refused.
        dialect: "onnx" or "onnxruntime".
    Returns: a new array of X's dtype.
    Raises: ValueError, TypeError, NotImplementedError that name the call, the reason, and what would work.
    Source: ONNX 1.23, its reference evaluator; onnxruntime 1.31.
    Example:
        >>> resize(np.array([[1.0, 2.0]]), scales=[1.0, 2.0], mode="linear")
        array([[1.  , 1.25, 1.75, 2.  ]])
    """
    given = {
        "coordinate_transformation_mode": coordinate_transformation_mode, "cubic_coeff_a": cubic_coeff_a,
        "exclude_outside": exclude_outside, "extrapolation_value": extrapolation_value, "nearest_mode": nearest_mode,
        "antialias": antialias, "axes": None if axes is None else tuple(np.ravel(axes).tolist()),
        "keep_aspect_ratio_policy": keep_aspect_ratio_policy,
    }  # fmt: skip
    try:
        a = tensor(X, "X", 1)
        one_of(dialect, "dialect", DIALECTS)
        rules = checked(mode, given, opset, dialect)
        return _resized(a, _lengths(a, roi, scales, sizes, rules, dialect), mode, rules, dialect)
    except HalfpixelError as error:
        options = {"roi": roi, "scales": scales, "sizes": sizes, "mode": mode, **said(given), "opset": opset}
        raise error.in_call(describe_call("onnx.resize", X, **options, dialect=dialect)) from None


def upsample(X: Any, scales: Any, *, mode: str = "nearest", opset: int = 9, dialect: str = "onnx") -> Array:
    """ONNX Upsample, operator sets 7 (scales as attribute) and 9 (as input); 10 has Resize in its place.

    **Convention:** output o lies over o / scale: nearest takes the sample at its whole part, linear clamps. A length
    is the whole part of n * scale.
    Arguments: X: any number of dimensions. scales: one per dimension, from 1. mode: "nearest" or "linear".
    Returns: a new array of X's dtype.
    Raises: ValueError that names the call, the reason, and what would work.
    Source: ONNX Upsample-7 and -9; onnxruntime 1.31.
    Example:
        >>> upsample(np.array([[1, 2]]), [1.0, 3.0])
        array([[1, 1, 1, 2, 2, 2]])
    """
    try:
        one_of(mode, "mode", ("nearest", "linear"))
        one_of(opset, "opset", (7, 8, 9))
        if not present(scales) or np.min(scales) < 1:
            raise HalfpixelValueError(f"scales is {scales!r}", "factors from 1, one per dimension; resize() shrinks")
        return resize(X, scales=scales, mode=mode, opset=10, dialect=dialect)
    except HalfpixelError as error:
        raise error.in_call(describe_call("onnx.upsample", X, scales, mode=mode, opset=opset)) from None


def _lengths(a: Array, roi: Any, scales: Any, sizes: Any, rules: Rules, dialect: str) -> list[Length]:
    """The axes with something to do, ascending."""
    axes = axes_of(rules["axes"], a.ndim)
    if present(scales) == present(sizes):
        raise HalfpixelValueError("scales and sizes are alternatives", "exactly one of scales= and sizes=")
    n_in = tuple(a.shape[axis] for axis in axes)
    if present(scales):
        if rules["keep_aspect_ratio_policy"] != "stretch":
            raise HalfpixelValueError("keep_aspect_ratio_policy goes with sizes", "sizes= in place of scales=")
        ratios = [float(np.float32(check_scale(s))) for s in floats(scales, "scales", len(axes))]
        n_out = [_SCALED[dialect](n, s) for n, s in zip(n_in, ratios, strict=True)]
        kept: list[float | None] = list(ratios)
    else:
        asked = integers(sizes, "sizes", len(axes), 0, 0)
        n_out, kept = _POLICY[dialect](n_in, asked, rules["keep_aspect_ratio_policy"])
    regions = _regions(roi, len(axes), rules["coordinate_transformation_mode"])
    found = [Length(*values) for values in zip(axes, n_in, n_out, kept, regions, strict=True)]
    return sorted(length for length in found if not _stays(length))


def _stays(length: Length) -> bool:
    return length.n_in == length.n_out and length.scale in (None, 1.0) and length.roi in (None, (0.0, 1.0))


def _whole_part(n: int, scale: float) -> int:
    return math.floor(n * scale)


def _whole_part_32(n: int, scale: float) -> int:
    return math.floor(np.float32(n) * np.float32(scale))


def _by_policy(n_in: tuple[int, ...], sizes: tuple[int, ...], policy: str) -> tuple[list[int], list[float | None]]:
    """One scale for all axes, the smallest or the largest, in double; lengths are rounded half up."""
    if policy == "stretch" or 0 in n_in:
        return list(sizes), [None] * len(sizes)
    scale = _EXTREME[policy](m / n for n, m in zip(n_in, sizes, strict=True))
    return [int(scale * n + 0.5) for n in n_in], [scale] * len(n_in)


def _by_policy_32(n_in: tuple[int, ...], sizes: tuple[int, ...], policy: str) -> tuple[list[int], list[float | None]]:
    """The same in float32."""
    if policy == "stretch" or 0 in n_in:
        return list(sizes), [None] * len(sizes)
    scale = _EXTREME[policy](np.float32(m) / np.float32(n) for n, m in zip(n_in, sizes, strict=True))
    return [math.floor(float(scale * np.float32(n)) + 0.5) for n in n_in], [float(scale)] * len(n_in)


_EXTREME: dict[str, Any] = {"not_larger": min, "not_smaller": max}
_SCALED = {"onnx": _whole_part, "onnxruntime": _whole_part_32}
_POLICY = {"onnx": _by_policy, "onnxruntime": _by_policy_32}


def _regions(roi: Any, count: int, transformation: str) -> list[tuple[float, float] | None]:
    """The start and end of every axis, where they are read."""
    if transformation != "tf_crop_and_resize":
        return [None] * count
    if not present(roi):
        raise HalfpixelValueError("tf_crop_and_resize without roi", "roi=[starts..., ends...], 0 to 1 for a whole axis")
    found = [float(np.float32(v)) for v in floats(roi, "roi", 2 * count)]
    return list(zip(found[:count], found[count:], strict=True))


def _resized(a: Array, lengths: list[Length], mode: str, rules: Rules, dialect: str) -> Array:
    shape = list(a.shape)
    for length in lengths:
        shape[length.axis] = length.n_out
    if 0 in shape:
        return np.zeros(tuple(shape), a.dtype)
    if not lengths:
        return a.copy()
    fill = float(np.float32(rules["extrapolation_value"]))
    fill = math.trunc(fill) if a.dtype.kind in "iu" and dialect == "onnxruntime" and math.isfinite(fill) else fill
    model = plan(
        a.shape, [length.n_out for length in lengths], axes=[length.axis for length in lengths], fill=fill,
        like=_spec(a, lengths, mode, rules, dialect),
    )  # fmt: skip
    # A length, the scale that made it and a box outside the samples go together here, which plan() has no words for.
    scales = tuple(length.scale for length in lengths if length.scale is not None)
    boxes = tuple(_box(length.n_in, *length.roi) for length in lengths if length.roi is not None)
    request = replace(model.request, raw_scale=scales or None, box=boxes or None)
    return plan_like(model, request)(a)


def _box(n: int, start: float, stop: float) -> tuple[float, float]:
    """The region in pixel edges: from half a sample before its start to half a sample after its end."""
    return start * (n - 1), stop * (n - 1) + 1


def _spec(a: Array, lengths: list[Length], mode: str, rules: Rules, dialect: str) -> str:
    """The preset's name with its options."""
    options: dict[str, Any] = {"coordinate_transformation_mode": rules["coordinate_transformation_mode"]}
    if mode == "nearest":
        options["nearest_mode"] = rules["nearest_mode"]
    else:
        options["antialias"] = bool(rules["antialias"])
        options["exclude_outside"] = bool(rules["exclude_outside"])
    if mode == "cubic":
        options["cubic_coeff_a"] = float(np.float32(rules["cubic_coeff_a"]))
    if dialect == "onnx" and rules["keep_aspect_ratio_policy"] != "stretch":
        options["scale_dtype"] = "float64"
    if dialect == "onnxruntime" and mode == "linear" and not rules["antialias"] and _is_channels_last(a, lengths):
        options["channels_last"] = True
    return f"{dialect}.{mode}({', '.join(f'{name}={value!r}' for name, value in options.items())})"


def _is_channels_last(a: Array, lengths: list[Length]) -> bool:
    """Four dimensions of which the second is scaled: onnxruntime takes the last for channels."""
    return a.ndim == 4 and any(length.axis == 1 for length in lengths)
