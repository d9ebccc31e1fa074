# SPDX-License-Identifier: MIT
"""The command line as a function, and a folder of pictures to use it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

for library in ("typer", "rich", "PIL", "tifffile", "imagecodecs"):
    pytest.importorskip(library, reason='the command line needs pip install "halfpixel[cli]"')

from typer.testing import CliRunner, Result  # noqa: E402

from halfpixel import io  # noqa: E402
from halfpixel.cli._app import app  # noqa: E402

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """run("resize", "a.png", ..., status=0): the result, its exit status checked."""

    def invoke(*arguments: object, status: int = 0, stdin: bytes | None = None) -> Result:
        result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).invoke(
            app, [str(argument) for argument in arguments], input=stdin
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return invoke


def photo(height: int = 24, width: int = 32, seed: int = 0) -> io.Picture:
    """A picture with smooth parts, an edge and some texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    base = np.stack([y, x, (x + y) / 2], axis=-1) * 200
    base[height // 3 :, width // 2 :] += 55 * rng.random((height - height // 3, width - width // 2, 1))
    return io.Picture(base.astype(np.uint8), "rgb")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of four pictures and a text file, current while the test runs."""
    for index, name in enumerate(("in/a.png", "in/b.jpg", "in/deep/c.webp", "in/deep/er/d.tif")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        io.write(photo(seed=index), path)
    (tmp_path / "in/notes.txt").write_text("not a picture")
    (tmp_path / "in/.hidden.png").write_text("nor this")
    monkeypatch.chdir(tmp_path)
    return tmp_path
