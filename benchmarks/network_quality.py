# SPDX-License-Identifier: MIT
"""PSNR of weights on the held-out photos, shrunk as papers do, beside interpolation of the same small pictures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import halfpixel
from halfpixel import metrics
from halfpixel.models import enlarge, list_weights, load

from .check import WrongResult
from .record import Measure
from .rows import Effort, set_threads

TARGETS = {2: 0.7}  # dB over bicubic; at other scales more than Lanczos, which is better than bicubic
_SHRINK = "matlab.bicubic"
METHODS = {"bicubic": {"like": "matlab.bicubic"}, "lanczos3": {"filter": "lanczos3"}}
Pixels = npt.NDArray[np.uint8]
Enlarge = Callable[[Pixels, tuple[int, int]], Any]


def weights() -> tuple[str, ...]:
    """The names of what the package ships."""
    return list_weights()


def run(name: str | PathLike[str], effort: Effort, quick: bool = False) -> Measure:
    """Measure weights by their name or file: means over the photos, of luma, a border of the scale cut off.

    Raises:
        WrongResult: a PSNR is not finite.
    """
    set_threads(effort.threads)
    model = load(name)
    pairs = [pair(high, model.scale) for high in originals(quick)]
    found = {method: _mean(pairs, model.scale, _by(options)) for method, options in METHODS.items()}
    ours = _mean(pairs, model.scale, lambda low, size: enlarge(model, low))
    gain = ours - found["bicubic"]
    target = TARGETS.get(model.scale, max(found["lanczos3"] - found["bicubic"], 0.0))
    beside = {"lanczos3": found["lanczos3"], "scale": model.scale, "photos": len(pairs)}
    id_ = f"quality-{Path(name).stem}"
    return Measure(id_, "quality", "dB", ours, found["bicubic"], gain, target, gain >= target, beside)


def originals(quick: bool = False) -> list[Pixels]:
    """The photos that no shipped weights have seen."""
    from halfpixel.train._pictures import read_rgb
    from halfpixel.train.photos import open_photos

    found = [read_rgb(photo.path) for photo in open_photos("held-out")]
    return [photo[:48, :48] for photo in found] if quick else found


def pair(high: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    """A picture cut to a multiple of the scale, and its small version: (low, high)."""
    high = cut(high, scale)
    return halfpixel.resize_image(high, (high.shape[0] // scale, high.shape[1] // scale), like=_SHRINK), high


def cut(high: Pixels, scale: int) -> Pixels:
    """A picture without what is beyond the largest multiple of the scale."""
    rows, columns = (n // scale * scale for n in high.shape[:2])
    return high[:rows, :columns]


def _by(options: dict[str, str]) -> Enlarge:
    return lambda low, size: halfpixel.resize_image(low, size, **options)


def _mean(pairs: Sequence[tuple[Pixels, Pixels]], scale: int, larger: Enlarge) -> float:
    found = [
        metrics.psnr(larger(low, (high.shape[0], high.shape[1])), high, protocol="sr-y", scale=scale)
        for low, high in pairs
    ]
    if not np.isfinite(found).all():
        raise WrongResult(f"PSNR is not finite: {found}")
    return statistics.mean(found)
