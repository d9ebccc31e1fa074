# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from halfpixel import plan, resize
from halfpixel.testing import laws

FILTERS = ["linear", "cubic", "area", "nearest", "lanczos3", "spline3"]
NAN = float("nan")


def brute(p, x, valid, least):
    """B(x m) / B(m), by dense matrices."""
    (m0, _b0), (m1, _b1) = laws.matrices(p)

    def both(v):
        return m0 @ v @ m1.T

    top, bottom = both(np.where(valid, x, 0)), both(valid.astype(float))
    with np.errstate(all="ignore"):
        return np.where(bottom >= least, top / bottom, np.nan)


@pytest.mark.parametrize("edge", ["crop", "edge", "wrap", "symmetric"])
@pytest.mark.parametrize("name", FILTERS)
def test_normalised_resampling_is_its_formula(name, edge):
    rng = np.random.default_rng(0)
    x, valid = rng.standard_normal((9, 11)), rng.random((9, 11)) < 0.7
    p = plan(x.shape, (14, 5), filter=name, edge=edge)
    spoilt = np.where(valid, x, np.nan)
    for least, nan in ((1e-6, "ignore"), (0.4, 0.4), (0.9, 0.9)):
        want = brute(p, x, valid, least)
        firm = (
            np.abs(brute(p, x, valid, -np.inf) * 0 + laws.matrices(p)[0][0] @ valid @ laws.matrices(p)[1][0].T - least)
            > 1e-5
        )
        got = resize(spoilt, (14, 5), filter=name, edge=edge, nan=nan)
        scale = np.nanmax(np.abs(want[firm]), initial=1.0)
        np.testing.assert_allclose(got[firm], want[firm], rtol=1e-6, atol=1e-9 * scale)
        masked = resize(x, (14, 5), filter=name, edge=edge, nan=nan, mask=valid)
        np.testing.assert_array_equal(masked, got)


def test_constants_survive_holes():
    x = np.full((8, 8), 3.0, np.float32)
    x[2:4, 1:6] = np.nan
    y = resize(x, (16, 5), filter="linear", nan="ignore")
    assert np.isfinite(y).any()
    np.testing.assert_allclose(y[np.isfinite(y)], 3.0, rtol=1e-6)


def test_nothing_valid_is_nan_and_a_least_weight_grows_the_hole():
    x = np.arange(8.0)
    x[3] = NAN
    assert np.isnan(resize(x, 8, nan="ignore")).tolist() == [False] * 3 + [True] + [False] * 4
    wide = resize(x, 16, nan="ignore")
    assert np.isnan(wide).sum() == 0
    assert np.isnan(resize(x, 16, nan=0.5)).sum() == 2
    assert np.isnan(resize(x, 16, nan=1.0)).sum() == 4
    assert np.isnan(resize(x, 16)).sum() == 4
    assert np.isnan(resize(np.full(4, NAN), 7, nan="ignore")).all()


def test_without_missing_values_no_bit_changes():
    x = np.random.default_rng(1).standard_normal((7, 9)).astype(np.float32)
    want = resize(x, (5, 20), filter="cubic")
    assert np.array_equal(resize(x, (5, 20), filter="cubic", nan="ignore"), want)
    assert np.array_equal(resize(x, (5, 20), filter="cubic", mask=np.ones((7, 9), bool)), want)


@pytest.mark.parametrize("edge", ["zero", "constant"])
def test_what_stands_outside_is_valid(edge):
    x = np.array([2.0, NAN, 2.0, 2.0])
    got = resize(x, 8, edge=edge, fill=4.0, nan="ignore")
    outside = 4.0 if edge == "constant" else 0.0
    assert got[0] == pytest.approx(0.75 * 2 + 0.25 * outside)
    assert got[1] == got[4] == 2


def test_mask_hides_infinities_and_leaves_valid_nans():
    x = np.array([1.0, np.inf, 3.0, NAN])
    y = resize(x, 8, mask=np.array([True, False, True, True]))
    assert y[:2].tolist() == [1, 1] and np.isnan(y[-1]) and not np.isinf(y).any()
    y = resize(x, 8, mask=np.array([True, False, True, True]), nan="ignore")
    assert y[-3:].tolist() == [3, 3, 3] or np.isnan(y[-1])


def test_masks_broadcast_and_are_weighed_once():
    x = np.random.default_rng(2).standard_normal((4, 3, 6, 5)).astype(np.float32)
    mask = np.random.default_rng(3).random((6, 5)) < 0.6
    full = resize(x, (9, 9), mask=np.broadcast_to(mask, x.shape))
    assert np.array_equal(resize(x, (9, 9), mask=mask), full, equal_nan=True)
    rows = np.array([True, True, False, True, True, False])[:, None]
    want = resize(x, (9, 9), mask=np.broadcast_to(rows, x.shape))
    assert np.array_equal(resize(x, (9, 9), mask=rows), want, equal_nan=True)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "bool", "float16", "complex64", "int64"])
def test_every_sensible_dtype(dtype):
    x = np.array([7, 99, 7, 7, 99, 99, 99], dtype)
    mask = np.array([1, 0, 1, 1, 0, 0, 0], bool)
    y = resize(x, 14, mask=mask, fill=1.0)
    assert y.dtype == x.dtype
    assert (y[:8] == x[0]).all()
    last = y[-3:]
    assert (last == 1).all() if x.dtype.kind in "iub" else np.isnan(last).all()


def test_out_is_written():
    x = np.array([1.0, NAN, 3.0])
    out = np.zeros(6)
    assert resize(x, 6, nan="ignore", out=out) is out
    assert np.array_equal(out, resize(x, 6, nan="ignore"))
    with pytest.raises(ValueError, match="out has shape"):
        resize(x, 6, nan="ignore", out=np.zeros(5))


@pytest.mark.parametrize(
    ("mask", "part"),
    [
        (np.ones(4), "a bool array"),
        (np.ones(3, bool), "does not broadcast"),
        (np.ones((2, 4), bool), "does not broadcast"),
        ("yes", "a bool array"),
    ],
    ids=["dtype", "length", "dimensions", "text"],
)
def test_bad_masks_are_refused(mask, part):
    with pytest.raises((ValueError, TypeError), match=part):
        resize(np.arange(4.0), 8, mask=mask)
