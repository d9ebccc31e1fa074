# SPDX-License-Identifier: MIT
"""How large a tile may be: what a network holds for each pixel of its input, measured, against what there is."""

from __future__ import annotations

import math
import os
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from halfpixel.errors import HalfpixelValueError

from ._windows import Size, up_to

BASE = 192
"""Pixels of a tile's side on the CPU, memory allowing: what lies between two layers stays in the caches, which makes
small networks two to three times as fast as on whole images."""
BASE_ELSEWHERE = 1024
SHARE = 24
"""A tile's side is this many halos at least, memory allowing: no more than 17% is computed twice."""
STRIP = 1 << 19
"""Input pixels that a strip of tiles across the picture has at most: tiles of wide pictures are lower and wider, so
that what is held beside a tile does not grow with the picture ..."""
LEAST = 12
"""... but no lower than this many halos."""
_PROBE = 24
_MOST = 1 << 30  # bytes for one tile on the CPU unless a limit is given
_SCRATCH = 2.0  # convolutions keep copies of what they read and write in an order of their own


@dataclass(frozen=True)
class Facts:
    """What one run tells of a network: output pixels per input pixel and axis, channels, bytes per input pixel."""

    scale: int
    channels_out: int
    pixel_bytes: float
    multiple: int


def home(model: Any, other: torch.dtype = torch.float32) -> tuple[torch.device, torch.dtype]:
    """Where a network lives and in which type it computes; ``other`` where it has nothing that tells."""
    for value in (*model.parameters(), *model.buffers()):
        if value.is_floating_point():
            return value.device, value.dtype
    return torch.device("cpu"), other


_known: weakref.WeakKeyDictionary[Any, dict[Any, Facts]] = weakref.WeakKeyDictionary()


def facts(model: Any, channels: int, stride: int | None) -> Facts:
    """Run a network on a small picture and look.

    stride: sizes must be multiples of it; None: unknown, and found out.
    Raises: ValueError where the network's output is not its input's size times a whole number.
    """
    device, dtype = home(model)
    key = (channels, stride, device, dtype)
    found = _known.setdefault(model, {})
    if key not in found:
        found[key] = _probed(model, channels, stride, device, dtype)
    return found[key]


def _probed(model: Any, channels: int, stride: int | None, device: torch.device, dtype: torch.dtype) -> Facts:
    side = 64 if stride is None else up_to(_PROBE, stride)
    try:
        y, held = _observed(model, torch.zeros(1, channels, side, side, device=device, dtype=dtype))
    except (RuntimeError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise HalfpixelValueError(
            f"the network fails on {side} x {side} pixels with {channels} channels: {reason}",
            "a module from (N, C, H, W) to (N, C, H * scale, W * scale)",
        ) from error
    scale = _scale(y, (side, side), getattr(model, "scale", None))
    multiple = stride or next(
        one for one in (1, 2, 4, 8, 16, 32, 64) if one == 64 or takes(model, channels, (64 + one, 64 + one), scale)
    )
    return Facts(scale, y.shape[1], held / side**2, multiple)


def takes(model: Any, channels: int, size: Size, scale: int) -> bool:
    """Whether a network enlarges pictures of that size by its scale."""
    device, dtype = home(model)
    try:
        with torch.inference_mode():
            y = model(torch.zeros(1, channels, *size, device=device, dtype=dtype))
    except (RuntimeError, ValueError):
        return False
    return tuple(y.shape[2:]) == (size[0] * scale, size[1] * scale)


def _scale(y: Any, size: Size, said: Any) -> int:
    if not isinstance(y, Tensor) or y.dim() != 4:
        raise HalfpixelValueError(
            "the network does not return a picture", "a module from (N, C, H, W) to (N, C, H * scale, W * scale)"
        )
    ratios = {out / n for out, n in zip(y.shape[2:], size, strict=True)}
    ratio = next(iter(ratios))
    if len(ratios) > 1 or ratio < 1 or not float(ratio).is_integer():
        made = f"it makes {y.shape[3]} x {y.shape[2]} of {size[1]} x {size[0]} pixels"
        raise HalfpixelValueError(
            f"the network's scale is unknown: {made}", "a network whose output is a whole multiple of its input"
        )
    if said is not None and said != ratio:
        raise HalfpixelValueError(f"the network says that its scale is {said}, and it enlarges {ratio:g} times")
    return int(ratio)


def _observed(model: Any, x: Tensor) -> tuple[Any, float]:
    """A network's output, and the most bytes that it held at one time."""
    if x.device.type == "cuda":
        torch.cuda.synchronize(x.device)
        before = torch.cuda.memory_allocated(x.device)
        torch.cuda.reset_peak_memory_stats(x.device)
        with torch.inference_mode():
            y = model(x)
        return y, (torch.cuda.max_memory_allocated(x.device) - before) * 1.25
    with torch.inference_mode(), _Watch() as watch:
        y = model(x)
    return y, (watch.peak + x.numel() * x.element_size()) * _SCRATCH


class _Watch(TorchDispatchMode):
    """Counts the bytes of tensors that live at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for y in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(y, Tensor):
                self._count(y.untyped_storage())
        return result

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._seen:
            self._seen.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.live -= size


def allowed(device: torch.device, memory: int | None) -> int:
    """Bytes that one tile may take: what was said, else of what is free now."""
    if memory is not None:
        return memory
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * 0.7)
    return min(_MOST, _available() // 2)


def _available() -> int:
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    return 2 * _MOST


def fitting(size: Size, halo: int, stride: int, pixel_bytes: float, memory: int, base: int) -> Size:
    """The tile for pictures of ``size``: near square, of ``stride``'s multiples, halo and all within ``memory``."""
    window = math.isqrt(max(0, int(memory / max(pixel_bytes, 1e-9))))
    side = min(max(base, SHARE * halo), window - 2 * up_to(halo, stride))
    side = max(stride, side // stride * stride)
    height, width = (min(side, up_to(n, stride)) for n in size)
    return height, width


def lowered(tile: Size, size: Size, halo: int, stride: int) -> Size:
    """A tile as one of as many pixels, halo and all, whose strip across pictures of ``size`` has `STRIP` at most."""
    height, width = tile
    margin = 2 * up_to(halo, stride)
    low = min(height, max(STRIP // max(size[1], 1), LEAST * halo, stride) // stride * stride)
    wide = max(width, ((height + margin) * (width + margin) // (low + margin) - margin) // stride * stride)
    return low, min(wide, up_to(size[1], stride))
