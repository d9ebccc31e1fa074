# SPDX-License-Identifier: MIT
"""Every kind and depth that a format says it writes comes back as it was."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from halfpixel import io
from halfpixel.io import formats

CASES = [
    (name, kind, dtype)
    for name, row in formats.TABLE.items()
    for kind, dtypes in row.writes.items()
    for dtype in dtypes
]


@pytest.mark.parametrize(("name", "kind", "dtype"), CASES)
@pytest.mark.parametrize("size", [(7, 11), (1, 1), (1, 13), (13, 1)])
def test_round_trip(name, kind, dtype, size, pixels):
    picture = io.Picture(pixels(kind, dtype, *size), kind)
    data = io.encoded(picture, name, lossless=formats.TABLE[name].lossless)
    header, back = io.header(data), io.read(data)
    assert (header.format, header.kind, header.dtype, header.size) == (name, kind, dtype, size)
    assert header.nbytes == back.pixels.nbytes
    assert (back.kind, back.pixels.dtype, back.pixels.shape) == (kind, dtype, picture.pixels.shape)
    if formats.TABLE[name].lossless:
        assert np.array_equal(back.pixels, picture.pixels)
    assert back.notes == ()


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name, row in formats.TABLE.items() if not row.lossless for kind in row.writes],
)
def test_lossy_formats_stay_near(name, kind):
    ramp = np.linspace(40, 200, 64 * 64 * io.KINDS[kind].channels).reshape(64, 64, -1).astype(np.uint8)
    picture = io.Picture(ramp if io.KINDS[kind].channels > 1 else ramp[..., 0], kind)
    back = io.read(io.encoded(picture, name, quality=95)).pixels
    assert np.abs(back.astype(int) - picture.pixels).max() <= 6


def test_quality_changes_the_size(pixels):
    picture = io.Picture(pixels("rgb", "uint8", 64, 64), "rgb")
    for name in (name for name, row in formats.TABLE.items() if row.quality):
        assert len(io.encoded(picture, name, quality=20)) < len(io.encoded(picture, name, quality=95)), name


def test_another_reader_sees_the_same(pixels, tmp_path):
    """What is written must be the format, not something that only this package reads."""
    import cv2

    rgb16 = pixels("rgb", "uint16")
    io.write(io.Picture(rgb16, "rgb"), tmp_path / "a.png")
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)[..., ::-1], rgb16)
    for kind, mode in (("rgb", "RGB"), ("rgba", "RGBA"), ("cmyk", "CMYK"), ("gray", "L")):
        io.write(io.Picture(pixels(kind, "uint8"), kind), tmp_path / f"{mode}.tif")
        with Image.open(tmp_path / f"{mode}.tif") as image:
            assert image.mode == mode
            assert np.array_equal(np.asarray(image), pixels(kind, "uint8"))


@pytest.mark.parametrize(("mode", "kind", "note"), [("1", "gray", "1-bit"), ("P", "rgb", "palette")])
@pytest.mark.parametrize("name", ["png", "bmp", "tiff"])
def test_short_samples_are_expanded_and_said(mode, kind, note, name, tmp_path):
    rgb = np.zeros((9, 10, 3), np.uint8)
    rgb[:, 5:] = (0, 255, 255) if mode == "P" else 255
    image = Image.fromarray(rgb).quantize(4) if mode == "P" else Image.fromarray(rgb).convert("1")
    image.save(tmp_path / "a", name.upper())
    picture = io.read(tmp_path / "a")
    assert any(note in sentence for sentence in picture.notes), picture.notes
    assert picture.kind == kind or (mode, name) == ("1", "bmp")
    assert np.array_equal(picture.pixels, rgb if picture.kind == "rgb" else rgb[..., 0])


def test_palette_with_transparency_becomes_rgba(tmp_path):
    image = Image.fromarray(np.arange(30, dtype=np.uint8).reshape(5, 6) % 3, "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "a.png", transparency=bytes([0, 128, 255]))
    picture = io.read(tmp_path / "a.png")
    assert picture.kind == "rgba"
    assert picture.pixels[0, :3].tolist() == [[255, 0, 0, 0], [0, 255, 0, 128], [0, 0, 255, 255]]


def test_transparent_colour_of_16_bit_png_becomes_alpha():
    import struct
    import zlib

    data = io.encoded(io.Picture(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint16), "rgb"), "png")
    chunk = b"tRNS" + struct.pack(">3H", 4, 5, 6)
    data = data[:33] + struct.pack(">I", 6) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    assert io.header(data).kind == "rgba"
    assert io.read(data).pixels.tolist() == [[[1, 2, 3, 65535], [4, 5, 6, 0]]]


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif_is_not_read_as_8_bit(bits):
    import imagecodecs

    if reason := formats.TABLE["avif"].why_not():
        pytest.skip(reason)
    stored = np.random.default_rng(0).integers(0, 1 << bits, (12, 14, 3), dtype=np.uint16)
    picture = io.read(imagecodecs.avif_encode(stored, level=100, bitspersample=bits))
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(np.round(picture.pixels / (65535 / ((1 << bits) - 1))), stored)
    assert any(f"{bits}-bit" in note for note in picture.notes)


def test_unknown_format_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'jpeg'"):
        formats.get("jpge")


@pytest.mark.parametrize(
    ("name", "kind", "dtype", "works"),
    [
        ("jpeg", "rgb", "uint16", "--depth 8"),
        ("jpeg", "rgba", "uint8", "--background"),
        ("png", "cmyk", "uint8", "--format jpeg or tiff"),
        ("png", "rgb", "float32", "--depth 16 or 8"),
        ("webp", "gray", "uint16", "--format png or tiff"),
        ("avif", "gray+alpha", "uint16", "--depth 8"),
        ("bmp", "rgba", "uint8", "--format png or webp or tiff or avif"),
    ],
)
def test_nothing_is_reduced_silently(name, kind, dtype, works, pixels):
    with pytest.raises(io.ImageFileError, match=works):
        io.encoded(io.Picture(pixels(kind, dtype), kind), name)


def test_gray_goes_into_a_format_without_gray_and_it_is_said(pixels, tmp_path):
    gray = pixels("gray+alpha", "uint8")
    notes = io.write(io.Picture(gray, "gray+alpha"), tmp_path / "a.webp", lossless=True)
    assert notes == ("WEBP holds no gray+alpha: written as rgba",)
    assert np.array_equal(io.read(tmp_path / "a.webp").pixels, gray[..., [0, 0, 0, 1]])
