# SPDX-License-Identifier: MIT
"""Known sinners fail on the check of their sin and on no other; known good ones pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import halfpixel
from halfpixel.upsamplers import create_downsampler, create_upsampler

from .subjects import PATTERNS, SAINTS, SINNERS, UNet, interpolation, seeded, shuffled


@pytest.mark.parametrize("name", SINNERS)
def test_a_sinner_fails_on_its_sin_alone(name):
    make, fails, warns = SINNERS[name]
    found = halfpixel.audit(make())
    assert (set(found.failed), set(found.warned)) == (fails, warns), str(found)
    assert not found.passed


@pytest.mark.parametrize("name", SAINTS)
def test_a_good_one_passes(name):
    make, warns = SAINTS[name]
    found = halfpixel.audit(make())
    assert found.passed and set(found.warned) == warns, str(found)
    # Far from the limits: float32's rounding decides nothing.
    for name in ("flat", "gradient", "border"):
        check = found[name]
        assert check.verdict != "pass" or check.number < check.limit / 2


def test_bicubic_overshoots_by_what_its_kernel_says():
    # At phase 1/4 of a = -3/4, of the samples 1 and 2 on the one side of a step: the farther one alone is negative.
    def keys(t, a=-0.75):
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a

    found = halfpixel.audit(interpolation(mode="bicubic"))["overshoot"]
    assert found.verdict == "warning" and found.number == pytest.approx(-keys(1.25), abs=1e-6)


def test_the_shift_of_a_one_sided_blur_is_half_a_pixel():
    class Blurred(nn.Module):
        def forward(self, x):
            y = nn.functional.interpolate(x, scale_factor=2)
            return nn.functional.avg_pool2d(nn.functional.pad(y, (1, 0, 1, 0), mode="replicate"), 2, 1)

    found = halfpixel.audit(Blurred())
    assert found.failed == ("shift",) and found["shift"].number == pytest.approx(0.5, abs=1e-4)


def test_the_shift_of_legacy_nearest_is_that_of_its_phases():
    # floor(p b / a): content moves by (b - 1) / (2 b) output pixels; b = 3 here.
    found = halfpixel.audit(interpolation(4 / 3))["shift"]
    assert found.number == pytest.approx(1 / 3, abs=1e-4)


def test_aligned_corners_move_most_at_the_ends():
    found = halfpixel.audit(interpolation(mode="bilinear", align_corners=True), shape=(20, 20))
    # Pixel k lies at k (2 n - 1) / (n - 1), and belongs at 2 k + 1/2.
    k = 3
    # The centroid of three samples of a triangle is not quite its middle.
    assert found["shift"].number == pytest.approx(0.5 - k / 19, abs=0.05)
    assert found["equivariance"].verdict == "not applicable" and "see shift" in found["equivariance"].sentence


def test_the_corner_of_carafe_loses_what_lies_outside():
    # Weights are nearly equal at first: a corner keeps 9 of 25 taps, an edge 15 of them.
    torch.manual_seed(0)
    module = create_upsampler("carafe", 4, compressed_channels=8)
    x = torch.ones(1, 4, 12, 12)
    kept = module(x)[0, 0, 0, 0].item()
    assert kept == pytest.approx(9 / 25, abs=0.01)
    found = halfpixel.audit(module)["border"]
    assert found.verdict == "fail" and "darker" in found.sentence
    assert found.number == pytest.approx((1 - kept) * 0.6, abs=0.2)


@pytest.mark.parametrize("name", ["blur_pool", "resize", "avg_pool"])
def test_antialiased_shrinking_passes(name):
    assert halfpixel.audit(create_downsampler(name, 4)).passed


def test_a_checkerboard_inside_a_network_shows_at_the_inputs_size():
    found = halfpixel.audit(seeded(UNet))
    assert found.scale == (1.0, 1.0) and set(found.failed) >= PATTERNS
    assert "up" in found["polyphase"].sentence
    assert "by 1 pixel an input gives something else, by 4 the same" in found["equivariance"].sentence


def test_phases_that_differ_and_are_evened_out_are_a_warning():
    torch.manual_seed(3)
    first = shuffled(icnr=False)
    evened = nn.Sequential(first, nn.AvgPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear"))
    found = halfpixel.audit(evened)
    assert found["polyphase"].verdict == "warning" and found["flat"].verdict == "pass" and found.passed


def test_training_moves_a_good_one_over_the_limit():
    torch.manual_seed(0)
    module = create_upsampler("pixel_shuffle", 4)
    assert halfpixel.audit(module).passed
    with torch.no_grad():
        module.conv.weight[::4] *= 1.05  # the first pixel of every block, five in a hundred brighter
    assert {"polyphase", "flat"} <= set(halfpixel.audit(module).failed)
