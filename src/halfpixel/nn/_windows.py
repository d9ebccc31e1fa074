# SPDX-License-Identifier: MIT
"""What pooling and unpooling share: sizes of windows, and the kernels that go between windows and places.

A place is a position in a plane (or volume), as torch's pooling returns it: int64, one per window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from halfpixel.backends import cpu
from halfpixel.errors import HalfpixelShapeError, HalfpixelTypeError

from . import _tensors

Sizes = tuple[int, ...]


class Windows(NamedTuple):
    """Windows along the spatial axes."""

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes


def windows(dims: int, kernel: Any, stride: Any, padding: Any, dilation: Any = 1) -> Windows:
    """Numbers or sequences, as torch takes them; no stride means the kernel's.

    Raises: TypeError for what are no integers; ValueError (that is a RuntimeError) for impossible ones.
    """
    stride = kernel if stride is None or (isinstance(stride, (list, tuple)) and not stride) else stride
    names = ("kernel_size", "stride", "padding", "dilation")
    made = Windows(*(each(dims, v, name) for v, name in zip((kernel, stride, padding, dilation), names, strict=True)))
    for name, values, least in zip(names, made, (1, 1, 0, 1), strict=True):
        if min(values) < least:
            raise HalfpixelShapeError(f"{name} is {values}", f"{least} or more")
    return made


def each(dims: int, value: Any, name: str) -> Sizes:
    """One integer per axis.

    Raises: TypeError, ValueError.
    """
    if type(value) is int:
        return (value,) * dims
    several = tuple(value) if isinstance(value, (list, tuple)) else (value,) * dims
    if len(several) == 1:
        several *= dims
    if len(several) != dims:
        raise HalfpixelShapeError(f"{name} is {value!r} for {dims} spatial axes", "one number, or one per axis")
    if any(isinstance(n, bool) or not isinstance(n, (int, torch.SymInt)) for n in several):
        raise HalfpixelTypeError(f"{name} is {value!r}", "integers")
    return several


def pooled_size(n: int, window: Windows, axis: int, ceil: bool) -> int:
    """Windows along an axis: torch's rule. With `ceil` one more where samples are left, if it begins inside."""
    k, s, p, d = (values[axis] for values in window)
    out = (n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil else 0)) // s + 1
    return out - 1 if ceil and (out - 1) * s >= n + p else out


class Dense:
    """How a tensor of channels and `dims` spatial axes, batched or not, is laid out for the kernels: planes apart, or
    channels last where torch would suggest that.
    """

    def __init__(self, x: Tensor, dims: int) -> None:
        self.dims, self.lead = dims, tuple(x.shape[:-dims])
        self.last = x.dim() == dims + 2 and _tensors.suggests_last(x)
        self.layout = torch.contiguous_format
        if self.last:
            self.layout = torch.channels_last if dims == 2 else torch.channels_last_3d
        self.planes, self.channels = self.lead if self.last else (math.prod(self.lead), 1)

    def array(self, x: Tensor) -> Any:
        """The elements (bits, where NumPy lacks the dtype) in the order of memory, copied if they lie otherwise."""
        flat = _tensors.plain(x).contiguous(memory_format=self.layout)
        return _tensors.bits(flat.as_strided((flat.numel(),), (1,)))

    def empty(self, size: Sizes, dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor of this spatial size."""
        return _tensors.advised(torch.empty((*self.lead, *size), dtype=dtype, memory_format=self.layout))


def unpooled(x: Tensor, places: Tensor, size: Sizes) -> Tensor:
    """Zeros but for x at its places; of equal places the last wins. `size` is the spatial one."""
    return _placed(x, places, size, lambda *arrays: cpu.native().unpool(*arrays))


def summed(x: Tensor, places: Tensor, size: Sizes) -> Tensor:
    """Sums of x at equal places, in ascending order; halves are summed in float32."""
    if x.dtype not in (torch.float32, torch.float64):
        return summed(x.float(), places, size).to(x.dtype)
    code = "f32" if x.dtype == torch.float32 else "f64"
    return _placed(x, places, size, lambda a, b, out, *how: cpu.native().pool_back(a, b, out, code, *how))


def gathered(x: Tensor, places: Tensor, dims: int, winners: bool) -> Tensor:
    """x at the places; with `winners` 0 where a later one has the same place, so that this is `unpooled` transposed."""
    where, size, fewer = Dense(x, dims), tuple(x.shape[-dims:]), tuple(places.shape[-dims:])
    out = where.empty(fewer, x.dtype)
    wrong = cpu.native().gather(
        where.array(x), where.array(places), where.array(out), winners, where.planes, where.channels, math.prod(fewer),
        math.prod(size),
    )  # fmt: skip
    _check(wrong, where.array(places), size)
    return out


def _placed(x: Tensor, places: Tensor, size: Sizes, run: Callable[..., int]) -> Tensor:
    where = Dense(x, len(size))
    out = where.empty(size, x.dtype)
    n_in = math.prod(x.shape[-where.dims :])
    at = where.array(places)
    _check(run(where.array(x), at, where.array(out), where.planes, where.channels, n_in, math.prod(size)), at, size)
    return out


def _check(wrong: int, places: Any, size: Sizes) -> None:
    if wrong >= 0:
        raise HalfpixelShapeError(
            f"index {places[wrong]} lies outside of a plane of {' x '.join(map(str, size))} = {math.prod(size)} places",
            "the indices that max-pooling an input of that size returned",
        )
