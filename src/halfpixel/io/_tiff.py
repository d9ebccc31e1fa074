# SPDX-License-Identifier: MIT
"""TIFF in rows: every sample type, strips and tiles in, strips out, nothing held that the rows do not need."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import tifffile

from halfpixel.io import _exif
from halfpixel.io._picture import KINDS, Header, ImageFileError, Metadata, widened

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_ASSOCIATED, _UNASSOCIATED = 1, 2
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _SEPARATED: 4, _YCBCR: 3}
_KIND = {(1, False): "gray", (1, True): "gray+alpha", (3, False): "rgb", (3, True): "rgba", (4, False): "cmyk"}
_KIND[4, True] = "cmyk+alpha"
_JPEG = (6, 7, 33007, 34892)


class TiffFile:
    """An open TIFF file: its header at once, any band of its rows when asked. The first page is the picture."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._tiff = tifffile.TiffFile(file, name=name)
        self._page: Any = self._tiff.pages.first
        self._segments: OrderedDict[int, npt.NDArray] = OrderedDict()
        self.header = self._read_header(file)

    def decode(self) -> npt.NDArray:
        """All rows."""
        return self.rows(0, self.header.height)

    def rows(self, start: int, stop: int) -> npt.NDArray:
        """Stored rows ``start`` to ``stop``; only the strips or tiles that they stand in are read."""
        return self._as_seen(self._contiguous(start, stop) if self._page.is_contiguous else self._cut(start, stop))

    def _read_header(self, file: BinaryIO) -> Header:
        page = self._page
        kind, notes = self._kind()
        channels = KINDS[kind].channels or page.samplesperpixel
        orientation = getattr(page.tags.get(274), "value", 1)
        described = not (self._tiff.is_shaped or self._tiff.is_imagej or self._tiff.is_ome or self._tiff.is_stk)
        exif = _exif.from_tiff(file, page.offset, self._tiff.byteorder, self._tiff.is_bigtiff, described)
        if len(self._tiff.pages) > 1:
            notes = (*notes, f"the first of {len(self._tiff.pages)} pages is used")
        return Header(
            format="tiff",
            height=page.imagelength,
            width=page.imagewidth,
            kind=kind,
            dtype=self._dtype(),
            channels=channels,
            orientation=orientation if orientation in range(1, 9) else 1,
            premultiplied=_ASSOCIATED in page.extrasamples and KINDS[kind].alpha,
            scratch=self._segment_bytes(),
            meta=Metadata(exif, page.iccprofile, _dpi(page)),
            notes=notes,
        )

    def _kind(self) -> tuple[str, tuple[str, ...]]:
        page = self._page
        photometric, samples = int(page.photometric), page.samplesperpixel
        if page.dtype is None or page.dtype.kind not in "fuib":
            raise ImageFileError("its samples are of a type that is not an image's (complex or mixed)")
        if photometric not in _COLOURS or (photometric == _YCBCR and int(page.compression) not in _JPEG):
            name = getattr(page.photometric, "name", page.photometric)
            raise ImageFileError(f"its photometric interpretation {name} is not read")
        if page.is_reduced:
            raise ImageFileError("its first page is a preview of another one, as in raw photos, which are not read")
        if page.imagedepth != 1 or not page.imagelength or not page.imagewidth:
            raise ImageFileError("it holds a volume or nothing; one plane is read")
        if photometric == _PALETTE:
            return "rgb", ("the palette is expanded to rgb",)
        extra = samples - _COLOURS[photometric]
        if extra == 0:
            return _KIND[_COLOURS[photometric], False], self._bit_notes()
        if extra == 1 and page.extrasamples and page.extrasamples[0] in (_ASSOCIATED, _UNASSOCIATED):
            return _KIND[_COLOURS[photometric], True], self._bit_notes()
        if extra < 0 or photometric == _SEPARATED:
            raise ImageFileError(f"{samples} samples a pixel do not fit its photometric interpretation")
        return ("rgb+bands" if _COLOURS[photometric] == 3 else "bands"), self._bit_notes()

    def _bit_notes(self) -> tuple[str, ...]:
        bits, dtype = self._page.bitspersample, self._dtype()
        short = dtype.kind == "u" and bits < 8 * dtype.itemsize
        return (f"{bits}-bit samples are stretched to {8 * dtype.itemsize} bit",) if short else ()

    def _dtype(self) -> np.dtype:
        page = self._page
        if int(page.photometric) == _PALETTE:
            low, high = page.colormap & 255, page.colormap >> 8  # 8-bit tables were widened by 257 or by 256
            return np.dtype(np.uint8 if not low.any() or np.array_equal(low, high) else np.uint16)
        return np.dtype(np.uint8) if page.dtype.kind == "b" else page.dtype.newbyteorder("=")

    def _segment_bytes(self) -> int:
        """Bytes of one row of strips or tiles, decoded: what reading a single row may need."""
        page = self._page
        if page.is_contiguous:
            return 0
        height, width = _segment_shape(page)
        return height * math.ceil(page.imagewidth / width) * width * page.samplesperpixel * page.dtype.itemsize

    def _contiguous(self, start: int, stop: int) -> npt.NDArray:
        page, file = self._page, self._tiff.filehandle
        planes, rows, columns, samples = page.shaped[0], page.imagelength, page.imagewidth, page.shaped[-1]
        dtype = np.dtype(page.parent.byteorder + page._dtype.char)
        out = np.empty((planes, stop - start, columns, samples), page.dtype)
        row_bytes = columns * samples * dtype.itemsize
        for plane in range(planes):
            file.seek(page.dataoffsets[0] + (plane * rows + start) * row_bytes)
            data = file.read((stop - start) * row_bytes)
            if len(data) < (stop - start) * row_bytes:
                raise ImageFileError("it is truncated: the file ends before its pixels do")
            out[plane] = np.frombuffer(data, dtype).reshape(out.shape[1:])
        return out

    def _cut(self, start: int, stop: int) -> npt.NDArray:
        page = self._page
        planes, columns, samples = page.shaped[0], page.imagewidth, page.shaped[-1]
        out = np.empty((planes, stop - start, columns, samples), page.dtype)
        height, width = _segment_shape(page)
        across, down = math.ceil(columns / width), math.ceil(page.imagelength / height)
        for plane in range(planes):
            for line in range(start // height, math.ceil(stop / height)):
                for column in range(across):
                    index = (plane * down + line) * across + column
                    segment = self._segment(index, 2 * across * planes)
                    first, last = max(start, line * height), min(stop, line * height + segment.shape[0])
                    left = column * width
                    out[plane, first - start : last - start, left : left + width] = segment[
                        first - line * height : last - line * height, : columns - left
                    ]
        return out

    def _segment(self, index: int, keep: int) -> npt.NDArray:
        """One decoded strip or tile; the last ``keep`` stay, as neighbouring bands of rows share them."""
        if index in self._segments:
            self._segments.move_to_end(index)
            return self._segments[index]
        page, file = self._page, self._tiff.filehandle
        if index >= min(len(page.dataoffsets), len(page.databytecounts)):
            raise ImageFileError("it is damaged: part of its pixels is not in the file")
        file.seek(page.dataoffsets[index])
        data = file.read(page.databytecounts[index])
        if len(data) < page.databytecounts[index]:
            raise ImageFileError("it is truncated: the file ends before its pixels do")
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        decoded, _, shape = page.decode(data or None, index, **(tables if int(page.compression) in _JPEG else {}))
        segment = np.full(shape[1:], page.nodata, page.dtype) if decoded is None else decoded[0]
        self._segments[index] = segment
        while len(self._segments) > keep:
            self._segments.popitem(last=False)
        return segment

    def _as_seen(self, planes: npt.NDArray) -> npt.NDArray:
        """(planes, rows, columns, samples) as stored to (rows, columns[, channels]) with 0 black."""
        page = self._page
        pixels = np.concatenate(planes, axis=-1) if planes.shape[0] > 1 else planes[0]
        dtype = self.header.dtype
        if int(page.photometric) == _PALETTE:
            table = page.colormap.T if dtype == np.uint16 else page.colormap.T >> 8
            return table.astype(dtype)[pixels[..., 0]]
        if pixels.dtype.kind == "b":
            pixels = pixels * np.uint8(255)
        elif pixels.dtype.kind == "u" and page.bitspersample < 8 * dtype.itemsize:
            pixels = widened(pixels, page.bitspersample)
        if int(page.photometric) == _WHITE_IS_ZERO:
            pixels = (1 - pixels).astype(dtype) if dtype.kind == "f" else ~pixels
        return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _segment_shape(page: Any) -> tuple[int, int]:
    """(rows, columns) of a strip or tile."""
    return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)


def _dpi(page: Any) -> tuple[float, float] | None:
    unit = {2: 1.0, 3: 2.54}.get(int(getattr(page.tags.get(296), "value", 2)))
    values = [getattr(page.tags.get(tag), "value", (0, 0)) for tag in (282, 283)]
    if unit is None or any(numerator <= 0 or denominator <= 0 for numerator, denominator in values):
        return None
    x, y = (numerator / denominator * unit for numerator, denominator in values)
    return x, y
