# SPDX-License-Identifier: MIT
"""ONNX Resize along one axis as the standard's text says it, in float64, one weight at a time."""

import math

import numpy as np


def coordinate(o, n, m, scale, transformation, roi=(0.0, 1.0)):
    """Where output o lies, samples at whole numbers. The resized length is n * scale, which the standard's own
    evaluator takes, not the whole number m.
    """
    length = scale * n
    if transformation == "half_pixel":
        return (o + 0.5) / scale - 0.5
    if transformation == "half_pixel_symmetric":
        return n / 2 * (1 - m / length) + (o + 0.5) / scale - 0.5
    if transformation == "pytorch_half_pixel":
        return (o + 0.5) / scale - 0.5 if length != 1 else -0.5
    if transformation == "align_corners":
        return o * (n - 1) / (length - 1) if length != 1 else 0.0
    if transformation == "asymmetric":
        return o / scale
    if transformation == "tf_half_pixel_for_nn":
        return (o + 0.5) / scale
    if transformation == "tf_crop_and_resize":
        start, stop = (np.float32(v) for v in roi)
        first = float(start * np.float32(n - 1))
        if length == 1:
            return first + float((stop - start) * np.float32(n - 1) / np.float32(2))
        return o * float(stop - start) * (n - 1) / (length - 1) + first
    raise AssertionError(transformation)


def tent(x):
    return max(0.0, 1.0 - abs(x))


def keys(x, a):
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def nearest(c, mode):
    if mode == "floor":
        return math.floor(c)
    if mode == "ceil":
        return math.ceil(c)
    below = c - math.floor(c) <= 0.5 if mode == "round_prefer_floor" else c - math.floor(c) < 0.5
    return math.floor(c) if below else math.ceil(c)


def matrix(n, m, scale, mode, transformation, roi=(0.0, 1.0), nearest_mode="", a=-0.75, antialias=0, exclude_outside=0):
    """The weights (m, n), and which outputs are extrapolated."""
    weight, outside = np.zeros((m, n)), np.zeros(m, bool)
    if n == m and scale == 1 and (transformation != "tf_crop_and_resize" or tuple(roi) == (0.0, 1.0)):
        return np.eye(n), outside  # nothing is resized, so no coordinate is transformed
    for o in range(m):
        c = coordinate(o, n, m, scale, transformation, roi)
        if transformation == "tf_crop_and_resize" and not 0 <= c <= n - 1:
            outside[o] = True
            continue
        if mode == "nearest":
            weight[o, min(max(nearest(c, nearest_mode), 0), n - 1)] = 1
            continue
        shrink = min(scale, 1.0) if antialias else 1.0
        reach = math.ceil((1 if mode == "linear" else 2) / shrink) + 1
        taps = range(math.floor(c) - reach, math.floor(c) + reach + 2)
        row = {j: tent((j - c) * shrink) if mode == "linear" else keys((j - c) * shrink, a) for j in taps}
        if exclude_outside:
            row = {j: w for j, w in row.items() if 0 <= j < n}
        total = sum(row.values()) if antialias or exclude_outside else 1.0
        for j, w in row.items():
            weight[o, min(max(j, 0), n - 1)] += w / total if total else 0.0
    return weight, outside


def is_just_above_a_sample(n, m, scale, transformation, roi=(0.0, 1.0)):
    """A coordinate that rounding put on or next to a sample: ONNX's evaluator adds some whole samples to it, which may
    round it back, and then reads the sample before.
    """
    for o in range(m):
        c = coordinate(o, n, m, scale, transformation, roi)
        if c != round(c) and abs(c - round(c)) < 1e-9 * (1 + abs(c)):
            return True
    return False
