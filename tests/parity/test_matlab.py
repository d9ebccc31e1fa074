# SPDX-License-Identifier: MIT
"""MATLAB's imresize, from its documented formula in slow float64: no MATLAB runs here."""

import math

import numpy as np
import pytest

from halfpixel import plan, resize
from tests.backend import NAMES
from tests.parity.compare import SIZES, assert_same, resized, samples


def cubic(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def sinc(x):
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


KERNELS = {
    "bicubic": (4, cubic),
    "bilinear": (2, lambda x: max(1 - abs(x), 0.0)),
    "box": (1, lambda x: float(-0.5 <= x < 0.5)),
    "lanczos2": (4, lambda x: sinc(x) * sinc(x / 2) if abs(x) < 2 else 0.0),
    "lanczos3": (6, lambda x: sinc(x) * sinc(x / 3) if abs(x) < 3 else 0.0),
}


def matrix(n, m, method, scale, antialias=True):
    width, kernel = KERNELS[method]
    shrink = scale if antialias and scale < 1 else 1.0
    out = np.zeros((m, n))
    for o in range(1, m + 1):
        u = o / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - width / shrink / 2)
        taps = range(left, left + math.ceil(width / shrink) + 2)
        weights = [kernel(shrink * (u - t)) for t in taps]
        for t, w in zip(taps, weights, strict=True):
            j = (t - 1) % (2 * n)
            out[o - 1, min(j, 2 * n - 1 - j)] += w / sum(weights)
    return out


def imresize(x, size, method, scales=None, antialias=True):
    """Dimensions from the smallest scale up, rows first among equals; integers rounded after each."""
    scales = scales or [m / n for n, m in zip(x.shape, size, strict=True)]
    y = x.astype(np.float64)
    for d in sorted((0, 1), key=lambda d: scales[d]):
        y = np.moveaxis(np.tensordot(matrix(x.shape[d], size[d], method, scales[d], antialias), y, (1, d)), 0, d)
        if x.dtype.kind in "iu":
            info = np.iinfo(x.dtype)
            y = np.clip(np.sign(y) * np.floor(np.abs(y) + 0.5), info.min, info.max)
    return y.astype(x.dtype)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", KERNELS)
def test_images(method, antialias, backend):
    rng = np.random.default_rng(1)
    like = f"matlab.{method}" if antialias else f"matlab.{method}(antialias=False)"
    for size_in, size in SIZES:
        for dtype in ("float64", "float32", "uint8", "int16"):
            x = samples(rng, size_in, dtype)
            expected = imresize(x, size, method, antialias=antialias)
            got = resized(backend, x, size, like=like)
            # Sums that end on a half to the last bit may be rounded either way: the orders of summation differ.
            allowed = {"float64": 1e-12, "float32": 1e-6}.get(dtype, 1.0)
            assert_same(got, expected, allowed)
            assert np.count_nonzero(got != expected) <= 0.02 * got.size + 1 or dtype.startswith("float")


def test_a_scale_is_kept_and_sizes_are_rounded_up():
    x = np.random.default_rng(2).standard_normal((10, 7))
    for scale in (0.37, 1.7, 0.5):
        size = tuple(math.ceil(scale * n) for n in x.shape)
        p = plan(x.shape, scale=(scale, scale), like="matlab.bicubic")
        assert p.size_out == size
        assert_same(p(x), imresize(x, size, "bicubic", [scale, scale]), 1e-12)
        assert np.abs(imresize(x, size, "bicubic") - p(x)).max() > 1e-3 or scale == 0.5


def test_nearest_takes_the_later_sample_on_a_tie():
    """The box is half-open: u - 1/2 is inside, u + 1/2 is not. At a tie between two samples the later one is taken."""
    assert resize(np.arange(4.0), 2, like="matlab.nearest").tolist() == [1, 3]
    assert resize(np.arange(3.0), 6, like="matlab.nearest").tolist() == [0, 0, 1, 1, 2, 2]


def test_the_smaller_scale_goes_first():
    x = samples(np.random.default_rng(3), (24, 20), "uint8")
    rows_first = resize(resize(x, (6,), axes=(0,), like="matlab.bicubic"), (15,), axes=(1,), like="matlab.bicubic")
    columns_first = resize(resize(x, (5,), axes=(1,), like="matlab.bicubic"), (18,), axes=(0,), like="matlab.bicubic")
    assert_same(resize(x, (6, 15), like="matlab.bicubic"), rows_first)
    assert_same(resize(x, (18, 5), like="matlab.bicubic"), columns_first)
