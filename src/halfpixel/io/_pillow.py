# SPDX-License-Identifier: MIT
"""JPEG, WebP, AVIF and BMP through Pillow, which holds 8 bits a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, Image, JpegImagePlugin, WebPImagePlugin, features

from halfpixel.io import _exif
from halfpixel.io._picture import KINDS, Header, Metadata, Picture, widened

_MODES = {"L": "gray", "LA": "gray+alpha", "RGB": "rgb", "RGBA": "rgba", "CMYK": "cmyk"}
_EXPANDED = {"1": ("L", "1-bit samples are expanded to 8-bit gray"), "P": ("RGB", "the palette is expanded to rgb")}
_MOST_JPEG_EXIF = 65533


class PillowFile:
    """An open file: its header at once, its pixels when asked."""

    plugin: Callable[..., Any]
    format: str

    def __init__(self, file: BinaryIO, name: str) -> None:
        # The plugin's own class, not Image.open: the limits on size are kept in one place, for every format.
        self._image = self.plugin(file, name)
        self._mode, expansion = _EXPANDED.get(self._image.mode, (self._image.mode, ""))
        self.header = self._header((expansion,) if expansion else ())

    def decode(self) -> npt.NDArray:
        """The stored pixels."""
        image = self._image
        image.load()
        return np.asarray(image if image.mode == self._mode else image.convert(self._mode))

    def _header(self, notes: tuple[str, ...]) -> Header:
        image, info = self._image, self._image.info
        kind = _MODES[self._mode if self._mode in _MODES else "RGB"]
        exif, orientation, exif_dpi, problems = _exif.parse(info.get("exif"))
        return Header(
            format=self.format,
            height=image.size[1],
            width=image.size[0],
            kind=kind,
            dtype=np.dtype(np.uint8),
            channels=KINDS[kind].channels,
            orientation=orientation,
            meta=Metadata(exif, info.get("icc_profile"), _positive(info.get("dpi")) or exif_dpi),
            notes=(*notes, *problems, *_frames(image)),
        )


class JpegFile(PillowFile):
    """JPEG; the further pictures of an MPO file are left alone."""

    plugin, format = JpegImagePlugin.JpegImageFile, "jpeg"


class BmpFile(PillowFile):
    """BMP."""

    plugin, format = BmpImagePlugin.BmpImageFile, "bmp"


class WebPFile(PillowFile):
    """WebP."""

    plugin, format = WebPImagePlugin.WebPImageFile, "webp"


def _open_avif(file: BinaryIO, name: str) -> Image.Image:
    from PIL import AvifImagePlugin  # Pillow 11.3 and newer

    return AvifImagePlugin.AvifImageFile(file, name)


class AvifFile(PillowFile):
    """AVIF; 10 and 12 bits become 16, which Pillow would make 8."""

    plugin, format = staticmethod(_open_avif), "avif"

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._bits, self._file = _avif_bits(file), file
        super().__init__(file, name)

    def _header(self, notes: tuple[str, ...]) -> Header:
        header = super()._header(notes)
        if self._bits == 8:
            return header
        note = f"{self._bits}-bit samples are stretched to 16 bit"
        return replace(header, dtype=np.dtype(np.uint16), notes=(*header.notes, note))

    def decode(self) -> npt.NDArray:
        """The stored pixels."""
        if self._bits == 8:
            return super().decode()
        self._file.seek(0)
        return widened(imagecodecs.avif_decode(self._file.read(), index=0), self._bits)


def _avif_bits(file: BinaryIO) -> int:
    """Bits a sample, from the codec's configuration box, which stands in front of the picture."""
    file.seek(0)
    head = file.read(1 << 16)
    file.seek(0)
    at = head.find(b"av1C")
    if at < 0 or at + 7 > len(head):
        return 8
    flags = head[at + 6]
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _frames(image: Any) -> Iterator[str]:
    if (count := getattr(image, "n_frames", 1)) > 1:
        yield f"the first of {count} frames is used"


def _positive(dpi: Any) -> tuple[float, float] | None:
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return None
    x, y = float(dpi[0]), float(dpi[1])
    return (x, y) if x > 0 and y > 0 else None


def encode_jpeg(file: BinaryIO, picture: Picture, quality: int | None, lossless: bool) -> None:
    """Baseline JPEG; colour is kept at full resolution from quality 90 up."""
    quality = 95 if quality is None else quality
    meta = picture.meta
    options = _present(exif=meta.exif, icc_profile=meta.icc, dpi=meta.dpi and tuple(round(x) for x in meta.dpi))
    if picture.kind == "rgb":
        options["subsampling"] = 0 if quality >= 90 else 2
    _image(picture).save(file, "JPEG", quality=quality, optimize=True, **options)


def encode_webp(file: BinaryIO, picture: Picture, quality: int | None, lossless: bool) -> None:
    """WebP; lossless keeps the colour under transparent pixels too."""
    options = _present(exif=_exif_with_dpi(picture.meta), icc_profile=picture.meta.icc)
    quality = (80 if lossless else 90) if quality is None else quality
    _image(picture).save(file, "WEBP", quality=quality, lossless=lossless, exact=lossless, **options)


def encode_avif(file: BinaryIO, picture: Picture, quality: int | None, lossless: bool) -> None:
    """AVIF; colour is kept at full resolution from quality 90 up."""
    quality = 85 if quality is None else quality
    options = _present(exif=_exif_with_dpi(picture.meta), icc_profile=picture.meta.icc)
    if picture.kind != "gray":
        options["subsampling"] = "4:4:4" if quality >= 90 else "4:2:0"
    _image(picture).save(file, "AVIF", quality=quality, **options)


def encode_bmp(file: BinaryIO, picture: Picture, quality: int | None, lossless: bool) -> None:
    """BMP without compression."""
    _image(picture).save(file, "BMP", **_present(dpi=picture.meta.dpi))


def avif_why_not() -> str | None:
    """Why AVIF cannot be used here, or None."""
    return None if features.check("avif") else "the installed Pillow was built without AVIF; Pillow 11.3 wheels have it"


def _image(picture: Picture) -> Image.Image:
    """A Pillow image; four channels alone do not tell CMYK from RGBA."""
    mode = next(mode for mode, kind in _MODES.items() if kind == picture.kind)
    pixels = np.ascontiguousarray(picture.pixels)
    return Image.frombuffer(mode, pixels.shape[1::-1], pixels, "raw", mode, 0, 1)


def _exif_with_dpi(meta: Metadata) -> bytes | None:
    return _exif.with_dpi(meta.exif, meta.dpi) if meta.dpi else meta.exif


def _present(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
