# SPDX-License-Identifier: MIT
import concurrent.futures
import pickle
from fractions import Fraction

import numpy as np
import pytest

import halfpixel
from halfpixel import _plan, _sizes, edges, filters, grids, plan
from halfpixel._axis import Axis, band_of
from halfpixel._recipe import ORDERS
from tests.brute import FILTERS, matrix

NAMES = [*FILTERS, "nearest", "box", "area", "spline0"]
UNFILTERED = [name for name in NAMES if filters.get(name).degree < 2]
SIZES = [(1, 1), (1, 4), (4, 1), (2, 3), (3, 7), (7, 3), (5, 10), (13, 5), (11, 13), (29, 2)]


def own_matrix(name, grid, edge, n, m, antialias=True):
    step, offset = grids.get(grid).affine(Fraction(0), Fraction(n), m, Fraction(n, m))
    axis = Axis(n, m, step, offset, filters.get(name), edges.get(edge), antialias, fill=1.0)
    band, bias = band_of(axis)
    return band, (np.zeros(m) if bias is None else bias)


@pytest.mark.parametrize("edge", edges.TABLE)
@pytest.mark.parametrize("name", NAMES)
def test_matrices_are_those_of_the_formulas(name, edge):
    for n, m in SIZES:
        for grid in grids.TABLE:
            for antialias in (True, False):
                want, lost = matrix(name, grid, edge, n, m, antialias)
                band, bias = own_matrix(name, grid, edge, n, m, antialias)
                where = f"{n} -> {m}, {grid}, {antialias=}"
                np.testing.assert_allclose(band.dense(), want, rtol=0, atol=4e-15, err_msg=where)
                if edge == "constant":
                    np.testing.assert_allclose(bias, lost, rtol=0, atol=4e-15, err_msg=where)
                assert band.taps <= n


@pytest.mark.parametrize("name", ["linear", "cubic", "box", "area", "nearest", "lanczos3"])
@pytest.mark.parametrize("edge", ["crop", "edge", "reflect", "symmetric", "wrap", "zero"])
def test_boxes_are_other_numbers_in_the_grid(name, edge):
    for start, stop in ((0, 5), (Fraction(1, 3), Fraction(17, 4)), (-3, 9), (2, Fraction(5, 2)), (-9, -4)):
        for m in (1, 4, 11):
            want, _ = matrix(name, "half_pixel", edge, 7, m, True, Fraction(start), Fraction(stop))
            got = plan((7,), m, filter=name, edge=edge, box=((start, stop),)).bands[0]
            np.testing.assert_allclose(got.dense(), want, rtol=0, atol=2e-14, err_msg=f"{start}..{stop} -> {m}")


def test_windows_are_as_narrow_as_the_support():
    taps = {
        f: plan((64,), 128, filter=f).bands[0].taps for f in ("nearest", "linear", "cubic", "lanczos3", "area", "box")
    }
    assert taps == {"nearest": 1, "linear": 2, "cubic": 4, "lanczos3": 6, "area": 1, "box": 1}
    assert plan((64,), 32, filter="linear").bands[0].taps == 4
    assert plan((64,), 128, filter="linear", edge="wrap").bands[0].taps == 2
    assert plan((64,), 64, filter="lanczos3").bands[0].is_identity


