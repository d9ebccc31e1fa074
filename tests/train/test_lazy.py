# SPDX-License-Identifier: MIT
"""Lightning is loaded when training is used, and said to be missing where it is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import halfpixel.train

LOADED = "import sys, json, halfpixel.train, halfpixel.cli._app; print(json.dumps(sorted(sys.modules)))"


def test_importing_the_room_and_the_command_line_loads_neither_lightning_nor_torch():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert not {"lightning", "torch", "tensorboard"} & set(json.loads(done.stdout))


@pytest.mark.parametrize("name", ["fit", "SuperResolutionTask", "losses", "AutoencoderData"])
def test_a_missing_library_is_said_with_what_installs_it(monkeypatch, name):
    from halfpixel.train import _missing

    monkeypatch.setattr(_missing, "find_spec", lambda module: None if module == "lightning" else module)
    monkeypatch.delitem(halfpixel.train.__dict__, name, raising=False)
    with pytest.raises(ModuleNotFoundError, match=r'needs lightning(.|\n)*pip install "halfpixel\[train\]"'):
        getattr(halfpixel.train, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fits'"):
        halfpixel.train.fits  # noqa: B018


def test_every_public_name_is_there_and_documented():
    for name in halfpixel.train.__all__:
        assert getattr(halfpixel.train, name).__doc__, name
    assert set(halfpixel.train._HOME) | {"losses"} == set(halfpixel.train.__all__) <= set(dir(halfpixel.train))
