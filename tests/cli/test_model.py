# SPDX-License-Identifier: MIT
"""`--model`: networks in place of filters, with everything that filters keep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

torch = pytest.importorskip("torch", reason='networks need pip install "halfpixel[models]"')
pytest.importorskip("safetensors", reason='networks need pip install "halfpixel[models]"')

import halfpixel  # noqa: E402
from halfpixel import io, models  # noqa: E402
from halfpixel.io import _network  # noqa: E402

from .conftest import photo  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def espcn(scale=2, channels=1):
    """A network that makes pictures: pixels in blocks, and a little of its own."""
    torch.manual_seed(scale)
    made = models.create_model("espcn", scale=scale, in_channels=channels, activation="relu")
    with torch.no_grad():
        for p in made.parameters():
            p.mul_(0.1)
        for index, layer in enumerate((made.first_part[0], made.first_part[2], made.last_part[0])):
            middle = layer.kernel_size[0] // 2
            for out in range(channels * scale**2 if index == 2 else channels):
                layer.weight[out, out // scale**2 if index == 2 else out, middle, middle] += 1
    return made


@pytest.fixture
def weights(folder):
    """The folder, with networks in it."""
    models.save(espcn(2), "x2.safetensors")
    models.save(espcn(3), "x3.safetensors")
    models.save(espcn(2, 3), "rgb.safetensors")
    return folder


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def expected(pixels, name="x2"):
    return models.enlarge(models.load(f"{name}.safetensors"), pixels)


def differ(a, b):
    return np.abs(a.astype(np.int64) - b.astype(np.int64)).max()


@pytest.mark.parametrize("name", ["x2", "x3", "rgb"])
def test_pixels_are_those_of_enlarge(run, weights, name):
    run("upscale", "in/a.png", "-o", "out.png", "--model", f"{name}.safetensors")
    picture = io.read("in/a.png").pixels
    found = io.read("out.png").pixels
    assert found.shape == expected(picture, name).shape
    assert differ(found, expected(picture, name)) <= 1
    assert differ(found, halfpixel.resize_image(picture, found.shape[:2], filter="lanczos3")) > 3


@pytest.mark.parametrize("name", ["x2", "x3", "rgb"])
@pytest.mark.parametrize("shape", [(70, 50), (70, 50, 3), (1, 1, 3), (2, 37)])
def test_tiles_of_gray_and_colour(run, weights, name, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    io.write(io.Picture(pixels, "gray" if len(shape) == 2 else "rgb"), "a.png")
    run("upscale", "a.png", "-o", "out.png", "--model", f"{name}.safetensors", "--tile", "16")
    assert differ(io.read("out.png").pixels, expected(pixels, name)) <= 1


def test_16_bits(run, weights):
    deep = np.random.default_rng(0).integers(20000, 40000, (30, 25, 3), dtype=np.uint16)
    io.write(io.Picture(deep, "rgb"), "deep.png")
    run("upscale", "deep.png", "-o", "out.png", "--model", "x2.safetensors")
    found = io.read("out.png").pixels
    assert found.dtype == np.uint16 and differ(found, expected(deep)) <= 1
    assert len(np.unique(found)) > 4000
    run("upscale", "deep.png", "-o", "out8.png", "--model", "x2.safetensors", "--depth", "8")
    assert differ(io.read("out8.png").pixels, expected(deep) // 257) <= 1


def test_metadata_and_orientation(run, weights):
    from PIL import Image

    exif = Image.Exif()
    exif[274], exif[271] = 6, "maker"
    Image.fromarray(photo(20, 30).pixels).save("turned.jpg", exif=exif, dpi=(300, 300), quality=98)
    run("upscale", "turned.jpg", "-o", "out.png", "--model", "x2.safetensors")
    assert io.header("out.png").size == (60, 40)
    with Image.open("out.png") as found:
        assert found.getexif()[271] == "maker" and found.getexif().get(274, 1) == 1
        assert round(found.info["dpi"][0]) == 300
    assert differ(io.read("out.png").pixels, expected(io.read("turned.jpg").pixels)) <= 1


def disc(colour=(200, 30, 30), dtype=np.uint8, hidden=0):
    """A disc with a soft rim; what cannot be seen is ``hidden``."""
    y, x = np.mgrid[:40, :40] - 19.5
    top = np.iinfo(dtype).max
    cover = np.clip(14 - np.hypot(y, x), 0, 1)
    rgba = np.full((40, 40, 4), hidden, dtype)
    rgba[cover > 0, :3] = np.array(colour) * (top // 255)
    rgba[..., 3] = (cover * top).astype(dtype)
    return rgba


@pytest.mark.parametrize("name", ["x2", "rgb"])
@pytest.mark.parametrize("hidden", [0, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_fringes(run, weights, name, hidden, dtype):
    """Every pixel that can be seen has the disc's colour, whatever the hidden ones have; one ulp of 8 bits of room for
    what the network makes of a flat colour.
    """
    rgba = disc(dtype=dtype, hidden=hidden * (np.iinfo(dtype).max // 255))
    io.write(io.Picture(rgba, "rgba"), "logo.png")
    run("upscale", "logo.png", "-o", "out.png", "--model", f"{name}.safetensors")
    found = io.read("out.png").pixels
    flat = expected(np.broadcast_to(rgba[20, 20, :3], (40, 40, 3)).copy(), name)[20:-20, 20:-20]
    low, high = flat.min((0, 1)).astype(int), flat.max((0, 1)).astype(int)
    seen = found[found[..., 3] > 0][:, :3].astype(int)
    room = 2 * (np.iinfo(dtype).max // 255)
    assert (seen >= low - room).all() and (seen <= high + room).all()
    assert (found[found[..., 3] == 0] == 0).all()
    alpha = halfpixel.resize_image(rgba[..., 3], scale=2, filter="cubic")
    assert differ(found[..., 3], alpha) <= 1


def test_opaque_alpha_changes_nothing(run, weights):
    pixels = photo(30, 20).pixels
    io.write(io.Picture(np.dstack([pixels, np.full((30, 20), 255, np.uint8)]), "rgba"), "opaque.png")
    run("upscale", "opaque.png", "-o", "out.png", "--model", "x2.safetensors")
    found = io.read("out.png").pixels
    assert (found[..., 3] == 255).all()
    assert differ(found[..., :3], expected(pixels)) <= 1


def test_gray_with_alpha_and_background(run, weights):
    rgba = disc((90, 90, 90))
    io.write(io.Picture(rgba[..., 2:].copy(), "gray+alpha"), "la.png")
    run("upscale", "la.png", "-o", "out.png", "--model", "x2.safetensors")
    assert io.header("out.png").kind == "gray+alpha"
    run("upscale", "la.png", "-o", "out.jpg", "--model", "x2.safetensors", "--background", "white", "--quality", "100")
    found = io.read("out.jpg").pixels
    assert found.shape == (80, 80) and found[0, 0] >= 253 and found[40, 40] < 120


@pytest.mark.parametrize(
    ("colour", "cover", "premultiplied", "wanted"),
    [
        ([[10, 0, 0, 0, 30]], [[255, 0, 0, 0, 255]], False, [[10, 10, 20, 30, 30]]),
        ([[10, 99, 99, 99, 30]], [[255, 0, 0, 0, 255]], False, [[10, 10, 20, 30, 30]]),
        ([[5, 0, 0, 0, 30]], [[128, 0, 0, 0, 255]], True, [[5 * 255 / 128, 5 * 255 / 128, None, 30, 30]]),
        ([[10, 0, 30]], [[51, 0, 204]], False, [[10, (10 * 51 + 30 * 204) / 255, 30]]),
        ([[7] * 40], [[255] + [0] * 39], False, [[7] * 17 + [0] * 23]),
    ],
)
def test_invisible_pixels_take_the_colour_of_visible_ones(colour, cover, premultiplied, wanted):
    stored = np.dstack([np.array(colour, np.uint8), np.array(cover, np.uint8)])
    found = 255 * _network.continued(stored, premultiplied)[..., 0]
    for value, right in zip(found[0], wanted[0], strict=True):
        assert right is None or value == pytest.approx(right, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "size"),
    [(["--scale", "3"], (96, 72)), (["--scale", "3/2"], (48, 36)), (["--size", "70x31"], (70, 31)), ([], (64, 48))],
)
def test_other_sizes_are_made_by_the_filter(run, weights, options, size):
    result = run("upscale", "in/a.png", "-o", "out.png", "--model", "x2.safetensors", *options, "--json")
    found = io.read("out.png").pixels
    assert found.shape[:2] == size[::-1]
    notes = " ".join(lines(result)[0].get("notes", ()))
    assert ("x2.safetensors enlarges 2 times, to 64 x 48; lanczos3 resizes that" in notes) is bool(options)
    enlarged = models.enlarge(models.load("x2.safetensors"), io.read("in/a.png").pixels.astype(np.float32) / 255)
    values = halfpixel.resize_image(enlarged, size[::-1], filter="lanczos3") if options else enlarged
    assert differ(found, np.clip(np.floor(values * 255 + 0.5), 0, 255)) <= 1


@pytest.mark.parametrize("how", [["--filter", "cubic"], ["--like", "torch.bicubic"], ["--filter", "spline3"]])
def test_the_filter_may_be_chosen(run, weights, how):
    run("upscale", "in/a.png", "-o", "out.png", "--model", "x2.safetensors", "--scale", "3", *how)
    enlarged = models.enlarge(models.load("x2.safetensors"), io.read("in/a.png").pixels.astype(np.float32) / 255)
    values = halfpixel.resize_image(enlarged, (72, 96), **{how[0][2:]: how[1]})
    assert differ(io.read("out.png").pixels, np.clip(np.floor(values * 255 + 0.5), 0, 255)) <= 1


def test_resize_may_shrink(run, weights):
    run("resize", "in/a.png", "-o", "out.png", "--model", "x2.safetensors", "--scale", "1/2")
    assert io.header("out.png").size == (12, 16)
    assert "would shrink" in run(
        "upscale", "in/a.png", "-o", "x.png", "--model", "x2.safetensors", "--width", "9", status=1
    ).stderr  # fmt: skip


def test_dry_run_folders_and_jobs(run, weights):
    result = run("upscale", "in", "-o", "out", "--model", "x3.safetensors", "--dry-run", "--json")
    *files, summary = lines(result)
    assert summary["planned"] == 4 and {tuple(one["size_out"]) for one in files} == {(96, 72)}
    assert not Path("out").exists()
    run("upscale", "in", "-o", "out", "--model", "x3.safetensors", "-j", 3)
    run("upscale", "in", "-o", "one", "--model", "x3.safetensors", "-j", 1)
    for path in Path("one").rglob("*.*"):
        assert path.read_bytes() == (Path("out") / path.relative_to("one")).read_bytes()


@pytest.mark.parametrize("alpha", [False, True])
def test_tiff_goes_in_rows(run, weights, alpha):
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 40, 4 if alpha else 3), dtype=np.uint8)
    if alpha:
        pixels[200:700, :, 3] = 0
    extra = {"extrasamples": ["unassalpha"]} if alpha else {}
    tifffile.imwrite("big.tif", pixels, rowsperstrip=10, photometric="rgb", **extra)
    run("upscale", "big.tif", "-o", "whole.tif", "--model", "x2.safetensors", "--tile", "32")
    limit = io.resize_file("big.tif", "x.tif", _settings()).nbytes - pixels.nbytes
    result = run(
        "upscale", "big.tif", "-o", "rows.tif", "--model", "x2.safetensors", "--tile", "32", "--max-memory", limit,
        "--json",
    )  # fmt: skip
    assert lines(result)[0]["in_rows"] is True
    assert differ(io.read("rows.tif").pixels, io.read("whole.tif").pixels) == 0


def _settings():
    from fractions import Fraction

    network = models.Enlarger(models.load("x2.safetensors"), tile=32)
    return io.Settings(io.SizeRule(scale=Fraction(2)), {"filter": "cubic"}, network=network)


def test_bits_of_bands_that_are_rolled():
    rows = np.arange(40.0)[:, None] * np.ones((1, 3))
    rolling = _network.Rolling(iter([rows[:7], rows[7:8], rows[8:30], rows[30:]]))
    for start, stop in ((0, 3), (2, 9), (2, 9), (7, 8), (9, 31), (29, 40)):
        assert np.array_equal(rolling.rows(start, stop), rows[start:stop])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "espcn_x99"], "there is no file 'espcn_x99'"),
        (["--model", "in/notes.txt"], "no checkpoint"),
        (["--model", "x2.safetensors", "--filter", "cubic"], "nothing left for a filter"),
        (["--model", "x2.safetensors", "--scale", "2", "--like", "torch.bicubic"], "nothing left for a filter"),
        (["--model", "x2.safetensors", "--linear-light"], "networks learned sRGB code values"),
        (["--model", "x2.safetensors", "--device", "nowhere"], "device 'nowhere' cannot be used"),
        (["--tile", "64"], "--tile and --device are for networks"),
    ],
)
def test_wrong_uses(run, weights, options, message):
    result = run("upscale", "in/a.png", "-o", "out.png", *options, status=2)
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert not Path("out.png").exists()


def test_pictures_that_networks_do_not_know(run, weights):
    tifffile.imwrite("cmyk.tif", np.zeros((8, 8, 4), np.uint8), photometric="separated")
    tifffile.imwrite("signed.tif", np.zeros((8, 8), np.int16))
    assert "is cmyk, and networks are for gray and RGB" in run(
        "upscale", "cmyk.tif", "-o", "o.tif", "--model", "x2.safetensors", status=1
    ).stderr  # fmt: skip
    assert "of int16 samples" in run(
        "upscale", "signed.tif", "-o", "o.tif", "--model", "x2.safetensors", status=1
    ).stderr  # fmt: skip


def test_without_torch_it_says_what_is_missing(run, weights, monkeypatch):
    from halfpixel.cli import _networks

    def absent():
        raise halfpixel.errors.HalfpixelRuntimeError("networks need torch, which is not installed", "pip install")

    monkeypatch.setattr(_networks, "_models", absent)
    assert "networks need torch" in run("upscale", "in/a.png", "-o", "o.png", "--model", "a", status=2).stderr
    assert _networks.table() == {}


def test_list_models(run, weights, monkeypatch):
    from halfpixel.models import _load

    monkeypatch.setattr(_load, "WEIGHTS", Path("."))
    rows = {row["name"]: row for row in lines(run("list", "models", "--json"))}
    assert set(rows) == {"x2", "x3", "rgb"}
    assert rows["x3"]["scale"] == 3 and "22729 parameters, luma" in rows["x3"]["summary"]
    assert "RGB" in rows["rgb"]["summary"]
    assert all(name in run("list", "models").stdout for name in rows)
    run("upscale", "in/a.png", "-o", "by-name.png", "--model", "x2")
    assert io.header("by-name.png").size == (48, 64)


# compare.


def test_compare_puts_a_network_beside_the_filters(run, weights):
    io.write(photo(50, 67), "p.png")
    result = run("compare", "p.png", "--model", "x2.safetensors", "--method", "lanczos3", "--json", "-o", "sheet.png")
    *found, summary = lines(result)
    assert {one["name"] for one in found} == {"x2.safetensors", "lanczos3"}
    assert summary["scale"] == "2" and summary["size"] == [66, 50] and summary["small"] == [33, 25]
    assert any("cut to 66 x 50" in note for note in summary["notes"])
    original = io.read("p.png").pixels[:, :66]
    small = halfpixel.resize_image(original, (25, 33), filter="cubic")
    error = ((expected(small).astype(float) - original) ** 2).mean()
    network = next(one for one in found if one["name"] == "x2.safetensors")
    assert network["psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=0.02)
    assert io.header("sheet.png").size[0] > 200


def test_compare_with_another_scale(run, weights):
    io.write(photo(48, 48), "p.png")
    result = run("compare", "p.png", "--model", "x2.safetensors", "--method", "cubic", "--scale", "3", "--json")
    assert lines(result)[-1]["small"] == [16, 16]
    wrong = run("compare", "p.png", "--model", "x2.safetensors", "--model", "x3.safetensors", status=2)
    assert "enlarge 2 and 3 times" in wrong.stderr
