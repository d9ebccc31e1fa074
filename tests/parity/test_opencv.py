# SPDX-License-Identifier: MIT
"""cv2.resize without IPP: uint8 to the bit but where OpenCV's own vector code differs, floats to rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfpixel import plan, resize
from tests.backend import NAMES
from tests.parity.compare import SIZES, assert_same, resized, rounding, samples

cv2 = pytest.importorskip("cv2")

METHODS = ("nearest", "nearest_exact", "linear", "linear_exact", "cubic", "lanczos4", "area")
DTYPES = ("float64", "float32", "uint8", "uint16", "int16")
HALVED = [((30, 30), (15, 15)), ((32, 44), (16, 22)), ((30, 45), (10, 15)), ((40, 60), (12, 18)), ((8, 8), (8, 16))]
NEAREST = ("nearest", "nearest_exact")
# Cubic and Lanczos columns end in OpenCV's vector code, which sums from the last tap on: one level, in few pixels.
LOOSE = {("cubic", "uint8"): 2e-2}
LOOSE |= {(method, dtype): 2e-2 for method in ("cubic", "lanczos4") for dtype in ("uint16", "int16")}
LOOSE |= {("linear", dtype): 1e-3 for dtype in ("uint16", "int16")}


@pytest.fixture(autouse=True)
def plain_opencv():
    """OpenCV's own code: IPP computes linear coordinates in double, and rounds some integers the other way."""
    ipp, threads = cv2.ipp.useIPP(), cv2.getNumThreads()
    cv2.ipp.setUseIPP(False)
    cv2.setNumThreads(1)
    yield
    cv2.ipp.setUseIPP(ipp)
    cv2.setNumThreads(threads)


def by_opencv(x, method, size=None, scale=(0, 0)):
    flag = getattr(cv2, f"INTER_{method.upper()}")
    y = cv2.resize(x, None if size is None else size[::-1], fx=scale[1], fy=scale[0], interpolation=flag)
    return y.reshape(*y.shape[:2], *x.shape[2:])


def assert_agrees(method, got, expected, allowed):
    share = LOOSE.get((method, got.dtype.name))
    if share is None:
        exact = got.dtype.kind in "iu" or method in NEAREST
        return assert_same(got, expected, 0.0 if exact else allowed)
    assert_same(got, expected, 1.0)
    apart = np.count_nonzero(got != expected)
    assert apart <= share * got.size + 3, f"{apart} of {got.size} samples differ"
    return None


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_images(method, dtype, backend):
    rng = np.random.default_rng(1)
    for size_in, size in SIZES + HALVED:
        for channels in ((), (3,), (4,)):
            x = samples(rng, (*size_in, *channels), dtype)
            options = {"axes": (0, 1), "like": f"opencv.{method}"}
            got = resized(backend, x, size, **options)
            assert_agrees(method, got, by_opencv(x, method, size), rounding(x, size, **options))


length = st.integers(1, 60)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(METHODS), st.sampled_from(("float64", "uint8")), st.tuples(length, length),
    st.tuples(length, length), st.sampled_from(NAMES),
)  # fmt: skip
def test_any_sizes(method, dtype, size_in, size, backend):
    x = samples(np.random.default_rng(2), size_in, dtype)
    got = resized(backend.values[0], x, size, like=f"opencv.{method}")
    assert_agrees(method, got, by_opencv(x, method, size), rounding(x, size, like=f"opencv.{method}"))


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("method", METHODS)
def test_a_scale_is_kept(method, backend):
    rng = np.random.default_rng(3)
    for size_in in ((8, 10), (12, 20), (31, 47), (5, 64)):
        for scale in ((0.37, 0.37), (1.7, 1.7), (2.0, 2.0), (1 / 3, 1 / 3), (1.01, 1.01), (1.5, 0.6)):
            for dtype in ("float64", "uint8"):
                x = samples(rng, size_in, dtype)
                options = {"scale": scale, "like": f"opencv.{method}"}
                got = resized(backend, x, **options)
                # A ragged last block divides by its own count, here by a float32 factor.
                ragged = 1e-7 if method == "area" else 0.0
                assert_agrees(method, got, by_opencv(x, method, scale=scale), rounding(x, **options) + ragged)


def test_sizes_of_a_scale_round_half_to_even():
    assert plan((5, 7), scale=(0.5, 0.5), like="opencv.linear").size_out == (2, 4)


def test_one_axis_alone_is_a_row():
    """A row keeps its border sample whole; a column weighs it twice, and uint8 rounding may show that."""
    x = samples(np.random.default_rng(4), (1, 23), "uint8")
    for method in ("linear", "linear_exact", "cubic", "lanczos4", "area"):
        for m in (7, 23, 41):
            assert_agrees(method, resize(x, (m,), like=f"opencv.{method}"), by_opencv(x, method, (1, m)), 0.0)


def test_version_4_places_exact_nearest_in_fixed_point():
    """floor of a 16.16 product: the same sample as version 5's on most sizes, another one on a tie."""
    n, m = 37, 74
    unit = ((n << 16) + m // 2) // m
    expected = [min((unit * o + unit // 2 - n % 2) >> 16, n - 1) for o in range(m)]
    assert resize(np.arange(n), m, like="opencv@4.nearest_exact").tolist() == expected
    both = [resize(np.arange(2), 5, like=f"{library}.nearest_exact").tolist() for library in ("opencv@4", "opencv")]
    assert both == [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]]


def test_linear_goes_to_area_at_half_the_size_only():
    x = samples(np.random.default_rng(5), (12, 8), "uint8")
    assert_same(resize(x, (6, 4), like="opencv.linear"), resize(x, (6, 4), like="opencv.area"))
    quarters = x.reshape(6, 2, 4, 2).astype(int).sum(axis=(1, 3))
    assert_same(resize(x, (6, 4), like="opencv.linear"), ((quarters + 2) >> 2).astype(np.uint8))
    assert (resize(x, (3, 2), like="opencv.linear") != resize(x, (3, 2), like="opencv.area")).any()


def test_three_axes_are_refused():
    with pytest.raises(NotImplementedError, match=r"along 3 axes[\s\S]*2 axes at a time"):
        plan((3, 4, 5), (2, 2, 2), like="opencv.linear")
