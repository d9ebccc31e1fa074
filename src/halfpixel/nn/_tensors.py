# SPDX-License-Identifier: MIT
"""Plans on tensors. Those of the CPU lend NumPy their memory for the time of the call, nothing is copied; all others go
through torch's own operators.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from halfpixel import backends
from halfpixel._plan import Plan
from halfpixel.backends import cpu, eager
from halfpixel.backends._dtypes import CODES
from halfpixel.errors import HalfpixelNotImplementedError, HalfpixelTypeError

Run = Callable[[Any, Any, str], None]


def result(x: Tensor, shape: tuple[int, ...], spatial: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """An uninitialised tensor of x's dtype (or `dtype`) and device, in the memory format that torch would suggest for
    x: where `spatial` is given, channels-last only for so many spatial axes.
    """
    layout = torch.contiguous_format
    if spatial in (None, x.dim() - 2) and suggests_last(x):
        layout = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    return torch.empty(shape, dtype=dtype or x.dtype, device=x.device, memory_format=layout)


T = TypeVar("T")


class Lately(dict[Any, T]):
    """What was made for calls that were met lately, by all that tells them apart."""

    def put(self, key: Any, made: T) -> None:
        """Keep one more."""
        if len(self) >= 512:
            self.clear()
        self[key] = made


def written(given: Any) -> Any:
    """A part of a key that tells 2 from 2.0 and True."""
    if type(given) is int or given is None:
        return given
    return (tuple(map(written, given)), type(given)) if isinstance(given, (list, tuple)) else (given, type(given))


_LARGE = 4 << 20
_SHARED = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64}


def advised(out: Tensor) -> Tensor:
    """A fresh result, in huge pages if it is large, as NumPy's own are: torch asks for none, and touching 4 KiB at a
    time costs more than most resizes.
    """
    if out.nbytes >= _LARGE and out.is_cpu and cpu.why_not() is None:
        cpu.native().advise(out.data_ptr(), out.nbytes)
    return out


def suggests_last(x: Tensor) -> bool:
    """torch's own rule (`suggest_memory_format`): the strides ascend from the channels over the last axis to the first,
    and are not those of a contiguous tensor as well.
    """
    if x.dim() not in (4, 5) or (x.is_contiguous() and x.stride(1) != 1):
        return False
    sizes, strides = x.shape, x.stride()
    if strides[1] == 0:
        return False
    least = 0
    for axis in (1, *range(x.dim() - 1, 1, -1), 0):
        if sizes[axis] == 0 or strides[axis] < least or (axis == 0 and least == strides[1]):
            return False
        least = strides[axis] * max(sizes[axis], 1)
    return True


def apply(plan: Plan, x: Tensor) -> Tensor:
    """`plan(x)`: by the kernels on the CPU, by torch's operators elsewhere.

    Raises: TypeError for dtypes and layouts without arithmetic, NotImplementedError for devices without the plan's.
    """
    if x.device.type != "cpu":
        return elsewhere(plan, x)
    out = advised(result(x, plan.shape_out(tuple(x.shape))))
    if not out.numel():
        return out
    x = x.detach().resolve_conj().resolve_neg()
    run, code = _bound(plan, x.dtype)
    if run is None:
        return out.copy_(apply(plan, x.float()))
    run(array(x), array(out), code)
    return out


def rearrange(x: Tensor, out: Tensor) -> None:
    """Copy x into out, of the same shape and dtype and of any strides."""
    if cpu.why_not() is not None:
        out.copy_(x)
    elif out.numel():
        cpu.native().rearrange(bits(plain(x)), bits(out))


def plain(x: Tensor) -> Tensor:
    """x without a record, and with the values in memory that it stands for."""
    x = x.detach() if x.requires_grad else x
    return x.resolve_conj().resolve_neg() if x.is_conj() or x.is_neg() else x


def bits(x: Tensor) -> np.ndarray:
    """The elements' bits, by a dtype that NumPy knows."""
    if x.dtype in _SHARED:
        return array(x)
    sizes = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.complex128}
    a: np.ndarray = x.view(sizes[x.element_size()]).numpy()
    return a


class Ready:
    """A plan for contiguous tensors of one shape and dtype, with everything looked up."""

    __slots__ = ("_code", "_dtype", "_run", "_shape")

    def __init__(self, plan: Plan, x: Tensor) -> None:
        self._run, self._code = _bound(plan, x.dtype)
        self._shape, self._dtype = plan.shape_out(tuple(x.shape)), x.dtype

    @staticmethod
    def serves(x: Tensor) -> bool:
        """Nothing about the tensor needs a second look."""
        return x.dtype != torch.bfloat16 and x.is_contiguous() and x.numel() > 0 and not (x.is_conj() or x.is_neg())

    def __call__(self, x: Tensor) -> Tensor:
        """The plan on such a tensor."""
        out = advised(torch.empty(self._shape, dtype=self._dtype))
        self._run(x.detach().numpy(), out.numpy(), self._code)  # type: ignore[misc]
        return out


def elsewhere(plan: Plan, x: Tensor) -> Tensor:
    """The same by torch's operators, on any device."""
    if x.layout is not torch.strided:
        raise HalfpixelTypeError(f"x is a tensor of layout {x.layout}", "x.to_dense()")
    dtype, device = _named(x.dtype), x.device.type
    program = plan.program(dtype)
    reason = eager.why_not(program, dtype, device)
    if reason is not None:
        why = f"{cpu.why_not(device=device)}; {reason}" if device != "cpu" else reason
        raise HalfpixelNotImplementedError(why, "x.float() and a floating-point filter, or x.cpu()")
    out = result(x, plan.shape_out(tuple(x.shape)))
    if out.numel():
        eager.apply(program, x.detach().resolve_conj().resolve_neg(), out)
    return out


def check_device(x: Tensor) -> None:
    """Raises: NotImplementedError for a tensor that is not on the CPU."""
    if x.device.type != "cpu":
        raise HalfpixelNotImplementedError(f"x is on {x.device}, the kernels run on the CPU", "x.cpu()")


def array(x: Tensor) -> np.ndarray:
    """The tensor's memory as an array; of bfloat16 its bits."""
    if x.dtype == torch.bfloat16:
        x = x.view(torch.uint16)
    a: np.ndarray = x.numpy()
    return a


@functools.lru_cache(maxsize=512)
def _bound(plan: Plan, dtype: torch.dtype) -> tuple[Run | None, str]:
    """How to run the plan on the dtype; None: in float32, rounded once at the end."""
    if dtype == torch.bfloat16:
        program = plan.program("bfloat16")
        return (cpu.bind_bfloat16(program) if backends.choose(program) == cpu.name else None), "bf16"
    return backends.bind(plan, np.dtype(_named(dtype)))


@functools.cache
def _named(dtype: torch.dtype) -> str:
    """The dtype's name, if it has arithmetic."""
    named = str(dtype).removeprefix("torch.")
    # By name: whether np.dtype knows others, such as float8, depends on who imported ml_dtypes.
    if named == "bfloat16" or named in {known.name for known in CODES}:
        return named
    raise HalfpixelTypeError(f"x has dtype {dtype}", "a floating-point, integer, bool or complex tensor")
