# SPDX-License-Identifier: MIT
"""`resize_labels`: the argmax of the resized one-hot maps, in exact arithmetic and in float64, by both backends."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import halfpixel
from halfpixel import backends
from halfpixel._labels import copies, vote
from halfpixel._plan import clear_caches
from halfpixel.backends import labels as counting
from halfpixel.testing import laws
from tests import brute
from tests.backend import NAMES, only

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool"]


@pytest.fixture(autouse=True)
def caches():
    yield
    clear_caches()


needs_kernels = pytest.mark.skipif(backends.why_not("cpu") is not None, reason=str(backends.why_not("cpu")))


def rows(method, grid, n, m, box=None):
    """Per output the samples inside with their exact weights, up to a common factor; from the formulas alone."""
    start, stop = (Fraction(0), Fraction(n)) if box is None else (Fraction(v) for v in box)
    found = []
    for o in range(m):
        c, step = brute.coordinate(grid, n, m, o, start, stop)
        nearest = math.floor(c + Fraction(1, 2))
        if method == "linear":
            stretch = max(step, Fraction(1))
            reach = range(math.floor(c - stretch), math.ceil(c + stretch) + 1)
            weights = {j: stretch - abs(j - c) for j in reach}
        elif method == "majority" and step > 1:
            low, high = c + Fraction(1, 2) - step / 2, c + Fraction(1, 2) + step / 2
            reach = range(math.floor(low), math.ceil(high))
            weights = {j: min(high, Fraction(j + 1)) - max(low, Fraction(j)) for j in reach}
        else:
            weights = {nearest: Fraction(1)}
        inside = {j: w for j, w in weights.items() if w > 0 and 0 <= j < n}
        found.append(inside or {min(max(nearest, 0), n - 1): Fraction(1)})
    return found


def definition(x, size, method, grid="half_pixel", box=None, ignored=None):
    """The last len(size) axes, pixel by pixel: exact sums of Fractions, the smallest of the heaviest labels."""
    count = len(size)
    boxes = box or (None,) * count
    tables = [rows(method, grid, n, m, b) for n, m, b in zip(x.shape[-count:], size, boxes, strict=True)]
    out = np.empty((*x.shape[:-count], *size), x.dtype)
    for batch in np.ndindex(x.shape[:-count]):
        for at in np.ndindex(*size):
            score = Counter()
            for taps in itertools.product(*(t[o].items() for t, o in zip(tables, at, strict=True))):
                label = int(x[(*batch, *(j for j, _ in taps))])
                if label != ignored:
                    score[label] += math.prod(w for _, w in taps)
            out[(*batch, *at)] = min(score, key=lambda v: (-score[v], v)) if score else ignored
    return out


def maps(seed, shape, dtype="int64", labels=5):
    """Blocky maps, so that windows are alike in places and torn in others."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, labels, shape)
    blocks = rng.integers(0, labels, shape)
    blocks[...] = blocks.flat[0]
    x = np.where(rng.random(shape) < 0.5, x, blocks)
    return (x > 1 if dtype == "bool" else x).astype(dtype)


def forced(monkeypatch, name):
    """The backend of that name; the other one's way of counting raises."""
    monkeypatch.setenv("HALFPIXEL_BACKEND", name)
    clear_caches()  # plans keep the backend that they met first
    if name == "cpu":
        monkeypatch.setattr(counting, "reference", None)
    return only(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["nearest", "majority", "linear"])
@pytest.mark.parametrize(
    "sizes", [((1,), (5,)), ((7,), (1,)), ((7, 11), (13, 5)), ((6, 6), (12, 3)), ((3, 4, 5), (5, 2, 7))]
)
def test_every_label_is_the_exact_winner(monkeypatch, name, method, sizes):
    before, after = sizes
    x = maps(1, (2, *before))
    for grid, ignored in itertools.product(["half_pixel", "align_corners", "asymmetric"], [None, 3]):
        axes = tuple(range(-len(after), 0))
        with forced(monkeypatch, name):
            got = halfpixel.resize_labels(x, after, axes=axes, method=method, grid=grid, ignore_index=ignored)
        laws.require_equal(got, definition(x, after, method, grid, None, ignored), f"{method} {grid} {ignored}")


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=2),
    method=st.sampled_from(["majority", "linear"]),
    seed=st.integers(0, 2**32 - 1),
    labels=st.integers(1, 6),
    ignored=st.sampled_from([None, 0, 2]),
    cut=st.sampled_from([None, (Fraction(1, 3), Fraction(5, 2)), (-2, Fraction(3, 7)), (30, 40)]),
    name=st.sampled_from([n for n in backends.BACKENDS if not backends.why_not(n)]),
)
def test_any_map_by_any_way(sizes, method, seed, labels, ignored, cut, name):
    x = maps(seed, (2, *(n for n, _ in sizes)), labels=labels)
    after = tuple(m for _, m in sizes)
    box = None if cut is None else (cut,) * len(after)
    with pytest.MonkeyPatch.context() as patch, forced(patch, name):
        got = halfpixel.resize_labels(x, after, method=method, box=box, ignore_index=ignored)
    laws.require_equal(got, definition(x, after, method, "half_pixel", box, ignored), f"{sizes} {method} {box}")


