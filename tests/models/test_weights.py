# SPDX-License-Identifier: MIT
"""The weights that ship: their size, their cards, and that the cards are true."""

from __future__ import annotations

import re

import pytest

from benchmarks import cards
from halfpixel import models
from halfpixel.models._load import WEIGHTS
from halfpixel.train.photos import PHOTOS, open_photos

NAMES = models.list_weights()


def test_scales_2_3_and_4_ship_in_less_than_2_megabytes():
    assert NAMES == ("espcn_x2", "espcn_x3", "espcn_x4")
    assert [models.load(name).scale for name in NAMES] == [2, 3, 4]
    assert sum(file.stat().st_size for file in WEIGHTS.glob("*.safetensors")) < 2e6


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_card_with_photos_licences_seed_and_command(name):
    text = (WEIGHTS / f"{name}.md").read_text(encoding="utf-8")
    for photo in PHOTOS:
        assert photo.file in text and photo.author in text and photo.licence in text
    assert "halfpixel train sr photos/train" in text and "--seed 0" in text
    assert "licence of the package" in text and "Where it loses" in text


@pytest.mark.parametrize("name", NAMES)
def test_the_scores_of_the_card_are_those_of_the_weights(name):
    """On photos that nothing has been trained on; better than both filters by the mean and on every photo."""
    model = models.load(name)
    photos = [p for p in open_photos("held-out") if p.file != "astronaut.png"]
    found = cards.scores(model, photos, next(iter(cards.ORIGINS.values())))
    text = (WEIGHTS / f"{name}.md").read_text(encoding="utf-8")
    for file, row in found.items():
        told = re.search(rf"^\| {re.escape(file)} \| .* \| ([\d.]+) / [\d.]+ \| [+-][\d.]+ \|$", text, re.MULTILINE)
        assert told and float(told[1]) == pytest.approx(row["network"].psnr, abs=0.02)
        assert row["network"].psnr > max(row["bicubic"].psnr, row["lanczos3"].psnr)
    gain = cards.mean(found, "network") - cards.mean(found, "bicubic")
    assert gain > (0.7 if model.scale == 2 else 0.3)


def test_held_out_photos_are_no_training_photos():
    assert not {p.file for p in open_photos("held-out")} & {p.file for p in open_photos("train")}
