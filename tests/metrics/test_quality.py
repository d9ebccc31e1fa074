# SPDX-License-Identifier: MIT
"""PSNR and SSIM against loops from the formulas; protocols; what is refused."""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfpixel import metrics
from halfpixel.metrics import ImageScores, Protocol, measure, protocols, psnr, ssim

from . import definitions


def noisy(shape, dtype=np.uint8, seed=0):
    """Two similar images."""
    rng = np.random.default_rng(seed)
    a = rng.random(shape)
    b = a + rng.normal(0, 0.05, shape)
    if np.dtype(dtype).kind == "f":
        return a.astype(dtype), b.astype(dtype)
    top = np.iinfo(dtype).max
    return tuple((np.clip(one, 0, 1) * top).astype(dtype) for one in (a, b))


@settings(deadline=None, max_examples=25)
@given(
    st.tuples(st.integers(1, 17), st.integers(1, 17), st.sampled_from([None, 1, 2, 3, 5])),
    st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]),
)
def test_psnr_is_its_formula(shape, dtype):
    a, b = noisy(shape[:2] if shape[2] is None else shape, dtype)
    peak = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1.0
    assert psnr(a, b) == pytest.approx(definitions.psnr(a.ravel().tolist(), b.ravel().tolist(), peak), rel=1e-12)


@pytest.mark.parametrize("shape", [(11, 11), (11, 17), (13, 12), (19, 23)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_ssim_is_its_formula(shape, dtype):
    a, b = noisy(shape, dtype)
    peak = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1.0
    assert ssim(a, b) == pytest.approx(definitions.ssim(a.tolist(), b.tolist(), peak), abs=1e-12)


def test_ssim_of_colour_is_the_mean_over_channels():
    a, b = noisy((14, 15, 3))
    assert ssim(a, b) == pytest.approx(np.mean([ssim(a[..., c], b[..., c]) for c in range(3)]), abs=1e-14)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 3), st.sampled_from([None, 1, 3]), st.sampled_from([np.uint8, np.uint16, np.float32]))
def test_sr_y_is_its_formula(crop, channels, dtype):
    a, b = noisy((17, 19) if channels is None else (17, 19, channels), dtype)
    white = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1.0

    def y(image):
        whole = np.broadcast_to(image.reshape(17, 19, -1), (17, 19, 3))
        rows = [[definitions.luma(*(definitions.eight_bits(v, white) for v in p)) for p in row] for row in whole]
        return [row[crop : 19 - crop] for row in rows[crop : 17 - crop]]

    first, second = y(a), y(b)
    assert psnr(a, b, protocol="sr-y", crop=crop) == pytest.approx(
        definitions.psnr([*chain(*first)], [*chain(*second)], 255), rel=1e-12
    )
    assert ssim(a, b, protocol="sr-y", crop=crop) == pytest.approx(definitions.ssim(first, second, 255), abs=1e-11)


def test_sr_rgb_takes_all_channels_at_eight_bits():
    a, b = noisy((19, 17, 3), np.float64)
    eight = [np.floor(np.clip(one, 0, 1) * 255 + 0.5)[2:-2, 2:-2] for one in (a, b)]
    assert psnr(a, b, protocol="sr-rgb", scale=2) == pytest.approx(psnr(*eight, data_range=255), rel=1e-13)
    assert ssim(a, b, protocol="sr-rgb", scale=2) == pytest.approx(ssim(*eight, data_range=255), rel=1e-13)


# What the protocols say of one small image, to be checked by hand: red is 10 levels off, green 20, blue 30.
@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("sr-y", 20 * math.log10(255 / ((65.481 * 10 + 128.553 * 20 + 24.966 * 30) / 255))),
        ("sr-rgb", 10 * math.log10(255**2 / ((100 + 400 + 900) / 3))),
        ("div2k-rgb", 10 * math.log10(255**2 / ((100 + 400 + 900) / 3))),
    ],
)
def test_protocols_by_hand(protocol, expected):
    a = np.full((21, 21, 3), 100, np.uint8)
    b = a + np.array([10, 20, 30], np.uint8)
    assert psnr(a, b, protocol=protocol, scale=2) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("protocol", "border"), [("sr-y", 3), ("sr-rgb", 3), ("div2k-rgb", 9)])
