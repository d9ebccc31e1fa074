# SPDX-License-Identifier: MIT
"""`interpolate`, exactly as torch's."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from halfpixel.errors import (
    HalfpixelError,
    HalfpixelNotImplementedError,
    HalfpixelTypeError,
    HalfpixelValueError,
    describe_call,
)

from . import _how, _linear, _ops, _tensors

Sizes = tuple[int, ...]

# mode -> numbers of spatial dimensions that torch takes, whether align_corners and antialias mean something
_MODES: dict[str, tuple[Sizes, bool, bool]] = {
    "nearest": ((1, 2, 3), False, False),
    "nearest-exact": ((1, 2, 3), False, False),
    "area": ((1, 2, 3), False, False),
    "linear": ((1,), True, False),
    "bilinear": ((2,), True, True),
    "trilinear": ((3,), True, False),
    "bicubic": ((2,), True, True),
    "lanczos": ((2,), True, True),
}


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """`torch.nn.functional.interpolate`: the same signature, defaults, results and classes of errors.

    **Convention:** input (N, C, *spatial), 1 to 3 spatial dimensions; size in the order of the spatial axes. Results
    have input's dtype and, where input is channels-last, its memory format. uint8 follows torch's 16-bit weights;
    float16 and bfloat16 accumulate in float32. Gradients are the exact transpose, deterministic, of any order.
    Arguments: as torch's. A scale_factor sets the step to 1 / scale_factor, unless recompute_scale_factor=True.
    Returns: a new tensor.
    Raises: ValueError, TypeError and NotImplementedError where torch raises them.
    Source: torch 2.13, CPU.
    Example:
        >>> import torch
        >>> interpolate(torch.ones(1, 3, 4, 4), scale_factor=2, mode="bilinear").shape
        torch.Size([1, 3, 8, 8])
    """
    if has_torch_function_unary(input):
        kept: Tensor = handle_torch_function(
            interpolate, (input,), input, size=size, scale_factor=scale_factor, mode=mode,
            align_corners=align_corners, recompute_scale_factor=recompute_scale_factor, antialias=antialias,
        )  # fmt: skip
        return kept
    key = None
    if _linear.unwatched(input):
        key = (
            input.shape, input.dtype, _hashable(size), _hashable(scale_factor), mode, align_corners,
            recompute_scale_factor, antialias,
        )  # fmt: skip
        try:
            ready = _ready.get(key)
        except TypeError:  # unhashable: the long way has the error
            key = ready = None
        if ready is not None and _tensors.Ready.serves(input):
            return _ops.OPERATOR.quick(input, *ready)
    try:
        arguments = asked(input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
        if key is not None and _tensors.Ready.serves(input):
            _remember(key, input, (*arguments, False))
        return _ops.resize(input, *arguments)
    except HalfpixelError as error:
        raise error.in_call(
            describe_call(
                "interpolate", input, size=size, scale_factor=scale_factor, mode=mode, align_corners=align_corners,
                recompute_scale_factor=recompute_scale_factor, antialias=antialias or None,
            )
        ) from None  # fmt: skip


def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Tensor:
    """`torch.nn.functional.upsample`, the older name of `interpolate`, which see; without torch's warning.

    Example:
        >>> import torch
        >>> upsample(torch.ones(1, 3, 4, 4), scale_factor=2).shape
        torch.Size([1, 3, 8, 8])
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


_MAX_READY = 1024
# Calls of contiguous tensors seen before: the operator's arguments, and the plan with everything looked up.
_ready: dict[Any, tuple[Any, _tensors.Ready]] = {}


def _hashable(given: Any) -> Any:
    """A key that tells 2 from 2.0 and True, and lists from nothing else."""
    if isinstance(given, (list, tuple)):
        return tuple(given), tuple(map(type, given))
    return given, type(given)


def _remember(key: Any, input: Tensor, arguments: tuple[Any, ...]) -> None:
    if len(_ready) >= _MAX_READY:
        _ready.clear()
    _ready[key] = (arguments, _tensors.Ready(_how.plan(*arguments), input))


