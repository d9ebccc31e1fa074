# SPDX-License-Identifier: MIT
"""Wrong uses end with status 2 and a sentence before anything is written; wrong files with 1, the others done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from halfpixel import io
from halfpixel.cli import _values
from halfpixel.cli._app import app

WRONG = [
    (["resize", "in/a.png", "-o", "x.png"], "no size was given"),
    (["resize", "in/a.png", "-o", "x.png", "--scale", "2", "--width", "4"], "scale and width were given"),
    (["upscale", "in/a.png", "-o", "x.png", "--scale", "abc"], "'abc' is no scale"),
    (["upscale", "in/a.png", "-o", "x.png", "--scale", "1/0"], "'1/0' is no scale"),
    (["upscale", "in/a.png", "-o", "x.png", "--scale", "nan"], "'nan' is no scale"),
    (["upscale", "in/a.png", "-o", "x.png", "--scale", "inf"], "'inf' is no scale"),
    (["upscale", "in/a.png", "-o", "x.png", "--scale", "-2"], "above 0"),
    (["upscale", "in/a.png", "-o", "x.png", "--scale", "0"], "above 0"),
    (["upscale", "in/a.png", "-o", "x.png", "--scale", "1e30"], "absurd"),
    (["upscale", "in/a.png", "-o", "x.png", "--size", "1920"], "'1920' is no size"),
    (["upscale", "in/a.png", "-o", "x.png", "--size", "0x10"], "above 0"),
    (["upscale", "in/a.png", "-o", "x.png", "--width", "0"], "above 0"),
    (["upscale", "in/a.png", "-o", "x.png", "--megapixels", "nan"], "above 0"),
    (["upscale", "in/a.png", "-o", "x.png", "--megapixels", "-1"], "above 0"),
    (["upscale", "in/a.png", "-o", "x.png", "--filter", "lancos3"], "did you mean 'lanczos3'"),
    (["upscale", "in/a.png", "-o", "x.png", "--edge", "reflekt"], "did you mean 'reflect'"),
    (["upscale", "in/a.png", "-o", "x.png", "--like", "pilow.lanczos"], "did you mean 'pillow.lanczos'"),
    (["upscale", "in/a.png", "-o", "x.png", "--like", "pillow.box", "--edge", "wrap"], "replaces edge"),
    (["upscale", "in/a.png", "-o", "x.png", "--grid", "aligncorners"], "did you mean 'align_corners'"),
    (["upscale", "in/a.png", "-o", "x.png", "--format", "pgn"], "did you mean 'png'"),
    (["upscale", "in/a.png", "-o", "x.png", "--depth", "7"], "--depth is one of 8, 16, float"),
    (["upscale", "in/a.png", "-o", "x.png", "--quality", "101"], "100"),
    (["upscale", "in/a.png", "-o", "x.png", "--jobs", "0"], "jobs"),
    (["upscale", "in/a.png", "-o", "x.png", "--max-memory", "lots"], "'lots' is no amount of memory"),
    (["upscale", "in/a.png", "-o", "x.png", "--max-memory", "0"], "no amount of memory"),
    (["upscale", "in/a.png", "-o", "x.png", "--max-pixels", "1.2.3"], "no number of pixels"),
    (["upscale", "in/a.png", "-o", "x.png", "--background", "mauvish"], "'mauvish' is no colour"),
    (["upscale", "in/a.png", "-o", "x.png", "--overwrite", "--skip-existing"], "exclude each other"),
    (["upscale", "in/a.png", "-o", "x.xyz"], "no format has that suffix"),
    (["upscale", "in/a.png", "-o", "x.png", "--format", "jpeg"], "x.png is named as png, and --format says jpeg"),
    (["upscale", "in/a.png", "-o", "x.png", "--suffix", "_2"], "--suffix is for a folder"),
    (["upscale", "in/a.png"], "say where"),
    (["upscale"], "Missing argument"),
    (["upscale", "in/a.png", "-o", "-", "--json"], "both write to standard output"),
    (["upscale", "in", "-o", "-"], "hold one picture"),
    (["upscale", "-", "in/a.png", "-o", "x"], "standard input"),
    (["upscale", "-", "--suffix", "_x2"], "no name to put a suffix to"),
    (["upscale", "in", "-o", "in/a.png"], "is a file"),
    (["upscale", "in/a.png", "-o", "in/a.png"], "there already"),
    (["upscale", "in", "-o", "in"], "there already"),
    (["upscale", "in/a.png", "in/../in/a.png", "-o", "x"], "would both be written to"),
    (["enlarge", "in/a.png"], "No such command"),
    (["upscale", "in/a.png", "-o", "x.png", "--no-such-option"], "No such option"),
    (["list", "kernels"], "'kernels' is no table"),
    (["show", "lanczos33"], "did you mean"),
    (["explain", "640", "--scale", "2"], "'640' is no size"),
    (["explain", "64x48"], "one of them"),
    (["explain", "64x48", "--scale", "2", "--at", "500,0"], "index 500"),
    (["explain", "64x48", "--scale", "2", "--at", "5"], "'5' is no pixel"),
    (["compare", "in/a.png", "--scale", "1"], "a scale above 1"),
    (["compare", "in/a.png", "--scale", "100"], "leave nothing to compare"),
    (["compare", "in/a.png", "--method", "lancos3"], "did you mean"),
    (["compare", "in/a.png", "--method", "pillow.box(a=1)"], "pillow.box"),
    (["compare", "in/a.png", "--json", "--csv"], "exclude each other"),
    (["compare", "in/a.png", "-o", "in/a.png"], "there already"),
]


@pytest.mark.parametrize(
    ("arguments", "said"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_uses(run, folder, arguments, said):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = run(*arguments, status=2)
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_an_output_that_is_another_input(run, folder):
    io.write(io.read("in/a.png"), "in/b.png")
    result = run("upscale", "in/b.png", "in/b.jpg", "-o", "in", "--format", "png", "--overwrite", status=2)
    assert "would both be written to" in " ".join(result.stderr.replace("│", " ").split())
    Path("in/b.png").rename("in/b_x.png")
    result = run("upscale", "in/b_x.png", "in/b.jpg", "--suffix", "_x", "--format", "png", "--overwrite", status=2)
    assert "which is an input as well" in " ".join(result.stderr.replace("│", " ").split())


def test_existing_outputs_are_counted_before_anything_is_written(run, folder):
    run("upscale", "in/a.png", "-o", "out/")
    stamp = Path("out/a.png").stat().st_mtime_ns
    result = run("upscale", "in", "-o", "out", status=2)
    assert "--skip-existing goes on" in " ".join(result.stderr.replace("│", " ").split())
    assert [path.name for path in Path("out").iterdir()] == ["a.png"]
    result = run("upscale", "in", "-o", "out", "--skip-existing")
    assert "3 done, 1 skipped" in result.stderr
    assert Path("out/a.png").stat().st_mtime_ns == stamp
    run("upscale", "in", "-o", "out", "--overwrite", "--scale", "3")
    assert io.header("out/a.png").size == (72, 96)


def test_in_place_when_asked(run, folder):
    run("upscale", "in/a.png", "-o", "in/a.png", "--overwrite")
    assert io.header("in/a.png").size == (48, 64)


BAD = {
    "empty.png": (b"", "it is empty"),
    "text.png": (b"hello, this is text", "it is not an image of a format that is read"),
    "cut.png": (None, "it cannot be decoded"),
    "gone.png": (..., "No such file or directory"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_bad_file_does_not_stop_the_others(run, folder, name):
    content, said = BAD[name]
    if content is None:
        whole = Path("in/a.png").read_bytes()
        content = whole[: len(whole) // 2]
    if content is not ...:
        Path(name).write_bytes(content)
    result = run("upscale", "in/a.png", name, "in/b.jpg", "-o", "out", status=1)
    assert f"{name}: {said}" in result.stderr
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.jpg"]
    assert "2 done, 1 failed" in result.stderr


@pytest.mark.parametrize("pattern", ["none/*.png", "in/*.xyz"])
def test_a_glob_without_a_match_is_a_failure(run, folder, pattern):
    result = run("upscale", pattern, "in/a.png", "-o", "out", status=1)
    assert f"{pattern}: no file matches" in result.stderr
    assert Path("out/a.png").exists()


def test_a_folder_without_pictures_is_a_failure(run, folder):
    Path("bare").mkdir()
    assert "bare: it holds no image file" in run("upscale", "bare", "-o", "out", status=1).stderr


@pytest.fixture
def ordinary_user():
    """Tests may be run by a superuser, who may read everything: become someone else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_permission_denied(run, folder, request):
    run("upscale", "in/a.png", "-o", "warm.png")  # whatever is imported late may lie where only the superuser reads
    Path("in/a.png").chmod(0o000)
    Path("closed").mkdir(mode=0o500)
    request.getfixturevalue("ordinary_user")
    assert "in/a.png: Permission denied" in run("upscale", "in/a.png", "-o", "x.png", status=1).stderr
    assert "Permission denied" in run("upscale", "in/b.jpg", "-o", "closed/", status=1).stderr


