# SPDX-License-Identifier: MIT
"""Laws of alpha and of linear light."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import color

from halfpixel import backends, io
from halfpixel.io._light import Working, _from_srgb, _to_srgb

FILTERS = ["linear", "cubic", "lanczos3", "area", "mitchell"]


def through(picture: io.Picture, size, tmp_path, name="tiff", **options) -> io.Picture:
    """The picture written, resized by file to (height, width), and read back."""
    source, target = tmp_path / "in", tmp_path / "out"
    io.write(picture, source, format=name, overwrite=True, lossless=name == "webp")
    rule = io.SizeRule(size=(size[1], size[0]))
    settings = io.Settings(rule, format=name, overwrite=True, lossless=name == "webp", **options)
    io.resize_file(source, target, settings)
    return io.read(target)


def disc(dtype: str, kind: str = "rgba", size: int = 48) -> io.Picture:
    """A red disc on transparent green: any green in the result has bled through."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    inside = np.hypot(y, x) < size / 3
    white = 1.0 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    red, green = ((1, 0, 0), (0, 1, 0)) if kind == "rgba" else ((1,), (0.25,))
    pixels = np.where(inside[..., None], (*red, 1), (*green, 0)) * white
    return io.Picture(pixels.astype(dtype), kind)


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("size", [(96, 131), (17, 19)])
@pytest.mark.parametrize("linear", [False, True])
def test_edges_do_not_bleed(filter, dtype, size, linear, tmp_path):
    linear = linear and dtype != "float32"
    out = through(disc(dtype), size, tmp_path, method={"filter": filter}, linear_light=linear).pixels
    white = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    seen = out[..., 3] > 0.004 * white
    assert seen.any()
    assert (~seen).any()
    assert np.abs(out[seen][:, 1]).max() <= 1e-3 * white
    tolerance = 1 if dtype == "uint8" else 0.002 * white
    assert np.abs(out[seen][:, 0].astype(float) - white).max() <= tolerance


def test_without_the_multiplication_they_would(tmp_path):
    """The same disc resized channel by channel is green at its edge: the law above can fail."""
    import halfpixel

    out = halfpixel.resize_image(disc("uint8").pixels, (96, 131))
    assert out[out[..., 3] > 2][:, 1].max() > 60


