# SPDX-License-Identifier: MIT
"""PNG through libpng, at the depth that the file has, with its metadata chunks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import imagecodecs
import numpy as np
import numpy.typing as npt

from halfpixel.io import _exif
from halfpixel.io._picture import Header, ImageFileError, Metadata, Picture

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INCH = 0.0254
_LEVEL = 5  # of deflate: files 3% larger than by the customary 6, in half the time
_MOST_METADATA = 1 << 26  # bytes of one metadata chunk, unpacked: far above any profile, far below a bomb
_KINDS = {0: "gray", 2: "rgb", 3: "rgb", 4: "gray+alpha", 6: "rgba"}
_WITH_ALPHA = {"gray": "gray+alpha", "rgb": "rgba"}
_CHANNELS = {"gray": 1, "gray+alpha": 2, "rgb": 3, "rgba": 4}


class PngFile:
    """An open PNG file: its header at once, its pixels when asked."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self.header = _header(dict(_chunks(file)))

    def decode(self) -> npt.NDArray:
        """The stored pixels: palettes and short samples expanded, a transparent colour turned into alpha."""
        self._file.seek(0)
        return imagecodecs.png_decode(self._file.read())


def encode(file: BinaryIO, picture: Picture, quality: int | None, lossless: bool) -> None:
    """Write a picture of 8 or 16 bits as PNG."""
    data = imagecodecs.png_encode(np.ascontiguousarray(picture.pixels), level=_LEVEL)
    end_of_header = len(SIGNATURE) + 25
    file.write(data[:end_of_header])
    for kind, content in _metadata_chunks(picture.meta):
        checksum = zlib.crc32(kind + content)
        file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum))
    file.write(memoryview(data)[end_of_header:])


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The chunks that are about the picture; the picture itself is passed over."""
    file.seek(len(SIGNATURE))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"IHDR", b"pHYs", b"iCCP", b"eXIf", b"tRNS", b"acTL") and length <= _MOST_METADATA:
            yield kind, file.read(length)
            file.seek(4, 1)
        elif kind == b"IEND":
            return
        else:
            file.seek(length + 4, 1)


def _header(chunks: dict[bytes, bytes]) -> Header:
    if len(chunks.get(b"IHDR", b"")) != 13:
        raise ImageFileError("its header is damaged")
    width, height, bits, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    if colour not in _KINDS or not width or not height:
        raise ImageFileError("its header is damaged")
    kind = _KINDS[colour]
    if b"tRNS" in chunks:
        kind = _WITH_ALPHA.get(kind, kind)
    exif, orientation, _, notes = _exif.parse(chunks.get(b"eXIf"))
    return Header(
        format="png",
        height=height,
        width=width,
        kind=kind,
        dtype=np.dtype(np.uint16 if bits == 16 else np.uint8),
        channels=_CHANNELS[kind],
        orientation=orientation,
        meta=Metadata(exif, _profile(chunks.get(b"iCCP", b"")), _dpi(chunks.get(b"pHYs", b""))),
        notes=(*notes, *_expansions(colour, bits, kind), *_frames(chunks.get(b"acTL", b""))),
    )


def _expansions(colour: int, bits: int, kind: str) -> Iterator[str]:
    if colour == 3:
        yield f"the palette is expanded to {kind}"
    elif bits < 8:
        yield f"{bits}-bit gray is expanded to 8 bit"


def _frames(content: bytes) -> Iterator[str]:
    if len(content) >= 4 and (count := int.from_bytes(content[:4], "big")) > 1:
        yield f"the first of {count} frames is used"


def _profile(content: bytes) -> bytes | None:
    name, _, packed = content.partition(b"\0")
    if not name or len(packed) < 2:
        return None
    try:
        return zlib.decompressobj().decompress(packed[1:], _MOST_METADATA) or None
    except zlib.error:
        return None


def _dpi(content: bytes) -> tuple[float, float] | None:
    if len(content) != 9 or content[8] != 1:
        return None
    x, y = struct.unpack(">II", content[:8])
    return (x * _INCH, y * _INCH) if x and y else None


def _metadata_chunks(meta: Metadata) -> Iterator[tuple[bytes, bytes]]:
    if meta.icc:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(meta.icc)
    if meta.dpi:
        yield b"pHYs", struct.pack(">IIB", *(round(value / _INCH) for value in meta.dpi), 1)
    if meta.exif:
        yield b"eXIf", meta.exif.removeprefix(b"Exif\0\0")
