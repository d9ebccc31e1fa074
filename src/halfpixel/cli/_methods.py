# SPDX-License-Identifier: MIT
"""Every method tried on one picture: shrunk first, enlarged back, measured against what it was."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

import halfpixel
from halfpixel import filters, metrics
from halfpixel.cli import _networks, _tables
from halfpixel.io._picture import full_scale

Enlarge = Callable[[npt.NDArray], npt.NDArray]

SHRINK = "cubic"
_PRESETS = ("torch.bicubic", "torch.bilinear", "pillow.lanczos", "pillow.bicubic", "opencv.cubic", "opencv.lanczos4")
_SMALLEST = 16  # pixels a side: what structural similarity needs, with some room
_SECONDS = 0.1  # of timing per method, at most and beyond one run


@dataclass(frozen=True)
class Result:
    """What one method made: ``psnr`` in dB, infinite where nothing differs; ``milliseconds``, the median of several."""

    name: str
    pixels: npt.NDArray
    psnr: float
    ssim: float
    milliseconds: float

    def to_dict(self) -> dict[str, Any]:
        """The measures as plain values."""
        return {
            "event": "method",
            "name": self.name,
            "psnr": round(self.psnr, 4) if np.isfinite(self.psnr) else None,
            "ssim": round(self.ssim, 6),
            "milliseconds": round(self.milliseconds, 3),
        }


def methods(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Arguments of `halfpixel.plan` by name: the names asked for, or every filter and a few presets.

    Raises: ValueError for a name that neither table has.
    """
    for name in names:
        _tables.preset(name) if _tables.is_preset(name) else filters.get(name)
    chosen = names or [*filters.TABLE, *_PRESETS]
    return {name: {"like": name} if _tables.is_preset(name) else {"filter": name} for name in chosen}


def shrunk(original: npt.NDArray, scale: Fraction) -> npt.NDArray:
    """The picture made smaller by ``scale``, antialiased. Raises: ValueError where too little would be left."""
    size = tuple(max(1, round(n / scale)) for n in original.shape[:2])
    if min(original.shape[:2]) < _SMALLEST or min(size) < 2 or scale <= 1:
        raise halfpixel.errors.HalfpixelValueError(
            f"{original.shape[1]} x {original.shape[0]} pixels shrunk by {scale} leave nothing to compare",
            f"a scale above 1, a picture of {_SMALLEST} pixels a side or more, and 2 that are left",
        )
    return halfpixel.resize_image(original, size, filter=SHRINK)


def tried(original: npt.NDArray, small: npt.NDArray, chosen: Mapping[str, Any]) -> Iterator[Result]:
    """The results, method by method: arguments of `halfpixel.plan`, or a network."""
    axes = (-2, -1) if original.ndim == 2 else (-3, -2)
    for name, how in chosen.items():
        if isinstance(how, dict):
            enlarge: Enlarge = halfpixel.plan(small.shape, original.shape[:2], axes=axes, **how)
        else:
            enlarge = _networks.enlarging(how, small, original.shape[:2], SHRINK)
        pixels, milliseconds = _timed(enlarge, small)
        yield Result(name, pixels, *_measured(original, pixels), milliseconds)


def _timed(enlarge: Enlarge, small: npt.NDArray) -> tuple[npt.NDArray, float]:
    pixels, begun = enlarge(small), time.perf_counter()
    taken: list[float] = []
    while len(taken) < (3 if time.perf_counter() - begun < 1 else 1) or (
        len(taken) < 15 and time.perf_counter() - begun < _SECONDS
    ):
        start = time.perf_counter()
        enlarge(small)
        taken.append(1000 * (time.perf_counter() - start))
    return pixels, statistics.median(taken)


def _measured(original: npt.NDArray, pixels: npt.NDArray) -> tuple[float, float]:
    scores = metrics.measure(pixels, original, data_range=full_scale(original.dtype))
    return scores.psnr, scores.ssim


def most_detailed(original: npt.NDArray, smooth: npt.NDArray, height: int, width: int) -> tuple[slice, slice]:
    """The window of that size in which most was lost by shrinking, its middle above all: where methods can differ."""
    lost = np.abs(original.astype(np.float64) - smooth)
    lost = lost.mean(axis=-1) if lost.ndim == 3 else lost
    rows, columns = height // 2 or 1, width // 2 or 1
    inside = _sums(_sums(lost, rows, columns), height - rows + 1, width - columns + 1)  # two boxes make a pyramid
    top, left = (int(at) for at in np.unravel_index(int(inside.argmax()), inside.shape))
    return slice(top, top + height), slice(left, left + width)


def _sums(values: npt.NDArray, height: int, width: int) -> npt.NDArray:
    """Sums over every window of that size."""
    total = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
