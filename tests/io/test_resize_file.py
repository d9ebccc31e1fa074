# SPDX-License-Identifier: MIT
"""Files resized into files: the pixels are the engine's, whole or streamed, and nothing else is changed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tifffile

import halfpixel
from halfpixel import io
from halfpixel.io import _job, formats

TWICE = io.SizeRule(scale=Fraction(2))


def resized(source, target, **options):
    return io.resize_file(source, target, io.Settings(**{"size": TWICE, **options}))


@pytest.mark.parametrize("name", list(formats.TABLE))
def test_the_pixels_are_those_of_the_engine(name, pixels, tmp_path):
    io.write(io.Picture(pixels("rgb", "uint8", 13, 17), "rgb"), tmp_path / "a", format=name)
    job = resized(tmp_path / "a", tmp_path / "b.png", method={"filter": "cubic"})
    expected = halfpixel.resize_image(io.read(tmp_path / "a").pixels, (26, 34), filter="cubic")
    assert np.array_equal(io.read(tmp_path / "b.png").pixels, expected)
    assert (job.size, job.in_rows) == ((26, 34), False)


@pytest.mark.parametrize("kind", ["gray", "rgb", "cmyk", "bands"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float16", "float32", "float64"])
def test_every_depth_of_tiff(kind, dtype, pixels, tmp_path):
    original = pixels(kind, dtype, 13, 17)
    io.write(io.Picture(original, kind), tmp_path / "a.tif")
    resized(tmp_path / "a.tif", tmp_path / "b.tif")
    back = io.read(tmp_path / "b.tif")
    assert back.kind == kind
    assert np.array_equal(back.pixels, halfpixel.resize_image(original, (26, 34)))


@pytest.mark.parametrize(("name", "suffix"), [("jpeg", ""), ("tiff", ".tiff"), (None, ".webp")])
def test_format_is_the_option_then_the_suffix_then_the_input(name, suffix, pixels, tmp_path):
    io.write(io.Picture(pixels("rgb", "uint8"), "rgb"), tmp_path / "a.png")
    resized(tmp_path / "a.png", tmp_path / f"b{suffix}", format=name)
    assert io.header(tmp_path / f"b{suffix}").format == (name or "webp")
    resized(tmp_path / "a.png", tmp_path / "c")
    assert io.header(tmp_path / "c").format == "png"


STREAMED = [
    ("gray", "uint8"),
    ("rgb", "uint8"),
    ("rgba", "uint8"),
    ("rgb", "float32"),
    ("gray+alpha", "uint16"),
    ("cmyk", "uint16"),
]


@pytest.mark.parametrize(("kind", "dtype"), STREAMED)
@pytest.mark.parametrize("size", [(600, 150), (211, 300), (700, 61), (397, 83), (396, 84), (397, 160), (203, 41)])
@pytest.mark.parametrize("filter", ["lanczos3", "nearest", "area"])
def test_streamed_is_the_whole_bit_for_bit(kind, dtype, size, filter, pixels, tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels(kind, dtype, 397, 83),
        rowsperstrip=3,
        compression="zlib",
        photometric={"g": "minisblack", "r": "rgb", "c": "separated"}[kind[0]],
        planarconfig=None if kind == "gray" else "contig",
        extrasamples=["unassalpha"] if io.KINDS[kind].alpha else None,
    )
    rule = io.SizeRule(size=(size[1], size[0]))
    for linear in [False, True] if kind != "cmyk" and dtype != "float32" else [False]:
        options = {"size": rule, "method": {"filter": filter}, "linear_light": linear, "overwrite": True}
        whole = resized(tmp_path / "a.tif", tmp_path / "whole.tif", **options)
        half = io.Limits(memory=whole.nbytes // 2)
        job = resized(tmp_path / "a.tif", tmp_path / "rows.tif", limits=half, **options)
        assert (whole.in_rows, job.in_rows) == (False, True)
        assert (tmp_path / "rows.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_streaming_really_happens_and_needs_few_rows(pixels, tmp_path, monkeypatch):
    from halfpixel.io._tiff import TiffFile

    asked = []
    rows = TiffFile.rows
    monkeypatch.setattr(TiffFile, "rows", lambda self, a, b: asked.append(b - a) or rows(self, a, b))
    tifffile.imwrite(tmp_path / "a.tif", pixels("gray", "uint8", 2000, 50), rowsperstrip=8)
    job = resized(tmp_path / "a.tif", tmp_path / "b.tif", limits=io.Limits(memory=100_000), method={"filter": "cubic"})
    assert job.in_rows
    assert max(asked) < 400
    assert len(asked) > 10


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_streamed_orientations(orientation, pixels, tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels("rgb", "uint8", 90, 50),
        photometric="rgb",
        rowsperstrip=4,
        extratags=[(274, 3, 1, orientation, True)],
    )
    resized(tmp_path / "a.tif", tmp_path / "whole.tif")
    job = resized(tmp_path / "a.tif", tmp_path / "rows.tif", limits=io.Limits(memory=60_000))
    assert job.in_rows
    assert (tmp_path / "rows.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


@pytest.mark.parametrize(
    ("source", "target", "options", "reason"),
    [
        ("a.png", "b.tif", {}, "PNG is not read in rows"),
        ("a.tif", "b.png", {}, "PNG is not written in rows"),
        ("turned.tif", "b.tif", {}, "exchanges rows and columns"),
        ("a.tif", "b.tif", {"method": {"filter": "spline3"}}, "spline"),
        ("one strip.tif", "b.tif", {}, "one row of its strips or tiles holds"),
    ],
)
def test_what_cannot_be_streamed_is_refused_before_decoding(
    source, target, options, reason, pixels, tmp_path, monkeypatch
):
    picture = io.Picture(pixels("rgb", "uint8", 300, 300), "rgb")
    io.write(picture, tmp_path / "a.png")
    io.write(picture, tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "turned.tif", picture.pixels, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    tifffile.imwrite(
        tmp_path / "one strip.tif", picture.pixels, photometric="rgb", compression="zlib", rowsperstrip=300
    )
    monkeypatch.setattr(_job, "decoded", None)
    with pytest.raises(io.NeedsMemory, match=reason) as caught:
        resized(tmp_path / source, tmp_path / target, limits=io.Limits(memory=300_000), **options)
    assert ("--max-memory 7MiB" if reason == "spline" else "--max-memory 2MiB") in str(caught.value)
    assert not (tmp_path / target).exists() or target == source


def test_failure_while_streaming_leaves_nothing(pixels, tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", pixels("rgb", "uint8", 400, 100), photometric="rgb", rowsperstrip=8, compression="zlib"
    )
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: len(data) * 2 // 3])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(io.ImageFileError, match=r"a\.tif: it is truncated"):
        resized(tmp_path / "a.tif", tmp_path / "b.tif", limits=io.Limits(memory=100_000))
    assert sorted(tmp_path.iterdir()) == before


def test_stopping_leaves_nothing(pixels, tmp_path):
    def stop(share):
        raise KeyboardInterrupt

    io.write(io.Picture(pixels("rgb", "uint8"), "rgb"), tmp_path / "a.png")
    with pytest.raises(KeyboardInterrupt):
        io.resize_file(tmp_path / "a.png", tmp_path / "b.png", io.Settings(TWICE), on_progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_metadata_goes_along(exif_block, pixels, tmp_path):
    meta = io.Metadata(exif_block(6), None, (300.0, 300.0))
    io.write(io.Picture(pixels("rgb", "uint8"), "rgb", meta=meta), tmp_path / "a.tif")
    resized(tmp_path / "a.tif", tmp_path / "b.jpg")
    back = io.header(tmp_path / "b.jpg")
    assert back.orientation == 1
    assert back.meta.dpi == (300, 300)
    assert b"Maker" in back.meta.exif


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (io.SizeRule(scale=Fraction(3, 2)), (450, 600)),
        (io.SizeRule(scale=Fraction(1, 7)), (43, 57)),
        (io.SizeRule(size=(1920, 1080)), (1080, 1920)),
        (io.SizeRule(width=100), (75, 100)),
        (io.SizeRule(height=1), (1, 1)),
        (io.SizeRule(width=10, height=90), (90, 10)),
        (io.SizeRule(fit=(100, 100)), (75, 100)),
        (io.SizeRule(fit=(1000, 30)), (30, 40)),
        (io.SizeRule(megapixels=0.48), (600, 800)),
    ],
)
def test_size_rules(rule, expected, pixels, tmp_path):
    assert rule.of((300, 400)) == expected
    io.write(io.Picture(pixels("gray", "uint8", 300, 400), "gray"), tmp_path / "a.png")
    assert resized(tmp_path / "a.png", tmp_path / "b.png", size=rule).size == expected


@pytest.mark.parametrize(
    "ways",
    [
        {},
        {"scale": Fraction(2), "width": 3},
        {"width": 0},
        {"size": (5, -1)},
        {"megapixels": float("nan")},
        {"scale": Fraction(0)},
    ],
)
def test_size_rules_that_make_no_sense(ways):
    with pytest.raises(ValueError, match=r"given|above 0|is 0"):
        io.SizeRule(**ways)


def test_upscaling_refuses_to_shrink(pixels, tmp_path):
    io.write(io.Picture(pixels("gray", "uint8"), "gray"), tmp_path / "a.png")
    with pytest.raises(io.ImageFileError, match=r"(?s)would shrink from 11 x 7 to 11 x 6.*halfpixel resize"):
        resized(tmp_path / "a.png", tmp_path / "b.png", size=io.SizeRule(size=(11, 6)), shrinks=False)


def test_depth_option_says_that_loss_is_meant(pixels, tmp_path):
    deep = pixels("rgb", "uint16")
    io.write(io.Picture(deep, "rgb"), tmp_path / "a.png")
    with pytest.raises(io.ImageFileError, match="--depth 8"):
        resized(tmp_path / "a.png", tmp_path / "b.bmp")
    same = io.SizeRule(scale=Fraction(1))
    resized(tmp_path / "a.png", tmp_path / "b.bmp", depth="8", size=same)
    assert np.array_equal(io.read(tmp_path / "b.bmp").pixels, np.floor(deep / 257 + 0.5).astype(np.uint8))
    resized(tmp_path / "b.bmp", tmp_path / "c.png", depth="16", size=same)
    assert np.array_equal(
        io.read(tmp_path / "c.png").pixels, io.read(tmp_path / "b.bmp").pixels.astype(np.uint16) * 257
    )
    resized(tmp_path / "b.bmp", tmp_path / "d.tif", depth="float", size=same)
    assert np.allclose(io.read(tmp_path / "d.tif").pixels * 255, io.read(tmp_path / "b.bmp").pixels, atol=1e-4)


def test_deeper_output_rounds_once(pixels, tmp_path):
    """--depth 16 keeps what averaging 8-bit samples found between their steps."""
    io.write(io.Picture(np.array([[0, 1]], np.uint8), "gray"), tmp_path / "a.png")
    resized(tmp_path / "a.png", tmp_path / "b.png", depth="16", method={"filter": "linear"})
    assert io.read(tmp_path / "b.png").pixels[0].tolist() == [0, 64, 193, 257]


def test_splines_count_their_floats(pixels, tmp_path):
    io.write(io.Picture(pixels("rgb", "uint8", 10, 10), "rgb"), tmp_path / "a.png")
    plain, spline = (
        io.plan_file(tmp_path / "a.png", "b.png", io.Settings(TWICE, {"filter": name})).nbytes
        for name in ("cubic", "spline3")
    )
    assert (plain, spline) == (1500, 7500)


@pytest.mark.parametrize("name", ["torch.bicubic", "pillow.lanczos", "pillow.nearest", "opencv.linear", "opencv.area"])
@pytest.mark.parametrize("size", [(600, 150), (150, 40)])
@pytest.mark.parametrize("kind", ["rgb", "rgba"])
def test_presets_in_rows(name, size, kind, pixels, tmp_path):
    """A library's own arithmetic, rounding between passes and all, is the same in rows."""
    extra = ["unassalpha"] if kind == "rgba" else None
    stored = pixels(kind, "uint8", 397, 83)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", rowsperstrip=5, extrasamples=extra)
    options = {"size": io.SizeRule(size=size[::-1]), "method": {"like": name}}
    whole = resized(tmp_path / "a.tif", tmp_path / "whole.tif", **options)
    job = resized(tmp_path / "a.tif", tmp_path / "rows.tif", limits=io.Limits(memory=whole.nbytes * 3 // 4), **options)
    assert job.in_rows
    assert (tmp_path / "rows.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
