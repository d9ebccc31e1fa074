# SPDX-License-Identifier: MIT
"""A box for every sample: one plan each, the results one after the other. Caches of plans are bounded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from halfpixel import _sizes
from halfpixel._request import Options
from halfpixel.errors import HalfpixelTypeError, HalfpixelValueError

_WORKS = "box= a tensor (N, d, 2): for each of the N samples along the first axis one (start, stop) per axis"


def resize_each(x: Tensor, options: Options, resize: Callable[..., Tensor]) -> Tensor:
    """`resize` of each sample of x along the first axis with its own box.

    Raises: ValueError and TypeError for boxes of another shape, that ask for a gradient, or whose values are not there.
    """
    box: Tensor = options.box
    _check(x, box, options)
    told = options._asdict()
    size = told.pop("size")
    del told["spacing"], told["new_spacing"], told["box"]
    if not len(x):
        return resize(x, size, **told)
    boxes = box.detach().tolist()
    return torch.cat([resize(x[i : i + 1], size, box=pairs, **told) for i, pairs in enumerate(boxes)])


def _check(x: Tensor, box: Tensor, options: Options) -> None:
    if torch.compiler.is_compiling() or box.is_meta:
        _refuse_symbols()
    if box.dtype.is_complex or box.dtype == torch.bool:
        raise HalfpixelTypeError(f"box has dtype {box.dtype}", "pixel edges as real numbers")
    if box.requires_grad and torch.is_grad_enabled():
        raise HalfpixelValueError(
            "box requires a gradient; a resize is differentiable in x, not in its box", "box.detach()"
        )
    if options.size is None:
        works = "size=, or size_like="
        raise HalfpixelValueError(
            "scale= gives every box a size of its own, and results of one size are stacked", works
        )
    count = len(options.size) if isinstance(options.size, (list, tuple)) else None
    axes, _, _ = _sizes.sorted_axes(options.axes, count, x.dim())
    if -x.dim() in axes:
        raise HalfpixelValueError(
            "the first axis holds the samples of box, and is resampled itself", "other axes, or one box"
        )
    if tuple(box.shape) != (len(x), len(axes), 2):
        why = f"box has shape {tuple(box.shape)} for {len(x)} samples and {len(axes)} axes"
        raise HalfpixelValueError(why, _WORKS)


@torch.compiler.assume_constant_result  # which a compiler runs rather than traces, so that the error is this one
def _refuse_symbols() -> None:
    works = "numbers as box=, or the call outside of the compiled or exported function"
    raise HalfpixelValueError("the values of box decide the weights, and here they are not known", works)
