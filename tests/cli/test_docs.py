# SPDX-License-Identifier: MIT
"""Every example of docs/cli.md runs as it stands."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from halfpixel import io

from .conftest import photo

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text(encoding="utf-8")


@pytest.fixture
def materials(tmp_path, monkeypatch):
    """The files that the page says it stands beside."""
    monkeypatch.chdir(tmp_path)
    io.write(photo(48, 64), "photo.jpg")
    Path("photos/deep").mkdir(parents=True)
    for index, name in enumerate(("photos/a.png", "photos/b.jpg", "photos/deep/c.png")):
        io.write(photo(seed=index), name)
    logo = np.zeros((16, 16, 4), np.uint8)
    logo[4:12, 4:12] = (200, 30, 30, 255)
    io.write(io.Picture(logo, "rgba"), "logo.png")
    deep = np.random.default_rng(0).integers(0, 65536, (700, 300, 3), dtype=np.uint16)
    io.write(io.Picture(deep, "rgb"), "scan.tif")
    if find_spec("torch") and find_spec("safetensors"):
        from halfpixel import models

        models.save(models.create_model("espcn", scale=2), "net.safetensors")


def test_the_examples_run(run, materials):
    commands = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    assert len(commands) >= 20
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "halfpixel"
        if "--model" in arguments and not Path("net.safetensors").exists():
            continue  # networks need halfpixel[models]
        run(*arguments)
    assert io.header("scan-x4.tif").size == (2800, 1200)
    assert io.header("small.jpg").size == (225, 300)


def test_the_python_runs(materials, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/cli.md", "exec"), {})
    assert capsys.readouterr().out == "rgb uint16 (1400, 600)\n"


def test_the_page_names_every_verb_and_format(run):
    from halfpixel.cli._app import app

    for command in app.registered_commands:
        assert f"| `{command.name}` |" in PAGE
    for name in io.formats.TABLE:
        assert f"| {name.upper().replace('WEBP', 'WebP')} |" in PAGE
