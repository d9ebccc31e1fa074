# SPDX-License-Identifier: MIT
"""What an image file holds, as data: its header, its samples, and what is said about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from halfpixel.errors import HalfpixelValueError


class ImageFileError(HalfpixelValueError):
    """An image file that cannot be read, resized or written; the message says why and what would work."""


class NeedsMemory(ImageFileError):
    """A picture over the memory or pixel limit, refused before it is decoded."""


@dataclass(frozen=True)
class Kind:
    """What the channels of a picture mean. ``channels`` is 0 where any number is; alpha, where present, is last."""

    channels: int
    alpha: bool
    icc_space: bytes  # the colour space that an ICC profile for this kind names in its header


KINDS: Mapping[str, Kind] = {
    "gray": Kind(1, False, b"GRAY"),
    "gray+alpha": Kind(2, True, b"GRAY"),
    "rgb": Kind(3, False, b"RGB "),
    "rgba": Kind(4, True, b"RGB "),
    "cmyk": Kind(4, False, b"CMYK"),
    "cmyk+alpha": Kind(5, True, b"CMYK"),
    "bands": Kind(0, False, b"GRAY"),
    "rgb+bands": Kind(0, False, b"RGB "),
}


@dataclass(frozen=True)
class Metadata:
    """What is kept beside the samples. ``exif`` starts with its TIFF header; ``dpi`` is (horizontal, vertical)."""

    exif: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None

    def names(self) -> frozenset[str]:
        """The kinds of metadata that are present."""
        return frozenset(name for name in ("exif", "icc", "dpi") if getattr(self, name) is not None)


@dataclass(frozen=True)
class Header:
    """What a file says of itself before it is decoded. ``height`` and ``width`` are as stored, before ``orientation``.

    **Convention:** ``dtype`` is that of the decoded array: palettes and samples of fewer than 8 bits are expanded.
    ``scratch`` is what decoding holds at once besides the result, in bytes. ``notes`` say what is expanded or left out.
    """

    format: str
    height: int
    width: int
    kind: str
    dtype: np.dtype
    channels: int
    orientation: int = 1
    premultiplied: bool = False
    scratch: int = 0
    meta: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as it is meant to be seen."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one decoded pixel."""
        return self.channels * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded picture."""
        return self.height * self.width * self.pixel_bytes


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright.

    **Convention:** ``pixels`` is (height, width) where the kind has one channel, else (height, width, channels).
    ``premultiplied`` says that colour was already multiplied by alpha (as TIFF calls associated alpha).
    """

    pixels: npt.NDArray
    kind: str
    premultiplied: bool = False
    meta: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def with_note(self, note: str) -> Picture:
        """The same picture with one more sentence about it."""
        return replace(self, notes=(*self.notes, note))


def upright(pixels: npt.NDArray, orientation: int) -> npt.NDArray:
    """The view of stored pixels that EXIF ``orientation`` (1 to 8) asks for; nothing is copied."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows, columns = _FLIPS[orientation]
    return pixels[::rows, ::columns]


# Steps along the upright rows and columns, after the transposition of 5 to 8.
_FLIPS: Mapping[int, tuple[int, int]] = {
    1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1),
}  # fmt: skip


def full_scale(dtype: np.dtype) -> float:
    """The sample value that means full intensity: the largest integer, or 1.0."""
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)


def widened(pixels: npt.NDArray, bits: int) -> npt.NDArray:
    """Unsigned samples of ``bits`` bits stretched over the whole of their integer type; stretching can be undone."""
    top = np.iinfo(pixels.dtype).max
    return ((pixels.astype(np.uint64) * top * 2 + (1 << bits) - 1) // (2 * ((1 << bits) - 1))).astype(pixels.dtype)


def promoted(pixels: npt.NDArray, kind: str, wanted: str) -> npt.NDArray:
    """Pixels of a gray ``kind`` as those of the colour kind ``wanted``; other kinds pass."""
    if kind == wanted:
        return pixels
    channels = {"gray": (0, 0, 0), "gray+alpha": (0, 0, 0, 1)}[kind]
    return pixels.reshape(*pixels.shape[:2], -1)[..., list(channels)]
