# SPDX-License-Identifier: MIT
"""A run that is killed or stopped leaves whole files only, and a second one goes on where it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from halfpixel import io

COUNT = 24


@pytest.fixture
def many(tmp_path):
    """A folder with pictures enough for a run to be caught in the middle."""
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (250, 250, 3), dtype=np.uint8)
    for index in range(COUNT):
        io.write(io.Picture(np.roll(noise, index, 0), "rgb"), tmp_path / "in" / f"{index:02}.png")
    return tmp_path


def started(folder, *options):
    command = [sys.executable, "-m", "halfpixel.cli", "upscale", "in", "-o", "out", "-j", "1", *options]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def caught(process, folder, number):
    """Send a signal once some outputs, but not all, are there."""
    deadline = time.monotonic() + 60
    while len(list((folder / "out").glob("*.png"))) < 3:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    errors = process.communicate(timeout=60)[1]
    done = sorted((folder / "out").glob("*.png"))
    assert 3 <= len(done) < COUNT
    return done, errors


def whole(paths):
    return all(io.read(path).size == (500, 500) for path in paths)


def test_killed_then_continued(many):
    done, _ = caught(started(many), many, signal.SIGKILL)
    assert whole(done)
    stamps = {path: path.stat().st_mtime_ns for path in done}
    process = started(many, "--skip-existing")
    assert "skipped" in process.communicate(timeout=120)[1]
    assert process.returncode == 0
    outputs = sorted((many / "out").glob("*.png"))
    assert len(outputs) == COUNT
    assert whole(outputs)
    assert {path: path.stat().st_mtime_ns for path in done} == stamps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped(many, number):
    process = started(many)
    done, errors = caught(process, many, number)
    assert process.returncode == 130
    assert "--skip-existing goes on from here" in errors
    assert "Traceback" not in errors
    assert whole(done)
    assert [path.name for path in (many / "out").iterdir() if not path.name.endswith(".png")] == []


def test_stopping_within_a_streamed_file(tmp_path):
    """One long file: the stop is seen between bands, and nothing of it stays."""
    import tifffile

    tifffile.imwrite(tmp_path / "big.tif", np.zeros((6000, 2000), np.uint8), rowsperstrip=16)
    command = [sys.executable, "-m", "halfpixel.cli", "upscale", "big.tif", "-o", "out.tif", "--scale", "4"]
    process = subprocess.Popen([*command, "--max-memory", "8M"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.tif.*.part")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [path.name for path in Path(tmp_path).iterdir()] == ["big.tif"]
