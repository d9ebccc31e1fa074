# SPDX-License-Identifier: MIT
"""Operators that resize and reduce in one pass: `halfpixel::argmax`, `halfpixel::extreme`, `halfpixel::above`.

They have no gradient: an index and a comparison have none, and values of a tensor that asks for one are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from halfpixel._plan import Plan
from halfpixel._reduce import Extremes, check_channels, check_index, checked_reduction, reduced_axis
from halfpixel._request import Options
from halfpixel.backends import cpu
from halfpixel.backends import reduce as kernels
from halfpixel.errors import HalfpixelNotImplementedError, HalfpixelTypeError

from . import _how, _resize, _tensors

Sizes = tuple[int, ...]
Asked = tuple[str, Sizes, Sizes]

_library = torch.library.Library("halfpixel", "FRAGMENT")
_PLAN = "Tensor x, str how, SymInt[] size_in, SymInt[] size_out"
_library.define(f"argmax({_PLAN}, int dim, bool smallest, ScalarType dtype) -> Tensor")
_library.define(f"extreme({_PLAN}, int dim, bool smallest, ScalarType dtype) -> (Tensor, Tensor)")
_library.define(f"above({_PLAN}, Scalar threshold) -> Tensor")


def _shape(x: Tensor, how: str, size_out: Any) -> list[int]:
    shape = list(x.shape)
    for axis, n in zip(_how.axes_of(how), size_out, strict=True):
        shape[axis] = n
    return shape


def _without(x: Tensor, how: str, size_out: Any, dim: int, dtype: torch.dtype) -> Tensor:
    shape = _shape(x, how, size_out)
    del shape[dim]
    return torch.empty(shape, dtype=dtype, device=x.device)


def _argmax(
    x: Tensor, how: str, size_in: Any, size_out: Any, dim: int, smallest: bool, dtype: torch.dtype
) -> Tensor:  # fmt: skip
    index = _without(x, how, size_out, dim, dtype)
    _extremes(_how.plan(how, tuple(size_in), tuple(size_out), False), x, dim, smallest, index, None)
    return index


def _extreme(
    x: Tensor, how: str, size_in: Any, size_out: Any, dim: int, smallest: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:  # fmt: skip
    values, index = _without(x, how, size_out, dim, x.dtype), _without(x, how, size_out, dim, dtype)
    _extremes(_how.plan(how, tuple(size_in), tuple(size_out), False), x, dim, smallest, index, values)
    return values, index


def _above(x: Tensor, how: str, size_in: Any, size_out: Any, threshold: float) -> Tensor:
    _tensors.check_device(x)
    plan = _how.plan(how, tuple(size_in), tuple(size_out), False)
    out = _tensors.result(x, plan.shape_out(tuple(x.shape)), dtype=torch.bool)
    if not out.numel():
        return out
    x = x.detach().resolve_neg()
    limit = torch.tensor(threshold, dtype=torch.float64).to(x.dtype).item() if x.is_floating_point() else threshold
    if x.dtype != torch.bfloat16:
        kernels.above(plan, _tensors.array(x), limit, out.numpy())
    elif (compiled := cpu.reducer(plan.program("bfloat16"), None)) is not None:
        compiled.above(_tensors.array(x), out.numpy().view(np.uint8), "bf16", limit, 0)
    else:
        torch.gt(_tensors.apply(plan, x), limit, out=out)
    return out


def _extremes(plan: Plan, x: Tensor, dim: int, smallest: bool, index: Tensor, values: Tensor | None) -> None:
    _tensors.check_device(x)
    plan.shape_out(tuple(x.shape))
    if not index.numel():
        return
    x = x.detach().resolve_neg()
    where = index.numpy()
    if x.dtype != torch.bfloat16:
        kernels.extremes(plan, _tensors.array(x), dim, smallest, where, None if values is None else values.numpy())
    elif (compiled := cpu.reducer(plan.program("bfloat16"), None)) is not None:
        best = None if values is None else _tensors.array(values)
        compiled.reduce(_tensors.array(x), dim, where, best, "bf16", smallest)
    else:
        _extremes_bfloat16(plan, x, dim, smallest, where, values)


def _extremes_bfloat16(
    plan: Plan, x: Tensor, dim: int, smallest: bool, index: np.ndarray, values: Tensor | None
) -> None:
    """Channel after channel, compared as floats that hold bfloat16's values."""
    best = np.empty(index.shape, np.float32)

    def part(c0: int, c1: int) -> np.ndarray:
        resized: np.ndarray = _tensors.apply(plan, x.narrow(dim, c0, c1 - c0)).float().numpy()
        return resized

    kernels.by_parts(part, x.shape[dim], 1, dim, smallest, index, best)
    if values is not None:
        values.copy_(torch.from_numpy(best))


