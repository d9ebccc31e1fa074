# SPDX-License-Identifier: MIT
"""`compare` and `show`: what is measured, and that the pictures show it."""

from __future__ import annotations

import csv
import io as text_io
import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

import halfpixel
from halfpixel import filters, io, presets
from halfpixel.cli import _methods, _sheet
from halfpixel.cli._braille import chart
from halfpixel.cli._curves import curves

from .conftest import photo


def psnr(a, b):
    """The formula, for 8 bits."""
    return 20 * np.log10(255) - 10 * np.log10(np.mean((a.astype(float) - b) ** 2))


@pytest.fixture
def picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    io.write(photo(96, 128), "photo.png")
    return tmp_path


def test_compare_measures_every_method(run, picture):
    result = run("compare", "photo.png", "--scale", "2", "--json")
    *methods, summary = map(json.loads, result.stdout.splitlines())
    names = [one["name"] for one in methods]
    assert set(filters.TABLE) <= set(names)
    assert (summary["size"], summary["small"], summary["scale"]) == ([128, 96], [64, 48], "2")
    assert [one["psnr"] for one in methods] == sorted((one["psnr"] for one in methods), reverse=True)
    original = io.read("photo.png").pixels
    small = halfpixel.resize_image(original, (48, 64), filter="cubic")
    for one in methods:
        if one["name"] in filters.TABLE:
            back = halfpixel.resize_image(small, (96, 128), filter=one["name"])
            assert one["psnr"] == pytest.approx(psnr(original, back), abs=1e-3)
        assert 0 < one["ssim"] <= 1
        assert one["milliseconds"] > 0


def test_compare_draws_a_readable_sheet(run, picture):
    result = run("compare", "photo.png", "-o", "sheet.png")
    assert "picture: sheet.png" in result.stdout
    assert "lanczos3" in result.stdout
    page = io.read("sheet.png").pixels
    assert page.shape[2] == 3
    assert page.shape[1] > 1200
    run("compare", "photo.png", "-o", "sheet.png", status=2)
    run("compare", "photo.png", "-o", "sheet.jpg", "--method", "cubic", "--method", "nearest")
    assert io.header("sheet.jpg").format == "jpeg"


def test_the_sheet_holds_each_detail_pixel_for_pixel():
    original = photo(96, 128).pixels
    small = _methods.shrunk(original, Fraction(4))
    results = list(_methods.tried(original, small, _methods.methods(["cubic", "nearest"])))
    where = (slice(10, 50), slice(30, 70))
    page = np.asarray(_sheet.sheet("title", "subtitle", original, original, results, where))
    zoom = 240 // 40
    for pixels in (original, *(one.pixels for one in results)):
        block = pixels[where].repeat(zoom, 0).repeat(zoom, 1)
        first = np.all(
            np.lib.stride_tricks.sliding_window_view(page[..., 0], 240, axis=1)[::1, :, :8] == block[0, :8, 0], -1
        )
        assert any(
            np.array_equal(page[y : y + 240, x : x + 240], block)
            for y, x in np.argwhere(first)
            if y + 240 <= page.shape[0]
        )


def test_equal_results_share_a_cell():
    original = photo(64, 64).pixels
    small = _methods.shrunk(original, Fraction(4))
    results = list(_methods.tried(original, small, _methods.methods(["cubic", "catmull-rom", "linear"])))
    cells = _sheet._ranked(results, (slice(0, 20), slice(0, 20)))
    assert [cell.name.split("   ")[0] for cell in cells] == ["cubic = catmull-rom", "linear"]


def test_compare_as_csv(run, picture):
    rows = list(csv.DictReader(text_io.StringIO(run("compare", "photo.png", "--csv", "--method", "cubic").stdout)))
    assert [row["name"] for row in rows] == ["cubic"]
    assert float(rows[0]["psnr"]) > 10


