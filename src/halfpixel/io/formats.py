# SPDX-License-Identifier: MIT
"""Image file formats. A new format is one row of `TABLE`: it then stands in the API, the command line and the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from halfpixel.errors import unknown_name
from halfpixel.io import _exif, _pillow, _png, _tiff, _tiff_write
from halfpixel.io._picture import KINDS, Header, ImageFileError, Metadata, Picture


class Reader(Protocol):
    """An open file: the header at once, the stored pixels when asked."""

    @property
    def header(self) -> Header: ...

    def decode(self) -> npt.NDArray: ...


@dataclass(frozen=True)
class Format:
    """One file format.

    ``starts`` recognises the first 32 bytes; ``writes`` says which sample types each kind of picture may have in it;
    ``side`` is the longest side; ``holds`` the metadata that have a place in it; ``exif_bytes`` how much EXIF.
    """

    suffixes: tuple[str, ...]
    starts: Callable[[bytes], bool]
    open: Callable[[BinaryIO, str], Reader]
    encode: Callable[[BinaryIO, Picture, int | None, bool], None]
    writes: Mapping[str, tuple[str, ...]]
    side: int
    holds: frozenset[str]
    quality: bool = False
    lossless: bool = True
    in_rows: bool = False
    exif_bytes: int = 1 << 31
    why_not: Callable[[], str | None] = lambda: None


_8 = ("uint8",)
_8_OR_16 = ("uint8", "uint16")
_INTEGERS = tuple(f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64))
_ANY = (*_INTEGERS, "float16", "float32", "float64")
_ALL = frozenset({"exif", "icc", "dpi"})

TABLE: Mapping[str, Format] = {
    "png": Format(
        (".png",), lambda head: head.startswith(_png.SIGNATURE), _png.PngFile, _png.encode,
        dict.fromkeys(("gray", "gray+alpha", "rgb", "rgba"), _8_OR_16), 2**31 - 1, _ALL,
    ),
    "jpeg": Format(
        (".jpg", ".jpeg", ".jpe", ".jfif"), lambda head: head.startswith(b"\xff\xd8\xff"), _pillow.JpegFile,
        _pillow.encode_jpeg, dict.fromkeys(("gray", "rgb", "cmyk"), _8), 65500, _ALL,
        quality=True, lossless=False, exif_bytes=65533,
    ),
    "webp": Format(
        (".webp",), lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP", _pillow.WebPFile,
        _pillow.encode_webp, dict.fromkeys(("rgb", "rgba"), _8), 16383, _ALL, quality=True,
    ),
    "tiff": Format(
        (".tif", ".tiff"), lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff.TiffFile,
        _tiff_write.encode, dict.fromkeys(KINDS, _ANY), 2**31 - 1, _ALL, in_rows=True,
    ),
    "bmp": Format(
        (".bmp", ".dib"), lambda head: head.startswith(b"BM"), _pillow.BmpFile, _pillow.encode_bmp,
        dict.fromkeys(("gray", "rgb"), _8), 2**31 - 1, frozenset({"dpi"}),
    ),
    "avif": Format(
        (".avif",), lambda head: head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"), _pillow.AvifFile,
        _pillow.encode_avif, dict.fromkeys(("gray", "rgb", "rgba"), _8), 65536, _ALL,
        quality=True, lossless=False, why_not=_pillow.avif_why_not,
    ),
}  # fmt: skip

_PROMOTED = {"gray": "rgb", "gray+alpha": "rgba"}
WITHOUT_ALPHA = {"gray+alpha": "gray", "rgba": "rgb", "cmyk+alpha": "cmyk"}


def get(name: str) -> tuple[str, Format]:
    """(name, row) of a format by name or by suffix without the dot. Raises: ValueError, with near names."""
    low = name.lower()
    for known, row in TABLE.items():
        if low == known or "." + low in row.suffixes:
            return known, row
    raise unknown_name("format", name, TABLE)


def of_suffix(suffix: str) -> str | None:
    """The format that a file name's suffix (".jpg") stands for."""
    return next((name for name, row in TABLE.items() if suffix.lower() in row.suffixes), None)


