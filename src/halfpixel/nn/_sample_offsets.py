# SPDX-License-Identifier: MIT
"""`sample_offsets`: upsampling by samples beside the half-pixel grid's, as DySample takes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelError, HalfpixelShapeError, HalfpixelTypeError, describe_call

from ._grid_sample import check_tensors
from ._linear import unwatched
from ._sample import MODES, PADDINGS, How, Ready, sampled
from ._sample_definition import by_torch
from ._tensors import Lately, written


def sample_offsets(input: Tensor, offsets: Tensor, scale: int = 2, groups: int = 1) -> Tensor:
    """Bilinear upsampling whose samples are moved: the sampling of DySample, without a grid in memory.

    **Convention:** input (N, C, H, W), output (N, C, scale * H, scale * W). Output pixel (y, x) of a group is the input
    at ((y + 1/2) / scale - 1/2 + oy, (x + 1/2) / scale - 1/2 + ox), linearly, positions outside moved to the border.
    Offsets of 0 are bilinear upsampling (half-pixel, align_corners=False). Positions are float32 at least and counted
    from the pixel, so that they are as exact at the end of a wide image, and in bfloat16, as at its beginning. The
    gradients are deterministic. Channels-last inputs give channels-last results.
    Arguments:
        offsets: in input pixels, x before y: (N, 2 * groups * scale**2, H, W), channels ordered (2, groups, scale,
            scale) with the row in a block before the column, as DySample's convolution makes them, its initial
            positions not yet added; or (N, 2 * groups, scale * H, scale * W).
        scale: a whole number.
        groups: of neighbouring channels, each with its own offsets.
    Returns: a new tensor of input's dtype.
    Raises: ValueError that is a RuntimeError where shapes do not fit; NotImplementedError for dtypes without fractions;
        TypeError.
    Source: Liu et al., Learning to Upsample by Learning to Sample (2023).
    Example:
        >>> import torch
        >>> x = torch.rand(1, 8, 4, 6)
        >>> y = sample_offsets(x, torch.zeros(1, 2 * 4 * 4, 4, 6), scale=2, groups=4)
        >>> torch.allclose(y, torch.nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear"), atol=1e-6)
        True
    """
    key = None
    if type(input) is Tensor and type(offsets) is Tensor and unwatched(input, offsets):
        key = (
            input.shape, offsets.shape, input.dtype, offsets.dtype, input.stride(), offsets.stride(), written(scale),
            written(groups),
        )  # fmt: skip
        try:
            ready = _ready.get(key)
        except TypeError:  # unhashable: the long way has the error
            key = ready = None
        if ready is not None and not (input.is_neg() or offsets.is_neg()):
            return ready(input, offsets)
    try:
        how = _checked(input, offsets, scale, groups)
    except HalfpixelError as error:
        raise error.in_call(describe_call("sample_offsets", input, offsets, scale=scale, groups=groups)) from None
    if (input.dtype == torch.float64) != (offsets.dtype == torch.float64):
        offsets = offsets.double() if input.dtype == torch.float64 else offsets.float()
    if torch.compiler.is_exporting():
        return by_torch(input, offsets, how)
    if key is not None and key[2:4] == (input.dtype, offsets.dtype) and Ready.serves(input, offsets, how):
        _ready.put(key, Ready(input, offsets, how))
    return sampled(input, offsets, how)


_ready: Lately[Ready] = Lately()


def _checked(x: Any, offsets: Any, scale: Any, groups: Any) -> How:
    check_tensors(input=x, offsets=offsets)
    for name, n in (("scale", scale), ("groups", groups)):
        if isinstance(n, bool) or not isinstance(n, int):
            raise HalfpixelTypeError(f"{name} is {n!r}", "a whole number")
        if n < 1:
            raise HalfpixelShapeError(f"{name} is {n}", "1 or more")
    if x.dim() != 4 or x.shape[2] < 1 or x.shape[3] < 1:
        raise HalfpixelShapeError(f"the input's shape is {tuple(x.shape)}", "(N, C, H, W), H and W at least 1")
    n, channels, height, width = x.shape
    if channels % groups:
        raise HalfpixelShapeError(f"{channels} channels in {groups} groups", "a divisor of the channels")
    low, fine = (n, 2 * groups * scale**2, height, width), (n, 2 * groups, scale * height, scale * width)
    if tuple(offsets.shape) not in (low, fine):
        raise HalfpixelShapeError(f"the offsets' shape is {tuple(offsets.shape)}", f"{low} or {fine}")
    return How(MODES["bilinear"], PADDINGS["border"], 0, scale, groups, int(tuple(offsets.shape) != low))
