# SPDX-License-Identifier: MIT
"""Losses against their definitions, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from halfpixel.train import losses
from halfpixel.train._colour import luma, planar


def test_charbonnier_by_hand():
    expected = (math.sqrt(0.09 + 1e-6) + 1e-3) / 2
    assert float(losses.charbonnier(torch.tensor([0.3, 0.0]), torch.zeros(2))) == pytest.approx(expected, rel=1e-6)


def test_soft_dice_by_hand():
    scores = torch.tensor(np.random.default_rng(0).normal(size=(2, 3, 4, 5)))
    labels = torch.tensor(np.random.default_rng(1).integers(0, 2, (2, 4, 5)))  # class 2 does not occur
    labels[0, 0, :2] = 255
    share = scores.exp() / scores.exp().sum(1, keepdim=True)
    dices = []
    for c in (0, 1):
        both = total = 0.0
        for n in range(2):
            for y in range(4):
                for x in range(5):
                    if labels[n, y, x] != 255:
                        is_c = float(labels[n, y, x] == c)
                        both += is_c * float(share[n, c, y, x])
                        total += is_c + float(share[n, c, y, x])
        dices.append(2 * both / total)
    assert float(losses.soft_dice(scores, labels)) == pytest.approx(1 - np.mean(dices), rel=1e-9)
    both = losses.cross_entropy(scores, labels) + losses.soft_dice(scores, labels)
    assert torch.equal(losses.get("cross_entropy+dice", losses.LABELS)(scores, labels), both)


def test_nothing_to_learn_from_is_no_loss_and_has_a_gradient():
    scores = torch.zeros(1, 2, 2, 2, requires_grad=True)
    loss = losses.soft_dice(scores, torch.full((1, 2, 2), 255))
    loss.backward()
    assert loss.item() == 0 and not scores.grad.any()


def test_an_unknown_loss_names_the_nearest():
    with pytest.raises(ValueError, match=r"unknown loss 'charbonier'(.|\n)*charbonnier"):
        losses.get("charbonier", losses.IMAGES)


def test_luma_is_that_of_the_protocol():
    from halfpixel.metrics.protocols import CHANNELS

    levels = np.random.default_rng(0).integers(0, 256, (1, 6, 7, 3))
    ours = planar(torch.tensor(levels, dtype=torch.uint8), 1)[0, 0].double().numpy() * 255
    np.testing.assert_allclose(ours, CHANNELS["y"](levels[0].astype(float))[..., 0], atol=1e-4)
    assert luma(torch.zeros(1, 3, 1, 1)).item() == pytest.approx(16 / 255)


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match="takes 2 channels"):
        planar(torch.zeros(1, 2, 2, 3, dtype=torch.uint8), 2)
