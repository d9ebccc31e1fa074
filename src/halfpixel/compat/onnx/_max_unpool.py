# SPDX-License-Identifier: MIT
"""MaxUnpool."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from halfpixel.errors import HalfpixelError, HalfpixelTypeError, HalfpixelValueError, describe_call

from ._arguments import DIALECTS, Array, integers, one_of, present, tensor


def max_unpool(
    X: Any,
    I: Any,  # noqa: E741, the standard's name
    output_shape: Any = None,
    *,
    kernel_shape: Any,
    pads: Any = None,
    strides: Any = None,
    dialect: str = "onnx",
) -> Array:
    """ONNX MaxUnpool: every value goes where its index says, zeros elsewhere.

    **Convention:** X (N, C, *spatial). The pooled tensor's shape is (n - 1) * stride - pads + kernel along each spatial
    axis; an index counts its elements, batch and channels included, in C order. Where an index stands more than once,
    the last element in C order wins. `output_shape` (batch and channels included) may be larger; "onnx" fills it up
    with zeros at the ends, "onnxruntime" counts the indices in it, which undoes a MaxPool of that shape.
    Arguments: I: whole numbers of X's shape. pads: all starts, then all ends. strides: default 1.
    Returns: a new array of X's dtype.
    Raises: ValueError for shapes that disagree and for indices outside the tensor; TypeError for indices that are not
    whole numbers.
    Source: ONNX MaxUnpool-11, its expected data; onnxruntime 1.31.
    Example:
        >>> max_unpool(np.ones((1, 1, 1)), np.array([[[1]]]), kernel_shape=[2])
        array([[[0., 1.]]])
    """
    try:
        x, index = tensor(X, "X", 3), np.asarray(I)
        one_of(dialect, "dialect", DIALECTS)
        inferred = _inferred(x.shape, kernel_shape, pads, strides)
        shape = _asked(output_shape, inferred) if present(output_shape) else inferred
        flat = _scattered(x, index, shape if dialect == "onnxruntime" else inferred)
        if flat.shape == shape:
            return flat
        y = np.zeros(shape, x.dtype)
        y[tuple(slice(n) for n in flat.shape)] = flat
        return y
    except HalfpixelError as error:
        options = {"output_shape": output_shape, "kernel_shape": kernel_shape, "pads": pads, "strides": strides}
        raise error.in_call(describe_call("onnx.max_unpool", X, I, **options)) from None


def _inferred(shape: tuple[int, ...], kernel_shape: Any, pads: Any, strides: Any) -> tuple[int, ...]:
    dims = len(shape) - 2
    kernel, stride = integers(kernel_shape, "kernel_shape", dims, 1, 1), integers(strides, "strides", dims, 1, 1)
    pad = integers(pads, "pads", 2 * dims, 0, 0)
    found = [
        (n - 1) * stride[k] - pad[k] - pad[dims + k] + kernel[k] for k, n in enumerate(shape[2:])
    ]  # fmt: skip
    if min(found) < 1:
        raise HalfpixelValueError(f"the unpooled spatial shape is {tuple(found)}", "smaller pads")
    return *shape[:2], *found


def _asked(output_shape: Any, inferred: tuple[int, ...]) -> tuple[int, ...]:
    shape = integers(output_shape, "output_shape", len(inferred), 0, 0)
    if any(m < n for m, n in zip(shape, inferred, strict=True)):
        raise HalfpixelValueError(f"output_shape {shape} is smaller than the pooled tensor, {inferred}", "a larger one")
    return shape


def _scattered(x: Array, index: Array, shape: tuple[int, ...]) -> Array:
    if index.dtype.kind not in "iu":
        raise HalfpixelTypeError(f"I has dtype {index.dtype}", "whole numbers, as MaxPool's second output")
    if index.shape != x.shape:
        raise HalfpixelValueError(f"I has shape {index.shape}, X {x.shape}", "one index per element")
    count = math.prod(shape)
    if index.size and (int(index.min()) < 0 or int(index.max()) >= count):
        raise HalfpixelValueError(f"indices from {index.min()} to {index.max()}", f"0 to {count - 1}, in {shape}")
    y = np.zeros(count, x.dtype)
    flat = index.ravel()
    # Assignment leaves open which of equal indices wins: only the last one of each is assigned.
    place, last = np.unique(flat[::-1], return_index=True)
    y[place] = x.ravel()[len(flat) - 1 - last]
    return y.reshape(shape)