@pytest.mark.parametrize("kind", ["rgba", "gray+alpha"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_opaque_pictures_come_out_as_without_alpha(kind, dtype, pixels, tmp_path):
    picture = pixels(kind, dtype, 23, 31)
    picture[..., -1] = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    bare = picture[..., :-1] if kind == "rgba" else picture[..., 0]
    with_alpha = through(io.Picture(picture, kind), (57, 13), tmp_path, method={"filter": "lanczos3"}).pixels
    without = through(
        io.Picture(bare, {"rgba": "rgb"}.get(kind, "gray")), (57, 13), tmp_path, method={"filter": "lanczos3"}
    )
    assert (with_alpha[..., -1] == picture[0, 0, -1]).all()
    # The NumPy fallback computes in float64, and rounds planes to float32 on the way: an integer may differ by one.
    slack = 0 if backends.choose() == "cpu" else 1 if dtype != "float32" else 1e-6
    assert np.abs(np.squeeze(with_alpha[..., :-1]).astype(float) - without.pixels).max() <= slack


def test_transparent_pixels_come_out_black_not_noise(tmp_path):
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[..., :3] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    picture[8:, :, 3] = 255
    out = through(io.Picture(picture, "rgba"), (64, 64), tmp_path, name="png", method={"filter": "lanczos3"}).pixels
    assert (out[out[..., 3] == 0][:, :3] == 0).all()


def test_copying_filters_leave_hidden_colour_alone(pixels, tmp_path):
    picture = pixels("rgba", "uint8", 5, 6)
    picture[::2, :, 3] = 0
    out = through(
        io.Picture(picture, "rgba"), (10, 12), tmp_path, name="png", method={"filter": "nearest"}, linear_light=True
    )
    assert np.array_equal(out.pixels, np.kron(picture, np.ones((2, 2, 1), np.uint8)))


def test_associated_alpha_stays_and_straight_formats_get_straight(tmp_path):
    import tifffile

    straight = disc("uint16").pixels
    straight[..., :3] = straight[..., :3] // 2
    straight[..., 3] = np.where(straight[..., 3] > 0, 30000, 0)
    cover = straight[..., 3:] / 65535
    associated = np.concatenate((np.round(straight[..., :3] * cover), straight[..., 3:]), -1).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", associated, photometric="rgb", extrasamples=["assocalpha"])
    twice = io.SizeRule(size=(96, 96))
    for linear in (False, True):
        settings = io.Settings(twice, overwrite=True, linear_light=linear)
        io.resize_file(tmp_path / "a.tif", tmp_path / "b.tif", settings)
        io.resize_file(tmp_path / "a.tif", tmp_path / "b.png", settings)
        kept, divided = io.read(tmp_path / "b.tif"), io.read(tmp_path / "b.png")
        expected = through(io.Picture(straight, "rgba"), (96, 96), tmp_path, linear_light=linear).pixels.astype(float)
        assert kept.premultiplied
        assert not divided.premultiplied
        thick = expected[..., 3] > 10000
        assert np.abs(divided.pixels - expected)[thick].max() <= 4
        again = expected[..., :3] * expected[..., 3:] / 65535
        assert np.abs(kept.pixels[..., :3] - again)[thick].max() <= 4


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("kind", ["gray", "rgb", "rgba"])
def test_shrinking_a_checkerboard_keeps_its_light(dtype, kind, tmp_path):
    white = np.iinfo(dtype).max
    board = np.indices((64, 64)).sum(0) % 2 * white
    channels = io.KINDS[kind].channels
    picture = (
        board.astype(dtype)
        if channels == 1
        else np.stack([board] * 3 + [np.full_like(board, white)] * (channels - 3), -1)
    )
    out = through(
        io.Picture(picture.astype(dtype), kind), (16, 16), tmp_path, method={"filter": "area"}, linear_light=True
    )
    colour = out.pixels[..., :3] / white
    light = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    assert light.mean() == pytest.approx(0.5, abs=0.6 / white * 2)
    dark = through(io.Picture(picture.astype(dtype), kind), (16, 16), tmp_path, method={"filter": "area"})
    assert abs(dark.pixels[..., :3].mean() / white - 0.5) < 0.01


def test_alpha_has_no_curve(tmp_path):
    picture = np.full((8, 8, 4), 255, np.uint8)
    picture[:, ::2, 3] = 0
    out = through(
        io.Picture(picture, "rgba"), (4, 4), tmp_path, name="png", method={"filter": "area"}, linear_light=True
    )
    assert (out.pixels[..., 3] == 128).all()
    assert (out.pixels[..., :3] == 255).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_linear_light_of_the_same_size_changes_nothing(dtype, pixels):
    stored = np.arange(np.iinfo(dtype).max + 1).astype(dtype).reshape(16, -1)
    working = Working("gray", np.dtype(dtype), np.dtype(dtype), linear=True)
    assert np.array_equal(working.store(working.load(stored)), stored)


def test_the_curve_is_srgb():
    ramp = np.linspace(0, 1, 1001)
    assert np.allclose(_to_srgb(_from_srgb(ramp)), ramp, atol=1e-6)
    lightness = color.rgb2xyz(np.stack([ramp] * 3, -1)[None])[0, :, 1]
    assert np.allclose(_from_srgb(ramp), lightness, atol=1e-6)


def test_linear_light_is_refused_or_left_out_where_it_means_nothing(pixels, tmp_path):
    for kind in ("cmyk", "bands"):
        with pytest.raises(io.ImageFileError, match="--linear-light is for gray and RGB"):
            through(io.Picture(pixels(kind, "uint8"), kind), (3, 3), tmp_path, linear_light=True)
    io.write(io.Picture(pixels("rgb", "float32"), "rgb"), tmp_path / "f.tif")
    settings = io.Settings(io.SizeRule(size=(5, 5)), linear_light=True)
    job = io.resize_file(tmp_path / "f.tif", tmp_path / "g.tif", settings)
    assert any("linear light already" in note for note in job.notes)


@pytest.mark.parametrize("linear", [False, True])
def test_background(linear, tmp_path):
    picture = np.zeros((8, 8, 4), np.uint8)
    picture[:, :4] = (255, 0, 0, 255)
    io.write(io.Picture(picture, "rgba"), tmp_path / "a.png")
    settings = io.Settings(io.SizeRule(size=(4, 4)), background=(1.0, 1.0, 0.0), linear_light=linear)
    io.resize_file(tmp_path / "a.png", tmp_path / "b.bmp", settings)
    out = io.read(tmp_path / "b.bmp").pixels
    assert out[0, 0].tolist() == [255, 0, 0]
    assert out[0, 3].tolist() == [255, 255, 0]


def test_nan_becomes_0_and_excess_saturates(tmp_path):
    picture = np.full((4, 4), np.nan, np.float32)
    picture[2:] = 7.0
    io.write(io.Picture(picture, "gray"), tmp_path / "a.tif")
    settings = io.Settings(io.SizeRule(size=(4, 4)), depth="8", method={"filter": "nearest"})
    io.resize_file(tmp_path / "a.tif", tmp_path / "b.png", settings)
    assert io.read(tmp_path / "b.png").pixels[:, 0].tolist() == [0, 0, 255, 255]
