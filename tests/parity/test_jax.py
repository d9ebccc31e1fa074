# SPDX-License-Identifier: MIT
"""jax.image.resize, in float64 and in float32 (64-bit mode off, as it is by default)."""

import numpy as np
import pytest

from halfpixel import resize
from tests.backend import NAMES
from tests.parity.compare import assert_same, resized, rounding, samples

jax = pytest.importorskip("jax")

CASES = [("nearest", True), ("area", True)]
CASES += [(m, a) for m in ("linear", "cubic", "lanczos3", "lanczos5", "cubic-pytorch") for a in (True, False)]


# Every size compiles anew: few.
SIZES = [((7, 9), (5, 4)), ((6, 5), (13, 11)), ((1, 31), (4, 31)), ((40, 3), (9, 1))]


def by_jax(x, size, method, antialias):
    with jax.enable_x64(x.dtype == np.float64):
        return np.asarray(jax.image.resize(x, (*x.shape[:-2], *size), method, antialias=antialias))


def preset(method, antialias):
    return f"jax.{method}" if antialias else f"jax.{method}(antialias=False)"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("method", "antialias"), CASES)
def test_images(method, antialias, dtype):
    rng, like = np.random.default_rng(1), preset(method, antialias)
    for size_in, size in SIZES:
        x = samples(rng, (2, *size_in), dtype)
        expected = by_jax(x, size, method, antialias)
        # XLA fuses some of the products that make float32 coordinates, and not others.
        coordinates = 0.0 if dtype == "float64" else 2.0**-23 * max(size_in) * np.abs(x).max()
        allowed = 0.0 if method == "nearest" else rounding(x, size, like=like) + coordinates
        for backend in NAMES:
            assert_same(resized(backend.values[0], x, size, like=like), expected, allowed)


@pytest.mark.parametrize(("n", "m"), [(2, 41), (1, 82), (5, 47), (13, 22), (6, 246), (97, 41), (33, 77)])
def test_nearest_on_ties(n, m):
    """Where (o + 1/2) n / m is a whole number, the order of the float32 operations decides."""
    x = np.arange(n, dtype=np.float32)[None]
    assert_same(resize(x, (1, m), like="jax.nearest"), by_jax(x, (1, m), "nearest", True))


def test_integers_stay_integers():
    """JAX gives floats back; here the dtype stays, rounded half to even."""
    x = np.array([[0, 1, 5, 9]], np.uint8)
    expected = np.rint(by_jax(x.astype(np.float32), (1, 7), "linear", True))
    assert_same(resize(x, (1, 7), like="jax.linear"), expected.astype(np.uint8))
