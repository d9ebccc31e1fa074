# SPDX-License-Identifier: MIT
"""`interpolate` and a reduction of its channels in one pass, with torch's signature and three more arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel._reduce import checked_threshold
from halfpixel.errors import HalfpixelError, describe_call

from . import _reduce
from ._interpolate import asked


def interpolate_argmax(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "bilinear",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
    *,
    dim: int = 1,
    dtype: torch.dtype = torch.int64,
) -> Tensor:
    """`interpolate(input, ...).argmax(dim)` without the interpolated tensor: logits in, labels out.

    **Convention:** as `interpolate`; its values are compared, bit for bit. Of equal ones the first counts, NaN counts
    as the largest. Memory: the labels and a strip per thread. No gradient: an index has none.
    Arguments: input to antialias: as in `interpolate`. dim: the channels, or another axis that is not spatial. dtype:
        of the labels; torch.uint8 holds 256 classes in an eighth of int64's memory.
    Returns: a contiguous tensor of labels, input's shape without `dim`.
    Raises: as `interpolate`; ValueError for a `dim` that is spatial, missing or empty, or a dtype that is too small.
    Example:
        >>> logits = torch.rand(1, 19, 32, 64)
        >>> interpolate_argmax(logits, scale_factor=8, dtype=torch.uint8).shape
        torch.Size([1, 256, 512])
    """
    shared = (size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
    return _called("interpolate_argmax", input, shared, "argmax", dim, dtype)


def interpolate_reduce(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "bilinear",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
    *,
    reduction: str = "max",
    dim: int = 1,
    dtype: torch.dtype = torch.int64,
) -> Any:
    """An extreme of `interpolate(input, ...)` along `dim`, without the interpolated tensor.

    **Convention:** as `interpolate_argmax`. No gradient.
    Arguments: as in `interpolate_argmax`. reduction: "argmax", "argmin": where; "amax", "amin": the value; "max",
        "min": both, as `halfpixel.Extremes(values, indices)`.
    Returns: a contiguous tensor, or two.
    Raises: as `interpolate_argmax`; NotImplementedError for values of an input that asks for a gradient.
    Example:
        >>> best = interpolate_reduce(torch.rand(1, 19, 32, 64), size=(40, 80), reduction="max")
        >>> best.values.shape, best.indices.shape
        (torch.Size([1, 40, 80]), torch.Size([1, 40, 80]))
    """
    shared = (size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
    return _called("interpolate_reduce", input, shared, reduction, dim, dtype)


def interpolate_threshold(
    input: Tensor,
    threshold: float,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "bilinear",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """`interpolate(input, ...) > threshold` without the interpolated tensor: a mask of bools.

    **Convention:** as `interpolate`; the threshold is rounded to input's dtype, as torch does. No gradient.
    Arguments: threshold: a number. The rest: as in `interpolate`.
    Returns: a bool tensor, channels-last where `interpolate`'s result is.
    Raises: as `interpolate`; TypeError for a threshold that is no number.
    Example:
        >>> interpolate_threshold(torch.rand(1, 1, 64, 64), 0.5, size=(256, 256)).dtype
        torch.bool
    """
    shared = (size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
    try:
        checked_threshold(threshold)
        return _reduce.above(input, asked(input, *shared), threshold)
    except HalfpixelError as error:
        raise error.in_call(_described("interpolate_threshold", input, shared, threshold=threshold)) from None


def _called(name: str, input: Tensor, shared: tuple[Any, ...], reduction: str, dim: int, dtype: torch.dtype) -> Any:
    try:
        return _reduce.reduced(input, asked(input, *shared), reduction, dim, dtype)
    except HalfpixelError as error:
        told = {} if name == "interpolate_argmax" else {"reduction": reduction}
        raise error.in_call(_described(name, input, shared, **told, dim=dim, dtype=dtype)) from None


def _described(name: str, input: Tensor, shared: tuple[Any, ...], **more: Any) -> str:
    names = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias")
    return describe_call(name, input, **dict(zip(names, shared, strict=True)), **more)
