# SPDX-License-Identifier: MIT
"""What Resize allows, by operator set and by dialect."""

from __future__ import annotations

from typing import Any

from halfpixel.errors import HalfpixelNotImplementedError, HalfpixelValueError
from halfpixel.presets import TABLE

from ._arguments import one_of

Rules = dict[str, Any]

MODES = ("nearest", "linear", "cubic")
POLICIES = ("stretch", "not_larger", "not_smaller")
TRANSFORMATIONS = tuple(TABLE["onnx.nearest"].options["coordinate_transformation_mode"])
NEAREST_MODES = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
# The attributes with their defaults, and the operator set that brought them.
DEFAULTS: dict[str, tuple[Any, int]] = {
    "coordinate_transformation_mode": ("half_pixel", 11),
    "cubic_coeff_a": (-0.75, 11),
    "exclude_outside": (0, 11),
    "extrapolation_value": (0.0, 11),
    "nearest_mode": ("round_prefer_floor", 11),
    "antialias": (0, 18),
    "axes": (None, 18),
    "keep_aspect_ratio_policy": ("stretch", 18),
}
# What held before there were attributes to say so.
OPSET_10 = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "simple"}


def said(given: Rules) -> Rules:
    """The attributes that are not at their defaults."""
    return {name: given[name] for name, (default, _) in DEFAULTS.items() if given[name] != default}


def checked(mode: str, given: Rules, opset: int, dialect: str) -> Rules:
    """The attributes that hold.

    Raises: ValueError for values that the operator set lacks or that do not go together, NotImplementedError for what
    the dialect refuses.
    """
    one_of(mode, "mode", MODES)
    one_of(given["coordinate_transformation_mode"], "coordinate_transformation_mode", TRANSFORMATIONS)
    one_of(given["nearest_mode"], "nearest_mode", NEAREST_MODES)
    one_of(given["keep_aspect_ratio_policy"], "keep_aspect_ratio_policy", POLICIES)
    if opset < 10:
        raise HalfpixelValueError(f"Resize of opset {opset}", "an opset from 10, or upsample() for 7 to 9")
    _check_opset(mode, given, opset)
    if given["antialias"] and mode == "nearest":
        raise HalfpixelValueError("antialias=1 with mode='nearest'", "mode='linear' or mode='cubic'")
    weighs = mode == "cubic" or (mode == "linear" and given["antialias"])
    if dialect == "onnxruntime" and given["exclude_outside"] and not weighs:
        works = "mode='cubic', or mode='linear' with antialias=1"
        raise HalfpixelNotImplementedError(f"onnxruntime refuses exclude_outside=1 with mode={mode!r}", works)
    return {**given, **OPSET_10} if opset < 11 else given


def _check_opset(mode: str, given: Rules, opset: int) -> None:
    """What came later than the operator set. tf_half_pixel_for_nn went with 13, and later models still have it."""
    needs = {f"{name}={value!r}": DEFAULTS[name][1] for name, value in said(given).items()}
    if mode == "cubic":
        needs["mode='cubic'"] = 11
    if given["coordinate_transformation_mode"] == "half_pixel_symmetric":
        needs["coordinate_transformation_mode='half_pixel_symmetric'"] = 19
    for what, since in needs.items():
        if opset < since:
            raise HalfpixelValueError(f"Resize of opset {opset} has no {what}", f"opset={since}")