def test_several_inputs_that_are_nothing_do_not_clash(run, folder):
    Path("bare").mkdir()
    result = run("upscale", "bare", "none*.png", "gone*.jpg", "in/a.png", "-o", "out", status=1)
    assert "1 done, 3 failed" in result.stderr


def test_a_mistake_within_costs_one_file(run, folder, monkeypatch):
    from halfpixel.io import _job

    whole = _job._whole

    def mistaken(reader, job, *rest):
        if job.header.format == "png":
            raise TypeError("wrong type")
        whole(reader, job, *rest)

    monkeypatch.setattr(_job, "_whole", mistaken)
    result = run("upscale", "in", "-o", "out", status=1)
    assert "a.png: an error within halfpixel: TypeError('wrong type')" in result.stderr
    assert "3 done, 1 failed" in result.stderr


def test_full_disk_is_a_failure_of_that_file(run, folder, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("halfpixel.io._atomic.os.fsync", full)
    result = run("upscale", "in/a.png", "-o", "out/", status=1)
    assert "No space left on device" in result.stderr
    assert list(Path("out").iterdir()) == []


def test_a_loop_of_links_ends(run, folder):
    Path("in/loop").symlink_to("../in", target_is_directory=True)
    run("upscale", "in", "-o", "out")
    assert len([path for path in Path("out").rglob("*") if path.is_file()]) == 4


@pytest.mark.parametrize("library", ["typer", "rich", "PIL", "tifffile"])
def test_without_the_extra_it_says_what_to_install(library, folder):
    verb = ["upscale", "in/a.png", "-o", "x.png"]
    code = f"import sys; sys.modules[{library!r}] = None; import halfpixel.cli; halfpixel.cli.main()"
    done = subprocess.run([sys.executable, "-c", code, *verb], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert 'pip install "halfpixel[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_every_verb_explains_itself(run):
    names = [command.name for command in app.registered_commands]
    assert names == ["upscale", "resize", "compare", "eval", "show", "audit", "info", "explain", "list"]
    for name in names:
        assert "Usage" in run(name, "--help").stdout


@pytest.mark.parametrize(
    ("text", "count"),
    [("2GiB", 2**31), ("500M", 500_000_000), ("1.5k", 1500), ("12", 12), ("3 KiB", 3072), ("7mb", 7_000_000)],
)
def test_amounts_of_memory(text, count):
    assert _values.byte_count(text) == count
