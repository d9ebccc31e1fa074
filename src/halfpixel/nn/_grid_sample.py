# SPDX-License-Identifier: MIT
"""`grid_sample`, with torch's signature and results."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import (
    HalfpixelError,
    HalfpixelNotImplementedError,
    HalfpixelShapeError,
    HalfpixelTypeError,
    describe_call,
    unknown_name,
)

from ._linear import unwatched
from ._sample import MODES, PADDINGS, How, Ready, sampled
from ._sample_definition import by_torch
from ._tensors import Lately

HALVES = (torch.float16, torch.bfloat16)


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """`torch.nn.functional.grid_sample`: the input at positions that are data.

    **Convention:** input (N, C, H, W) with grid (N, H_out, W_out, 2), or (N, C, D, H, W) with
    (N, D_out, H_out, W_out, 3); coordinates x first, -1 and 1 being the image's edges, or with align_corners the
    centres of its outer pixels. Coordinates and sums are float32 at least, and halves are rounded once. Results are
    torch's to rounding; gradients too, and they are sums in an order of their own: the same on any number of threads.
    Channels-last inputs give channels-last results (torch's are contiguous).
    Arguments:
        mode: "bilinear" (volumes: trilinear), "nearest" (ties to even; no gradient of the grid), "bicubic" (a = -0.75;
            images only).
        padding_mode: what lies outside: "zeros", "border" or "reflection".
        align_corners: None is False, without torch's warning.
    Returns: a new tensor (N, C, *out) of input's dtype. Of a coordinate that is NaN or infinite torch's result, and its
        gradients but for those with which torch reads outside of its memory.
    Raises: ValueError for unknown names; ValueError that is a RuntimeError, as torch's, where shapes or dtypes do not
        fit (halves also take a float32 grid); NotImplementedError for dtypes without fractions; TypeError.
    Source: torch 2.13; Jaderberg et al., Spatial Transformer Networks (2015).
    Example:
        >>> import torch
        >>> grid = torch.nn.functional.affine_grid(torch.eye(2, 3)[None], (1, 3, 8, 8), align_corners=False)
        >>> grid_sample(torch.zeros(1, 3, 4, 4), grid).shape
        torch.Size([1, 3, 8, 8])
    """
    key = None
    if type(input) is Tensor and type(grid) is Tensor and unwatched(input, grid):
        key = (
            input.shape, grid.shape, input.dtype, grid.dtype, input.stride(), grid.stride(), mode, padding_mode,
            align_corners, type(align_corners),
        )  # fmt: skip
        try:
            ready = _ready.get(key)
        except TypeError:  # unhashable: the long way has the error
            key = ready = None
        if ready is not None and not (input.is_neg() or grid.is_neg() or _casts(input)):
            return ready(input, grid)
    try:
        how = _how(mode, padding_mode, align_corners)
        _check(input, grid, how)
    except HalfpixelError as error:
        raise error.in_call(
            describe_call("grid_sample", input, grid, mode=mode, padding_mode=padding_mode, align_corners=align_corners)
        ) from None
    if input.dtype in HALVES and _casts(input):
        input = input.float()  # as torch does
    if input.dtype == torch.float32 and grid.dtype in HALVES:
        grid = grid.float()
    if torch.compiler.is_exporting():
        return by_torch(input, grid, how)
    if key is not None and key[2:4] == (input.dtype, grid.dtype) and Ready.serves(input, grid, how):
        _ready.put(key, Ready(input, grid, how))
    return sampled(input, grid, how)


_ready: Lately[Ready] = Lately()


def _how(mode: Any, padding_mode: Any, align_corners: Any) -> How:
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
    if padding_mode not in PADDINGS:
        raise unknown_name("padding_mode", padding_mode, PADDINGS)
    if align_corners is not None and not isinstance(align_corners, bool):
        raise HalfpixelTypeError(f"align_corners is {align_corners!r}", "True, False or None")
    return How(MODES[mode], PADDINGS[padding_mode], int(bool(align_corners)))


def check_tensors(**tensors: Any) -> None:
    """Raises: TypeError for what is no tensor, RuntimeError for tensors of several devices, NotImplementedError for
    dtypes without fractions.
    """
    for name, t in tensors.items():
        if not isinstance(t, Tensor):
            raise HalfpixelTypeError(f"{name} is of {type(t).__name__}", "a tensor")
        if not t.is_floating_point():
            raise HalfpixelNotImplementedError(f"{name} is {t.dtype}", f"{name}.float()")
    if len({t.device for t in tensors.values()}) > 1:
        where = ", ".join(f"{name} on {t.device}" for name, t in tensors.items())
        raise HalfpixelShapeError(where, "tensors of one device")


def _casts(x: Tensor) -> bool:
    """Automatic casting is on for x's device."""
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _check(x: Any, grid: Any, how: How) -> None:
    check_tensors(input=x, grid=grid)
    dims = x.dim() - 2
    if dims not in (2, 3):
        raise HalfpixelShapeError(f"the input has {x.dim()} dimensions", "(N, C, H, W) or (N, C, D, H, W)")
    wanted = f"({x.shape[0]}, {'H_out, W_out' if dims == 2 else 'D_out, H_out, W_out'}, {dims})"
    if grid.dim() != x.dim() or grid.shape[-1] != dims:
        raise HalfpixelShapeError(f"the grid of a {x.dim()}-D input has the shape {tuple(grid.shape)}", wanted)
    if grid.shape[0] != x.shape[0]:
        raise HalfpixelShapeError(f"the input's batch is {x.shape[0]}, the grid's {grid.shape[0]}", wanted)
    if 0 in tuple(x.shape[2:]):
        raise HalfpixelShapeError(f"the input's shape is {tuple(x.shape)}", "spatial axes of at least 1")
    if how.mode == MODES["bicubic"] and dims == 3:
        raise HalfpixelShapeError("volumes are not sampled by cubics", "mode='bilinear', or images")
    cast = _casts(x)
    single = grid.dtype == torch.float32 and x.dtype in HALVES
    if x.dtype != grid.dtype and not single and not (cast and torch.float64 not in (x.dtype, grid.dtype)):
        raise HalfpixelShapeError(f"the input is {x.dtype}, the grid {grid.dtype}", f"grid.to({x.dtype})")
