# SPDX-License-Identifier: MIT
"""EXIF: orientation out, sizes and resolution brought up to date, and its way into and out of TIFF tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, BinaryIO

from PIL import Image, TiffImagePlugin

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 274, 282, 283, 296
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 34665, 34853, 40965
_PIXEL_SIZE = (40962, 40963)
# The attributes that describe the photo rather than the file: what the Exif standard puts into the first directory.
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095)
_SUB_DIRECTORIES = (_EXIF_IFD, _GPS_IFD)


def parse(blob: bytes | None) -> tuple[bytes | None, int, tuple[float, float] | None, tuple[str, ...]]:
    """(EXIF that parses, orientation, dpi, notes) of an EXIF block as a file holds it."""
    if not blob:
        return None, 1, None, ()
    try:
        exif = Image.Exif()
        exif.load(blob)
        return _serialised(exif), _orientation(exif), _dpi(exif), ()
    except Exception as error:  # whatever a damaged block makes the parser raise, the picture is still good
        return None, 1, None, (f"EXIF is damaged and is left out ({error})",)


def from_tiff(file: BinaryIO, offset: int, byteorder: str, big: bool, described: bool) -> bytes | None:
    """The EXIF of a TIFF file as a block.

    offset: of the file's directory. big: it is BigTIFF. described: its ImageDescription is about the photo.
    """
    source, exif = Image.Exif(), Image.Exif()
    source.endian, source.bigtiff = byteorder, big
    source.load_from_fp(file, offset)
    for tag in _DESCRIPTIVE:
        if tag in source and (tag != 270 or described):
            exif[tag] = source[tag]
    for tag in _SUB_DIRECTORIES:
        entries = source.get_ifd(tag) if tag in source else {}
        if entries:
            exif[tag] = {key: value for key, value in entries.items() if key != _INTEROP_IFD}
    return exif.tobytes() if len(exif) else None


def updated(blob: bytes, height: int, width: int) -> bytes:
    """The same EXIF for an upright picture of another size; a stale thumbnail is left out."""
    exif = Image.Exif()
    exif.load(blob)
    if _ORIENTATION in exif:
        exif[_ORIENTATION] = 1
    for tag, length in ((256, width), (257, height)):
        if tag in exif:
            exif[tag] = length
    details = exif.get_ifd(_EXIF_IFD)
    for tag, length in zip(_PIXEL_SIZE, (width, height), strict=True):
        if tag in details:
            details[tag] = length
    return _serialised(exif)


def with_dpi(blob: bytes | None, dpi: tuple[float, float]) -> bytes:
    """EXIF that says the resolution, for formats that have no other place for it."""
    exif = Image.Exif()
    if blob:
        exif.load(blob)
    exif[_X_RESOLUTION], exif[_Y_RESOLUTION] = (_rational(value) for value in dpi)
    exif[_UNIT] = 2
    return _serialised(exif)


def tiff_tags(blob: bytes) -> list[tuple[int, str, int, Any, bool]]:
    """The descriptive attributes as tifffile's ``extratags``."""
    exif = Image.Exif()
    exif.load(blob)
    rows: list[tuple[int, str, int, Any, bool]] = []
    for tag in _DESCRIPTIVE:
        value = exif.get(tag)
        if isinstance(value, str):
            rows.append((tag, "s", 0, value, True))
        elif isinstance(value, bytes):
            rows.append((tag, "B", len(value), value, True))
        elif isinstance(value, int):
            rows.append((tag, "H", 1, value, True))
    return rows


def sub_directories(blob: bytes, big: bool) -> Iterator[tuple[int, Callable[[int], bytes]]]:
    """(tag, bytes of the directory when it stands at an offset) for each directory that EXIF keeps apart."""
    exif = Image.Exif()
    exif.load(blob)
    for tag in _SUB_DIRECTORIES:
        entries = {key: value for key, value in exif.get_ifd(tag).items() if key != _INTEROP_IFD}
        if entries:
            head = b"II+\0\x08\0\0\0\x10" + bytes(7) if big else b"II*\0\x08\0\0\0"
            directory = TiffImagePlugin.ImageFileDirectory_v2(head)
            for key, value in entries.items():
                directory[key] = value
            yield tag, directory.tobytes


def _serialised(exif: Image.Exif) -> bytes:
    exif.get_ifd(_EXIF_IFD)  # read now: it is lazy, and writing drops what was not read
    exif.get_ifd(_GPS_IFD)
    return exif.tobytes()


def _orientation(exif: Image.Exif) -> int:
    value = exif.get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _dpi(exif: Image.Exif) -> tuple[float, float] | None:
    unit = {2: 1.0, 3: 2.54}.get(exif.get(_UNIT, 2))
    if unit is None or _X_RESOLUTION not in exif:
        return None
    x = float(exif[_X_RESOLUTION]) * unit
    y = float(exif.get(_Y_RESOLUTION, exif[_X_RESOLUTION])) * unit
    return (x, y) if 0 < x < float("inf") and 0 < y < float("inf") else None


def _rational(value: float) -> TiffImagePlugin.IFDRational:
    ratio = Fraction(value).limit_denominator(10_000)
    return TiffImagePlugin.IFDRational(ratio.numerator, ratio.denominator)
