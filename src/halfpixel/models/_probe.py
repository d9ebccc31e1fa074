# SPDX-License-Identifier: MIT
"""The reach of modules that do not tell it: pixels are changed, and the results that change are looked at."""

from __future__ import annotations

import copy
import math
import weakref
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelTypeError, HalfpixelValueError, describe_call
from halfpixel.upsamplers import Upsampler

from ._base import check_count
from ._reach import Reach

# Offsets without a bound; and a method that another map size makes another one.
_UNBOUNDED = ("dysample", "adaptive")
_FAR = (4, 12)  # input pixels to either side within which an upsampler is looked at
# Weights do not move it, so that an upsampler is probed once.
_HALOS: weakref.WeakKeyDictionary[Any, int | None] = weakref.WeakKeyDictionary()
_STRIDES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_CHANGE = 10.0


def reach_of(module: Any, in_channels: int | None = None, limit: int = 192) -> Reach | None:
    """How far a network's results depend on its input.

    **Convention:** networks of this package, and whatever has an attribute `reach`, tell it from their layers.
    Others are probed: a copy on the CPU, in float64 and eval mode, gets random images of 48, 96, ... pixels. `stride`
    is the least shift (of 1, 2, 3, 4, 6, 8, 12, 16, 24, 32) that shifts results and how far rows reach; then a block
    of pixels is changed, to NaN and to large numbers, and `halo` is how far results change; at last a crop has to
    equal the whole. It is no proof: paths that these images do not take are not seen, and a weight of 0 counts as one.
    Arguments: module: takes (N, C, H, W) and returns (N, C', H * s, W * s) for a whole s. in_channels: C; None: its
        attribute, or what its first layer takes, before pixel unshuffles. limit: the largest image to try, in pixels.
    Returns: a `Reach`; None where results depend on the whole image, as with instance norm and global attention, where
        no bound is known, as with offsets that are learned, or where no whole s is found.
    Raises: TypeError for what is no module. ValueError where in_channels is unknown.
    Source: the limit of exactness of tiles; Araujo et al., Computing receptive fields of convolutional networks (2019).
    Example:
        >>> import torch
        >>> reach_of(torch.nn.Sequential(torch.nn.Conv2d(1, 4, 5, padding=2), torch.nn.PixelShuffle(2)))
        Reach(halo=2, stride=1)
    """
    if not isinstance(module, torch.nn.Module):
        raise HalfpixelTypeError(
            f"module is a {type(module).__name__}", "a torch.nn.Module", describe_call("reach_of", module)
        )
    known = getattr(module, "reach", False)
    if known is None or isinstance(known, Reach):
        return known
    if isinstance(module, Upsampler):
        halo = upsampler_halo(module)
        return None if halo is None else Reach(halo, 1)
    if any(not _is_bounded(m) for m in module.modules()):
        return None
    channels = channels_of(module) if in_channels is None else in_channels
    if channels is None:
        raise HalfpixelValueError(
            "the module does not tell its input's channels", "in_channels=", describe_call("reach_of", module)
        )
    check_count("in_channels", channels)
    copied = _copied(module)
    size = 48
    while size <= limit:
        found = _probed(copied, channels, size)
        if found is not None:
            return found
        size *= 2
    return None


def upsampler_halo(module: Any) -> int | None:
    """The input pixels to either side of its own that a block of an upsampler's pixels depends on; None: no bound.

    **Convention:** of whole scales and without guide; by probing a copy with other weights, as those that a module
    starts with are often zeros.
    """
    if module not in _HALOS:
        _HALOS[module] = _upsampler_halo(module)
    return _HALOS[module]


def _upsampler_halo(module: Any) -> int | None:
    scale = module.scale[0]
    if module.guide_channels is not None or module.dims != 2 or set(module.scale) != {int(scale)}:
        return None
    if any(not _is_bounded(m) for m in module.modules()):
        return None
    copied = _copied(module)
    gen = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in copied.parameters():
            p.add_(torch.rand(p.shape, generator=gen, dtype=p.dtype) * 0.2 - 0.1)
    found = (_changed(copied, module.in_channels, 2 * far + 1, far, 1, int(scale)) for far in _FAR)
    return next((halo for halo in found if halo is not None), None)


