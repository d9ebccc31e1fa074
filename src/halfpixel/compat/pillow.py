# SPDX-License-Identifier: MIT
"""PIL.Image.Image.resize as a function, computed here. Pillow only holds the images and converts their modes."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from halfpixel._plan import plan
from halfpixel.errors import HalfpixelValueError

if TYPE_CHECKING:
    from PIL import Image

Box = tuple[float, float, float, float]

# Pillow's numbers of its filters: preset and support.
_FILTERS = {
    0: ("nearest", 0.0),
    1: ("lanczos", 3.0),
    2: ("bilinear", 1.0),
    3: ("bicubic", 2.0),
    4: ("box", 0.5),
    5: ("hamming", 1.0),
}
_NEWER = {"MKS2013": ("mks2013", 2.5), "MKS2021": ("mks2021", 4.5)}
_PREMULTIPLIED = {"LA": "La", "RGBA": "RGBa"}


def resize(
    image: Image.Image,
    size: Sequence[int],
    resample: int | None = None,
    box: Sequence[float] | None = None,
    reducing_gap: float | None = None,
) -> Image.Image:
    """A resized copy of a Pillow image, identical to what `image.resize(...)` of the installed Pillow gives.

    **Convention:** `size` is (width, height), `box` (left, upper, right, lower) in pixels; modes "1" and "P" are always
    nearest; alpha is premultiplied while resampling. 8-bit bands have 22-bit integer weights, each pass is rounded to
    the mode's own type.
    Arguments:
        image: of any mode with bands of 8 bits, or 1, P, I, I;16 or F.
        size: in pixels. resample: a PIL.Image.Resampling value (default: BICUBIC). box: the part to resize.
        reducing_gap: shrink by whole factors first, so that the rest is at least this factor.
    Returns: a new image of the same mode.
    Raises: ValueError, as Pillow does, for an unknown filter, a box outside the image, or a gap below 1.
    Source: Pillow 13 (with 11 and 12: the passes in their order).
    Example:
        >>> from PIL import Image
        >>> resize(Image.new("RGB", (4, 6)), (8, 3)).size
        (8, 3)
    """
    name, support = _filter(resample)
    if reducing_gap is not None and reducing_gap < 1.0:
        raise HalfpixelValueError("reducing_gap must be 1.0 or greater", "None, or a factor from 1.0")
    width, height = (operator.index(n) for n in size)
    if width < 1 or height < 1:
        raise HalfpixelValueError("height and width must be > 0", "a size of at least one pixel each way")
    part = _checked_box(box, image.size)
    if image.size == (width, height) and part == (0, 0, *image.size):
        return image.copy()
    if image.mode in ("1", "P"):
        name = "nearest"
    if image.mode in _PREMULTIPLIED and name != "nearest":
        premultiplied = image.convert(_PREMULTIPLIED[image.mode])
        return resize(premultiplied, size, resample, box, reducing_gap).convert(image.mode)
    if reducing_gap is not None and name != "nearest":
        image, part = _reduced(image, (width, height), part, support, reducing_gap)
    return _resampled(image, (height, width), part, name)


def _filter(resample: int | None) -> tuple[str, float]:
    from PIL import Image

    newer = {int(getattr(Image.Resampling, k)): v for k, v in _NEWER.items() if hasattr(Image.Resampling, k)}
    known = {**_FILTERS, **newer}
    number = 3 if resample is None else resample
    if number not in known:
        works = ", ".join(f"{name.upper()} ({n})" for n, (name, _) in known.items())
        raise HalfpixelValueError(f"Unknown resampling filter ({resample}).", works)
    return known[int(number)]


def _checked_box(box: Sequence[float] | None, size: tuple[int, int]) -> Box:
    left, upper, right, lower = (0, 0, *size) if box is None else box
    if left < 0 or upper < 0:
        raise HalfpixelValueError("box offset can't be negative", "a box within the image")
    if right > size[0] or lower > size[1]:
        raise HalfpixelValueError("box can't exceed original image size", f"a box within (0, 0, {size[0]}, {size[1]})")
    if right <= left or lower <= upper:
        raise HalfpixelValueError("box can't be empty", "left < right and upper < lower")
    return left, upper, right, lower


def _reduced(
    image: Image.Image, size: tuple[int, int], box: Box, support: float, gap: float
) -> tuple[Image.Image, Box]:
    """The image shrunk by whole factors around the box, and the box in it."""
    lengths = box[2] - box[0], box[3] - box[1]
    factors = tuple(int(n / m / gap) or 1 for n, m in zip(lengths, size, strict=True))
    if max(factors) == 1:
        return image, box
    reach = [(support - 0.5) * n / m for n, m in zip(lengths, size, strict=True)]
    safe = (
        max(0, int(box[0] - reach[0])),
        max(0, int(box[1] - reach[1])),
        min(image.size[0], math.ceil(box[2] + reach[0])),
        min(image.size[1], math.ceil(box[3] + reach[1])),
    )
    shrunk = image.reduce((factors[0], factors[1]), box=safe)
    x, y = factors
    return shrunk, ((box[0] - safe[0]) / x, (box[1] - safe[1]) / y, (box[2] - safe[0]) / x, (box[3] - safe[1]) / y)


def _prefix() -> str:
    import PIL

    return "pillow" if int(PIL.__version__.partition(".")[0]) >= 13 else "pillow@12"


def _resampled(image: Image.Image, size: tuple[int, int], box: Box, name: str) -> Image.Image:
    x = _signed(np.ascontiguousarray(image), image.mode)
    whole = box == (0, 0, *image.size)
    parts = None if whole else ((box[1], box[3]), (box[0], box[2]))
    axes = tuple(range(-x.ndim, 2 - x.ndim))
    ready = plan(x.shape, size, axes=axes, box=parts, like=f"{_prefix()}.{name}")
    return _image_like(image, _signed(ready(x), image.mode))


def _signed(pixels: NDArray[Any], mode: str) -> NDArray[Any]:
    """LAB's a and b as Pillow computes on them: it stores them offset by 128, and hands them out without."""
    return pixels ^ np.array([0, 128, 128], np.uint8) if mode == "LAB" else pixels


def _image_like(image: Image.Image, pixels: NDArray[Any]) -> Image.Image:
    from PIL import Image

    if image.mode == "1":
        made = Image.fromarray(pixels)
    else:
        made = Image.frombytes(image.mode, pixels.shape[1::-1], pixels.tobytes())
    if image.palette is not None:
        made.putpalette(image.getpalette(image.palette.mode) or b"", image.palette.mode)
    made.info = image.info.copy()
    return made
