# SPDX-License-Identifier: MIT
"""`upscale` and `resize`: which files, which sizes, which pixels."""

from __future__ import annotations

import io as bytes_io
import json
from pathlib import Path

import numpy as np
import pytest

import halfpixel
from halfpixel import io


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def lines(result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_upscale_doubles_with_lanczos3_unless_told_otherwise(run, folder):
    run("upscale", "in/a.png", "-o", "out.png")
    expected = halfpixel.resize_image(io.read("in/a.png").pixels, scale=2, filter="lanczos3")
    assert np.array_equal(io.read("out.png").pixels, expected)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (["--scale", "4"], (128, 96)),
        (["--scale", "1.5"], (48, 36)),
        (["--scale", "3/2"], (48, 36)),
        (["--scale", "0.5"], (16, 12)),
        (["--size", "50x7"], (50, 7)),
        (["--width", "64"], (64, 48)),
        (["--height", "6"], (8, 6)),
        (["--width", "3", "--height", "5"], (3, 5)),
        (["--fit", "100x48"], (64, 48)),
        (["--megapixels", "0.0768"], (320, 240)),
    ],
)
def test_sizes(run, folder, options, size):
    run("resize", "in/a.png", "-o", "out.png", *options)
    assert io.header("out.png").size == size[::-1]


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--filter", "cubic"], {"filter": "cubic"}),
        (["--filter", "cubic(a=-0.75)", "--edge", "reflect"], {"filter": "cubic(a=-0.75)", "edge": "reflect"}),
        (["--grid", "align_corners", "--filter", "linear"], {"filter": "linear", "grid": "align_corners"}),
        (["--no-antialias", "--filter", "linear"], {"filter": "linear", "antialias": False}),
    ],
)
def test_methods(run, folder, options, arguments):
    run("resize", "in/a.png", "-o", "out.png", "--size", "11x13", *options)
    expected = halfpixel.resize_image(io.read("in/a.png").pixels, (13, 11), **arguments)
    assert np.array_equal(io.read("out.png").pixels, expected)


def test_a_preset(run, folder):
    name = "torch.bicubic"
    run("resize", "in/a.png", "-o", "out.png", "--size", "51x37", "--like", name)
    expected = halfpixel.resize_image(io.read("in/a.png").pixels, (37, 51), like=name)
    assert np.array_equal(io.read("out.png").pixels, expected)
    run("resize", "in/a.png", "-o", "x.png", "--size", "51x37", "--like", name, "--filter", "cubic", status=2)


def test_a_folder_keeps_its_tree(run, folder):
    result = run("upscale", "in", "-o", "out")
    assert tree(folder / "out") == {"a.png", "b.jpg", "deep/c.webp", "deep/er/d.tif"}
    assert "4 done" in result.stderr
    assert all(io.header(folder / "out" / name).size == (48, 64) for name in tree(folder / "out"))


def test_a_folder_into_itself_does_not_read_its_own_outputs(run, folder):
    run("upscale", "in", "-o", "in/out")
    first = tree(folder / "in/out")
    run("upscale", "in", "-o", "in/out", "--overwrite")
    assert tree(folder / "in/out") == first


def test_globs_and_several_inputs(run, folder):
    run("upscale", "in/*.png", "in/deep/**/*.tif", "-o", "out")
    assert tree(folder / "out") == {"a.png", "er/d.tif"}
    run("upscale", "in/a.png", "in/b.jpg", "-o", "two/", "--suffix", "_x2", "--format", "png")
    assert tree(folder / "two") == {"a_x2.png", "b_x2.png"}


def test_suffix_writes_beside_the_input(run, folder):
    run("upscale", "in/a.png", "in/deep/c.webp", "--suffix", "_big")
    assert {"in/a_big.png", "in/deep/c_big.webp"} <= tree(folder)


def test_an_existing_folder_or_a_slash_makes_a_folder_of_one_output(run, folder):
    run("upscale", "in/a.png", "-o", "new/")
    run("upscale", "in/b.jpg", "-o", "new")
    assert tree(folder / "new") == {"a.png", "b.jpg"}


