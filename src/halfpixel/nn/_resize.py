# SPDX-License-Identifier: MIT
"""`resize`: the engine's options on tensors."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from halfpixel import _sizes
from halfpixel._request import Options, resolve
from halfpixel.errors import HalfpixelError, HalfpixelTypeError, HalfpixelValueError

from . import _boxes, _how, _ops

Sizes = tuple[int, ...]


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
        x: a tensor of any device, dtype, shape and memory format.
        size, scale, axes, filter, grid, edge, antialias, rounding, fill, like: as in `halfpixel.resize`; filters by
            name.
        box: as there; or a tensor (N, d, 2) of a box for each of the N samples along the first axis, whose values are
            read: gradients go to x alone, compiled and exported functions take numbers only.
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
        if isinstance(box, Tensor):
            return _boxes.resize_each(x, options, resize)
        return _ops.resize(x, *asked(x, options))
    except HalfpixelError as error:
        raise error.in_call(options.described("resize", x)) from None


def asked(x: Tensor, options: Options) -> tuple[str, Sizes, Sizes]:
    """The options as a string, and the lengths of the resampled axes before and after.

    Raises: ValueError and TypeError that do not name the call.
    """
    return _traced(x, options) if torch.compiler.is_compiling() else _resolved(x, options)


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
