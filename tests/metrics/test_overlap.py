# SPDX-License-Identifier: MIT
"""IoU, Dice and Boundary IoU against loops over pixels; data sets; what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfpixel.metrics import Boundaries, Confusion, boundary_iou, dice, image_mean, miou
from halfpixel.metrics._bands import bands, reach

from . import definitions

MAPS = st.tuples(
    st.integers(1, 13),
    st.integers(1, 17),
    st.integers(1, 5),
    st.sampled_from([None, 255, 0, 2, -1]),
    st.integers(0, 99),
)
DTYPES = [np.uint8, np.int64, np.int16, np.uint64]


def maps(height, width, classes, ignored, seed, block=1):
    """Two maps that agree in most places; some of the reference, and of the labels, is the ignored label."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, (-(-height // block), -(-width // block))).repeat(block, 0).repeat(block, 1)
    true = true[:height, :width]
    found = np.where(rng.random(true.shape) < 0.3, rng.integers(0, classes, true.shape), true)
    if ignored is not None:
        true = np.where(rng.random(true.shape) < 0.2, ignored, true)
        found = np.where(rng.random(true.shape) < 0.2, ignored, found)
    return found, true


def check(scores, over, under):
    expected = [o / u if u else math.nan for o, u in zip(over, under, strict=True)]
    assert scores.per_class == pytest.approx(expected, nan_ok=True, rel=1e-14)
    there = [one for one in expected if not math.isnan(one)]
    assert scores.mean == pytest.approx(sum(there) / len(there) if there else math.nan, nan_ok=True, rel=1e-13)


def ignore_of(ignored, classes):
    """2 is a label that counts unless it is a class or an ignored label."""
    return 255 if ignored is not None and ignored not in (255, -1) and ignored >= classes else ignored


@settings(deadline=None, max_examples=60)
@given(MAPS)
def test_miou_and_dice_are_their_formulas(case):
    height, width, classes, ignored, seed = case
    ignored = ignore_of(ignored, classes)
    found, true = maps(height, width, classes, ignored, seed)
    areas = definitions.areas(found.tolist(), true.tolist(), classes, ignored)
    check(
        miou(found, true, classes=classes, ignore_index=ignored),
        [both for both, _, _ in areas],
        [a + b - both for both, a, b in areas],
    )
    check(
        dice(found, true, classes=classes, ignore_index=ignored),
        [2 * both for both, _, _ in areas],
        [a + b for _, a, b in areas],
    )


@settings(deadline=None, max_examples=60)
@given(MAPS, st.integers(1, 4), st.integers(1, 5))
def test_boundary_iou_is_its_definition(case, block, d):
    height, width, classes, ignored, seed = case
    ignored = ignore_of(ignored, classes)
    found, true = maps(height, width, classes, ignored, seed, block)
    ratio = d / math.hypot(height, width)
    if not 0 < ratio <= 1:
        return
    d = max(1, round(ratio * math.hypot(height, width)))
    over, under = [], []
    for c in range(classes):
        counts = true != ignored if ignored is not None else np.ones(true.shape, bool)
        first, second = (
            np.array(definitions.band(((one == c) & counts & (c != ignored)).tolist(), d)) for one in (found, true)
        )
        over.append(int((first & second).sum()))
        under.append(int((first | second).sum()))
    check(boundary_iou(found, true, classes=classes, ignore_index=ignored, dilation_ratio=ratio), over, under)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 3), (7, 5), (23, 29)])
@pytest.mark.parametrize("d", [1, 2, 3, 7, 40])
def test_a_band_is_what_repeated_erosion_leaves(shape, d):
    labels = np.random.default_rng(0).integers(0, 2, shape, dtype=np.uint8).repeat(3, 0).repeat(3, 1)
    found = bands(labels, d)
    for c in range(2):
        assert np.array_equal(found & (labels == c), definitions.band((labels == c).tolist(), d))


