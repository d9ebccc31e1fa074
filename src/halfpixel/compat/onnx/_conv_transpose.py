# SPDX-License-Identifier: MIT
"""ConvTranspose: for every offset in the kernel one matrix product, added to every stride-th sample of the output."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from halfpixel.errors import HalfpixelError, HalfpixelTypeError, HalfpixelValueError, describe_call

from ._arguments import Array, integers, one_of, tensor

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
Sizes = tuple[int, ...]


class Geometry(NamedTuple):
    """Per spatial axis: kernel, strides, dilations; how many samples the start loses; the result's length."""

    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    head: Sizes
    size: Sizes


def conv_transpose(
    X: Any,
    W: Any,
    B: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Any = None,
    group: int = 1,
    kernel_shape: Any = None,
    output_padding: Any = None,
    output_shape: Any = None,
    pads: Any = None,
    strides: Any = None,
) -> Array:
    """ONNX ConvTranspose, along any number of spatial axes.

    **Convention:** X (N, C, *spatial), W (C, M / group, *kernel), B (M,), result (N, M, *size) with size = stride *
    (n - 1) + output_padding + (kernel - 1) * dilation + 1 - pads. With `output_shape` (spatial axes alone), or SAME_*,
    which means stride * n, pads are made from the size: half of them at each end, an odd one at the end for
    SAME_UPPER, at the start otherwise; a size beyond the sum of the other terms adds zeros at the end.
    Arguments:
        X, W, B: floats of one dtype. float32 and float64 are computed in their own precision, narrower ones in float32.
        pads: all starts, then all ends. output_padding: samples more at the end, fewer than the larger of stride and
            dilation.
    Returns: a new array of X's dtype.
    Raises: ValueError for shapes that disagree, TypeError for dtypes that are not floats.
    Source: ONNX ConvTranspose-11 and -22; onnxruntime 1.31.
    Example:
        >>> x, w = np.array([[[1.0, 10.0]]]), np.array([[[1.0, 2.0, 3.0]]])
        >>> conv_transpose(x, w, strides=[2])
        array([[[ 1.,  2., 13., 20., 30.]]])
    """
    given = {
        "auto_pad": auto_pad, "dilations": dilations, "group": group, "kernel_shape": kernel_shape,
        "output_padding": output_padding, "output_shape": output_shape, "pads": pads, "strides": strides,
    }  # fmt: skip
    try:
        x, w = tensor(X, "X", 3), tensor(W, "W", 3)
        (groups,) = integers([group], "group", 1, 1, 1)
        bias = _checked(x, w, B, groups)
        geometry = _geometry(x.shape[2:], w.shape[2:], given)
        y = _transposed(_computed(x), _computed(w), groups, geometry)
        if bias is not None:
            y += _computed(bias).reshape(-1, *(1,) * len(geometry.size))
        return y.astype(x.dtype, copy=False)
    except HalfpixelError as error:
        said = {name: value for name, value in given.items() if not isinstance(value, str) or value != "NOTSET"}
        raise error.in_call(describe_call("onnx.conv_transpose", X, W, B, **said)) from None


def _computed(a: Array) -> Array:
    return a if a.dtype in (np.float32, np.float64) else a.astype(np.float32)


def _checked(x: Array, w: Array, B: Any, groups: int) -> Array | None:
    bias = None if B is None else np.asarray(B)
    for name, a in (("X", x), ("W", w), ("B", bias)):
        # bfloat16 is a kind of its own to NumPy, which ml_dtypes registers as "V".
        if a is not None and a.dtype.kind != "f" and a.dtype.name != "bfloat16":
            raise HalfpixelTypeError(f"{name} has dtype {a.dtype}", "floats; integers as .astype(np.float32)")
        if a is not None and a.dtype != x.dtype:
            raise HalfpixelTypeError(f"{name} has dtype {a.dtype}, X {x.dtype}", "one dtype for all of them")
    if w.ndim != x.ndim:
        raise HalfpixelValueError(f"X has {x.ndim} dimensions, W {w.ndim}", "as many of both")
    if w.shape[0] != x.shape[1] or x.shape[1] % groups:
        works = "W of shape (C, M / group, *kernel), C a multiple of group"
        raise HalfpixelValueError(f"X has {x.shape[1]} channels in {groups} groups, W {w.shape[0]}", works)
    if bias is not None and bias.shape != (w.shape[1] * groups,):
        raise HalfpixelValueError(f"B has shape {bias.shape}", f"({w.shape[1] * groups},)")
    return bias


