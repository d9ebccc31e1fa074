# SPDX-License-Identifier: MIT
"""TIFF out, one strip at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from halfpixel.io import _exif
from halfpixel.io._picture import KINDS, Header, Picture

_STRIP_BYTES = 1 << 18
_CLASSIC_BYTES = 0xF0000000  # above this offsets may pass 32 bits, and BigTIFF is written
_PHOTOMETRIC = {b"GRAY": ("minisblack", 1), b"RGB ": ("rgb", 3), b"CMYK": ("separated", 4)}
_ALPHA = {(True, True): "assocalpha", (True, False): "unassalpha"}


def encode(file: BinaryIO, picture: Picture, quality: int | None, lossless: bool) -> None:
    """Write a whole picture as TIFF: the same bytes as in rows."""
    pixels = picture.pixels
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    header = Header(
        "tiff", *picture.size, picture.kind, pixels.dtype, channels,
        premultiplied=picture.premultiplied, meta=picture.meta,
    )  # fmt: skip
    encode_rows(file, header, [pixels])


def encode_rows(file: BinaryIO, header: Header, blocks: Iterable[npt.NDArray]) -> None:
    """Write blocks of rows, of any heights, as deflated strips.

    **Convention:** ``header`` says what the rows are; the bytes do not depend on how they are divided into blocks.
    """
    kind, meta, big = KINDS[header.kind], header.meta, header.nbytes > _CLASSIC_BYTES
    photometric, colours = _PHOTOMETRIC[kind.icc_space]
    extra = header.channels - colours
    rows = max(1, min(header.height, _STRIP_BYTES // (header.width * header.pixel_bytes)))
    predictor = _predictor(header.dtype)
    with tifffile.TiffWriter(file, byteorder="<", bigtiff=big) as writer:
        writer.write(
            (_packed(strip, predictor) for strip in _strips(blocks, rows)),
            shape=(header.height, header.width, *([header.channels] if header.channels > 1 else [])),
            dtype=header.dtype,
            photometric=photometric,
            planarconfig="contig" if header.channels > 1 else None,
            extrasamples=[_ALPHA.get((kind.alpha, header.premultiplied), "unspecified")] * extra or None,
            rowsperstrip=rows,
            compression="zlib",
            predictor=predictor,
            iccprofile=meta.icc,
            resolution=meta.dpi,
            resolutionunit="inch" if meta.dpi else None,
            metadata=None,
            software=False,
            extratags=_exif.tiff_tags(meta.exif) if meta.exif else (),
        )
    if meta.exif:
        _append_directories(file, meta.exif, big)


def _predictor(dtype: np.dtype) -> int | None:
    if dtype.itemsize == 8 and dtype.kind != "f":
        return None
    return 3 if dtype.kind == "f" else 2


def _strips(blocks: Iterable[npt.NDArray], rows: int) -> Iterator[npt.NDArray]:
    """The same rows in blocks of ``rows`` each, the last one excepted."""
    held: list[npt.NDArray] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count >= rows:
            joined = np.concatenate(held) if len(held) > 1 else block
            whole = count - count % rows
            yield from (joined[start : start + rows] for start in range(0, whole, rows))
            held, count = ([joined[whole:].copy()] if count > whole else []), count - whole
    if held:
        yield np.concatenate(held)


def _packed(strip: npt.NDArray, predictor: int | None) -> bytes:
    if strip.ndim == 2:
        strip = strip[..., np.newaxis]
    strip = np.ascontiguousarray(strip, strip.dtype.newbyteorder("<"))
    if predictor == 3:
        strip = imagecodecs.floatpred_encode(strip, axis=-2)
    elif predictor == 2:
        strip = imagecodecs.delta_encode(strip, axis=-2)
    return bytes(imagecodecs.deflate_encode(strip.tobytes(), level=6))


def _append_directories(file: BinaryIO, exif: bytes, big: bool) -> None:
    """Put the EXIF and GPS directories behind the pixels, and a first directory that points to them behind those.

    tifffile writes no directory within a directory; a TIFF file's first one may stand anywhere.
    """
    pointer, count, offset, entry, first = ("<Q", "<Q", "Q", 20, 8) if big else ("<I", "<H", "I", 12, 4)
    file.seek(_read(file, pointer, first))
    entries = [file.read(entry) for _ in range(_read(file, count, file.tell()))]
    for tag, directory in _exif.sub_directories(exif, big):
        at = _even_end(file)
        file.write(directory(at))
        entries.append(struct.pack(f"<HH{offset}{offset}", tag, 4, 1, at))
    entries.sort(key=lambda row: row[1] << 8 | row[0])
    at = _even_end(file)
    file.write(struct.pack(count, len(entries)) + b"".join(entries) + struct.pack(pointer, 0))
    file.seek(first)
    file.write(struct.pack(pointer, at))


def _read(file: BinaryIO, code: str, at: int) -> int:
    file.seek(at)
    return struct.unpack(code, file.read(struct.calcsize(code)))[0]


def _even_end(file: BinaryIO) -> int:
    """The end of the file as an even offset, which TIFF asks for."""
    end = file.seek(0, 2)
    return end + file.write(b"\0" * (end % 2))