def _fake_argmax(
    x: Tensor, how: str, size_in: Any, size_out: Any, dim: int, smallest: bool, dtype: torch.dtype
) -> Tensor:
    return _without(x, how, size_out, dim, dtype)


def _fake_extreme(
    x: Tensor, how: str, size_in: Any, size_out: Any, dim: int, smallest: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    return _without(x, how, size_out, dim, x.dtype), _without(x, how, size_out, dim, dtype)


def _fake_above(x: Tensor, how: str, size_in: Any, size_out: Any, threshold: float) -> Tensor:
    return _tensors.result(x, tuple(_shape(x, how, size_out)), dtype=torch.bool)


for _name, _kernel, _fake in (
    ("argmax", _argmax, _fake_argmax),
    ("extreme", _extreme, _fake_extreme),
    ("above", _above, _fake_above),
):
    _library.impl(_name, _kernel, "CPU")
    torch.library.register_fake(f"halfpixel::{_name}", _fake, lib=_library)


def reduced(x: Tensor, asked: Asked, reduction: str, dim: int | None, dtype: torch.dtype | None) -> Any:
    """The reduction of a resize that is written as operators take it.

    Raises: as `halfpixel.interpolate_reduce`; the errors do not name the call.
    """
    smallest, with_values, with_index = checked_reduction(reduction)
    kind = torch.int64 if dtype is None else dtype
    axis = _axis(dim, x.dim(), asked[0])
    _check(x, axis, kind, with_index)
    if with_values and x.requires_grad and torch.is_grad_enabled():
        works = "x.detach(), or resize(x, ...) and then the reduction, which is differentiable"
        raise HalfpixelNotImplementedError(f"the values of {reduction!r} have no gradient here", works)
    x = x.detach()
    if not with_values:
        return torch.ops.halfpixel.argmax.default(x, *asked, axis, smallest, kind)
    values, index = torch.ops.halfpixel.extreme.default(x, *asked, axis, smallest, kind)
    return Extremes(values, index) if with_index else values


@torch.compiler.assume_constant_result
def _axis(dim: int | None, ndim: int, how: str) -> int:
    return reduced_axis(dim, ndim, _how.axes_of(how))


def _check(x: Tensor, axis: int, dtype: Any, with_index: bool) -> None:
    _check_real(x)
    check_channels(x.shape[axis], axis)
    if not with_index:
        return
    if not isinstance(dtype, torch.dtype):
        raise HalfpixelTypeError(f"dtype is {dtype!r}", "a dtype of torch, such as torch.uint8 or torch.int64")
    whole = not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)
    check_index(x.shape[axis], str(dtype), torch.iinfo(dtype).max if whole else None)


def _check_real(x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise HalfpixelTypeError(f"x is a {type(x).__name__}", "a torch tensor; halfpixel's own functions take arrays")
    if x.is_complex():
        raise HalfpixelTypeError("complex numbers have no order", "x.real, or x.abs()")


def reduce(x: Tensor, options: Options, reduction: str, dim: int | None, dtype: torch.dtype | None) -> Any:
    """`halfpixel.interpolate_reduce` on a tensor."""
    return reduced(x, _resize.asked(x, options), reduction, dim, dtype)


def above(x: Tensor, asked: Asked, threshold: float) -> Tensor:
    """Where the resize is above the threshold."""
    _check_real(x)
    mask: Tensor = torch.ops.halfpixel.above.default(x.detach(), *asked, threshold)
    return mask


def threshold(x: Tensor, threshold: float, options: Options) -> Tensor:
    """`halfpixel.interpolate_threshold` on a tensor."""
    return above(x, _resize.asked(x, options), threshold)