def test_standard_input_and_output(run, folder):
    result = run("upscale", "-", "-o", "-", "--format", "tiff", stdin=Path("in/a.png").read_bytes())
    assert io.read(result.stdout_bytes).size == (48, 64)
    assert io.header(result.stdout_bytes).format == "tiff"
    run("resize", "-", "-o", "from.png", "--width", "8", stdin=Path("in/b.jpg").read_bytes())
    assert io.header("from.png").size == (6, 8)


@pytest.mark.parametrize("name", ["png", "jpg", "tif", "bmp", "webp", "jpeg"])
def test_format_changes_the_name(run, folder, name):
    run("upscale", "in", "-o", "out", "--format", name)
    formats = {io.header(folder / "out" / path).format for path in tree(folder / "out")}
    assert formats == {io.formats.get(name)[0]}


def test_quality_and_background_reach_the_encoder(run, folder):
    run("upscale", "in/a.png", "-o", "low.jpg", "--quality", "10")
    run("upscale", "in/a.png", "-o", "high.jpg", "--quality", "100")
    assert Path("low.jpg").stat().st_size * 3 < Path("high.jpg").stat().st_size
    rgba = np.zeros((4, 4, 4), np.uint8)
    io.write(io.Picture(rgba, "rgba"), "clear.png")
    result = run("upscale", "clear.png", "-o", "clear.bmp", status=1)
    assert "--background white" in result.stderr
    run("upscale", "clear.png", "-o", "clear.bmp", "--background", "#ff8000")
    assert (io.read("clear.bmp").pixels == (255, 128, 0)).all()


def test_linear_light_reaches_the_pixels(run, folder):
    board = (np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8)
    io.write(io.Picture(board, "gray"), "board.png")
    run("resize", "board.png", "-o", "half.png", "--scale", "1/2", "--filter", "area", "--linear-light")
    assert (io.read("half.png").pixels == 188).all()


def test_16_bits_stay_16_bits(run, folder):
    deep = np.random.default_rng(0).integers(0, 65536, (9, 8, 3), dtype=np.uint16)
    io.write(io.Picture(deep, "rgb"), "deep.png")
    run("upscale", "deep.png", "-o", "deeper.png")
    assert np.array_equal(io.read("deeper.png").pixels, halfpixel.resize_image(deep, scale=2, filter="lanczos3"))
    result = run("upscale", "deep.png", "-o", "deep.jpg", status=1)
    assert "deep.png: JPEG holds 8 bits a sample" in result.stderr
    assert "--depth 8" in result.stderr
    run("upscale", "deep.png", "-o", "deep.jpg", "--depth", "8")


def test_dry_run_writes_nothing(run, folder):
    before = tree(folder)
    result = run("upscale", "in", "-o", "out", "--scale", "3", "--dry-run", "--json")
    *files, summary = lines(result)
    assert tree(folder) == before
    assert {one["status"] for one in files} == {"planned"}
    assert {tuple(one["size_out"]) for one in files} == {(96, 72)}
    assert summary["planned"] == 4


def test_json_lines(run, folder):
    Path("in/bad.png").write_bytes(b"not a picture")
    result = run("upscale", "in", "-o", "out", "--json", status=1)
    *files, summary = lines(result)
    assert result.stderr == ""
    assert [one["status"] for one in sorted(files, key=lambda one: one["input"])] == [
        "done",
        "done",
        "failed",
        "done",
        "done",
    ]
    done = next(one for one in files if one["input"] == "in/a.png")
    assert (done["output"], done["format"], done["kind"], done["dtype"]) == ("out/a.png", "png", "rgb", "uint8")
    assert (done["size_in"], done["size_out"], done["in_rows"]) == ([32, 24], [64, 48], False)
    failed = next(one for one in files if one["status"] == "failed")
    assert failed["error"].startswith("it is not an image")
    assert {key: summary[key] for key in ("event", "done", "failed", "skipped")} == {
        "event": "summary", "done": 4, "failed": 1, "skipped": 0,
    }  # fmt: skip


