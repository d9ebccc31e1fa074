# SPDX-License-Identifier: MIT
"""Functions on tensors: `interpolate` exactly as torch's, `resize` with the engine's options."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from halfpixel import _sizes
from halfpixel._request import Options, resolve
from halfpixel.errors import (
    HalfpixelError,
    HalfpixelNotImplementedError,
    HalfpixelTypeError,
    HalfpixelValueError,
    describe_call,
)

from . import _how, _ops

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
    """`torch.nn.functional.interpolate`: the same signature, defaults, results and classes of errors, on CPU tensors.

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
    try:
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
        how = _mode_written(
            dims, mode, bool(align_corners), antialias, scale if keeps else None, mode in _BY_LAYOUT and _last(input)
        )
        return _ops.resize(input, how, tuple(input.shape[2:]), size_out)
    except HalfpixelError as error:
        raise error.in_call(
            describe_call(
                "interpolate", input, size=size, scale_factor=scale_factor, mode=mode, align_corners=align_corners,
                recompute_scale_factor=recompute_scale_factor, antialias=antialias or None,
            )
        ) from None  # fmt: skip


# torch takes another kernel, with its own coordinates, for channels-last images of more than three channels.
_BY_LAYOUT = ("nearest", "nearest-exact")


def _last(x: Tensor) -> bool:
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    if x.dim() not in layouts or not x.is_contiguous(memory_format=layouts[x.dim()]):
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
def _mode_written(
    dims: int, mode: str, align_corners: bool, antialias: bool, scale: tuple[float, ...] | None, last: bool
) -> str:
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


def resize(
    x: Tensor,
    size: Any = None,
    *,
    scale: Any = None,
    axes: Any = None,
    filter: Any = "linear",
    grid: Any = "half_pixel",
    edge: Any = "crop",
    antialias: bool = True,
    box: Any = None,
    rounding: str = "round",
    fill: float = 0.0,
    like: str | None = None,
    size_like: Tensor | None = None,
) -> Tensor:
    """`halfpixel.resize` on a tensor: any axes, every filter, grid, edge rule and preset, differentiable in x.

    **Convention:** as `halfpixel.resize`. Integer tensors round half up and saturate; float16 and bfloat16 compute in
    float32. The gradient is the transposed resize: deterministic, of any order, in forward and reverse mode.
    Arguments:
        x: a CPU tensor of any dtype, shape and memory format.
        size, scale, axes, filter, grid, edge, antialias, box, rounding, fill, like: as in `halfpixel.resize`; filters
            by name.
        size_like: a tensor whose lengths along the same axes are the size, as a decoder's skip connection has them.
    Returns: a new tensor of x's dtype.
    Raises: ValueError and TypeError that name the call, the reason, and what would work.
    Example:
        >>> import torch
        >>> resize(torch.ones(2, 8, 5, 5), scale=2, axes=(-2, -1), filter="lanczos3", edge="wrap").shape
        torch.Size([2, 8, 10, 10])
    """
    options = Options(size, scale, axes, filter, grid, edge, antialias, box, rounding, fill, like)
    try:
        if not isinstance(x, Tensor):
            raise HalfpixelTypeError(f"x is a {type(x).__name__}", "a torch tensor, or halfpixel.resize for arrays")
        if size_like is not None:
            options = _sized(x, options, size_like)
        how, size_in, size_out = _traced(x, options) if torch.compiler.is_compiling() else _resolved(x, options)
        return _ops.resize(x, how, size_in, size_out)
    except HalfpixelError as error:
        raise error.in_call(options.described("resize", x)) from None


def _resolved(x: Tensor, options: Options) -> tuple[str, Sizes, Sizes]:
    request, _, _, _ = resolve(tuple(x.shape), options)
    return _options_written(x, options), request.n_in, request.n_out


def _options_written(x: Tensor, o: Options) -> str:
    given = o.size if o.size is not None else o.scale
    count = len(given) if isinstance(given, (list, tuple)) else None
    kept = o.scale if o.like is not None else None
    fill = 0.0 if o.fill == 0.0 else o.fill  # a constant again, where a compiler made the default a symbol
    return _written(
        x.dim(), count, o.axes, kept, o.box, o.filter, o.grid, o.edge, o.antialias, fill, o.like, o.rounding
    )


def _traced(x: Tensor, options: Options) -> tuple[str, Sizes, Sizes]:
    """The same where lengths may be symbols; what is wrong with them is said when the operator runs."""
    given = options.size if options.size is not None else options.scale
    if options.box is not None and options.size is None:
        raise HalfpixelValueError("scale= with box= in a compiled function", "size= with box=")
    several = isinstance(given, (list, tuple))
    axes, order = _places(x.dim(), len(given) if several else None, options.axes)
    each = tuple(given[p] if several else given for p in order)
    size_in = tuple(x.shape[a] for a in axes)
    if options.size is None:
        rounding = options.rounding if options.like is None else "floor"
        each = tuple(_scaled(n, _ratio(s), rounding) for n, s in zip(size_in, each, strict=True))
    return _options_written(x, options), size_in, each


@torch.compiler.assume_constant_result
def _places(ndim: int, count: int | None, axes: Any) -> tuple[Sizes, list[int]]:
    if count is None:
        _sizes.scalar_needs_axes("size or scale", axes, ndim)
    return _sizes.sorted_axes(axes, count, ndim)[:2]


@torch.compiler.assume_constant_result
def _ratio(scale: Any) -> tuple[int, int]:
    return _sizes.check_scale(scale).as_integer_ratio()


def _scaled(n: int, ratio: tuple[int, int], rounding: str) -> int:
    above, below = ratio
    if rounding == "floor":
        return n * above // below
    if rounding == "ceil":
        return -(-n * above // below)
    return (2 * n * above + below) // (2 * below)


@torch.compiler.assume_constant_result
def _written(
    ndim: int, count: int | None, axes: Any, scale: Any, box: Any, filter: Any, grid: Any, edge: Any, antialias: bool,
    fill: float, like: str | None, rounding: str,
) -> str:  # fmt: skip
    along, order, _ = _sizes.sorted_axes(axes, count, ndim)
    if box is not None:
        box = [(float(Fraction(box[p][0])), float(Fraction(box[p][1]))) for p in order]
    if scale is not None:
        each = _sizes.per_axis(scale, len(along), "scale")
        scale = tuple(float(each[p]) for p in order)
    return _how.written(
        along, scale=scale, box=box, filter=filter, grid=grid, edge=edge, antialias=antialias, fill=fill, like=like,
        rounding=rounding,
    )  # fmt: skip


def _sized(x: Tensor, options: Options, reference: Tensor) -> Options:
    if options.size is not None or options.scale is not None:
        raise HalfpixelValueError("size_like stands for a size", "size_like alone, without size and scale")
    if reference.dim() != x.dim():
        raise HalfpixelValueError(
            f"size_like has {reference.dim()} dimensions, x has {x.dim()}", f"a tensor of {x.dim()} dimensions"
        )
    axes = options.axes if options.axes is not None else tuple(range(-(x.dim() - 2), 0))
    each = (axes,) if isinstance(axes, int) else tuple(axes)
    return options._replace(axes=each, size=tuple(reference.shape[a] for a in each))
