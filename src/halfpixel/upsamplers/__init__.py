# SPDX-License-Identifier: MIT
"""Upsamplers and downsamplers for networks: fixed, learned and content-aware ones, by name, behind one interface.

Example:
    >>> import torch
    >>> up = create_upsampler("pixel_shuffle", 8, 4, scale=2)
    >>> up(torch.zeros(1, 8, 5, 6)).shape
    torch.Size([1, 4, 10, 12])
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from ._base import Downsampler, Upsampler
from ._lazy import LazyUpsampler
from ._registry import TABLES, Entry, Shape, create, register
from ._swap import swap_upsamplers
from ._swap_report import UpsamplerSwap, UpsamplerSwaps


def create_upsampler(
    name: str, in_channels: int, out_channels: int | None = None, scale: Any = 2, guide_channels: int | None = None,
    dims: int = 2, **options: Any,
) -> Any:  # fmt: skip
    """A module that makes feature maps bigger: `module(x, size=None, guide=None)`.

    **Convention:** x (N, in_channels, *spatial), the result (N, out_channels, *size); see `Upsampler` for sizes. All
    coordinates are half-pixel ones: the middle of the input stays the middle.
    Arguments:
        name: of `list_upsamplers()`. in_channels, out_channels: None: as many, but for methods that rearrange.
        scale: a number, or one per spatial axis. guide_channels: of the tensor that calls give as `guide`.
        dims: spatial axes, 1 to 3 where the method has them. options: the method's own.
    Returns: a `torch.nn.Module`.
    Raises: ValueError and TypeError that name the call, the reason, and what would work.
    Example:
        >>> import torch
        >>> create_upsampler("linear", 8, scale=1.5)(torch.zeros(1, 8, 4, 6)).shape
        torch.Size([1, 8, 6, 9])
    """
    return create("upsampler", name, in_channels, out_channels, scale, guide_channels, dims, options)


def create_downsampler(
    name: str, in_channels: int, out_channels: int | None = None, scale: Any = 2, guide_channels: int | None = None,
    dims: int = 2, **options: Any,
) -> Any:  # fmt: skip
    """A module that makes feature maps smaller: `module(x, size=None, guide=None)`.

    **Convention:** x (N, in_channels, *spatial), the result (N, out_channels, *ceil(spatial / scale)).
    Arguments: as `create_upsampler`; name of `list_downsamplers()`.
    Returns: a `torch.nn.Module`.
    Raises: ValueError and TypeError that name the call, the reason, and what would work.
    Example:
        >>> import torch
        >>> create_downsampler("blur_pool", 8)(torch.zeros(1, 8, 5, 6)).shape
        torch.Size([1, 8, 3, 3])
    """
    return create("downsampler", name, in_channels, out_channels, scale, guide_channels, dims, options)


def list_upsamplers() -> tuple[Entry, ...]:
    """Every upsampler by name: what it needs, promises and costs.

    Example:
        >>> [entry.name for entry in list_upsamplers() if entry.convex and not entry.guide][:2]
        ['dysample', 'fir']
    """
    return tuple(entry for _, entry in sorted(TABLES["upsampler"].items()))


def list_downsamplers() -> tuple[Entry, ...]:
    """Every downsampler by name: what it needs, promises and costs.

    Example:
        >>> "max_pool" in [entry.name for entry in list_downsamplers()]
        True
    """
    return tuple(entry for _, entry in sorted(TABLES["downsampler"].items()))


# Every file of this package registers what it holds: a new method is one file.
for _found in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_found.name}")

__all__ = [
    "Downsampler", "Entry", "LazyUpsampler", "Shape", "Upsampler", "UpsamplerSwap", "UpsamplerSwaps",
    "create_downsampler", "create_upsampler", "list_downsamplers", "list_upsamplers", "register", "swap_upsamplers",
]  # fmt: skip
