# SPDX-License-Identifier: MIT
"""What cannot be read is refused in a sentence that names the file and the reason."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np
import pytest
import tifffile

from halfpixel import io
from halfpixel.io import formats


@pytest.mark.parametrize("name", list(formats.TABLE))
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated(name, share, tmp_path, pixels):
    data = io.encoded(io.Picture(pixels("rgb", "uint8", 90, 120), "rgb"), name)
    path = tmp_path / "cut"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(io.ImageFileError, match=r"cut: it "):
        io.read(path)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_truncated_tiff_pixels(compression, tile, tmp_path, pixels):
    """The directory of these stands in front: the header is whole, the pixels are not."""
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, pixels("rgb", "uint16", 64, 64), compression=compression, tile=tile, photometric="rgb")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(io.ImageFileError, match=r"cut\.tif: it is truncated"):
        io.read(path)


@pytest.mark.parametrize("name", list(formats.TABLE))
def test_damaged_in_the_middle_does_not_crash(name, pixels):
    """Damage is either found or harmless; it never ends in anything but a picture or an ImageFileError."""
    data = io.encoded(io.Picture(pixels("rgb", "uint8", 40, 50), "rgb"), name)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        hurt = bytearray(data)
        for at in rng.integers(12, len(data), 6):
            hurt[at] = rng.integers(256)
        try:
            io.read(bytes(hurt), limits=io.Limits(pixels=1 << 16))
        except io.ImageFileError:
            continue


def test_empty(tmp_path):
    (tmp_path / "none.png").write_bytes(b"")
    with pytest.raises(io.ImageFileError, match=r"none\.png: it is empty"):
        io.read(tmp_path / "none.png")


@pytest.mark.parametrize("content", [b"hello, world", b"\x89PNG", b"GIF89a" + b"\0" * 40, bytes(100)])
def test_not_an_image(content, tmp_path):
    (tmp_path / "text.png").write_bytes(content)
    with pytest.raises(io.ImageFileError, match=r"text\.png: it is not an image of a format that is read \(PNG, "):
        io.read(tmp_path / "text.png")


def test_missing_and_folder(tmp_path):
    with pytest.raises(io.ImageFileError, match=r"gone\.png: No such file"):
        io.read(tmp_path / "gone.png")
    with pytest.raises(io.ImageFileError, match="Is a directory"):
        io.read(tmp_path)


def test_permission_denied(tmp_path, monkeypatch):
    """Simulated, as a superuser may read everything."""

    def refuse(*args, **kwargs):
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(io.ImageFileError, match=r"locked\.png: Permission denied"):
        io.read(tmp_path / "locked.png")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header declares any size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(b"\0")
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, pixels, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_bomb_is_refused_by_its_header():
    with pytest.raises(io.NeedsMemory, match=r"(?s)declares 60000 x 60000 pixels.*--max-pixels 3600000000"):
        io.read(bomb(60000, 60000))


@pytest.mark.parametrize(
    ("limits", "refused"), [(io.Limits(), False), (io.Limits(pixels=99), True), (io.Limits(pixels=100), False)]
)
def test_pixel_limit(limits, refused):
    data = io.encoded(io.Picture(np.zeros((10, 10), np.uint8), "gray"), "png")
    if refused:
        with pytest.raises(io.NeedsMemory):
            io.read(data, limits=limits)
    else:
        assert io.read(data, limits=limits).size == (10, 10)


def test_compressed_profile_bomb_is_not_unpacked_without_bound():
    profile = b"iCCP" + b"p\0\0" + zlib.compress(bytes(1 << 27))
    chunk = struct.pack(">I", len(profile) - 4) + profile + struct.pack(">I", zlib.crc32(profile))
    data = io.encoded(io.Picture(np.zeros((4, 4), np.uint8), "gray"), "png")
    header = io.header(data[:33] + chunk + data[33:])
    assert header.meta.icc is None or len(header.meta.icc) <= 1 << 26


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_tiff_of_complex_numbers(dtype, tmp_path):
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((4, 4), dtype))
    with pytest.raises(io.ImageFileError, match=r"c\.tif: its samples"):
        io.read(tmp_path / "c.tif")


def test_unknown_suffix_when_writing(tmp_path, pixels):
    with pytest.raises(io.ImageFileError, match=r"a\.xyz: its suffix names no format"):
        io.write(io.Picture(pixels("gray", "uint8"), "gray"), tmp_path / "a.xyz")


def test_side_limit_is_checked_before_encoding():
    with pytest.raises(io.ImageFileError, match="WEBP holds 16383 pixels a side"):
        io.encoded(io.Picture(np.zeros((1, 16384, 3), np.uint8), "rgb"), "webp")


@pytest.mark.parametrize("name", list(formats.TABLE))
def test_limits_are_kept_before_decoding(name, tmp_path, monkeypatch, pixels):
    data = io.encoded(io.Picture(pixels("rgb", "uint8", 40, 50), "rgb"), name)
    monkeypatch.setattr("halfpixel.io._files.decoded", None)
    monkeypatch.setattr("halfpixel.io._job.decoded", None)
    small, tight = io.Limits(pixels=1999), io.Limits(memory=8000)
    with pytest.raises(io.NeedsMemory, match="50 x 40 pixels, more than the limit of 1,999"):
        io.read(data, limits=small)
    for limits in (small, tight):
        settings = io.Settings(io.SizeRule(size=(100, 80)), format="png", limits=limits)
        with pytest.raises(io.NeedsMemory):
            io.resize_file(data, tmp_path / "out.png", settings)
    assert list(tmp_path.iterdir()) == []