# Two squares of 4 x 4 in 8 x 8, one moved by a pixel; d = 1, so bands are rings of 12 pixels, of which 6 are shared.
GOLDEN = """
........    ........
.####...    ........
.####...    .####...
.####...    .####...
.####...    .####...
........    .####...
........    ........
........    ........
"""


def test_boundary_iou_by_hand():
    rows = [line.split() for line in GOLDEN.split("\n") if line]
    a, b = (np.array([[mark == "#" for mark in row[side]] for row in rows]).astype(int) for side in (0, 1))
    scores = boundary_iou(a, b, classes=2, dilation_ratio=0.02)
    assert scores.per_class[1] == pytest.approx(6 / 18)
    assert miou(a, b, classes=2).per_class[1] == pytest.approx(12 / 20)


@pytest.mark.parametrize(
    ("shape", "ratio", "d"), [((1, 1), 0.02, 1), ((512, 512), 0.02, 14), ((1024, 2048), 0.005, 11), ((60, 80), 0.02, 2)]
)
def test_how_wide_a_band_is(shape, ratio, d):
    assert reach(shape, ratio) == d


def test_absent_classes_are_left_out_of_the_mean():
    scores = miou([0, 0, 3], [0, 0, 0], classes=5)
    assert scores.per_class == pytest.approx([2 / 3, math.nan, math.nan, 0, math.nan], nan_ok=True)
    assert scores.mean == pytest.approx(1 / 3)
    assert scores.to_dict() == {
        "name": "iou",
        "mean": pytest.approx(1 / 3),
        "per_class": [pytest.approx(2 / 3), None, None, 0.0, None],
    }


def test_where_nothing_counts_there_is_no_score():
    for measure in (miou, dice, boundary_iou):
        scores = measure([[1, 1]], [[255, 255]], classes=2, ignore_index=255)
        assert math.isnan(scores.mean) and scores.to_dict()["mean"] is None
        assert math.isnan(measure(np.zeros((0, 3), int), np.zeros((0, 3), int), classes=2).mean)
    assert math.isnan(Confusion(2).accuracy())


def test_right_labels_score_one_whatever_stands_where_nothing_counts():
    found, true = maps(40, 37, 4, None, 3, block=9)
    found = true.copy()
    true = true.copy()
    true[10:20, 5:25] = 255
    for measure in (miou, dice, boundary_iou):
        scores = measure(found, true, classes=4, ignore_index=255)
        assert [one for one in scores.per_class if not math.isnan(one)] == [1.0] * 4


def test_a_data_set_is_one_pool_of_pixels_and_the_mean_of_images_is_not():
    small, large = (maps(*size, 4, 255, seed, 3) for size, seed in (((7, 9), 1), ((40, 30), 2)))
    seen = Confusion(4, 255).add(*small).add(*large)
    pool = tuple(np.concatenate([one.ravel() for one in side]) for side in zip(small, large, strict=True))
    assert seen.miou() == miou(*pool, classes=4, ignore_index=255)
    assert seen.dice() == dice(*pool, classes=4, ignore_index=255)
    each = [miou(*one, classes=4, ignore_index=255) for one in (small, large)]
    assert image_mean(each) == pytest.approx((each[0].mean + each[1].mean) / 2)
    assert abs(image_mean(each) - seen.miou().mean) > 1e-3
    assert math.isnan(image_mean([]))
    nothing = miou([0], [255], classes=4, ignore_index=255)
    assert image_mean([*each, nothing]) == image_mean(each)


def test_boundaries_add_up_over_images():
    first, second = (maps(*size, 4, 255, seed, 3) for size, seed in (((17, 9), 1), ((40, 30), 2)))
    seen = Boundaries(4, 255).add(*first).add(*second)
    assert np.array_equal(seen.counts, Boundaries(4, 255).add(*first).counts + Boundaries(4, 255).add(*second).counts)
    assert Boundaries(4, 255).add(*first).boundary_iou() == boundary_iou(*first, classes=4, ignore_index=255)


