# SPDX-License-Identifier: MIT
"""The many ways in which a TIFF file may store one picture."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from halfpixel import io
from halfpixel.io._tiff import TiffFile

LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 5},
    "packed strips": {"rowsperstrip": 5, "compression": "zlib"},
    "predicted": {"rowsperstrip": 5, "compression": "lzw", "predictor": True},
    "one packed strip": {"rowsperstrip": 1000, "compression": "zstd"},
    "tiles": {"tile": (16, 32)},
    "packed tiles": {"tile": (16, 16), "compression": "deflate"},
    "big-endian": {"byteorder": ">"},
    "big-endian packed": {"byteorder": ">", "compression": "zlib", "predictor": True},
    "bigtiff": {"bigtiff": True, "rowsperstrip": 7},
}
SHAPES = [(37, 53), (1, 1), (17, 16)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(
    ("kind", "dtype"), [("gray", "uint16"), ("rgb", "uint8"), ("rgb", "float32"), ("rgba", "uint16")]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_layouts(layout, planar, kind, dtype, shape, pixels, tmp_path):
    expected = pixels(kind, dtype, *shape)
    stored = expected.transpose(2, 0, 1) if planar and kind != "gray" else expected
    options = {"photometric": "minisblack" if kind == "gray" else "rgb", **LAYOUTS[layout]}
    if kind != "gray":
        options["planarconfig"] = "separate" if planar else "contig"
    if kind == "rgba":
        options["extrasamples"] = ["unassalpha"]
    tifffile.imwrite(tmp_path / "a.tif", np.ascontiguousarray(stored), **options)
    picture = io.read(tmp_path / "a.tif")
    assert picture.kind == kind
    assert np.array_equal(picture.pixels, expected)
    with open(tmp_path / "a.tif", "rb") as file:
        reader = TiffFile(file, "a.tif")
        height = shape[0]
        for start, stop in [(0, 1), (height // 2, height), (height // 3, height // 3 + 1), (0, height)]:
            assert np.array_equal(reader.rows(start, stop), expected[start:stop])


def test_white_is_zero(pixels, tmp_path):
    for dtype in ("uint8", "uint16"):
        tifffile.imwrite(tmp_path / "a.tif", pixels("gray", dtype), photometric="miniswhite")
        assert np.array_equal(io.read(tmp_path / "a.tif").pixels, np.iinfo(dtype).max - pixels("gray", dtype))


def test_bilevel(tmp_path):
    mask = np.random.default_rng(0).integers(0, 2, (13, 21)).astype(bool)
    tifffile.imwrite(tmp_path / "a.tif", mask, photometric="minisblack")
    picture = io.read(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, mask * np.uint8(255))
    assert any("1-bit" in note for note in picture.notes)


def test_12_bit_is_stretched_over_16(tmp_path):
    stored = np.random.default_rng(0).integers(0, 4096, (9, 14), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, bitspersample=12)
    picture = io.read(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, np.round(stored * (65535 / 4095)).astype(np.uint16))
    assert any("12-bit" in note for note in picture.notes)


def test_palette_of_16_bits(tmp_path):
    table = np.random.default_rng(0).integers(0, 65536, (3, 256), dtype=np.uint16)
    stored = np.arange(30, dtype=np.uint8).reshape(5, 6)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="palette", colormap=table)
    assert np.array_equal(io.read(tmp_path / "a.tif").pixels, table.T[stored])


def test_associated_alpha_is_known(pixels, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels("rgba", "uint16"), photometric="rgb", extrasamples=["assocalpha"])
    picture = io.read(tmp_path / "a.tif")
    assert picture.premultiplied
    assert io.read(io.encoded(picture, "tiff")).premultiplied


def test_sparse_tiles_are_filled(tmp_path):
    tiles = [np.full((16, 16), 7, np.uint8), None, None, np.full((16, 16), 9, np.uint8)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(iter(tiles), shape=(32, 32), dtype=np.uint8, tile=(16, 16), compression="zlib")
    pixels = io.read(tmp_path / "a.tif").pixels
    assert (pixels[0, 0], pixels[0, 31], pixels[31, 31]) == (7, 0, 9)


def test_a_preview_does_not_pass_for_the_picture(pixels, tmp_path):
    """Raw photos are TIFF files whose first page is a thumbnail."""
    tifffile.imwrite(tmp_path / "raw.tif", pixels("rgb", "uint8"), photometric="rgb", subfiletype=1)
    with pytest.raises(io.ImageFileError, match="preview of another"):
        io.read(tmp_path / "raw.tif")
    tifffile.imwrite(tmp_path / "cfa.tif", pixels("gray", "uint16"), photometric="CFA")
    with pytest.raises(io.ImageFileError, match="interpretation CFA is not read"):
        io.read(tmp_path / "cfa.tif")


def test_further_pages_are_mentioned(pixels, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([pixels("gray", "uint8")] * 3), photometric="minisblack")
    picture = io.read(tmp_path / "a.tif")
    assert picture.pixels.shape == (7, 11)
    assert any("first of 3 pages" in note for note in picture.notes)


def test_bytes_do_not_depend_on_the_blocks(pixels):
    import io as bytes_io

    from halfpixel.io._tiff_write import encode_rows

    expected = pixels("rgb", "uint16", 331, 200)
    header = io.Header("tiff", 331, 200, "rgb", expected.dtype, 3)
    written = []
    for step in (1, 7, 64, 331):
        file = bytes_io.BytesIO()
        encode_rows(file, header, (expected[start : start + step] for start in range(0, 331, step)))
        written.append(file.getvalue())
    assert len(set(written)) == 1
    assert np.array_equal(io.read(written[0]).pixels, expected)
