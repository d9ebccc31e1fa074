# SPDX-License-Identifier: MIT
"""Sizes and paddings of transposed convolutions: what is asked for, in the words of torch's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import (
    HalfpixelError,
    HalfpixelShapeError,
    HalfpixelTypeError,
    HalfpixelValueError,
    describe_call,
    unknown_name,
)

from . import _tensors, _windows
from ._conv_transpose import Call, Geometry
from ._depthwise import MOST_EACH, Depthwise

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
FORMULA = "size = (n - 1) * stride - padding_begin - padding_end + dilation * (kernel_size - 1) + output_padding + 1"

# How samples outside of the input are made; torch's own transposed convolution knows zeros alone.
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def conv_transpose_size(
    size: Any, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, dilation: Any = 1
) -> Any:
    """The output size of a transposed convolution.

    **Convention:** size = (n - 1) * stride - padding_begin - padding_end + dilation * (kernel_size - 1) +
    output_padding + 1, per axis; padding "same" makes n * stride, "valid" is 0.
    Arguments: size: one length, or one per axis. The others as in `functional.conv_transpose2d`.
    Returns: an integer for an integer, else a tuple.
    Raises: ValueError, TypeError.
    Example:
        >>> conv_transpose_size((16, 20), 4, stride=2, padding=1)
        (32, 40)
        >>> conv_transpose_size(16, 3, stride=2, padding="same")
        32
    """
    alone = isinstance(size, int)
    sizes = (size,) if alone else tuple(size)
    dims = len(sizes)
    window = _windows.windows(dims, kernel_size, stride, 0, dilation)
    more = _windows.each(dims, output_padding, "output_padding")
    pads, more = _pads(dims, window, padding, more)
    made = _size(sizes, window, pads, more)
    return made[0] if alone else made


def conv_transpose(
    dims: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, output_padding: Any,
    groups: int, dilation: Any, padding_mode: str, output_size: Any, size_like: Tensor | None,
) -> Tensor:  # fmt: skip
    """The function of `functional`, for this number of spatial axes."""
    key = None
    if padding_mode == "zeros" and size_like is None and not torch.compiler.is_compiling():
        options = map(_tensors.written, (stride, padding, output_padding, groups, dilation, output_size))
        key = (dims, input.shape, weight.shape, *options)
        try:
            call = _ready.get(key)
        except TypeError:  # unhashable: the long way has the error
            key = call = None
        if call is not None:
            return call(input, weight, bias)
    try:
        if padding_mode not in PADDING_MODES:
            raise unknown_name("padding_mode", padding_mode, PADDING_MODES)
        _check(dims, input, weight, groups)
        window = _windows.windows(dims, tuple(weight.shape[2:]), stride, 0, dilation)
        more = _windows.each(dims, output_padding, "output_padding")
        pads, more = _pads(dims, window, padding, more)
        n = tuple(input.shape[-dims:])
        if size_like is not None:
            if output_size is not None:
                raise HalfpixelValueError("size_like and output_size were both given", "one of them")
            output_size = tuple(size_like.shape[-dims:])
        if output_size is not None:
            more = _for_size(n, window, pads, output_size)
        elif any(m >= max(s, d) for m, s, d in zip(more, window.stride, window.dilation, strict=True)):
            raise HalfpixelShapeError(f"output_padding is {more}", "less than the stride or the dilation")
        size = _size(n, window, pads, more)
        x = input if padding_mode == "zeros" else _extended(input, window, padding_mode)
        if x is not input:
            pads = tuple(
                (a + reach * s, b + reach * s)
                for (a, b), reach, s in zip(pads, _reach(window), window.stride, strict=True)
            )
        call = _call(tuple(x.shape), tuple(weight.shape), window, pads, more, groups, size)
    except HalfpixelError as error:
        raise error.in_call(
            describe_call(
                f"conv_transpose{dims}d", input, weight, bias=bias, stride=stride, padding=padding,
                output_padding=output_padding, groups=groups, dilation=dilation, output_size=output_size,
            )
        ) from None  # fmt: skip
    if key is not None:
        _ready.put(key, call)
    return call(x, weight, bias)


_ready: _tensors.Lately[Call] = _tensors.Lately()


def _check(dims: int, x: Tensor, weight: Tensor, groups: int) -> None:
    if x.dim() not in (dims + 1, dims + 2) or weight.dim() != dims + 2:
        works = (
            f"an input (N, C, *spatial) of {dims + 2} dimensions, or {dims + 1} without the batch, and as many as that"
        )
        raise HalfpixelShapeError(
            f"the input has {x.dim()} dimensions and the weight (C_in, C_out / groups, *kernel) {weight.dim()}", works
        )
    if isinstance(groups, bool) or not isinstance(groups, int):
        raise HalfpixelTypeError(f"groups is {groups!r}", "an integer")
    channels = x.shape[-dims - 1]
    if groups < 1 or weight.shape[0] != channels or channels % groups:
        raise HalfpixelShapeError(
            f"the input has {channels} channels, the weight is for {weight.shape[0]}, in {groups} groups",
            "a weight (C_in, C_out / groups, *kernel) for the input's channels, and a divisor of them",
        )


def checked_padding(padding: Any, dims: int) -> Any:
    """ "same" or "valid" as it is; otherwise one number per axis, or one pair where any axis has two numbers.

    Raises: ValueError, TypeError.
    """
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise unknown_name("padding", padding, ("same", "valid"))
        return padding
    given = tuple(padding) if isinstance(padding, (list, tuple)) else (padding,) * dims
    if len(given) == 1:
        given *= dims
    if len(given) != dims:
        raise HalfpixelShapeError(f"padding is {padding!r} for {dims} axes", "one number, or one or a pair per axis")
    pairs = tuple(tuple(p) if isinstance(p, (list, tuple)) else (p, p) for p in given)
    numbers = [p for pair in pairs for p in pair]
    if any(len(pair) != 2 for pair in pairs) or any(isinstance(p, bool) or not isinstance(p, int) for p in numbers):
        raise HalfpixelTypeError(f"padding is {padding!r}", "integers, or pairs (begin, end) of them")
    if min(numbers) < 0:
        raise HalfpixelShapeError(f"padding is {padding!r}", "0 or more")
    return tuple(a for a, _ in pairs) if all(a == b for a, b in pairs) else pairs


def _pads(dims: int, window: _windows.Windows, padding: Any, more: Sizes) -> tuple[Pairs, Sizes]:
    """What is cut at the begin and the end of each axis, and what is added."""
    padding = checked_padding(padding, dims)
    if padding == "valid":
        return ((0, 0),) * dims, more
    if padding == "same":
        if any(more):
            raise HalfpixelValueError(f"output_padding {more} with padding 'same'", "one of them")
        total = [d * (k - 1) + 1 - s for k, s, d in zip(window.kernel, window.stride, window.dilation, strict=True)]
        return tuple((max(t, 0) // 2, (max(t, 0) + 1) // 2) for t in total), tuple(max(-t, 0) for t in total)
    return tuple(p if isinstance(p, tuple) else (p, p) for p in padding), more


def _bare(n: Sizes, window: _windows.Windows, pads: Pairs) -> Sizes:
    return tuple(
        (m - 1) * s - a - b + d * (k - 1) + 1
        for m, k, s, d, (a, b) in zip(n, window.kernel, window.stride, window.dilation, pads, strict=True)
    )


def _size(n: Sizes, window: _windows.Windows, pads: Pairs, more: Sizes) -> Sizes:
    size = tuple(m + extra for m, extra in zip(_bare(n, window, pads), more, strict=True))
    if min(size) < 0 and min(n) > 0:
        raise HalfpixelShapeError(f"an input of {n} makes {size}: {FORMULA}", "less padding or a larger kernel")
    return size


def _for_size(n: Sizes, window: _windows.Windows, pads: Pairs, wanted: Any) -> Sizes:
    """The output padding that makes this size."""
    wanted = tuple(wanted)[-len(n) :] if len(wanted) == len(n) + 2 else tuple(wanted)
    if len(wanted) != len(n):
        raise HalfpixelValueError(f"output_size is {wanted}", f"{len(n)} or {len(n) + 2} numbers")
    least = _bare(n, window, pads)
    most = tuple(m + max(s, d) - 1 for m, s, d in zip(least, window.stride, window.dilation, strict=True))
    if any(not a <= m <= b for a, m, b in zip(least, wanted, most, strict=True)):
        works = f"a size from {least} to {most}: {FORMULA}, with an output_padding less than the stride or the dilation"
        raise HalfpixelValueError(f"output_size is {wanted}", works)
    return tuple(m - a for m, a in zip(wanted, least, strict=True))


def _reach(window: _windows.Windows) -> Sizes:
    """Samples outside of the input that reach into the output."""
    return tuple(-(-d * (k - 1) // s) for k, s, d in zip(window.kernel, window.stride, window.dilation, strict=True))


def _extended(x: Tensor, window: _windows.Windows, mode: str) -> Tensor:
    reach = _reach(window)
    n = tuple(x.shape[-len(reach) :])
    most = {"reflect": [m - 1 for m in n], "circular": n}.get(mode, reach)
    if any(r > m for r, m in zip(reach, most, strict=True)):
        raise HalfpixelShapeError(
            f"padding_mode {mode!r} reaches {reach} samples outside of an input of {n}",
            "a larger input, or 'replicate'",
        )
    both = [r for reach_of_axis in reversed(reach) for r in (reach_of_axis,) * 2]
    return torch.nn.functional.pad(x, both, mode=mode)


def _call(
    x: Sizes, weight: Sizes, window: _windows.Windows, pads: Pairs, more: Sizes, groups: int, size: Sizes
) -> Call:
    """Unequal padding: for torch the lesser on both sides, and the rest cut off."""
    equal = tuple(min(pair) for pair in pads)
    left = tuple(max(0, m - (b - p)) for m, (_, b), p in zip(more, pads, equal, strict=True))
    start = tuple(a - p for (a, _), p in zip(pads, equal, strict=True))
    kind = Depthwise if groups == weight[0] and weight[1] <= MOST_EACH else Call
    return kind(x, weight, Geometry(window.stride, equal, left, groups, window.dilation), start, size)
