# SPDX-License-Identifier: MIT
"""`eval`: pairs of files, methods against each other, label maps; what fails, and what is a wrong use."""

from __future__ import annotations

import json
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import halfpixel
from halfpixel import io, metrics
from halfpixel.errors import HalfpixelValueError

from .conftest import photo


def write(name, pixels, kind="rgb"):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    io.write(io.Picture(pixels, kind), name)


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def original(index):
    return photo(49 + index, 62 + index, seed=index).pixels


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """Originals that are no multiple of 3, and what linear makes of them."""
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("a", "b", "deep/c")):
        whole = original(index)
        write(f"hr/{name}.png", whole)
        part = whole[: len(whole) // 3 * 3, : whole.shape[1] // 3 * 3].copy()
        write(f"sr/{name}_x3.png", enlarged(part, "linear"))
    return tmp_path


def shrunk(pixels, scale=3):
    return halfpixel.resize_image(pixels, scale=Fraction(1, scale), like="matlab.bicubic")


def enlarged(part, name, scale=3):
    return halfpixel.resize_image(shrunk(part, scale), part.shape[:2], filter=name)


def test_pairs_of_folders(run, sets):
    *images, mean, summary = lines(run("eval", "sr", "--reference", "hr", "--scale", "3", "--json"))
    assert [one["input"] for one in images] == ["sr/a_x3.png", "sr/b_x3.png", "sr/deep/c_x3.png"]
    assert [one["reference"] for one in images] == ["hr/a.png", "hr/b.png", "hr/deep/c.png"]
    for one in images:
        image, reference = io.read(one["input"]).pixels, io.read(one["reference"]).pixels
        height, width = image.shape[:2]
        expected = metrics.measure(image, reference[:height, :width], protocol="sr-y", scale=3)
        assert (one["psnr"], one["ssim"]) == pytest.approx((expected.psnr, expected.ssim), abs=1e-6)
        assert one["size"] == [width, height]
        cut = f"the reference: cut from {reference.shape[1]} x {reference.shape[0]} to {width} x {height}"
        assert one["status"] == "done" and (cut in "".join(one["notes"])) is (reference.shape != image.shape)
    assert sum("cut from" in "".join(one["notes"]) for one in images) >= 2
    for name in ("psnr", "ssim"):
        assert mean[name] == pytest.approx(np.mean([one[name] for one in images]), abs=1e-5)
    assert (mean["event"], mean["images"], mean["identical"]) == ("mean", 3, 0)
    expected = {"event": "summary", "schema": 1, "verb": "eval", "done": 3, "failed": 0, "skipped": 0, "planned": 0}
    expected |= {"protocol": "sr-y", "scale": 3, "crop": 3, "unused": [], "seconds": summary["seconds"]}
    assert summary == expected


@pytest.mark.parametrize(
    ("options", "measured", "told"),
    [
        ((), {}, ("plain", None, 0)),
        (("--crop", "2"), {"crop": 2}, ("plain", None, 2)),
        (("--scale", "3"), {"protocol": "sr-y", "scale": 3}, ("sr-y", 3, 3)),
        (("--protocol", "sr-rgb", "--scale", "3"), {"protocol": "sr-rgb", "scale": 3}, ("sr-rgb", 3, 3)),
        (("--protocol", "div2k-rgb", "--scale", "3"), {"protocol": "div2k-rgb", "scale": 3}, ("div2k-rgb", 3, 9)),
        (("--protocol", "sr-y", "--crop", "1"), {"protocol": "sr-y", "crop": 1}, ("sr-y", None, 1)),
        (("--protocol", "plain", "--scale", "3"), {}, ("plain", 3, 0)),
    ],
)
def test_protocols(run, sets, options, measured, told):
    write("one.png", enlarged(original(0)[:48, :60].copy(), "cubic"))
    write("two.png", original(0)[:48, :60].copy())
    image, _, summary = lines(run("eval", "one.png", "--reference", "two.png", *options, "--json"))
    expected = metrics.measure(io.read("one.png").pixels, io.read("two.png").pixels, **measured)
    assert (image["psnr"], image["ssim"]) == pytest.approx((expected.psnr, expected.ssim), abs=1e-6)
    assert (summary["protocol"], summary["scale"], summary["crop"]) == told


def test_the_table_says_the_same(run, sets):
    told = lines(run("eval", "sr", "--reference", "hr", "--scale", "3", "--json"))
    text = run("eval", "sr", "--reference", "hr", "--scale", "3").stdout
    assert text.startswith("3 images, sr-y, 3 pixels of border left out")
    for one in told[:3]:
        assert f"{one['input']}" in text and f"{one['psnr']:.2f}" in text and f"{one['ssim']:.4f}" in text
    assert f"mean{told[3]['psnr']:.2f}" in text.replace(" ", "")


def test_what_is_missing_is_named_and_the_rest_goes_on(run, sets):
    Path("sr/b_x3.png").unlink()
    write("sr/extra.png", original(0))
    Path("hr/deep/c.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    result = run("eval", "sr", "--reference", "hr", "--scale", "3", "--json", status=1)
    *images, mean, summary = lines(result)
    failed = {one["input"]: one["error"] for one in images if one["status"] == "failed"}
    assert failed.pop("hr/b.png") == "no image has its name"
    assert failed.pop("sr/extra.png") == "no reference has its name"
    assert "its reference hr/deep/c.png: " in failed.pop("sr/deep/c_x3.png")
    assert not failed
    assert (mean["images"], summary["done"], summary["failed"]) == (1, 1, 3)
    result = run("eval", "sr", "--reference", "hr", "--scale", "3", status=1)
    assert "failed  sr/extra.png: no reference has its name" in result.stderr
    assert result.stdout.startswith("1 image,")


def test_images_that_were_named_may_be_some_of_them(run, sets):
    result = run("eval", "sr/a_x3.png", "--reference", "hr", "--scale", "3", "--json")
    assert lines(result)[-1]["unused"] == ["hr/b.png", "hr/deep/c.png"]
    assert (
        "note: no image belongs to hr/b.png" in run("eval", "sr/a_x3.png", "--reference", "hr", "--scale", "3").stdout
    )


@pytest.mark.parametrize(
    ("size", "why"),
    [((45, 60), "the image is 60 x 45, the reference 62 x 49"), ((48, 57), "the image is 57 x 48")],
)
def test_other_sizes_are_refused(run, sets, size, why):
    """One step more than what a multiple of the scale leaves over is no longer the same picture."""
    write("hr/d.png", original(0))
    write("sr/d.png", original(0)[: size[0], : size[1]].copy())
    result = run("eval", "sr/d.png", "sr/a_x3.png", "--reference", "hr", "--scale", "3", status=1)
    assert f"sr/d.png: {why}" in result.stderr
    assert "sr/a_x3.png" in result.stdout


def test_without_a_scale_nothing_is_cut(run, sets):
    result = run("eval", "sr/a_x3.png", "--reference", "hr/a.png", status=1)
    assert "the image is 60 x 48, the reference 62 x 49" in result.stderr
    assert result.stdout == ""


def test_everything_may_fail(run, sets):
    *failed, summary = lines(run("eval", "gone.png", "none*", "--reference", "hr/a.png", "--json", status=1))
    assert [one["status"] for one in failed] == ["failed"] * 2
    assert summary["done"] == 0
    result = run("eval", "sr/a_x3.png", "--reference", "gone", "--scale", "3", status=1)
    assert "No such file" in result.stderr


def test_an_empty_folder_of_references(run, sets):
    Path("bare").mkdir()
    result = run("eval", "sr/a_x3.png", "--reference", "bare", "--scale", "3", status=1)
    assert "sr/a_x3.png: no reference has its name" in result.stderr
    assert "bare: it holds no image file" in result.stderr


def test_equal_pictures_have_no_finite_psnr(run, sets):
    image, mean, _ = lines(run("eval", "hr/a.png", "--reference", "hr/a.png", "--json"))
    assert (image["psnr"], image["ssim"], mean["psnr"], mean["identical"]) == (None, 1.0, None, 1)
    assert "inf" in run("eval", "hr/a.png", "--reference", "hr/a.png").stdout


def test_gray_alpha_and_depth(run, sets):
    base = original(0)
    write("gray.png", base[..., 0].copy(), "gray")
    write("rgb.png", np.repeat(base[..., :1], 3, -1))
    write("rgba.png", np.repeat(base[..., :1], 4, -1), "rgba")
    write("deep.png", np.repeat(base[..., :1], 3, -1).astype(np.uint16) * 257)
    for name, note in (
        ("gray.png", "one of the two is gray"),
        ("rgba.png", "transparency is left out"),
        ("deep.png", ""),
    ):
        image, *_ = lines(run("eval", name, "--reference", "rgb.png", "--scale", "2", "--json"))
        assert image["ssim"] == 1.0 and image["psnr"] is None
        assert note in "".join(image["notes"])
    assert "uint16 is compared with uint8" in run("eval", "deep.png", "--reference", "rgb.png", status=1).stderr


def test_pictures_that_cannot_be_measured(run, sets):
    write("nan.tif", np.full((32, 32, 3), np.nan, np.float32))
    write("cmyk.tif", np.zeros((32, 32, 4), np.uint8), "cmyk")
    write("tiny.png", np.zeros((12, 12, 3), np.uint8))
    for name, why in (("nan.tif", "it holds NaN"), ("cmyk.tif", "it is cmyk"), ("tiny.png", "hold no window")):
        assert why in run("eval", name, "--reference", name, "--scale", "2", status=1).stderr


def test_a_mistake_within_costs_one_image(run, sets, monkeypatch):
    monkeypatch.setattr("halfpixel.cli._trials.metrics.measure", lambda *_, **__: 1 / 0)
    result = run("eval", "sr", "--reference", "hr", "--scale", "3", status=1)
    assert result.stderr.count("an error within halfpixel: ZeroDivisionError") == 3


def test_methods_against_each_other(run, sets):
    names = ("matlab.bicubic", "lanczos3", "nearest")
    options = [part for name in names for part in ("--method", name)]
    told = lines(run("eval", "hr", "--scale", "3", *options, "--json"))
    images, means, summary = told[:9], told[9:12], told[12]
    assert [(one["input"], one["method"]) for one in images] == [
        (path, name) for path in ("hr/a.png", "hr/b.png", "hr/deep/c.png") for name in names
    ]
    for one in images:
        whole = io.read(one["input"]).pixels
        part = whole[: len(whole) // 3 * 3, : whole.shape[1] // 3 * 3].copy()
        how = {"like": one["method"]} if "." in one["method"] else {"filter": one["method"]}
        back = halfpixel.resize_image(shrunk(part), part.shape[:2], **how)
        expected = metrics.measure(back, part, protocol="sr-y", scale=3)
        assert (one["psnr"], one["ssim"]) == pytest.approx((expected.psnr, expected.ssim), abs=1e-6)
        assert any("whole multiples of 3" in note for note in one["notes"]) is (part.shape != whole.shape)
    assert [one["method"] for one in means] == list(names)
    for one in means:
        assert one["psnr"] == pytest.approx(
            np.mean([i["psnr"] for i in images if i["method"] == one["method"]]), abs=1e-5
        )
    assert (summary["done"], summary["shrink"], summary["protocol"]) == (3, "matlab.bicubic", "sr-y")
    text = run("eval", "hr", "--scale", "3", *options).stdout
    assert "3 images, shrunk 3 times by matlab.bicubic, sr-y" in text
    assert all(f"{one['psnr']:.2f}" in text for one in means)


def test_files_that_no_method_can_take(run, sets):
    Path("hr/broken.png").write_bytes(b"broken")
    write("hr/dot.png", np.zeros((2, 2, 3), np.uint8))
    write("hr/deep.png", original(0).astype(np.uint16) * 257)
    result = run("eval", "hr", "--scale", "3", "--method", "linear", "--json", status=1)
    told = {one.get("input"): one for one in lines(result)}
    assert told["hr/broken.png"]["status"] == "failed"
    assert "less than one of the small picture" in told["hr/dot.png"]["error"]
    assert "uint16 samples are rounded to 8 bits" in told["hr/deep.png"]["notes"]
    assert told["hr/deep.png"]["psnr"] == told["hr/a.png"]["psnr"]
    assert lines(result)[-1]["failed"] == 2


def fake_models(monkeypatch, enlarge, scale=2):
    from halfpixel import models

    seen = []

    def load(name):
        seen.append(name)
        if name == "gone":
            raise FileNotFoundError(2, "No such file or directory", name)
        if name == "torn":
            raise HalfpixelValueError("it is no checkpoint", "a whole one")
        if name == "unet":
            return SimpleNamespace()
        return SimpleNamespace(scale=scale, in_channels=1)

    monkeypatch.setattr(models, "load", load, raising=False)
    monkeypatch.setattr(models, "enlarge", enlarge, raising=False)
    return seen


def test_networks_beside_methods(run, sets, monkeypatch):
    def enlarge(model, image):
        return image.repeat(model.scale, 0).repeat(model.scale, 1)

    seen = fake_models(monkeypatch, enlarge)
    told = lines(run("eval", "hr", "--scale", "2", "--method", "nearest", "--model", "espcn_x2", "--json"))
    images = [one for one in told if one["event"] == "image"]
    assert {one["method"] for one in images} == {"nearest", "espcn_x2"}
    for ours, theirs in zip(images[::2], images[1::2], strict=True):
        assert (ours["psnr"], ours["ssim"]) == (theirs["psnr"], theirs["ssim"])
    assert seen == ["espcn_x2"]


def test_networks_that_fail(run, sets, monkeypatch):
    def enlarge(model, image):
        if image.shape[1] % 2:
            raise MemoryError
        return np.full((2 * image.shape[0], 2 * image.shape[1], 3), np.nan)

    fake_models(monkeypatch, enlarge)
    result = run("eval", "hr", "--scale", "2", "--method", "nearest", "--model", "net", "--json", status=1)
    told = lines(result)
    errors = [one["error"] for one in told if one.get("status") == "failed"]
    assert set(errors) == {"there is not enough memory for it", "what it made holds NaN"}
    assert [one["method"] for one in told if one["event"] == "mean"] == ["nearest"]
    assert told[-1]["failed"] == 3
    assert "failed  hr/a.png, net:" in run(
        "eval", "hr", "--scale", "2", "--method", "nearest", "--model", "net", status=1
    ).stderr.replace("\n", "")


def test_networks_of_another_size_or_that_are_not_there(run, sets, monkeypatch):
    fake_models(monkeypatch, lambda model, image: image, scale=4)
    for name, why in (
        ("net", "net enlarges 4 times, and --scale is 2"),
        ("gone", "gone: No such file"),
        ("torn", "torn: it is no checkpoint (what would work: a whole one)"),
        ("unet", "unet is no super-resolution network"),
    ):
        assert why in flat(run("eval", "hr", "--scale", "2", "--model", name, status=2).stderr)
    monkeypatch.setattr("halfpixel.models.load", lambda name: __import__("no_such_library"), raising=False)
    assert 'pip install "halfpixel[models]"' in flat(run("eval", "hr", "--scale", "2", "--model", "n", status=2).stderr)


def flat(text):
    return " ".join(text.replace("│", " ").split())


@pytest.fixture
def maps(tmp_path, monkeypatch):
    """Label maps of two images, 3 classes, some of it 255."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, size in (("a", (40, 60)), ("b", (33, 31))):
        true = rng.integers(0, 3, (5, 6), dtype=np.uint8).repeat(12, 0).repeat(12, 1)[: size[0], : size[1]].copy()
        found = np.roll(true, 2, axis=1)
        true[3:6] = 255
        write(f"true/{name}.png", true, "gray")
        write(f"found/{name}.png", found, "gray")
    return tmp_path


def test_label_maps(run, maps):
    arguments = ("--labels", "--classes", "3", "--ignore-index", "255")
    first, second, mean, pool, summary = lines(run("eval", "found", "--reference", "true", *arguments, "--json"))
    seen, edges = metrics.Confusion(3, 255), metrics.Boundaries(3, 255)
    each = []
    for name, told in (("a", first), ("b", second)):
        found, true = (io.read(f"{folder}/{name}.png").pixels for folder in ("found", "true"))
        each.append([how(found, true, classes=3, ignore_index=255).mean for how in
                     (metrics.miou, metrics.dice, metrics.boundary_iou)])  # fmt: skip
        assert [told[key] for key in ("miou", "dice", "boundary_iou")] == pytest.approx(each[-1], abs=1e-6)
        seen.add(found, true)
        edges.add(found, true)
    assert [mean[key] for key in ("miou", "dice", "boundary_iou")] == pytest.approx(np.mean(each, axis=0), abs=1e-6)
    assert pool["event"] == "dataset"
    assert (pool["miou"], pool["boundary_iou"]) == pytest.approx(
        (seen.miou().mean, edges.boundary_iou().mean), abs=1e-6
    )
    assert [one["iou"] for one in pool["classes"]] == pytest.approx(seen.miou().per_class, abs=1e-6)
    assert (summary["classes"], summary["ignore_index"], summary["dilation_ratio"]) == (3, 255, 0.02)
    text = run("eval", "found", "--reference", "true", *arguments).stdout
    assert "mean of images" in text and f"{pool['miou']:.4f}" in text and "Boundary IoU" in text


def test_labels_with_a_palette_or_few_bits_are_numbers(run, maps):
    true = np.random.default_rng(0).integers(0, 3, (30, 40), dtype=np.uint8)
    palette = Image.fromarray(true, "L")
    palette.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200])
    palette.save("palette.png")
    palette.save("palette2.png", bits=2)
    Image.fromarray(true == 1).save("one.png")
    write("gray.png", true, "gray")
    write("deep.png", true.astype(np.uint16), "gray")
    write("one_gray.png", (true == 1).astype(np.uint8), "gray")
    pairs = [("palette.png", "gray.png"), ("palette2.png", "gray.png"), ("deep.png", "gray.png")]
    for name, reference in [*pairs, ("one.png", "one_gray.png")]:
        one, *_ = lines(run("eval", name, "--reference", reference, "--labels", "--classes", "3", "--json"))
        assert (one["miou"], one["size"]) == (1.0, [40, 30])


def test_labels_of_four_bits_are_not_shades(run, maps):
    true = np.random.default_rng(0).integers(0, 16, (6, 8), dtype=np.uint8)
    rows = b"".join(b"\0" + bytes(row[::2] << 4 | row[1::2]) for row in true)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 8, 6, 4, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    Path("four.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    write("eight.png", true, "gray")
    one, *_ = lines(run("eval", "four.png", "--reference", "eight.png", "--labels", "--classes", "16", "--json"))
    assert one["accuracy"] == 1.0


def test_label_maps_that_cannot_be_measured(run, maps):
    write("colour.png", np.zeros((9, 9, 3), np.uint8))
    write("float.tif", np.zeros((9, 9), np.float32), "gray")
    Image.fromarray(np.zeros((9, 9), np.uint8), "P").save("torn.png")
    Path("torn.png").write_bytes(Path("torn.png").read_bytes()[:60])
    whys = {
        "colour.png": "it is uint8 rgb",
        "float.tif": "it is float32 gray",
        "torn.png": "torn.png",
        "gone": "No such",
    }
    for name, why in whys.items():
        result = run("eval", name, "--reference", name, "--labels", "--classes", "2", status=1)
        assert why in result.stderr and "an error within" not in result.stderr
    result = run("eval", "found", "--reference", "true", "--labels", "--classes", "3", status=1)
    assert "the reference holds the label 255, and classes is 3" in result.stderr
    result = run("eval", "found/a.png", "--reference", "true/b.png", "--labels", "--classes", "3", status=1)
    assert "labels have shape (40, 60), the reference (33, 31)" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "either --reference, or --method and --model"),
        (("--reference", "hr", "--method", "cubic", "--scale", "2"), "either --reference, or --method and --model"),
        (("--method", "cubic"), "need --scale"),
        (("--method", "cubic", "--scale", "1"), "need --scale, 2 or more"),
        (("--method", "cubik", "--scale", "2"), "unknown filter 'cubik'"),
        (("--method", "cubic", "--scale", "2", "--suffix", "_x"), "--suffix is for a --reference"),
        (("--method", "cubic", "--scale", "2", "--labels", "--classes", "2"), "compared with a --reference"),
        (("--reference", "hr", "--protocol", "sr-y"), "--scale says how much, or --crop"),
        (("--reference", "hr", "--protocol", "sr_y", "--scale", "2"), "unknown protocol 'sr_y'"),
        (("--reference", "hr", "--scale", "0"), "--scale"),
        (("--reference", "hr", "--scale", "2.5"), "--scale"),
        (("--reference", "hr", "--crop", "-1"), "--crop"),
        (("--reference", "hr", "--labels"), "--labels needs --classes"),
        (("--reference", "hr", "--classes", "2"), "--classes is for label maps"),
        (("--reference", "hr", "--ignore-index", "0"), "--ignore-index is for label maps"),
        (("--reference", "hr", "--labels", "--classes", "2", "--crop", "0"), "--crop is for pictures"),
        (("--reference", "hr", "--labels", "--classes", "2", "--dilation-ratio", "0"), "dilation_ratio is 0"),
        (("--reference", "-"), "standard input has no name"),
    ],
)
def test_wrong_uses(run, sets, arguments, why):
    result = run("eval", "sr", *arguments, "--json", status=2)
    assert why in flat(result.stderr)
    assert result.stdout == ""


def test_ctrl_c_is_said(run, sets, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("halfpixel.cli._scores.Report.say", stopped)
    told = lines(run("eval", "sr", "--reference", "hr", "--scale", "3", "--json", status=130))
    assert told == [{"event": "interrupted", "schema": 1, "verb": "eval", "left": 3}]