def asked(
    input: Tensor, size: Any, scale_factor: Any, mode: str, align_corners: bool | None,
    recompute_scale_factor: bool | None, antialias: bool,
) -> tuple[str, Sizes, Sizes]:  # fmt: skip
    """What `interpolate` does with these arguments: the options as a string, and the spatial sizes before and after.

    Raises: as `interpolate`; the errors do not name the call.
    """
    _check_mode(input, mode, align_corners, antialias)
    if recompute_scale_factor and size is not None:
        raise HalfpixelValueError("recompute_scale_factor is not meaningful with a size", "scale_factor=")
    dims = input.dim() - 2
    scale = None if size is not None else _scales(dims, scale_factor)
    if size is not None and scale_factor is not None:
        raise HalfpixelValueError("size and scale_factor were both given", "one of them")
    size_out = _lengths(dims, size) if scale is None else tuple(
        math.floor(float(n * s)) if isinstance(n, int) else torch.sym_int(n * s)
        for n, s in zip(input.shape[2:], scale, strict=True)
    )  # fmt: skip
    keeps = scale is not None and not recompute_scale_factor and mode != "area"
    how = mode_written(dims, mode, bool(align_corners), antialias, scale if keeps else None, by_layout(input, mode))
    return how, tuple(input.shape[2:]), size_out


# torch takes another kernel, with its own coordinates, for channels-last images of more than three channels.
_BY_LAYOUT = ("nearest", "nearest-exact")
_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def by_layout(x: Tensor, mode: str) -> bool:
    """Whether the mode's coordinates are those of the other kernel."""
    if mode not in _BY_LAYOUT or x.dim() not in _LAYOUTS or not x.is_contiguous(memory_format=_LAYOUTS[x.dim()]):
        return False
    return True if x.shape[1] > 3 else False  # noqa: SIM210 (a symbol becomes a fact here)


def _check_mode(input: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if mode not in _MODES:
        raise HalfpixelNotImplementedError(f"unknown mode {mode!r}", f"one of {', '.join(map(repr, _MODES))}")
    dims, aligns, antialiases = _MODES[mode]
    if align_corners is not None and not aligns:
        raise HalfpixelValueError(f"align_corners means nothing with mode={mode!r}", "align_corners=None")
    if antialias and not (antialiases and input.dim() == 4):
        works = "mode 'bilinear', 'bicubic' or 'lanczos' of a 4-D tensor, or halfpixel.nn.functional.resize"
        raise HalfpixelValueError(f"antialias=True with mode={mode!r} and {input.dim()} dimensions", works)
    if input.dim() - 2 not in dims:
        need = " or ".join(str(d + 2) for d in dims)
        raise HalfpixelNotImplementedError(
            f"mode {mode!r} needs {need} dimensions, the input has {input.dim()}", "halfpixel.nn.functional.resize"
        )
    if mode == "lanczos" and (align_corners or not antialias):
        raise HalfpixelValueError("mode 'lanczos' is antialiased and knows no aligned corners", "antialias=True")


def _scales(dims: int, scale_factor: Any) -> tuple[float, ...]:
    if scale_factor is None:
        raise HalfpixelValueError("neither size nor scale_factor was given", "one of them")
    if isinstance(scale_factor, (list, tuple)):
        if len(scale_factor) != dims:
            raise HalfpixelValueError(f"{len(scale_factor)} factors for {dims} spatial dimensions", "as many factors")
        return tuple(float(s) for s in scale_factor)
    return (float(scale_factor),) * dims


def _lengths(dims: int, size: Any) -> Sizes:
    if not isinstance(size, (list, tuple)):
        size = (size,) * dims
    if len(size) != dims:
        raise HalfpixelValueError(f"a size of {len(size)} for {dims} spatial dimensions", "one length for each")
    for n in size:
        if isinstance(n, bool) or not isinstance(n, (int, torch.SymInt)):
            raise HalfpixelTypeError(f"size holds {n!r}", "integers")
    return tuple(size)


@torch.compiler.assume_constant_result
def mode_written(
    dims: int, mode: str, align_corners: bool, antialias: bool, scale: tuple[float, ...] | None, last: bool
) -> str:
    """The options that a mode of torch's stands for; scale where torch keeps it, last as `by_layout` says."""
    return _mode_known(dims, mode, align_corners, antialias, scale, last)


@functools.lru_cache(maxsize=1024)
def _mode_known(
    dims: int, mode: str, align_corners: bool, antialias: bool, scale: tuple[float, ...] | None, last: bool
) -> str:
    told = []
    if align_corners:
        told.append("align_corners=True")
    if antialias and mode != "lanczos":
        told.append("antialias=True")
    if last:
        told.append("channels_last=True")
    like = f"torch.{mode}" + (f"({', '.join(told)})" if told else "")
    return _how.written(tuple(range(-dims, 0)), like=like, scale=scale)
