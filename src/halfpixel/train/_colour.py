# SPDX-License-Identifier: MIT
"""Pictures of bytes as what networks take: planar floats, and luma alone for networks of one channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from halfpixel._bt601 import BLACK, STUDIO
from halfpixel.errors import HalfpixelValueError

_LUMA, _BLACK = tuple(weight / 255 for weight in STUDIO), BLACK / 255


def luma(x: Any) -> Any:
    """BT.601 Y of planar RGB in 0 ... 1: (N, 3, H, W) to (N, 1, H, W), black 16 / 255 and white 235 / 255.

    Source: ITU-R BT.601; MATLAB's rgb2ycbcr, without its rounding.
    Example:
        >>> (luma(torch.ones(1, 3, 1, 1)) * 255).round().item()
        235.0
    """
    return torch.einsum("nchw,c->nhw", x, x.new_tensor(_LUMA))[:, None] + _BLACK


def planar(pixels: Any, channels: int = 3) -> Any:
    """uint8 (N, H, W, 3) as float32 (N, channels, H, W) in 0 ... 1; one channel is luma.

    Raises: ValueError for other numbers of channels.
    """
    if channels not in (1, 3):
        raise HalfpixelValueError(f"the network takes {channels} channels", "1, which is luma, or 3, which is RGB")
    x = pixels.permute(0, 3, 1, 2).float().div_(255)
    return luma(x) if channels == 1 else x.contiguous()


def to_bytes(x: Any) -> npt.NDArray[np.uint8]:
    """The first of (N, 1 or 3, H, W) in 0 ... 1 as RGB bytes (H, W, 3), clipped and rounded."""
    levels = (x[0].detach().float() * 255).round().clamp(0, 255).to(torch.uint8).cpu()
    return np.ascontiguousarray(levels.expand(3, -1, -1).permute(1, 2, 0).numpy())


def middle(pixels: Any, side: int) -> Any:
    """The middle `side` x `side` of (N, H, W, ...), or all of it along an axis that is shorter."""
    height, width = pixels.shape[1:3]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return pixels[:, top : top + side, left : left + side]