def test_every_field_of_json_is_documented(run):
    from dataclasses import fields

    from halfpixel.cli._run import Record

    page = (Path(__file__).parents[2] / "docs/cli_json.md").read_text(encoding="utf-8")
    for field in fields(Record):
        assert f"`{field.name}`" in page, field.name


def test_quiet(run, folder):
    assert run("upscale", "in", "-o", "out", "-q").output == ""
    Path("in/bad.png").write_bytes(b"x" * 40)
    assert "bad.png" in run("upscale", "in", "-o", "two", "--quiet", status=1).stderr


def test_notes_are_said(run, folder):
    from PIL import Image

    Image.fromarray(np.zeros((8, 8), np.uint8)).convert("P").save("pal.png")
    assert "the palette is expanded" in run("upscale", "pal.png", "-o", "out.png").stderr


def test_memory_limit_streams_tiff_and_refuses_png(run, folder):
    import tifffile

    tifffile.imwrite("big.tif", np.random.default_rng(0).integers(0, 256, (900, 60), dtype=np.uint8), rowsperstrip=10)
    run("upscale", "big.tif", "-o", "whole.tif")
    result = run("upscale", "big.tif", "-o", "rows.tif", "--max-memory", "100K", "--json")
    assert lines(result)[0]["in_rows"] is True
    assert Path("rows.tif").read_bytes() == Path("whole.tif").read_bytes()
    result = run("upscale", "big.tif", "-o", "rows.png", "--max-memory", "100K", status=1)
    assert "PNG is not written in rows" in result.stderr


def test_pixel_limit(run, folder):
    result = run("upscale", "in/a.png", "-o", "x.png", "--max-pixels", "100", status=1)
    assert "32 x 24 pixels, more than the limit of 100" in result.stderr


@pytest.mark.parametrize("jobs", [1, 3])
def test_jobs_do_not_change_the_result(run, folder, jobs):
    run("upscale", "in", "-o", f"out{jobs}", "-j", jobs)
    run("upscale", "in", "-o", "one", "--overwrite", "-j", 1)
    for name in tree(folder / "one"):
        assert (folder / f"out{jobs}" / name).read_bytes() == (folder / "one" / name).read_bytes()


def test_upscale_does_not_shrink(run, folder):
    result = run("upscale", "in/a.png", "-o", "x.png", "--fit", "10x10", status=1)
    assert "would shrink" in result.stderr
    assert not Path("x.png").exists()


def test_bytes_of_standard_output_are_an_image_alone(run, folder):
    result = run("upscale", "in/a.png", "-o", "-")
    assert io.read(bytes_io.BytesIO(result.stdout_bytes).read()).size == (48, 64)


def test_a_bar_where_someone_looks(folder):
    from typer.testing import CliRunner

    from halfpixel.cli._app import app

    terminal = CliRunner(env={"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "100"})
    shown = terminal.invoke(app, ["upscale", "in", "-o", "out"])
    assert "4/4" in shown.stderr
    assert "━" in shown.stderr
    assert "━" not in terminal.invoke(app, ["upscale", "in", "-o", "out2", "--quiet"]).stderr
    assert "━" not in CliRunner().invoke(app, ["upscale", "in", "-o", "out3"]).stderr


def test_a_streamed_file_stays_within_its_memory(folder):
    """Four times the limit goes in and thirty times comes out; the process grows by little more than the limit."""
    import resource
    import subprocess
    import sys

    import tifffile

    if sys.platform != "linux":
        pytest.skip("ru_maxrss is in other units elsewhere")
    tifffile.imwrite("big.tif", np.zeros((6000, 4000), np.uint8), rowsperstrip=64, compression="zlib")
    code = (
        "import resource, sys; from halfpixel.cli._app import app; import halfpixel.io, halfpixel.cli._run\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "app(standalone_mode=False)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = ["upscale", "big.tif", "-o", "out.tif", "--scale", "3", "--max-memory", "6M", "-q"]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    assert resource.RUSAGE_SELF == 0
    assert int(done.stdout) < 40 * 1024
    assert io.header("out.tif").size == (18000, 12000)
