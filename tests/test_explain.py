# SPDX-License-Identifier: MIT
import json
from fractions import Fraction

import numpy as np
import pytest

from halfpixel import backends, explain
from halfpixel.backends import cpu


def test_coordinates_taps_and_weights_are_exact():
    e = explain((3, 5, 7), (10, 3), filter="linear", index=(0, -1))
    rows, columns = e.axes
    assert (rows.coordinate, rows.step) == (Fraction(-1, 4), Fraction(1, 2))
    assert rows.taps == ((0, 1.0),)
    assert columns.coordinate == Fraction(16, 3) and columns.index == 2
    assert [j for j, _ in columns.taps] == [4, 5, 6] or [j for j, _ in columns.taps] == [3, 4, 5, 6]
    assert sum(w for _, w in columns.taps) == pytest.approx(1)
    assert e.passes == (-1, -2)


def test_text_says_everything(monkeypatch):
    text = str(explain((8,), 16, index=5, edge="constant", fill=2.0))
    assert "axis -1: 8 -> 16, output 5" in text
    assert "step 1/2, centre at pixel 9/4 = 2.25" in text
    assert "+0.750000000 * x[2]" in text and "+0.250000000 * x[3]" in text
    assert "float32, fused multiply-add" in text
    assert "+0.500000000 from outside" in str(explain((8,), 16, index=0, edge="constant", fill=2.0))
    assert "rounded (half up)" in str(explain((8,), 16, dtype=np.uint8))
    assert "copied, bit for bit" in str(explain((8,), 16, filter="nearest"))
    assert "passes: none" in str(explain((8,), 8, filter="cubic"))
    assert "banded solve" in str(explain((8,), 16, filter="spline3"))
    assert "banded solve" not in str(explain((8,), 8, filter="spline3"))
    monkeypatch.setattr(cpu, "_load", lambda: (None, "the compiled kernels are not part of this installation"))
    assert "backend: reference\n  not cpu: the compiled kernels are not part of this installation" in str(
        explain((8,), 16)
    )


def test_forced_backends_are_named(monkeypatch):
    monkeypatch.setenv("HALFPIXEL_BACKEND", "reference")
    e = explain((8,), 16)
    assert e.backend == "reference"
    assert e.refused["cpu"] in ("HALFPIXEL_BACKEND asks for reference", backends.why_not("cpu"))


def test_64_bit_integers_are_warned_about():
    assert "2**53" in explain(np.zeros(8, np.int64), 16).notes[0]
    assert explain(np.zeros(8, np.int64), 16, filter="nearest").notes == ()
    assert explain(np.zeros(8, np.int32), 16).notes == ()


def test_huge_axes_are_explained_without_building_them():
    e = explain((2**40, 2**40), (2**39, 2**40), index=(2**38 + 1, 5))
    assert e.axes[0].coordinate == 2 * (2**38 + 1) + Fraction(1, 2)
    assert [j - 2**39 for j, _ in e.axes[0].taps] == [1, 2, 3, 4]
    assert e.passes == (-2, -1)
    assert "float32" in str(e)


def test_plain_values_are_json():
    plain = json.loads(json.dumps(explain((5, 7), (10, 3), filter="cubic").to_dict()))
    assert plain["axes"][0]["coordinate"] == "9/4"
    assert plain["axes"][0]["taps"][0] == {"index": 1, "weight": -0.0703125}
    assert plain["size_out"] == [10, 3]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"size": 4, "index": 4}, "from -4 to 3"),
        ({"size": 4, "index": (1, 2)}, "2 values for 1 axes"),
        ({"size": 4, "index": 1.5}, "whole number"),
        ({"size": 0}, "0 long"),
        ({"size": 4, "dtype": "M8[s]"}, "dtype is datetime64"),
        ({"size": 4, "dtype": "O"}, "dtype is object"),
        ({"size": 4, "filter": "liner"}, "linear"),
    ],
)
def test_bad_questions(options, part):
    with pytest.raises((ValueError, TypeError), match=part):
        explain((8,), **options)