def test_the_border_that_a_protocol_leaves_out(protocol, border):
    a = np.full((41, 43, 3), 90, np.uint8)
    outside, inside = a.copy(), a.copy()
    outside[:border], outside[:, :border], outside[-border:], outside[:, -border:] = 0, 0, 0, 0
    inside[border, border] = 0
    assert psnr(outside, a, protocol=protocol, scale=3) == math.inf
    assert math.isfinite(psnr(inside, a, protocol=protocol, scale=3))
    assert psnr(inside, a, protocol=protocol, crop=border + 1) == math.inf


def test_a_gray_image_is_one_with_equal_colours():
    a, b = noisy((15, 16))
    colour = [np.repeat(one[..., None], 3, axis=-1) for one in (a, b)]
    for options in ({"protocol": "sr-y", "scale": 2}, {"protocol": "sr-rgb", "scale": 2}):
        expected = measure(*colour, **options)
        for gray in ((a, b), (a[..., None], b)):
            found = measure(*gray, **options)
            assert (found.psnr, found.ssim) == pytest.approx((expected.psnr, expected.ssim), rel=1e-12)


def test_a_protocol_compares_dtypes_with_each_other():
    a, b = noisy((15, 16, 3))
    expected = psnr(a, b, protocol="sr-y", scale=2)
    assert psnr(a.astype(np.float64) / 255, b, protocol="sr-y", scale=2) == expected
    assert psnr(a.astype(np.uint16) * 257, (b / 255).astype(np.float32), protocol="sr-y", scale=2) == expected


def test_a_protocol_of_ones_own():
    mine = Protocol("mine", "y", margin=1)
    a, b = noisy((15, 16, 3))
    assert psnr(a, b, protocol=mine, scale=2) == psnr(a, b, protocol="sr-y", crop=3)


def test_equal_images():
    a, _ = noisy((13, 14, 3))
    assert measure(a, a) == ImageScores(math.inf, 1.0)
    assert measure(a, a.copy(), protocol="sr-y", scale=1).to_dict() == {"psnr": None, "ssim": 1.0}
    assert ssim(np.zeros((11, 11)), np.zeros((11, 11))) == 1.0


def test_nan_is_not_hidden():
    a, b = noisy((13, 14, 3), np.float32)
    b[6, 6, 1] = np.nan
    for options in ({}, {"protocol": "sr-y", "scale": 1}):
        assert math.isnan(psnr(b, a, **options)) and math.isnan(ssim(b, a, **options))
        assert math.isnan(psnr(a, b, **options))
    assert measure(b, a).to_dict() == {"psnr": None, "ssim": None}


def test_infinities_are_infinitely_wrong_and_clipped_by_a_protocol():
    a = np.full((13, 14, 3), 0.25)
    b = a.copy()
    b[6, 6] = np.inf
    assert psnr(b, a) == -math.inf
    assert psnr(b, a, protocol="sr-rgb", scale=1) == pytest.approx(
        20 * math.log10(255 / (255 - 64) * math.sqrt(11 * 12)), rel=1e-12
    )


def test_strides_and_byte_order_do_not_matter():
    a, b = noisy((30, 28, 3), np.uint16)
    expected = measure(a[::2, ::-2].copy(), b[::2, ::-2].copy())
    assert measure(a[::2, ::-2], b[::2, ::-2].astype(">u2")) == expected
    assert measure(np.asfortranarray(a[::2, ::-2]), b[::2, ::-2]) == expected
    assert measure(a[::2, ::-2].tolist(), b[::2, ::-2].tolist(), data_range=65535) == expected


def test_inputs_are_left_alone():
    a, b = noisy((13, 13, 3), np.float64)
    before = a.copy(), b.copy()
    measure(a, b, protocol="sr-y", scale=1)
    assert np.array_equal(a, before[0]) and np.array_equal(b, before[1])


def test_a_shift_of_both_does_not_change_psnr_and_a_swap_changes_nothing():
    a, b = noisy((13, 17), np.float64)
    assert psnr(a + 5, b + 5, data_range=1) == pytest.approx(psnr(a, b), rel=1e-12)
    assert measure(a, b) == measure(b, a)


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16", "uint8"])
def test_tensors(name):
    torch = pytest.importorskip("torch", reason="tensors need torch")
    a, b = noisy((16, 17, 3), np.uint8 if name == "uint8" else np.float32)
    x, y = (torch.from_numpy(one).to(getattr(torch, name)) for one in (a, b))
    arrays = [one.numpy() if name == "uint8" else one.to(torch.float64).numpy() for one in (x, y)]
    if name != "uint8":
        x.requires_grad_()
    for options in ({}, {"protocol": "sr-y", "scale": 2}):
        assert measure(x, y, **options) == measure(*arrays, **options)