def test_nearest_rule_is_exact_where_floats_fail():
    # float32 arithmetic gives another index for these sizes.
    for n, m in ((2, 82), (2, 41), (7, 1000), (1000, 7), (3, 2**20)):
        want = [(2 * o + 1) * n // (2 * m) for o in range(m)]
        assert plan((n,), m, filter="nearest").bands[0].selected().tolist() == want


def test_weights_at_huge_indices_are_those_of_small_ones():
    n = 2**31
    axis = Axis(n, 2 * n, Fraction(1, 2), Fraction(-1, 4), filters.get("linear"), edges.get("edge"))
    band, _ = band_of(axis, 2**31 + 1, 2**31 + 3)
    assert band.start.tolist() == [2**30, 2**30]
    assert band.weight.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_rows_of_an_axis_are_rows_of_its_band():
    axis = Axis(13, 29, Fraction(13, 29), Fraction(13, 58) - Fraction(1, 2), filters.get("cubic"), edges.get("reflect"))
    whole = band_of(axis)[0].dense()
    assert np.array_equal(np.vstack([band_of(axis, i, i + 1)[0].dense() for i in range(29)]), whole)


def test_constant_edge_leaves_full_rows_alone_with_a_nan_fill():
    link = plan((8,), 16, edge="constant", fill=float("nan")).program().stages[0].link
    assert np.isnan(link.bias[[0, -1]]).all()
    assert not link.bias[1:-1].any()
    assert plan((8,), 16, edge="constant", fill=np.float32("nan")) is plan((8,), 16, edge="constant", fill=float("nan"))


@pytest.mark.parametrize(
    ("n", "scale", "rounding", "m"),
    [
        (88, 120 / 88, "round", 120),
        (88, 120 / 88, "floor", 120),
        (100, 0.29, "floor", 29),
        (49, 1 / 49, "floor", 1),
        (5, 0.5, "round", 3),
        (7, 0.5, "round", 4),
        (5, 0.5, "floor", 2),
        (5, 0.3, "ceil", 2),
        (3, 1.3, "round", 4),
        (10, Fraction(1, 3), "round", 3),
        (10, 2, "round", 20),
        (10, np.float32(1.2), "round", 12),
        (10, np.int64(3), "round", 30),
        (10, 2**0.5, "round", 14),
    ],
)
def test_scales_become_sizes_by_the_named_rule(n, scale, rounding, m):
    assert plan((n,), scale=scale, rounding=rounding).size_out == (m,)


def test_scales_are_the_simple_fraction_that_they_round_to():
    assert _sizes.rational(0.1, "x") == Fraction(1, 10)
    assert _sizes.rational(2**0.5, "x") == Fraction(2**0.5)
    assert _sizes.rational(np.float32(0.1), "x") == Fraction(1, 10)


def test_size_decides_the_step_also_when_a_scale_was_given():
    assert plan((3,), scale=1.3) == plan((3,), scale=1.3)
    assert plan((3,), scale=1.3).bands == plan((3,), 4).bands


def test_box_and_scale():
    assert plan((100,), scale=2, box=((10, 20),)).size_out == (20,)


def test_physical_spacing_in_place_of_size():
    p = plan((60, 512, 512), spacing=(3.0, 0.7, 0.7), new_spacing=(1.0, 1.0, 1.0))
    assert p.size_out == (180, 358, 358)
    assert plan((512,), spacing=0.7, new_spacing=1.4).size_out == (256,)
    assert plan((9, 4, 6), spacing=2, new_spacing=1, axes=(0, 2)).size_out == (18, 12)


def test_axes_may_stand_in_any_order():
    want = plan((4, 5, 6), (8, 3), axes=(0, 2))
    assert want.axes == (-3, -1) and want.size_out == (8, 3)
    for size, axes in (((3, 8), (2, 0)), ((3, 8), (-1, 0)), ((8, 3), [0, 2])):
        assert plan((4, 5, 6), size, axes=axes).bands == want.bands
    a = plan((4, 6), (3, 8), axes=(1, 0), box=((1, 2), None))
    assert a.bands[0].n_in == 4 and a.bands[1] == plan((6,), 3, box=((1, 2),)).bands[0]


def test_default_axes_take_any_batch_and_explicit_ones_a_fixed_number():
    p = plan((3, 8, 8), (4, 4))
    assert p.ndim is None
    for batch in ((), (2,), (2, 3, 1)):
        assert p(np.ones((*batch, 8, 8))).shape == (*batch, 4, 4)
    q = plan((8, 8, 3), (4, 4), axes=(0, 1))
    assert q(np.ones((8, 8, 3))).shape == (4, 4, 3)
    with pytest.raises(ValueError, match="the plan reads 3"):
        q(np.ones((2, 8, 8, 3)))
    with pytest.raises(ValueError, match="at least 2"):
        p(np.ones(8))
    with pytest.raises(ValueError, match=r"\(8, 9\) long"):
        p(np.ones((8, 9)))


def test_pass_order_depends_on_sizes_alone():
    order = ORDERS["default"]
    assert order((8, 8), (16, 16)) == (1, 0)
    assert order((8, 8), (4, 16)) == (0, 1)
    assert order((8, 8), (16, 4)) == (1, 0)
    assert order((8, 8, 8), (4, 16, 16)) == (0, 2, 1)
    assert order((8, 8, 8, 8), (16, 4, 16, 8)) == (1, 3, 2, 0)
    assert [s.axis for s in plan((8, 8, 8), (4, 8, 16)).program().stages] == [-3, -1]


def test_transposed_plan_goes_backwards():
    p = plan((8, 5, 7), (4, 5, 21), filter="cubic")
    assert [s.axis for s in p.T.program().stages] == [s.axis for s in reversed(p.program().stages)]
    assert p.T.size_in == p.size_out and p == p.T.T
    assert [b.shape for b in p.T.bands] == [(8, 4), (5, 5), (7, 21)]


def test_plans_are_cached_hashed_and_pickled():
    a = plan((8, 8), (16, 16), filter="cubic(a=-0.75)")
    assert plan((8, 8), [16, 16], filter=filters.cubic(a=-0.75)) is a
    assert plan((3, 8, 8), (16, 16), filter="cubic(a=-0.75)") is a
    x = np.arange(64, dtype=np.float32).reshape(8, 8)
    a(x)
    b = pickle.loads(pickle.dumps(a))
    assert b == a and hash(b) == hash(a)
    assert np.array_equal(b(x), a(x)) and np.array_equal(pickle.loads(pickle.dumps(a.T))(a(x)), a.T(a(x)))
    assert a != plan((8, 8), (16, 16)) and a != 3


def test_caches_are_bounded():
    halfpixel._plan.clear_caches()
    for m in range(1, 1500):
        plan((5,), m)
    assert _plan._plan.cache_info().currsize <= 1024
    halfpixel._plan.clear_caches()


def test_plans_are_shared_by_threads():
    halfpixel._plan.clear_caches()
    x = np.random.default_rng(0).standard_normal((20, 30))
    want = {m: plan((20, 30), (m, m)).bands for m in range(1, 30)}
    halfpixel._plan.clear_caches()

    def work(k):
        m = 1 + k % 29
        p = plan((20, 30), (m, m))
        return p.bands == want[m] and p(x).shape == (m, m) and p(x[None]).shape == (1, m, m)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(400)))


def test_splines_are_more_than_one_band():
    with pytest.raises(ValueError, match="banded solve"):
        _ = plan((8,), 16, filter="spline3").bands
    assert len(plan((8,), 16, filter="spline3").program().stages) == 2
    assert plan((8,), 16, filter="spline1").bands[0].taps == 2


def test_like_and_columns_exclude_each_other():
    with pytest.raises(ValueError, match=r"like='pillow\.lanczos' and filter='cubic'"):
        plan((8, 8), (4, 4), like="pillow.lanczos", filter="cubic")


def test_reprs_say_what_it_is():
    assert repr(plan((8, 8), (4, 16))) == "Plan(8x8 -> 4x16, axes=(-2, -1), filter='linear')"
    assert repr(plan((8,), 4).T) == "Plan(4 -> 8, axes=(-1,), filter='linear').T"