@pytest.mark.parametrize("method", ["majority", "linear"])
@pytest.mark.parametrize(
    "sizes", [((31, 47), (62, 141)), ((67, 53), (23, 17)), ((40, 30), (17, 90)), ((64, 64), (8, 8))]
)
def test_it_is_the_argmax_of_the_resized_one_hot_maps(method, sizes):
    (h, w), after = sizes
    x = maps(2, (h, w), labels=7)
    matrices = []
    for n, m in zip((h, w), after, strict=True):
        kind = "linear" if method == "linear" else "area" if m < n else "nearest"
        matrices.append(brute.matrix(kind, "half_pixel", "crop", n, m)[0])
    scores = np.stack([matrices[0] @ (x == label).astype(float) @ matrices[1].T for label in range(7)])
    got = halfpixel.resize_labels(x, after, method=method)
    reached = np.take_along_axis(scores, got[None], 0)[0]
    assert (reached >= scores.max(0) - 1e-12).all()
    two = np.sort(scores, axis=0)[-2:]
    clear = two[1] - two[0] > 1e-12
    assert clear.mean() > 0.5
    assert np.array_equal(got[clear], scores.argmax(0)[clear])


def test_a_tie_that_rounding_would_decide_goes_to_the_smallest_label():
    """4/9 against 2/9 + 2/9, and 3 x 1/3 of halves: float sums differ in their last bits, whole numbers do not."""
    x = np.array([[5, 2], [2, 9]])
    got = halfpixel.resize_labels(x, (6, 6), method="linear")
    assert got[2, 2] == 2  # weights 4 : 2 + 2 : 1
    laws.require_equal(got, definition(x, (6, 6), "linear"), "ties")
    line = np.array([9, 9, 9, 1, 1, 1, 4, 4])
    assert halfpixel.resize_labels(line, 3, method="majority").tolist() == [9, 1, 4]
    assert halfpixel.resize_labels(np.array([7, 3]), 1, method="majority").tolist() == [3]
    assert halfpixel.resize_labels(np.array([-7, 3, 3, -7], np.int8), 1, method="linear").tolist() == [3]
    assert halfpixel.resize_labels(np.array([3, -7], np.int8), 1, method="linear").tolist() == [-7]


@pytest.mark.parametrize("name", NAMES)
def test_ignored_labels_have_no_weight_unless_they_are_alone(monkeypatch, name):
    x = np.array([255, 255, 255, 4, 255, 255, 255, 255], np.uint8)
    with forced(monkeypatch, name):
        for method in ("majority", "linear"):
            got = halfpixel.resize_labels(x, 2, method=method, ignore_index=255)
            assert got[0] == 4
            assert got.tolist() == definition(x, (2,), method, ignored=255).tolist()
        assert halfpixel.resize_labels(x, 2, method="majority").tolist() == [255, 255]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_integer_dtype_and_its_extremes(monkeypatch, name, dtype):
    low, high = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    x = np.where(maps(3, (9, 14)) > 2, high, low).astype(dtype)
    want = {m: definition(x.astype(object), (13, 6), m, ignored=None).astype(dtype) for m in ("majority", "linear")}
    only_low = np.full_like(x, high)
    only_low[4, 7] = low
    for method in ("majority", "linear"):
        with forced(monkeypatch, name):
            got = halfpixel.resize_labels(x, (13, 6), method=method)
            spared = halfpixel.resize_labels(only_low, (2, 2), method=method, ignore_index=high)
        laws.require_equal(got, want[method], f"{dtype} {method}")
        laws.require_equal(
            spared, definition(only_low.astype(object), (2, 2), method, ignored=high).astype(dtype), dtype
        )