def test_the_confusion_itself():
    seen = Confusion(2, 255).add([0, 1, 1, 255, 0], [0, 0, 1, 1, 255])
    assert seen.counts.tolist() == [[1, 1, 0], [0, 1, 1]]
    assert seen.accuracy() == 0.5
    assert Confusion(2, 255).merge(seen).merge(seen).counts.tolist() == [[2, 2, 0], [0, 2, 2]]
    with pytest.raises(ValueError, match="other classes"):
        seen.merge(Confusion(3, 255))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_and_strides_do_not_matter(dtype):
    found, true = maps(24, 26, 5, None, 4, block=3)
    for measure in (miou, dice, boundary_iou):
        expected = measure(found[::2, ::-1].copy(), true[::2, ::-1].copy(), classes=5, ignore_index=255)
        assert measure(found.astype(dtype)[::2, ::-1], true[::2, ::-1], classes=5, ignore_index=255) == expected
        assert measure(found[::2, ::-1], true.astype(dtype)[::2, ::-1], classes=5, ignore_index=-1) == expected


def test_more_classes_than_the_dtype_has_values():
    assert miou(np.array([1, 255], np.uint8), np.array([1, 1], np.uint8), classes=300, ignore_index=255).mean == 0.5


def test_masks_of_bools():
    a, b = np.array([[True, False]]), np.array([[True, True]])
    assert miou(a, b, classes=2, ignore_index=255).per_class == (0.0, 0.5)


def test_tensors():
    torch = pytest.importorskip("torch", reason="tensors need torch")
    found, true = maps(24, 26, 5, 255, 4, block=3)
    for measure in (miou, dice, boundary_iou):
        assert measure(torch.from_numpy(found), torch.from_numpy(true), classes=5, ignore_index=255) == measure(
            found, true, classes=5, ignore_index=255
        )


@pytest.mark.parametrize("measure", [miou, dice, boundary_iou])
@pytest.mark.parametrize(
    ("labels", "reference", "options", "why"),
    [
        ([[0, 1]], [[0]], {}, "labels have shape (1, 2), the reference (1, 1)"),
        ([[0.0]], [[0]], {}, "labels have dtype float64"),
        ([[0]], [[0.0]], {}, "labels have dtype float64"),
        ([[2]], [[0]], {}, "the label map holds the label 2, and classes is 2"),
        ([[0]], [[255]], {}, "the reference holds the label 255, and classes is 2"),
        ([[0]], [[255]], {}, "or ignore_index=255"),
        ([[-1]], [[0]], {"ignore_index": 255}, "the label map holds the label -1"),
        ([[0]], [[-1]], {"ignore_index": 255}, "the reference holds the label -1"),
        ([[0]], [[0]], {"classes": 0}, "classes is 0"),
        ([[0]], [[0]], {"classes": 5000}, "classes is 5000"),
        ([[0]], [[0]], {"classes": 2.5}, "classes is 2.5"),
        ([[0]], [[0]], {"classes": "2"}, "classes is '2'"),
        ([[0]], [[0]], {"ignore_index": 0.5}, "ignore_index is 0.5"),
        ([["a"]], [[0]], {}, "has dtype <U1"),
    ],
)
def test_what_is_refused(measure, labels, reference, options, why):
    with pytest.raises((ValueError, TypeError)) as error:
        measure(labels, reference, **{"classes": 2, **options})
    assert why in str(error.value)
    assert str(error.value).startswith(f"{measure.__name__}(")


@pytest.mark.parametrize("ratio", [0, -1, 1.5, math.nan, "0.02", None, True])
def test_shares_of_the_diagonal_that_are_refused(ratio):
    with pytest.raises((ValueError, TypeError), match="dilation_ratio is"):
        Boundaries(2, dilation_ratio=ratio)


def test_bands_need_one_image():
    with pytest.raises(ValueError, match="one image a call"):
        boundary_iou(np.zeros((2, 3, 3), int), np.zeros((2, 3, 3), int), classes=2)
    assert miou(np.zeros((2, 3, 3), int), np.zeros((2, 3, 3), int), classes=2).mean == 1