def _probed(module: Any, channels: int, size: int) -> Reach | None:
    gen = torch.Generator().manual_seed(2)
    x = torch.rand(1, channels, size, size, generator=gen, dtype=torch.float64)
    y = _called(module, x)
    if y is None or y.shape[2] % size or y.shape[2:] != (y.shape[2],) * 2 or not y.shape[2]:
        return None
    scale = y.shape[2] // size
    places = _Places(module, channels, size)
    stride = next((t for t in _STRIDES if _shifts(module, x, y, t, scale) and places.repeat(t, scale)), None)
    if stride is None:
        return None
    halo = _changed(module, channels, size, size // 2 // stride * stride, stride, scale)
    if halo is None or not _crops(module, x, y, Reach(halo, stride), scale):
        return None
    return Reach(halo, stride)


def _changed(module: Any, channels: int, size: int, at: int, stride: int, scale: int) -> int | None:
    """How far results change where the block of `stride` pixels from `at` on changes; None: up to the border."""
    halo = 0
    for seed in (3, 4, 5):
        gen = torch.Generator().manual_seed(seed)
        x = torch.rand(1, channels, size, size, generator=gen, dtype=torch.float64)
        block = (..., slice(at, at + stride), slice(at, at + stride))
        other = x.clone()
        # NaN goes on however small the weights are, and numbers where NaN is not passed on.
        other[block] = math.nan if seed == 3 else torch.randn(x[block].shape, generator=gen, dtype=x.dtype) * _CHANGE
        before, after = _called(module, x), _called(module, other)
        if before is None or after is None:
            return None
        places = (before != after).flatten(0, 1).any(0).nonzero()
        if not len(places):
            continue
        first, last = int(places.min()), int(places.max())
        if first == 0 or last == before.shape[2] - 1:
            return None
        step = scale * stride
        halo = max(halo, at - first // step * stride, last // step * stride - at)
    return halo


class _Places:
    """The rows of results that rows of the input reach, as NaN shows, also on ways that numbers do not take."""

    def __init__(self, module: Any, channels: int, size: int) -> None:
        self.module, self.size = module, size
        self.found: dict[int, tuple[int, int] | None] = {}
        gen = torch.Generator().manual_seed(6)
        self.x = torch.rand(1, channels, size, size, generator=gen, dtype=torch.float64)

    def repeat(self, by: int, scale: int) -> bool:
        """Whether rows `by` further on reach as far, for 16 rows in the middle."""
        if 2 * by > self.size // 2:
            return False
        for row in range(self.size // 2 - 8, self.size // 2 + 8):
            here, there = self.of_row(row - by // 2), self.of_row(row - by // 2 + by)
            if here is None or there is None or any(b - a != by * scale for a, b in zip(here, there, strict=True)):
                return False
        return True

    def of_row(self, row: int) -> tuple[int, int] | None:
        """From the first to the last; None where they reach a border."""
        if row not in self.found:
            changed = self.x.clone()
            changed[:, :, row] = math.nan
            y = _called(self.module, changed)
            rows = [] if y is None else y.isnan().any(3).flatten(0, 1).any(0).nonzero().flatten().tolist()
            inside = y is not None and rows and rows[0] > 0 and rows[-1] < y.shape[2] - 1
            self.found[row] = (rows[0], rows[-1]) if inside else None
        return self.found[row]


def _shifts(module: Any, x: Tensor, y: Tensor, by: int, scale: int) -> bool:
    """Whether the middle of the result shifts as the input does."""
    size = x.shape[2]
    shifted = _called(module, x[..., by:, by:]) if by <= size // 4 else None
    if shifted is None or shifted.shape[2] != y.shape[2] - by * scale:
        return False
    middle = slice(size // 2 * scale - scale, size // 2 * scale + scale * by)
    moved = slice(middle.start - by * scale, middle.stop - by * scale)
    return _same(y[..., middle, middle], shifted[..., moved, moved])


def _crops(module: Any, x: Tensor, y: Tensor, reach: Reach, scale: int) -> bool:
    """Whether a crop's middle equals the whole's."""
    size, halo, stride = x.shape[2], reach.halo, reach.stride
    start = size // 2 // stride * stride
    if start - halo < 0 or start + stride + halo > size:
        return False
    crop = slice(start - halo, start + stride + halo)
    part = _called(module, x[..., crop, crop])
    inner, outer = slice(halo * scale, (halo + stride) * scale), slice(start * scale, (start + stride) * scale)
    return part is not None and _same(part[..., inner, inner], y[..., outer, outer])


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-9, atol=1e-9)


def _called(module: Any, x: Tensor) -> Tensor | None:
    """The result; None where the module cannot take this size, or returns no image."""
    with torch.no_grad():
        try:
            y = module(x)
        except (RuntimeError, ValueError, IndexError):
            return None
    return y if isinstance(y, Tensor) and y.dim() == 4 else None


def _copied(module: Any) -> Any:
    return copy.deepcopy(module).to(device="cpu", dtype=torch.float64).eval()


def _is_bounded(module: Any) -> bool:
    if isinstance(module, Upsampler) and module.entry.name in _UNBOUNDED:
        return False
    return getattr(module, "padding_mode", "") != "circular" and getattr(module, "edge", "") != "wrap"


def channels_of(module: Any) -> int | None:
    """The channels of a network's input: its attribute, or what its first convolution takes, which pixel unshuffles
    before it made of fewer; None where that is no whole number, or nothing tells.
    """
    if isinstance(getattr(module, "in_channels", None), int):
        return int(module.in_channels)
    folded = 1
    for layer in module.modules():
        if isinstance(layer, torch.nn.PixelUnshuffle):
            factor = layer.downscale_factor  # of height and width, or of each axis
            folded *= math.prod(factor) if isinstance(factor, (tuple, list)) else factor**2
        elif isinstance(getattr(layer, "in_channels", None), int):
            return layer.in_channels // folded if layer.in_channels % folded == 0 else None
    return None