@pytest.mark.parametrize(
    ("image", "reference", "options", "why"),
    [
        (np.zeros((4, 4)), np.zeros((4, 5)), {}, "the image is 4 x 4, the reference 5 x 4"),
        (np.zeros((4, 4, 3)), np.zeros((4, 4)), {}, "4 x 4 with 3 channels"),
        (np.zeros(4), np.zeros(4), {}, "has 1 dimensions"),
        (np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 3)), {}, "one image a call"),
        (np.zeros((0, 4)), np.zeros((0, 4)), {}, "hold no pixel"),
        (np.zeros((4, 4), bool), np.zeros((4, 4), bool), {}, "has dtype bool"),
        (np.zeros((4, 4), complex), np.zeros((4, 4)), {}, "has dtype complex128"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4)), {}, "uint8 is compared with float64"),
        (np.zeros((4, 4)), np.full((4, 4), 255.0), {}, "floats are taken as 0 ... 1, and the reference holds 255"),
        (np.zeros((4, 4)), np.full((4, 4), 255.0), {"protocol": "sr-y", "scale": 1}, "the reference holds 255"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"data_range": 0}, "data_range is 0"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"data_range": math.nan}, "data_range is nan"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"data_range": "1"}, "data_range is '1'"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"data_range": [1]}, "data_range is"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"crop": 2}, "nothing is left"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"crop": -1}, "crop is -1"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"crop": 1.5}, "crop is 1.5"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"scale": 2}, "scale belongs to a protocol"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"protocol": "sr-y"}, "neither of the two"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"protocol": "sr-y", "scale": 1, "crop": 1}, "both of the two"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"protocol": "sr-y", "scale": 0}, "scale is 0"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"protocol": "sr-y", "scale": 1.5}, "scale is 1.5"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"protocol": "sr-y", "scale": 1, "data_range": 1}, "its own range, 255"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"protocol": "sr_y", "scale": 1}, "unknown protocol 'sr_y'"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"protocol": Protocol("x", "u"), "scale": 1}, "choice of channels"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"protocol": Protocol("x", "y", -1), "scale": 1}, "a margin of -1"),
        (np.zeros((4, 4, 4)), np.zeros((4, 4, 4)), {"protocol": "sr-y", "scale": 1}, "no rule for 4 channels"),
        (np.zeros((3, 8, 8)), np.zeros((3, 8, 8)), {"protocol": "sr-y", "scale": 1}, "permute"),
        (np.zeros((4, 4), int), np.zeros((4, 4), int), {"protocol": "sr-y", "scale": 1}, "needs to know white"),
        (np.ma.zeros((4, 4)), np.zeros((4, 4)), {}, "masked array"),
        (np.array([["a"]]), np.zeros((1, 1)), {}, "has dtype <U1"),
        (None, np.zeros((1, 1)), {}, "has dtype object"),
    ],
)  # fmt: skip
def test_what_psnr_refuses(image, reference, options, why):
    with pytest.raises((ValueError, TypeError)) as error:
        psnr(image, reference, **options)
    assert why in str(error.value)
    assert str(error.value).startswith("psnr(")


def test_ssim_refuses_less_than_a_window():
    with pytest.raises(ValueError, match=r"ssim\(.*hold no window of 11 x 11"):
        ssim(np.zeros((10, 11)), np.zeros((10, 11)))
    with pytest.raises(ValueError, match="11 pixels a side or more after the crop"):
        ssim(np.zeros((12, 12)), np.zeros((12, 12)), crop=1)
    assert ssim(np.zeros((13, 13)), np.zeros((13, 13)), crop=1) == 1


def test_the_table_is_whole():
    assert list(protocols.TABLE) == ["sr-y", "sr-rgb", "div2k-rgb"]
    for name, row in protocols.TABLE.items():
        assert row.name == name and row.summary and row.source and row.channels in protocols.CHANNELS


def test_every_public_name_is_there():
    assert all(hasattr(metrics, name) for name in metrics.__all__)


def test_the_page_names_every_protocol():
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
    assert all(f'| `"{name}"` |' in page for name in protocols.TABLE)
