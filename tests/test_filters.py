# SPDX-License-Identifier: MIT
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfpixel import filters
from halfpixel.errors import HalfpixelError
from halfpixel.testing import strategies
from tests.brute import FILTERS

X = np.linspace(-6, 6, 961)
INTERPOLATING = [
    *("linear", "hermite", "hamming", "cubic", "catmull-rom", "lanczos2", "lanczos3", "lanczos4", "lanczos5", "kaiser"),
    "cubic(a=-0.75)",
]


@pytest.mark.parametrize("name", FILTERS)
def test_filter_is_its_formula(name):
    support, function = FILTERS[name]
    row = filters.get(name)
    assert row.support == support
    want = np.array([function(float(x)) if abs(x) < support else 0.0 for x in X])
    got = np.where(np.abs(X) < support, row(X), 0.0)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-15)


@pytest.mark.parametrize("row", filters.TABLE.values(), ids=lambda r: r.name)
def test_every_row_is_documented_and_vanishes_outside(row):
    assert row.summary and row.source
    assert not row(np.array([-row.support - 0.01, row.support + 0.01])).any()


@pytest.mark.parametrize("name", INTERPOLATING)
def test_interpolating_filters_are_one_at_zero_and_zero_at_whole_numbers(name):
    row = filters.get(name)
    np.testing.assert_allclose(row(np.arange(-6.0, 7.0)), np.arange(-6, 7) == 0, atol=1e-16)


@pytest.mark.parametrize("degree", range(1, 6))
def test_splines_add_up_to_one(degree):
    row = filters.get(f"spline{degree}")
    for shift in (0.0, 0.2, 0.5, 0.99):
        assert row(np.arange(-4, 5) + shift).sum() == pytest.approx(1, abs=1e-15)


def test_table_holds_the_promised_names():
    promised = (
        "nearest box area linear hermite hamming cubic catmull-rom mitchell bspline lanczos2 lanczos3 lanczos4 "
        "lanczos5 gaussian kaiser mks2013 mks2021 spline0 spline1 spline2 spline3 spline4 spline5"
    )
    assert set(filters.TABLE) == set(promised.split())


@given(strategies.cubic_filters(), st.floats(0, 1))
def test_cubics_add_up_to_one(row, shift):
    assert row(np.arange(-3, 4) + shift).sum() == pytest.approx(1, abs=1e-14)


def test_text_and_factory_mean_the_same():
    assert filters.get("cubic(a=-0.75)") == filters.cubic(a=-0.75)
    assert filters.get("cubic(b=0.5, c=0.25)") == filters.cubic(b=0.5, c=0.25)
    assert filters.get("lanczos(7)")(0.5) == filters.lanczos(7)(0.5)
    assert filters.get("gaussian(sigma=1.5)").support == 4.5
    assert filters.get("kaiser(support=3, beta=5.5)").support == 3


def test_catmull_rom_is_cubic_and_factories_know_their_default():
    assert np.array_equal(filters.get("catmull-rom")(X), filters.get("cubic")(X))
    assert filters.cubic(a=-0.5).name == "cubic"
    assert filters.cubic(a=-0.75).name == "cubic(a=-0.75)"


@pytest.mark.parametrize("spec", [*filters.TABLE, "cubic(a=-0.6)", "kaiser(support=2.5)", "lanczos(6)"])
def test_filters_survive_pickling(spec):
    row = filters.get(spec)
    assert pickle.loads(pickle.dumps(row)) == row


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("lancsoz3", "lanczos3"),
        ("Linear", "linear"),
        ("cubic(a=nope)", "cannot read"),
        ("cubic(a=-0.75", "cannot read"),
        ("cubic(q=1)", "unexpected keyword"),
        ("cubic(a=-0.5, b=1)", "not both"),
        ("cubic(a=1e99)", "from -16 to 16"),
        ("cubic(a='x')", "a number"),
        ("cubik(a=1)", "cubic"),
        ("lanczos(0)", "from 1 to 64"),
        ("lanczos(2.5)", "an integer"),
        ("__import__('os')", "unknown filter factory"),
        ("(1).real(2)", "cannot read"),
    ],
)
def test_bad_text_is_refused_with_advice(spec, part):
    with pytest.raises(ValueError, match=r"filter|cubic|lanczos") as caught:
        filters.get(spec)
    assert isinstance(caught.value, HalfpixelError)
    assert part in str(caught.value)


def test_callables_need_a_support():
    def tent(x):
        return np.maximum(1 - np.abs(x), 0)

    with pytest.raises(TypeError, match="support"):
        filters.get(tent)
    tent.support = 1.0
    assert filters.get(tent)(0.25) == 0.75
    assert filters.get(filters.Filter("mine", 1, tent)).name == "mine"
    with pytest.raises(TypeError, match="not callable"):
        filters.Filter("mine", 1, 3)
    for support in (0, -1, float("nan"), 5000, "1"):
        with pytest.raises(ValueError, match="support"):
            filters.Filter("mine", support, tent)
    with pytest.raises(ValueError, match="half_open"):
        filters.Filter("mine", 1, tent, rule="half-open")
    with pytest.raises(TypeError, match="filter is 3"):
        filters.get(3)
