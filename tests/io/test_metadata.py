# SPDX-License-Identifier: MIT
"""EXIF, ICC and DPI stay where the format has a place for them, and it is said where not."""

from __future__ import annotations

import io as bytes_io

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from halfpixel import io
from halfpixel.io import formats
from halfpixel.io._picture import upright

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WITH_EXIF = [name for name, row in formats.TABLE.items() if "exif" in row.holds]


def exif_of(picture: io.Picture) -> Image.Exif:
    exif = Image.Exif()
    exif.load(picture.meta.exif or b"")
    return exif


@pytest.mark.parametrize("name", WITH_EXIF)
def test_everything_is_kept(name, exif_block, pixels):
    meta = io.Metadata(exif_block(1), SRGB, (300.0, 150.0))
    back = io.read(io.encoded(io.Picture(pixels("rgb", "uint8", 21, 23), "rgb", meta=meta), name))
    exif = exif_of(back)
    assert (exif[271], exif[306]) == ("Maker", "2020:01:02 03:04:05")
    assert exif.get_ifd(34665)[33437] == pytest.approx(2.8)
    assert exif.get_ifd(34853)[1] == "N"
    assert back.meta.icc == SRGB
    assert back.meta.dpi == pytest.approx((300.0, 150.0), abs=0.02)


@pytest.mark.parametrize("name", WITH_EXIF)
def test_exif_says_the_new_size(name, exif_block, pixels):
    meta = io.Metadata(exif_block(1))
    back = io.read(io.encoded(io.Picture(pixels("rgb", "uint8", 30, 50), "rgb", meta=meta), name))
    details = exif_of(back).get_ifd(34665)
    assert (details[40962], details[40963]) == (50, 30)


@pytest.mark.parametrize("name", ["png", "tiff"])
def test_16_bit_keeps_it_too(name, exif_block, pixels):
    meta = io.Metadata(exif_block(1), SRGB, (72.0, 72.0))
    back = io.read(io.encoded(io.Picture(pixels("rgba", "uint16"), "rgba", meta=meta), name))
    assert exif_of(back)[271] == "Maker"
    assert back.meta.icc == SRGB


@pytest.mark.parametrize("big", [False, True])
def test_another_reader_finds_it_in_tiff(big, exif_block, pixels, tmp_path, monkeypatch):
    if big:
        monkeypatch.setattr("halfpixel.io._tiff_write._CLASSIC_BYTES", 0)
    io.write(io.Picture(pixels("rgb", "uint8"), "rgb", meta=io.Metadata(exif_block(1), SRGB)), tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        exif = image.getexif()
        assert exif[271] == "Maker"
        assert exif.get_ifd(34665)[33437] == pytest.approx(2.8)
        assert exif.get_ifd(34853)[1] == "N"
        assert image.info["icc_profile"] == SRGB
        assert np.array_equal(np.asarray(image), pixels("rgb", "uint8"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", [*WITH_EXIF, "tiff-tag"])
def test_orientation_is_applied_and_reset(orientation, name, exif_block, pixels):
    stored = Image.fromarray(np.kron(pixels("rgb", "uint8", 3, 5), np.ones((8, 8, 1), np.uint8)))
    tag = Image.Exif()
    tag[274] = orientation
    file = bytes_io.BytesIO()
    form = {"tiff-tag": "TIFF"}.get(name, name.upper())
    stored.save(file, form, **({"lossless": True} if name == "webp" else {}), exif=tag)
    picture = io.read(file.getvalue())
    assert io.header(file.getvalue()).size == picture.size
    expected = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))
    assert np.array_equal(picture.pixels, expected)
    again = io.read(io.encoded(picture, "png"))
    assert np.array_equal(again.pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_matches_pillow(orientation, pixels):
    stored = pixels("rgb", "uint8", 3, 5)
    image = Image.fromarray(stored)
    image.getexif()[274] = orientation
    assert np.array_equal(upright(stored, orientation), np.asarray(ImageOps.exif_transpose(image)))


def test_what_has_no_place_is_said(exif_block, pixels, tmp_path):
    meta = io.Metadata(exif_block(1), SRGB, (300.0, 300.0))
    notes = io.write(io.Picture(pixels("rgb", "uint8"), "rgb", meta=meta), tmp_path / "a.bmp")
    assert [note.split(" ")[0] for note in notes] == ["EXIF", "ICC"]
    assert io.read(tmp_path / "a.bmp").meta.dpi == pytest.approx((300, 300), abs=0.02)


def test_gray_profile_does_not_follow_into_rgb(pixels, tmp_path):
    profile = bytearray(SRGB)
    profile[16:20] = b"GRAY"
    picture = io.Picture(pixels("gray", "uint8"), "gray", meta=io.Metadata(icc=bytes(profile)))
    notes = io.write(picture, tmp_path / "a.webp")
    assert any("ICC profile is left out" in note for note in notes)
    assert io.read(tmp_path / "a.webp").meta.icc is None
    io.write(picture, tmp_path / "a.png")
    assert io.read(tmp_path / "a.png").meta.icc == bytes(profile)


def test_exif_too_long_for_jpeg_is_left_out_and_said(pixels, tmp_path):
    exif = Image.Exif()
    exif[40092] = b"x" * 70000
    picture = io.Picture(pixels("rgb", "uint8"), "rgb", meta=io.Metadata(exif.tobytes()))
    notes = io.write(picture, tmp_path / "a.jpg")
    assert any("EXIF is left out" in note for note in notes)
    assert io.write(picture, tmp_path / "a.png") == ()


def test_damaged_exif_costs_the_exif_only(pixels):
    file = bytes_io.BytesIO()
    Image.fromarray(pixels("rgb", "uint8")).save(file, "JPEG", exif=b"Exif\0\0garbage that is no TIFF header")
    picture = io.read(file.getvalue())
    assert picture.meta.exif is None
    assert any("EXIF is damaged" in note for note in picture.notes)


def test_tool_descriptions_do_not_pass_for_captions(pixels, tmp_path):
    """tifffile writes the array's shape as the description; in a resized file it would be wrong."""
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", pixels("gray", "uint8"))
    assert io.read(tmp_path / "a.tif").meta.exif is None or 270 not in exif_of(io.read(tmp_path / "a.tif"))
    tifffile.imwrite(tmp_path / "b.tif", pixels("gray", "uint8"), description="A bridge", metadata=None)
    assert exif_of(io.read(tmp_path / "b.tif"))[270] == "A bridge"