@pytest.mark.parametrize("kind", ["gray", "rgb", "gray+alpha", "rgba"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_compare_takes_every_gray_and_rgb(run, picture, kind, dtype):
    white = 1 if dtype == "float32" else np.iinfo(dtype).max
    base = photo(40, 50).pixels / 255
    pixels = {"gray": base[..., 0], "rgb": base, "gray+alpha": base[..., :2], "rgba": base[..., [0, 1, 2, 0]]}[kind]
    io.write(io.Picture((pixels * white).astype(dtype), kind), "x.tif")
    run("compare", "x.tif", "--scale", "2", "--method", "lanczos3", "--method", "area", "-o", "x.png")


def test_compare_of_a_constant_picture(run, picture):
    """Nothing differs: infinitely good, and JSON has no number for it."""
    io.write(io.Picture(np.full((64, 64), 90, np.uint8), "gray"), "flat.png")
    result = run("compare", "flat.png", "--method", "linear", "--json", "-o", "flat-sheet.png")
    first = json.loads(result.stdout.splitlines()[0])
    assert (first["psnr"], first["ssim"]) == (None, 1.0)
    assert "inf" in run("compare", "flat.png", "--method", "linear").stdout


def test_compare_of_what_it_cannot_take(run, picture):
    io.write(io.Picture(np.zeros((64, 64, 4), np.uint8), "cmyk"), "c.tif")
    assert "it is cmyk" in run("compare", "c.tif", status=1).stderr
    assert "No such file" in run("compare", "gone.png", status=1).stderr
    io.write(io.Picture(np.zeros((8, 8), np.uint8), "gray"), "tiny.png")
    run("compare", "tiny.png", "--scale", "2", status=2)


def test_large_pictures_are_compared_on_a_part(run, picture, monkeypatch):
    monkeypatch.setattr("halfpixel.cli._compare._MOST_PIXELS", 2000)
    result = run("compare", "photo.png", "--scale", "2", "--method", "cubic", "--json")
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["size"][0] * summary["size"][1] <= 2000
    assert "most detailed" in summary["notes"][0]


def test_the_most_detailed_part_is_found():
    flat = np.zeros((60, 80), np.uint8)
    flat[37:45, 52:60] = np.indices((8, 8)).sum(0) % 2 * 255
    rows, columns = _methods.most_detailed(flat, np.zeros_like(flat), 20, 20)
    assert (rows.start + 10, columns.start + 10) == pytest.approx((41, 56), abs=1)
    assert _methods.most_detailed(flat, np.zeros_like(flat), 60, 80) == (slice(0, 60), slice(0, 80))
    assert _methods.most_detailed(flat[:1], np.zeros_like(flat[:1]), 1, 3)[0] == slice(0, 1)


@pytest.mark.parametrize("name", [name for name, row in filters.TABLE.items() if row.degree < 2])
def test_the_kernel_that_show_measures_is_the_filter(name):
    found, row = curves({"filter": name}, Fraction(2)), filters.get(name)
    inside = np.abs(found.x) < row.support - 0.02
    neighbours = np.arange(-12, 13)
    expected = [float(row(x)) / sum(float(row(x - j)) for j in neighbours) for x in found.x[inside]]
    assert np.abs(found.kernel[inside] - expected).max() < 1e-9
    assert np.abs(found.kernel[np.abs(found.x) > row.support + 0.02]).max() < 1e-9


def test_measures_of_show():
    linear, lanczos, spline = (curves({"filter": name}, Fraction(2)) for name in ("linear", "lanczos3", "spline3"))
    assert (linear.reach, linear.overshoot) == (1.0, pytest.approx(0, abs=1e-9))
    assert linear.at(0.5) == pytest.approx(20 * np.log10(np.sinc(0.5) ** 2), abs=0.02)
    assert lanczos.reach == 3.0
    assert 0.05 < lanczos.overshoot < 0.09
    assert spline.reach > 3
    assert np.allclose(linear.weight[:4, :2], [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 0.75]])
    assert lanczos.images < linear.images


@pytest.mark.parametrize("name", filters.TABLE)
def test_show_prints_every_filter(run, name):
    text = run("show", name).stdout
    assert text.startswith(name)
    assert "kernel" in text
    assert "weights near an edge" in text


@pytest.mark.parametrize("name", ["pillow.lanczos", "torch.bilinear(align_corners=True)"])
def test_show_of_presets(run, name):
    text = run("show", name).stdout
    assert text.startswith(name)
    assert presets.get(name).summary in text


def test_show_of_a_call_describes_the_call(run):
    assert "C = 0.75" in run("show", "cubic(a=-0.75)").stdout.splitlines()[0]


def test_show_as_json(run):
    found = json.loads(run("show", "cubic(a=-0.75)", "--json", "--edge", "reflect", "--scale", "3").stdout)
    assert (found["name"], found["scale"], found["reach"]) == ("cubic(a=-0.75)", "3", 2.0)
    assert np.allclose(np.sum(found["edge_weights"], axis=1), 1)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_show_draws(run, picture, suffix):
    pytest.importorskip("matplotlib", reason='a picture needs pip install "halfpixel[plot]"')
    run("show", "lanczos3", "-o", f"l.{suffix}")
    assert (picture / f"l.{suffix}").stat().st_size > 5000
    run("show", "lanczos3", "-o", f"l.{suffix}", status=2)
    run("show", "lanczos3", "-o", "l.xyz", status=2)


def test_show_without_matplotlib_says_what_to_install(picture):
    code = "import sys; sys.modules['matplotlib'] = None; from halfpixel.cli._app import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", code, "show", "cubic", "-o", "c.png"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert 'pip install "halfpixel[plot]"' in done.stderr
    done = subprocess.run([sys.executable, "-c", code, "show", "cubic"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "⠀" in done.stdout


def test_a_chart_in_dots():
    assert chart(np.array([0.0, 1.0]), 0, 1, columns=2, rows=1) == ["⡠⠊"]
    assert chart(np.array([0.0, 0.0]), 0, 1, columns=3, rows=1) == ["⣀⣀⣀"]
    assert chart(np.array([5.0, 5.0]), 0, 1, columns=1, rows=2) == ["⠉", "⠀"]
