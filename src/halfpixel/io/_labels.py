# SPDX-License-Identifier: MIT
"""Images whose samples are labels: numbers that must not be interpreted."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, PngImagePlugin

from halfpixel.io._files import Source, coding, decoded, naming, open_image
from halfpixel.io._limits import Limits
from halfpixel.io._picture import ImageFileError, upright

_PLUGINS: dict[str, Any] = {"png": PngImagePlugin.PngImageFile, "bmp": BmpImagePlugin.BmpImageFile}
_MODES = ("1", "L", "P", "I", "I;16")
_LOSSY = ("jpeg", "webp", "avif")


def read_labels(source: Source) -> npt.NDArray[Any]:
    """The stored numbers of an image with one channel, as they are: of a palette, its indices.

    **Convention:** (height, width), integers, upright; one-bit images hold 0 and 1.
    source: a path, or the bytes of a file. Returns: the labels.
    Raises: ImageFileError, also for colour images and for formats that do not keep numbers exactly.

    >>> import numpy as np
    >>> from halfpixel.io import Picture, encoded
    >>> read_labels(encoded(Picture(np.array([[0, 3]], np.uint8), "gray"), "png")).tolist()
    [[0, 3]]
    """
    with open_image(source) as reader, naming(source):
        header = reader.header
        Limits().check_pixels(header)
        if header.format in _LOSSY:
            raise ImageFileError(f"{header.format.upper()} does not keep labels exactly", "PNG, TIFF or BMP")
        if header.format not in _PLUGINS:
            picture = decoded(reader)
            if picture.kind != "gray" or picture.pixels.dtype.kind not in "ui":
                raise ImageFileError(
                    f"it is {picture.kind} of {picture.pixels.dtype}, labels are one whole number a pixel"
                )
            return picture.pixels
        return upright(_stored(source, header.format), header.orientation)


def _stored(source: Source, format: str) -> npt.NDArray[Any]:
    import io

    with open(source, "rb") if not isinstance(source, bytes) else io.BytesIO(source) as file:
        image = _PLUGINS[format](file)
        if image.mode not in _MODES:
            works = "an image of one channel, or one with a palette"
            raise ImageFileError(f"it has the channels {image.mode}, labels are one whole number a pixel", works)
        with coding():
            labels = np.array(image)
    return labels.astype(np.uint8) if labels.dtype == np.bool_ else labels
