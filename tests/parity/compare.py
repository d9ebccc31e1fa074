# SPDX-License-Identifier: MIT
"""What the parity tests share: sizes, pictures, and a resize by one backend into a poisoned output."""

import math

import numpy as np

from halfpixel import backends, plan
from halfpixel.testing import laws
from tests.backend import only

# (height, width) before and after: 1, primes, up, down, one of each, equal along one axis.
SIZES = [
    ((7, 9), (5, 4)),
    ((7, 9), (14, 18)),
    ((6, 5), (13, 11)),
    ((11, 8), (3, 5)),
    ((5, 5), (5, 8)),
    ((4, 6), (1, 2)),
    ((1, 3), (4, 7)),
    ((29, 31), (13, 61)),
    ((40, 37), (9, 55)),
    ((2, 3), (41, 82)),
    ((36, 48), (12, 20)),
]


def samples(rng, shape, dtype):
    """Floats around 0, integers over the whole range of their dtype, a third of them at its ends."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) > 0.5
    info = np.iinfo(dtype)
    inside = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    return np.where(rng.random(shape) < 1 / 3, rng.choice(np.array([info.min, info.max], dtype), shape), inside)


def resized(backend, x, size=None, **options):
    """`resize` by that backend and no other, into memory that holds something else before."""
    p = plan(x.shape, size, **options)
    out = np.full(p.shape_out(x.shape), np.nan if x.dtype.kind == "f" else 85).astype(x.dtype)
    with only(backend):
        return backends.apply(p, x, out, backend=backend)


def rounding(x, size=None, **options):
    """How far two computations of the same convention may be apart: twice what one may be from the definition, and for
    doubles the rounding of coordinates, where libraries differ in the order of their operations.
    """
    p = plan(x.shape, size, **options)
    links = [link for chain in p.recipe(x.dtype).chains for link in chain]
    gain = math.prod(float(np.abs(link.band.weight).sum(axis=1).max()) for link in links)
    taps = sum(link.band.taps for link in links)
    largest = float(np.abs(x).max())
    coordinates = 4 * max(p.size_in) * np.finfo(np.float64).eps * largest * len(p.axes)
    return 2 * laws.tolerance(x.dtype, taps, gain, largest) + coordinates


def assert_same(got, expected, allowed=0.0):
    """Equal shapes and dtypes, and no element further apart than allowed."""
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    if allowed == 0.0:
        np.testing.assert_array_equal(got, expected)
    else:
        worst = np.abs(got.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0)
        assert worst <= allowed, f"{worst:.3g} apart, {allowed:.3g} allowed"
