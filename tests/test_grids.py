# SPDX-License-Identifier: MIT
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfpixel import grids
from tests.brute import coordinate

BIG = 2**40


def exact(name, n, m, o):
    step, offset = grids.get(name).affine(Fraction(0), Fraction(n), m, Fraction(n, m))
    base, frac = grids.split(step, offset, o, o + 1)
    return step * o + offset, int(base[0]), float(frac[0])


@given(st.sampled_from(sorted(grids.TABLE)), st.integers(1, BIG), st.integers(1, BIG), st.data())
def test_coordinates_are_exact_at_any_size(name, n, m, data):
    o = data.draw(st.integers(0, m - 1))
    c, base, frac = exact(name, n, m, o)
    assert c == coordinate(name, n, m, o)[0]
    assert base == math.floor(c)
    assert abs(frac - float(c - base)) <= 2**-51


def test_output_beyond_float32_and_float64_is_right():
    # n = 2**24 + 3 doubled: a float32 product is off by one from here on.
    _c, base, frac = exact("half_pixel", 2**24 + 3, 2**25 + 6, 2**24 + 1)
    assert (base, frac) == (2**23, 0.25)
    # A float64 product of these loses the fraction altogether.
    n, m, o = 2**40 + 1, 2**40 - 87, 2**40 - 100
    want = Fraction(n, m) * (o + Fraction(1, 2)) - Fraction(1, 2)
    assert exact("half_pixel", n, m, o) == (want, math.floor(want), pytest.approx(float(want % 1), abs=2**-51))


@given(
    st.fractions(min_value=Fraction(-4), max_value=4, max_denominator=10**30),
    st.fractions(min_value=Fraction(-9), max_value=9, max_denominator=10**22),
    st.integers(0, 10**6),
)
def test_wide_denominators_do_not_overflow(step, offset, i0):
    base, frac = grids.split(step, offset, i0, i0 + 40)
    want = [step * o + offset for o in range(i0, i0 + 40)]
    assert base.tolist() == [math.floor(c) for c in want]
    np.testing.assert_allclose(frac, [float(c % 1) for c in want], rtol=0, atol=2**-51)


def test_blocks_join_without_a_seam():
    # A denominator near 2**57 leaves 32 rows to a block.
    step, offset = Fraction(2**56 + 1, 2**57 - 1), Fraction(1, 3)
    base, frac = grids.split(step, offset, 5, 205)
    want = [step * o + offset for o in range(5, 205)]
    assert base.tolist() == [math.floor(c) for c in want]
    np.testing.assert_allclose(frac, [float(c % 1) for c in want], rtol=0, atol=2**-51)


def test_align_corners_meets_both_corners_and_one_sample_is_the_first():
    step, offset = grids.get("align_corners").affine(Fraction(0), Fraction(7), 4, Fraction(7, 4))
    assert [step * o + offset for o in range(4)] == [0, 2, 4, 6]
    assert grids.get("align_corners").affine(Fraction(0), Fraction(7), 1, Fraction(7)) == (0, 0)


def test_symmetric_grid_centres_the_canvas_when_the_scale_is_kept():
    step, offset = grids.get("half_pixel_symmetric").affine(Fraction(0), Fraction(10), 3, Fraction(5, 2))
    centres = [step * o + offset for o in range(3)]
    assert centres[0] + centres[2] == 9


def test_unknown_grid():
    with pytest.raises(ValueError, match="half_pixel"):
        grids.get("half-pixel")
    with pytest.raises(TypeError, match="grid is 3"):
        grids.get(3)