def of_content(head: bytes) -> str | None:
    """The format whose mark stands at the start of a file."""
    return next((name for name, row in TABLE.items() if row.starts(head)), None)


def output_type(
    name: str, kind: str, dtype: np.dtype, *, depth: str | None = None, background: bool = False
) -> tuple[str, np.dtype, tuple[str, ...]]:
    """What a picture of a kind and sample type becomes in a format: (kind, dtype, notes).

    **Convention:** nothing is lost unless ``depth`` ("8", "16" or "float") or ``background`` asks for it.
    Raises: ImageFileError that says what would work.
    """
    row = TABLE[name]
    notes: tuple[str, ...] = ()
    if background:
        kind = WITHOUT_ALPHA.get(kind, kind)
    if kind not in row.writes and _PROMOTED.get(kind) in row.writes:
        notes = (f"{name.upper()} holds no {kind}: written as {_PROMOTED[kind]}",)
        kind = _PROMOTED[kind]
    if kind not in row.writes:
        raise _cannot_hold(name, kind)
    dtype = DEPTHS[depth] if depth is not None else dtype
    if dtype.name not in row.writes[kind]:
        raise _too_deep(name, kind, dtype)
    return kind, dtype, notes


DEPTHS: Mapping[str, np.dtype] = {"8": np.dtype("uint8"), "16": np.dtype("uint16"), "float": np.dtype("float32")}


def kept(name: str, meta: Metadata, kind: str, size: tuple[int, int]) -> tuple[Metadata, tuple[str, ...]]:
    """The metadata that a picture of ``size`` takes into a format, and a note on each that stays behind."""
    row, notes = TABLE[name], []
    for lost in sorted(meta.names() - row.holds):
        notes.append(f"{lost.upper()} is left out: {name.upper()} has no place for it")
        meta = replace(meta, **{lost: None})
    if meta.icc and meta.icc[16:20] in (b"GRAY", b"RGB ", b"CMYK") and meta.icc[16:20] != KINDS[kind].icc_space:
        notes.append(f"the ICC profile is left out: it is for {meta.icc[16:20].decode().strip()}, the output is {kind}")
        meta = replace(meta, icc=None)
    if meta.exif:
        exif = _exif.updated(meta.exif, *size)
        if len(exif) > row.exif_bytes:
            notes.append(f"EXIF is left out: its {len(exif)} bytes are more than {name.upper()} has room for")
        meta = replace(meta, exif=exif if len(exif) <= row.exif_bytes else None)
    return meta, tuple(notes)


def _cannot_hold(name: str, kind: str) -> ImageFileError:
    holders = [other for other, row in TABLE.items() if kind in row.writes]
    works = f"--format {' or '.join(holders)}"
    if KINDS[kind].alpha and WITHOUT_ALPHA[kind] in TABLE[name].writes:
        works += ", or --background white to lay the picture on a colour"
        return ImageFileError(f"{name.upper()} holds no transparency and the picture is {kind}", works)
    return ImageFileError(f"{name.upper()} cannot hold {kind} pictures", works)


def _too_deep(name: str, kind: str, dtype: np.dtype) -> ImageFileError:
    allowed = TABLE[name].writes[kind]
    holders = [other for other, row in TABLE.items() if dtype.name in row.writes.get(kind, ())]
    works = f"--depth {'16 or 8' if 'uint16' in allowed else '8'}, which says that the loss is meant"
    if holders:
        works += f", or --format {' or '.join(holders)}"
    held = " or ".join(str(8 * np.dtype(one).itemsize) for one in allowed)
    return ImageFileError(f"{name.upper()} holds {held} bits a sample and the picture has {dtype.name}", works)
