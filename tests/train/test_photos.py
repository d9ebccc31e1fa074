# SPDX-License-Identifier: MIT
"""The openly licensed photographs that weights were trained on."""

from __future__ import annotations

import pytest

from halfpixel.errors import HalfpixelError
from halfpixel.io import read
from halfpixel.train.photos import PHOTOS, SPLITS, copy_photos, open_photos

OPEN = {"public domain", "CC0", "CC BY 2.0", "no known copyright restrictions"}


def test_every_photo_stands_in_one_split_with_an_open_licence_and_an_author() -> None:
    assert len({photo.file for photo in PHOTOS}) == len(PHOTOS)
    assert {photo.split for photo in PHOTOS} == set(SPLITS)
    assert all(photo.licence in OPEN and photo.author for photo in PHOTOS)
    assert sum(len(open_photos(split)) for split in SPLITS) == len(PHOTOS)


def test_another_split_is_refused() -> None:
    with pytest.raises(ValueError, match="held-out"):
        open_photos("test")


def test_photos_are_copied_by_split(tmp_path) -> None:
    pytest.importorskip("sklearn", reason="two of the photos come with scikit-learn")
    pytest.importorskip("skimage", reason="most of the photos come with scikit-image")
    root = copy_photos(tmp_path / "photos")
    for photo in PHOTOS:
        copied = root / photo.split / photo.file
        assert copied.read_bytes() == photo.path.read_bytes()
    assert read(root / "held-out" / "astronaut.png").pixels.shape == (512, 512, 3)


def test_a_package_that_is_missing_is_named(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HalfpixelError, match="comes with scikit-learn") as caught:
        next(photo for photo in PHOTOS if photo.package == "scikit-learn").path.resolve()
    assert caught.value.works == "pip install scikit-learn"