def _geometry(n_in: Sizes, kernel: Sizes, given: dict[str, Any]) -> Geometry:
    dims = len(n_in)
    strides = integers(given["strides"], "strides", dims, 1, 1)
    dilations = integers(given["dilations"], "dilations", dims, 1, 1)
    extra = integers(given["output_padding"], "output_padding", dims, 0, 0)
    if given["kernel_shape"] is not None and integers(given["kernel_shape"], "kernel_shape", dims, 1, 1) != kernel:
        raise HalfpixelValueError(f"kernel_shape is {given['kernel_shape']!r}, W's kernel {kernel}", "leaving it out")
    if min(kernel) < 1 or min(n_in) < 1:
        raise HalfpixelValueError(f"spatial axes {n_in}, kernel {kernel}", "lengths from 1")
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        works = "less than the larger of stride and dilation along each axis"
        raise HalfpixelValueError(f"output_padding is {extra}, strides {strides}, dilations {dilations}", works)
    parts = zip(n_in, strides, dilations, kernel, extra, strict=True)
    full = tuple(s * (n - 1) + d * (k - 1) + 1 + e for n, s, d, k, e in parts)
    head, size = _ends(n_in, strides, full, given)
    if min(size) < 1:
        raise HalfpixelValueError(f"the result would have spatial axes {size}", "smaller pads")
    return Geometry(kernel, strides, dilations, head, size)


def _ends(n_in: Sizes, strides: Sizes, full: Sizes, given: dict[str, Any]) -> tuple[Sizes, Sizes]:
    """How much the start loses, and the result's lengths."""
    auto_pad = one_of(given["auto_pad"], "auto_pad", AUTO_PADS)
    dims = len(full)
    same = auto_pad.startswith("SAME")
    if given["output_shape"] is None and not same:
        pads = integers(given["pads"], "pads", 2 * dims, 0, 0) if auto_pad == "NOTSET" else (0,) * (2 * dims)
        return pads[:dims], tuple(f - pads[k] - pads[dims + k] for k, f in enumerate(full))
    size = integers(given["output_shape"], "output_shape", dims, 1, 1)
    if given["output_shape"] is None:
        size = tuple(n * s for n, s in zip(n_in, strides, strict=True))
    total = [max(f - m, 0) for f, m in zip(full, size, strict=True)]
    return tuple(t // 2 if auto_pad == "SAME_UPPER" else t - t // 2 for t in total), size


def _transposed(x: Array, w: Array, groups: int, geometry: Geometry) -> Array:
    """A canvas that holds every product, of which the result is a window."""
    kernel, strides, dilations, head, size = geometry
    n, channels, *spatial = x.shape
    out_channels = w.shape[1]
    reach = [s * (m - 1) + d * (k - 1) + 1 for m, s, d, k in zip(spatial, strides, dilations, kernel, strict=True)]
    extent = [max(r, h + m) for r, h, m in zip(reach, head, size, strict=True)]
    canvas = np.zeros((n, groups, out_channels, *extent), x.dtype)
    columns = x.reshape(n, groups, channels // groups, math.prod(spatial))
    weight = np.moveaxis(w.reshape(groups, channels // groups, out_channels, *kernel), 1, 2)
    for offset in itertools.product(*map(range, kernel)):
        part: Any = (..., *offset)
        places: Any = (..., *map(_places, offset, dilations, strides, spatial))
        canvas[places] += (weight[part] @ columns).reshape(n, groups, out_channels, *spatial)
    window: Any = (..., *(slice(h, h + m) for h, m in zip(head, size, strict=True)))
    return np.ascontiguousarray(canvas[window]).reshape(n, groups * out_channels, *size)


def _places(offset: int, dilation: int, stride: int, count: int) -> slice:
    """Where the samples of the input go for one offset in the kernel."""
    first = offset * dilation
    return slice(first, first + stride * (count - 1) + 1, stride)
