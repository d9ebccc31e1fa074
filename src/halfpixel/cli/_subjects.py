# SPDX-License-Identifier: MIT
"""What is compared: the colours of a picture, or the labels that a picture holds."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from halfpixel import io
from halfpixel.io._limits import Limits

_PALETTE, _GRAY = 3, 0  # colour types of PNG


def subject(path: str) -> tuple[npt.NDArray, list[str]]:
    """The pixels of a file, gray or RGB, transparency left out, and notes. Raises: ImageFileError."""
    picture = io.read(path)
    if picture.kind not in ("gray", "gray+alpha", "rgb", "rgba"):
        raise io.ImageFileError(f"it is {picture.kind}", "a gray or RGB picture").in_call(path)
    if picture.pixels.dtype.kind == "f" and np.isnan(picture.pixels).any():
        raise io.ImageFileError("it holds NaN, which is no colour", "a picture of numbers").in_call(path)
    notes = list(picture.notes)
    if not io.KINDS[picture.kind].alpha:
        return picture.pixels, notes
    colour = picture.pixels[..., 0] if picture.kind == "gray+alpha" else picture.pixels[..., :3]
    return colour.copy(), [*notes, "transparency is left out of the comparison"]


def labels(path: str) -> npt.NDArray:
    """The label map of a file: gray samples, or the indices of a PNG with a palette. Raises: ImageFileError."""
    depth, colour = _png(path)
    if colour == _PALETTE:
        return _indices(path)
    picture = io.read(path)
    if picture.kind != "gray" or picture.pixels.dtype.kind not in "iu":
        what = f"{picture.pixels.dtype.name} {picture.kind}"
        raise io.ImageFileError(f"it is {what}", "labels as gray integers, or a PNG with a palette").in_call(path)
    # Samples of fewer than 8 bits are read as shades, and labels are numbers.
    return picture.pixels // (255 // (2**depth - 1)) if colour == _GRAY and depth < 8 else picture.pixels


def _png(path: str) -> tuple[int, int | None]:
    """Bits a sample and colour type, where the file is a PNG."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(26)
    except OSError:
        return 8, None  # reading it will say why
    if len(head) < 26 or not head.startswith(b"\x89PNG\r\n\x1a\n"):
        return 8, None
    return struct.unpack(">BB", head[24:26])


def _indices(path: str) -> npt.NDArray:
    from PIL import PngImagePlugin

    Limits().check_pixels(io.header(path))
    try:
        with PngImagePlugin.PngImageFile(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise io.ImageFileError(f"it cannot be decoded: {error}").in_call(path) from None