@pytest.mark.parametrize("name", NAMES)
def test_layouts_axes_and_bytes_change_nothing(monkeypatch, name):
    x = maps(4, (2, 9, 10, 3), "int16")
    for method in ("majority", "linear"):
        with forced(monkeypatch, name):
            want = halfpixel.resize_labels(x, (7, 21), axes=(1, 2), method=method)
            laws.require_equal(want[1, ..., 2], definition(x[1, ..., 2], (7, 21), method), "axes in the middle")
            swapped = halfpixel.resize_labels(x, (21, 7), axes=(2, 1), method=method)
            laws.require_equal(swapped, want, "order of axes")
            for what, view in laws.layouts_of(x).items():
                got = halfpixel.resize_labels(view, (7, 21), axes=(1, 2), method=method)
                laws.require_equal(got, want, what)
            laws.require_equal(
                halfpixel.resize_labels(x.astype(">i2"), (7, 21), axes=(1, 2), method=method).astype("int16"),
                want,
                "bytes",
            )
    assert halfpixel.resize_labels(np.asfortranarray(x[0, ..., 0]), (5, 5), method="linear").flags.f_contiguous


@pytest.mark.parametrize("method", ["majority", "linear"])
def test_windows_of_many_labels(method):
    """More labels in a window than are looked through one by one."""
    x = np.random.default_rng(5).integers(0, 400, (60, 61))
    x[:9] = 77
    laws.require_equal(halfpixel.resize_labels(x, (3, 2), method=method), definition(x, (3, 2), method), method)
    same = [backends_give(x, (3, 2), method, name) for name in backends.BACKENDS if not backends.why_not(name)]
    assert all(np.array_equal(same[0], other) for other in same)


def backends_give(x, size, method, name):
    with pytest.MonkeyPatch.context() as patch, forced(patch, name):
        return halfpixel.resize_labels(x, size, method=method)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["majority", "linear"])
@pytest.mark.parametrize("primes", [(999_983, 999_979), (10**12 + 39, 10**12 + 61)], ids=["int64", "longer"])
def test_weights_too_long_for_63_bits_are_rounded_and_the_clear_winner_stays(monkeypatch, name, method, primes):
    odd = ((Fraction(1, primes[0]), Fraction(11) - Fraction(1, primes[1])),) * 3
    x = maps(6, (11, 11, 11), labels=3)
    with forced(monkeypatch, name):
        got = halfpixel.resize_labels(x, (4, 4, 4), method=method, box=odd)
    scores = [
        halfpixel.resize(
            (x == k).astype(np.float64), (4, 4, 4), box=odd, filter="linear" if method == "linear" else "area"
        )
        for k in range(3)
    ]
    two = np.sort(scores, axis=0)[-2:]
    clear = two[1] - two[0] > 1e-4
    assert clear.mean() > 0.8
    assert np.array_equal(got[clear], np.argmax(scores, axis=0)[clear])


@needs_kernels
def test_threads_change_nothing():
    x = np.random.default_rng(7).integers(0, 30, (3, 211, 197), dtype=np.uint8)
    before = halfpixel.get_num_threads()
    try:
        for size, method in itertools.product([(401, 300), (50, 61)], ["majority", "linear"]):
            found = []
            for threads in (1, 2, 5):
                halfpixel.set_num_threads(threads)
                found.append(halfpixel.resize_labels(x, size, method=method))
            assert np.array_equal(found[0], found[1])
            assert np.array_equal(found[0], found[2])
    finally:
        halfpixel.set_num_threads(before)


def test_coordinates_beyond_int64_are_exact():
    """One axis, a denominator of 24 digits: weights are Python's integers until their common divisor is gone."""
    box = (Fraction(1, 10**12 + 39), Fraction(7) - Fraction(1, 10**12 + 61))
    x = maps(11, (7,), labels=3)
    for method, size in itertools.product(("majority", "linear"), (1, 2, 3, 6, 20)):
        want = definition(x, (size,), method, "half_pixel", (box,))
        laws.require_equal(halfpixel.resize_labels(x, size, method=method, box=(box,)), want, f"{method} {size}")


