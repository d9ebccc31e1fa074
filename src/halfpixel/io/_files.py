# SPDX-License-Identifier: MIT
"""Opening, reading and writing one image file; every failure names the file and the reason."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from halfpixel.errors import HalfpixelError
from halfpixel.io import formats
from halfpixel.io._atomic import atomic_write
from halfpixel.io._limits import Limits
from halfpixel.io._picture import Header, ImageFileError, Picture, promoted, upright

Source = str | os.PathLike[str] | bytes
"""A path, ``"-"`` for standard input, or the bytes of an image file."""


def name_of(source: Source) -> str:
    """How messages call a source."""
    if isinstance(source, bytes):
        return f"<{len(source)} bytes>"
    return "standard input" if source == "-" else os.fspath(source)


@contextmanager
def naming(source: Source) -> Iterator[None]:
    """Turn whatever goes wrong with a file into an ImageFileError that names it and says why."""
    try:
        yield
    except ImageFileError as error:
        raise error.in_call(name_of(source)) from error.__cause__
    except HalfpixelError:
        raise
    except OSError as error:
        raise ImageFileError(_reason(error)).in_call(name_of(source)) from error
    except MemoryError as error:
        raise ImageFileError("there is not enough memory for it").in_call(name_of(source)) from error


@contextmanager
def open_image(source: Source) -> Iterator[formats.Reader]:
    """Open a file by what it holds, whatever it is called. Raises: ImageFileError."""
    with naming(source), _stream(source) as file:
        head = file.read(32)
        file.seek(0)
        name = formats.of_content(head)
        if name is None:
            raise _not_an_image(head)
        if reason := formats.TABLE[name].why_not():
            raise ImageFileError(reason)
        with coding():
            reader = formats.TABLE[name].open(file, name_of(source))
        yield reader


@contextmanager
def coding(what: str = "decoded") -> Iterator[None]:
    """Codecs raise whatever they like on damaged or odd data; here it becomes one sentence."""
    try:
        yield
    except (HalfpixelError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's own, such as a full disk
        raise ImageFileError(f"it cannot be {what}: {_reason(error)}") from error


def header(source: Source) -> Header:
    """What a file says of itself; nothing is decoded.

    **Convention:** ``Header.size`` is (height, width) after EXIF orientation.
    source: a path, ``"-"``, or bytes. Returns: Header. Raises: ImageFileError.

    >>> import numpy as np
    >>> found = header(encoded(Picture(np.zeros((3, 5, 3), np.uint16), "rgb"), "png"))
    >>> found.format, found.size, found.kind, found.dtype.name
    ('png', (3, 5), 'rgb', 'uint16')
    """
    with open_image(source) as reader:
        return reader.header


def read(source: Source, *, limits: Limits | None = None) -> Picture:
    """Decode an image file at the depth that it has, upright.

    **Convention:** pixels are (height, width) or (height, width, channels), in the file's own sample type; palettes
    and samples under 8 bits are expanded and ``notes`` says so; EXIF orientation is applied.
    source: a path, ``"-"``, or bytes. limits: refuse larger pictures before decoding.
    Returns: Picture. Raises: ImageFileError (a ValueError).

    >>> import numpy as np
    >>> read(encoded(Picture(np.full((2, 2), 40000, np.uint16), "gray"), "tiff")).pixels.tolist()
    [[40000, 40000], [40000, 40000]]
    """
    with open_image(source) as reader:
        found = reader.header
        (limits or Limits()).check_pixels(found)
        return decoded(reader)


def decoded(reader: formats.Reader) -> Picture:
    """The whole picture of an open file."""
    found = reader.header
    with coding():
        pixels = upright(reader.decode(), found.orientation)
    return Picture(pixels, found.kind, found.premultiplied, found.meta, found.notes)


def write(
    picture: Picture,
    target: str | os.PathLike[str],
    *,
    format: str | None = None,
    quality: int | None = None,
    lossless: bool = False,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write a picture to a file that appears whole or not at all.

    **Convention:** the format is ``format`` or the suffix of ``target``; depth, alpha and colour are never reduced.
    quality: 1 to 100, for the formats that have one. lossless: for WebP. overwrite: replace what is there.
    Returns: notes on metadata that the format has no place for. Raises: ImageFileError.

    >>> import numpy as np, tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.png"
    >>> write(Picture(np.zeros((4, 4), np.uint8), "gray"), target)
    ()
    """
    name = formats.get(format)[0] if format else formats.of_suffix(Path(target).suffix)
    if name is None:
        raise ImageFileError("its suffix names no format", f"one of {', '.join(formats.TABLE)}").in_call(str(target))
    with naming(os.fspath(target)):
        ready, notes = prepared(picture, name)
        with atomic_write(target, overwrite=overwrite) as file:
            encode(ready, name, file, quality, lossless)
        return notes


def encoded(picture: Picture, format: str, *, quality: int | None = None, lossless: bool = False) -> bytes:
    """The bytes of an image file that holds a picture: `write` without a file. Raises: ImageFileError."""
    name, _ = formats.get(format)
    file = io.BytesIO()
    encode(prepared(picture, name)[0], name, file, quality, lossless)
    return file.getvalue()


def prepared(picture: Picture, name: str) -> tuple[Picture, tuple[str, ...]]:
    """The picture as a format holds it, with the metadata that it has a place for, and notes on the rest."""
    kind, _, notes = formats.output_type(name, picture.kind, picture.pixels.dtype)
    meta, lost = formats.kept(name, picture.meta, kind, picture.size)
    check_side(name, picture.size)
    return replace(picture, pixels=promoted(picture.pixels, picture.kind, kind), kind=kind, meta=meta), notes + lost


def encode(picture: Picture, name: str, file: BinaryIO, quality: int | None, lossless: bool) -> None:
    """Encode a prepared picture."""
    row = formats.TABLE[name]
    if reason := row.why_not():
        raise ImageFileError(reason)
    with coding("encoded"):
        row.encode(file, picture, quality, lossless)


def check_side(name: str, size: tuple[int, int]) -> None:
    """Raises: ImageFileError where a format cannot hold a picture of ``size``."""
    limit = formats.TABLE[name].side
    if max(size) > limit:
        what = f"{name.upper()} holds {limit} pixels a side and the output is {size[1]} x {size[0]}"
        raise ImageFileError(what, "--format tiff or png")


def _stream(source: Source) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if source == "-":
        return io.BytesIO(sys.stdin.buffer.read())
    return open(source, "rb")


def _not_an_image(head: bytes) -> ImageFileError:
    if not head:
        return ImageFileError("it is empty")
    known = ", ".join(name.upper() for name in formats.TABLE)
    return ImageFileError(f"it is not an image of a format that is read ({known})")


def _reason(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
    return text.splitlines()[0][:200]