def test_nothing_new_appears_and_the_same_size_is_the_same_map():
    x = maps(8, (17, 19), labels=4) * 10
    for method in ("nearest", "majority", "linear"):
        assert np.array_equal(halfpixel.resize_labels(x, (17, 19), method=method), x)
        assert set(np.unique(halfpixel.resize_labels(x, (50, 8), method=method))) <= set(np.unique(x))
    assert halfpixel.resize_labels(np.zeros((0, 4, 4), int), (8, 8), method="linear").shape == (0, 8, 8)
    assert halfpixel.resize_labels(x, scale=2, axes=0, method="linear").shape == (34, 19)
    assert halfpixel.resize_labels(x, spacing=(1, 1), new_spacing=(2, 0.5), method="majority").shape == (9, 38)


def test_one_hot_memory_is_not_needed():
    """A map of a thousand labels: its one-hot maps alone would be 4 GB."""
    x = np.arange(1_000_000).reshape(1000, 1000) % 1000
    assert halfpixel.resize_labels(x, (700, 1300), method="linear").shape == (700, 1300)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"method": "cubic"}, ValueError, "unknown method 'cubic'"),
        ({"labels": np.zeros((4, 4))}, TypeError, "labels have dtype float64"),
        ({"labels": np.zeros((4, 4), complex)}, TypeError, "integers or bools"),
        ({"ignore_index": 256}, ValueError, "uint8 holds 0 to 255"),
        ({"ignore_index": -100}, ValueError, "ignore_index is -100"),
        ({"ignore_index": 1.5}, ValueError, "ignore_index is 1.5"),
        ({"size": (0, 3)}, ValueError, "0 long"),
        ({"size": None}, ValueError, "neither size nor scale"),
        ({"grid": "pixel"}, ValueError, "unknown grid"),
    ],
)
def test_what_cannot_be_is_said_with_the_call(change, error, said):
    told = {"labels": np.zeros((4, 4), np.uint8), "size": (8, 8), "method": "linear", **change}
    with pytest.raises(error, match=said) as caught:
        halfpixel.resize_labels(told.pop("labels"), told.pop("size"), **told)
    assert "resize_labels(" in str(caught.value)


@needs_kernels
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"first": [0, 1, 1]}, "a window is empty"),
        ({"first": [0, 1, 3]}, "leaves its table"),
        ({"index": [0, 4]}, "leaves the axis"),
        ({"weight": [1, 0]}, "positive"),
        ({"weight": [1]}, "differ in length"),
        ({"n_in": 5}, "do not fit"),
        ({"axis": -2}, "as many"),
        ({"code": "f32"}, "does not fit|integers"),
    ],
)
def test_the_kernel_refuses_tables_that_would_read_elsewhere(change, said):
    from halfpixel import _native

    t = {"axis": -1, "n_in": 4, "first": [0, 1, 2], "index": [0, 3], "weight": [1, 1], "code": "i64", **change}
    row = (t["axis"], t["n_in"], *(np.array(t[k], np.int64) for k in ("first", "index", "weight")))
    with pytest.raises(ValueError, match=said):
        _native.labels(np.zeros(4, np.int64), np.zeros(2, np.int64), t["code"], [row], None)


@pytest.mark.parametrize("name", NAMES)
def test_every_output_is_written(monkeypatch, name):
    x = maps(9, (13, 11), "uint8")
    plan = halfpixel.plan(x.shape, (29, 3))
    for method in ("linear", "majority"):
        out = laws.poisoned((29, 3), np.uint8)
        with forced(monkeypatch, name):
            vote(plan, x, out, method, None)
        laws.require_equal(out, definition(x, (29, 3), method), name)


@pytest.mark.parametrize("name", NAMES)
def test_votes_that_only_copy_are_copies(monkeypatch, name):
    """A majority along axes that grow: by counting, and by the nearest samples."""
    x = maps(10, (3, 9, 5))
    for size in ((9, 5), (14, 5), (40, 31)):
        plan = halfpixel.plan(x.shape, size)
        assert copies(plan, "majority") is not None
        assert copies(plan, "linear") is None
        out = laws.poisoned((3, *size), x.dtype)
        with forced(monkeypatch, name):
            vote(plan, x, out, "majority", None)
        laws.require_equal(halfpixel.resize_labels(x, size, method="majority"), out, str(size))
    assert copies(halfpixel.plan(x.shape, (8, 5)), "majority") is None
