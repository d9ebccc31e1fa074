# SPDX-License-Identifier: MIT
import concurrent.futures
import sys
import types
import warnings
from fractions import Fraction

import numpy as np
import pytest

import halfpixel
from halfpixel import PrecisionWarning, backends, filters, plan, resize, resize_image
from halfpixel.backends import cpu
from halfpixel.errors import HalfpixelError
from halfpixel.testing import laws
from tests.backend import NAMES

X = np.random.default_rng(0).standard_normal((3, 8, 9)).astype(np.float32)


def test_result_is_what_the_formula_says():
    assert resize(np.array([0.0, 4.0]), 4, edge="edge").tolist() == [0, 1, 3, 4]
    assert resize(np.array([0.0, 4.0]), 4, filter="nearest").tolist() == [0, 0, 4, 4]
    assert resize(np.array([1.0, 3.0, 5.0, 7.0]), 2, filter="area").tolist() == [2, 6]
    assert resize(np.array([0, 255], np.uint8), 4, edge="edge").tolist() == [0, 64, 191, 255]


def test_integers_round_half_up_and_saturate():
    assert resize(np.array([0, 1], np.uint8), 1, filter="area").tolist() == [1]
    assert resize(np.array([-1, 0], np.int16), 1, filter="area").tolist() == [0]
    assert resize(np.array([-3, 0], np.int64), 1, filter="area").tolist() == [-1]
    spike = np.array([0, 0, 255, 255, 0, 0], np.uint8)
    assert resize(spike, 24, filter="lanczos3").max() == 255
    assert resize(np.array([False, True]), 1, filter="area").tolist() == [True]


def test_same_dtype_out_for_all():
    for dtype in (*backends.CODES, np.dtype(">f4"), np.dtype(">i2")):
        y = resize(np.ones((4, 4), dtype), (3, 5))
        assert y.dtype == dtype
        assert (y == 1).all()


def test_lists_and_scalars_of_the_shape():
    assert resize([[1.0, 3.0]], (1, 1), filter="area").tolist() == [[2.0]]
    assert resize(np.arange(16.0).reshape(4, 4), 2).shape == (2, 2)
    assert resize(np.arange(16.0).reshape(4, 4), scale=1.5).shape == (6, 6)
    assert resize(X, 4, axes=1).shape == (3, 4, 9)
    assert resize(X, scale=2, axes=(0, 2)).shape == (6, 8, 18)
    assert resize(X, np.array([4, 4])).shape == resize(X, [4.0, np.int32(4)]).shape == (3, 4, 4)
    assert resize(X, scale=(Fraction(1, 2), 2.0)).shape == (3, 4, 18)


@pytest.mark.parametrize("backend", NAMES)
def test_any_byte_order_alignment_and_layout(backend):
    want = backends.apply(plan(X.shape, (5, 5)), X, backend=backend)
    raw = np.zeros(X.nbytes + 1, np.uint8)
    odd = raw[1:].view(np.float32).reshape(X.shape)
    odd[...] = X
    assert not odd.flags.aligned
    for view in (odd, X.astype(">f4"), *laws.layouts_of(X).values()):
        assert np.array_equal(backends.apply(plan(X.shape, (5, 5)), view, backend=backend), want)
        assert np.array_equal(resize(view, (5, 5)), resize(X, (5, 5)))
    out = np.zeros(want.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(want.shape)
    assert backends.apply(plan(X.shape, (5, 5)), X, out, backend=backend) is out
    assert np.array_equal(out, want)
    still = X.copy()
    still.flags.writeable = False
    assert np.array_equal(resize(still, (5, 5)), resize(X, (5, 5)))


def test_output_follows_the_memory_order_of_the_input():
    nhwc = np.ascontiguousarray(X.transpose(1, 2, 0))
    nchw_view = nhwc.transpose(2, 0, 1)
    y = resize(nchw_view, (5, 5))
    assert y.transpose(1, 2, 0).flags.c_contiguous
    assert resize(np.asfortranarray(X), (5, 5)).flags.f_contiguous
    assert resize(X, (5, 5)).flags.c_contiguous
    assert np.array_equal(y, resize(np.ascontiguousarray(nchw_view), (5, 5)))


def test_broadcast_inputs_and_empty_batches():
    assert np.array_equal(resize(np.broadcast_to(X[0], (4, 8, 9)), (3, 3))[2], resize(X[0], (3, 3)))
    assert resize(np.zeros((0, 8, 8)), (4, 4)).shape == (0, 4, 4)
    assert resize(np.zeros((0, 8, 8), np.uint8), (8, 8), filter="nearest").shape == (0, 8, 8)


def test_out_is_returned_and_filled():
    for out in (np.full((3, 4, 4), np.nan, np.float32), np.full((4, 4, 3), np.nan, np.float32).transpose(2, 0, 1)):
        assert resize(X, (4, 4), out=out) is out
        assert np.array_equal(out, resize(X, (4, 4)))


BAD_OUT = {
    "out has shape": lambda: np.empty((3, 4, 5), np.float32),
    "out has dtype": lambda: np.empty((3, 4, 4), np.float64),
    "stride 0": lambda: np.lib.stride_tricks.as_strided(np.empty(16, np.float32), (3, 4, 4), (0, 16, 4)),
    "read-only": lambda: np.broadcast_to(np.zeros((), np.float32), (3, 4, 4)),
    "out is a list": lambda: [[0]],
}


@pytest.mark.parametrize("why", BAD_OUT)
def test_bad_out_is_refused(why):
    for _ in range(2):  # the second call finds the plan ready
        with pytest.raises((ValueError, TypeError), match=why) as caught:
            resize(X, (4, 4), out=BAD_OUT[why]())
        assert isinstance(caught.value, HalfpixelError)
        assert str(caught.value).startswith("resize(<float32 (3, 8, 9)>, size=(4, 4)")


def test_overlapping_out_is_refused_and_interleaved_memory_is_not():
    a = np.zeros((8, 8), np.float32)
    with pytest.raises(ValueError, match="out overlaps x"):
        resize(a, (8, 8), out=a)
    with pytest.raises(ValueError, match="out overlaps x"):
        resize(a[:, :4], (8, 2), out=a[:, 3:5])
    resize(a[:, ::2], (8, 4), out=a[:, 1::2])


class Unknown:
    pass


BAD_CALLS = [
    ({}, "neither size nor scale"),
    ({"size": (4, 4), "scale": 2}, "size and scale were given"),
    ({"size": (0, 4)}, "0 long"),
    ({"size": (-1, 4)}, "-1 long"),
    ({"size": (4, 4, 4, 4)}, "4 values for an array of 3 dimensions"),
    ({"size": 4}, "which axes"),
    ({"scale": 2}, "which axes"),
    ({"size": (4.5, 4)}, "a whole number"),
    ({"size": ("4", 4)}, "a whole number"),
    ({"size": (float("nan"), 4)}, "a whole number"),
    ({"size": (4, 4), "axes": (0, 0)}, "twice"),
    ({"size": (4, 4), "axes": (0, -3)}, "twice"),
    ({"size": (4, 4), "axes": (0, 3)}, "axes from -3 to 2"),
    ({"size": (4, 4), "axes": (0, 1, 2)}, "2 values for 3 axes"),
    ({"size": (), "axes": ()}, "at least one axis"),
    ({"size": ()}, "no values"),
    ({"size": 4, "axes": 1.5}, "a whole number"),
    ({"scale": float("nan"), "axes": 1}, "a finite number"),
    ({"scale": float("inf"), "axes": 1}, "a finite number"),
    ({"scale": 0, "axes": 1}, "above 0"),
    ({"scale": -2, "axes": 1}, "above 0"),
    ({"scale": 1e300, "axes": 1}, "absurd"),
    ({"scale": 1e-300, "axes": 1}, "absurd"),
    ({"scale": 0.01, "axes": 1}, "0 long"),
    ({"scale": "2", "axes": 1}, "a float or a fractions.Fraction"),
    ({"scale": True, "axes": 1}, "a float or a fractions.Fraction"),
    ({"scale": 2, "axes": 1, "rounding": "nearest"}, "unknown rounding"),
    ({"size": (2**40, 2**40)}, "output size overflows"),
    ({"size": 2**41, "axes": 1}, "output size overflows"),
    ({"size": (4, 4), "filter": "lancsoz3"}, "did you mean 'lanczos3'"),
    ({"size": (4, 4), "filter": Unknown()}, "support"),
    ({"size": (4, 4), "grid": "half"}, "half_pixel"),
    ({"size": (4, 4), "edge": "mirror"}, "unknown edge"),
    ({"size": (4, 4), "edge": ["edge"]}, "edge is"),
    ({"size": (4, 4), "box": ((0, 1),)}, "one pair per axis"),
    ({"size": (4, 4), "box": ((3, 1), (0, 1))}, "empty interval"),
    ({"size": (4, 4), "box": ((0, float("nan")), (0, 1))}, "a finite number"),
    ({"size": (4, 4), "box": (3, 1)}, "one pair per axis"),
    ({"size": (4, 4), "box": 3}, "one pair per axis"),
    ({"size": (4, 4), "box": ((0, 1e30), (0, 1))}, "coordinates within"),
    ({"size": (4, 4), "fill": "black"}, "fill is 'black'"),
    ({"size": (4, 4), "nan": "omit"}, "'ignore'"),
    ({"size": (4, 4), "nan": 0.0}, "above 0 and up to 1"),
    ({"size": (4, 4), "nan": True}, "above 0 and up to 1"),
    ({"size": (4, 4), "spacing": 1.0}, "belong together"),
    ({"size": (4, 4), "spacing": 1.0, "new_spacing": 1.0}, "size and spacing"),
    ({"spacing": (1.0, 1.0), "new_spacing": (0.0, 1.0)}, "distances above 0"),
    ({"spacing": (1.0, 1.0, 1.0), "new_spacing": (2.0, 1.0)}, "spacing has 3 values"),
    ({"size": (4, 4), "like": "pillow.lanczos", "edge": "edge"}, "like='pillow.lanczos' and edge='edge'"),
]


@pytest.mark.parametrize(("options", "part"), BAD_CALLS, ids=lambda v: v if isinstance(v, str) else None)
def test_bad_calls_say_why_and_what_would_work(options, part):
    with pytest.raises(HalfpixelError) as caught:
        resize(X, **options)
    text = str(caught.value)
    assert part in text
    assert text.startswith("resize(<float32 (3, 8, 9)>") and "What would work: " in text
    assert isinstance(caught.value, (ValueError, TypeError))


def test_arrays_without_dimensions():
    for options in ({"size": 4}, {"scale": 2}, {"size": (4,)}, {"size": ()}):
        with pytest.raises(ValueError, match=r"without dimensions|0 dimensions|no values"):
            resize(np.float64(3.0), **options)


def test_empty_axes_have_nothing_to_read():
    with pytest.raises(ValueError, match="nothing to read"):
        resize(np.zeros((3, 0)), 4, axes=1)


@pytest.mark.parametrize(
    ("x", "part"),
    [
        (np.array([None, 1]), "astype(float)"),
        (np.array(["a", "b"]), "integer codes"),
        (np.array([b"a"]), "integer codes"),
        (np.array(["2020-01-01"], "M8[D]"), "x.view(numpy.int64)"),
        (np.array([1], "m8[s]"), "x.view(numpy.int64)"),
        (np.zeros(3, [("a", "f4")]), "one call per field"),
        (np.zeros(3, np.longdouble), "astype(numpy.float64)"),
        (np.zeros(3, np.clongdouble), "astype(numpy.complex128)"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "getmaskarray"),
        ([[1.0, 2.0], [3.0]], "nested lists of one shape"),
        (None, "astype(float)"),
        ({1, 2}, "astype(float)"),
    ],
    ids=str,
)
def test_arrays_without_arithmetic_are_refused_with_advice(x, part):
    with pytest.raises(TypeError) as caught:
        resize(x, 4)
    assert part in str(caught.value)


def test_a_ready_plan_refuses_them_too():
    resize(np.zeros(3), 5)
    with pytest.raises(TypeError, match="codes"):
        resize(np.array(["a", "b", "c"]), 5)


def test_torch_tensors_are_named_without_importing_torch():
    fake = types.new_class("Tensor", exec_body=lambda ns: ns.update(__module__="torch", shape=(3,)))
    derived = types.new_class("Mine", (fake,), exec_body=lambda ns: ns.update(__module__="elsewhere"))
    for kind in (fake, derived):
        with pytest.raises(TypeError, match=r"tensor\.numpy\(\)"):
            plan((3,), 4)(kind())


def test_64_bit_integers_say_when_they_lose_bits():
    big = np.array([2**53 + 1, 2**53 + 3, -(2**60)], np.int64)
    with pytest.warns(PrecisionWarning, match=r"beyond 2\*\*53"):
        resize(big, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resize(big[:2] - 3, 5)
        assert resize(big, 6, filter="nearest").tolist() == np.repeat(big, 2).tolist()
        assert resize(big, 3, filter="lanczos3").tolist() == big.tolist()
    huge = np.array([2**64 - 1, 0], np.uint64)
    with pytest.warns(PrecisionWarning):
        resize(huge, 3)
    assert resize(huge, 4, filter="nearest").tolist() == np.repeat(huge, 2).tolist()


@pytest.mark.parametrize("backend", NAMES)
def test_64_bit_integers_saturate(backend):
    top = np.iinfo(np.int64)
    x = np.array([top.min, top.min, top.max, top.max], np.int64)
    with pytest.warns(PrecisionWarning):
        y = backends.apply(plan((4,), 16, filter="lanczos3"), x, backend=backend)
    assert (y.min(), y.max()) == (top.min, top.max)
    top = np.iinfo(np.uint64)
    x = np.array([0, 0, top.max, top.max], np.uint64)
    with pytest.warns(PrecisionWarning):
        y = backends.apply(plan((4,), 16, filter="lanczos3"), x, backend=backend)
    assert (y.min(), y.max()) == (0, top.max)


@pytest.mark.parametrize("backend", NAMES)
def test_nan_and_infinity_become_integers_never(backend):
    x = np.array([np.inf, -np.inf, np.nan, 1.0], np.float32)
    y = backends.apply(plan((4,), 8, filter="nearest"), x, backend=backend)
    assert np.array_equal(y, np.repeat(x, 2), equal_nan=True)


def test_own_filters():
    def tent(x):
        return np.maximum(1 - np.abs(x), 0)

    tent.support = 1.0
    assert np.array_equal(resize(X, (11, 4), filter=tent), resize(X, (11, 4)))
    assert np.array_equal(resize(X, (11, 4), filter=filters.Filter("tent", 1.0, tent)), resize(X, (11, 4)))
    with pytest.raises(ValueError, match="sum is zero or not finite"):
        resize(X, (11, 4), filter=filters.Filter("nil", 1.0, lambda x: 0 * x))
    with pytest.raises(ValueError, match="sum is zero or not finite"):
        resize(X, (11, 4), filter=filters.Filter("bad", 1.0, lambda x: x * np.nan))


def test_resize_image():
    gray, rgb = np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.uint8)
    assert resize_image(gray, (24, 32)).shape == (24, 32)
    assert resize_image(rgb, (24, 32)).shape == (24, 32, 3)
    assert resize_image(rgb, scale=0.5).shape == (24, 32, 3)
    r = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    assert np.array_equal(resize_image(r, (9, 4))[..., 1], resize(r[..., 1], (9, 4)))
    for x, options, part in (
        (np.zeros(5), {"size": (2, 2)}, "1 dimensions"),
        (np.zeros((1, 2, 3, 4)), {"size": (2, 2)}, "4 dimensions"),
        (gray, {"size": 5}, r"size=\(height, width\)"),
        (gray, {"size": (5, 5, 3)}, r"size=\(height, width\)"),
        (gray, {"size": (5, 5), "axes": (0, 1)}, "always resamples height and width"),
        (gray, {}, "neither size nor scale"),
    ):
        with pytest.raises(ValueError, match=part):
            resize_image(x, **options)


def test_backend_can_be_forced_and_says_why_not(monkeypatch):
    fresh = plan((7, 5), (3, 11))
    monkeypatch.setenv("HALFPIXEL_BACKEND", "reference")
    assert backends.choose(fresh.program(), np.float32) == "reference"
    monkeypatch.setenv("HALFPIXEL_BACKEND", "gpu")
    with pytest.raises(ValueError, match="unknown backend 'gpu'"):
        backends.choose()
    monkeypatch.setenv("HALFPIXEL_BACKEND", "cpu")
    monkeypatch.setattr(cpu, "_load", lambda: (None, "the compiled kernels are not part of this installation"))
    with pytest.raises(RuntimeError, match="not part of this installation"):
        backends.choose()
    with pytest.raises(RuntimeError, match="not part of this installation"):
        backends.apply(fresh, np.zeros((7, 5)), backend="cpu")
    with pytest.raises(RuntimeError, match="C\\+\\+ compiler"):
        cpu.native()
    monkeypatch.delenv("HALFPIXEL_BACKEND")
    assert backends.choose() == "reference"
    assert np.array_equal(plan((7, 5), (3, 13))(np.ones((7, 5))), np.ones((3, 13)))
    assert halfpixel.get_num_threads() == 1
    halfpixel.set_num_threads(3)


def test_absent_or_broken_kernels_have_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "halfpixel._native", None)
    assert "halfpixel._native" in sys.modules
    _, reason = cpu._load.__wrapped__()
    assert reason


def test_more_passes_than_the_kernels_have():
    shape = (2,) * 11
    p = plan(shape, (3,) * 11)
    assert cpu.why_not(p.program(), np.dtype("f4")).startswith("11 passes")
    assert backends.choose(p.program()) == "reference"


def test_thread_counts():
    before = halfpixel.get_num_threads()
    try:
        halfpixel.set_num_threads(1)
        one = resize(np.random.default_rng(3).standard_normal((300, 400)), (700, 500), filter="cubic")
        halfpixel.set_num_threads(3)
        three = resize(np.random.default_rng(3).standard_normal((300, 400)), (700, 500), filter="cubic")
        assert np.array_equal(one, three)
    finally:
        halfpixel.set_num_threads(before)
    for n in (0, -1, 5000, 1.5, "2"):
        with pytest.raises((ValueError, TypeError), match="number of threads"):
            halfpixel.set_num_threads(n)


def test_many_python_threads_at_once():
    xs = [np.random.default_rng(k).standard_normal((40, 50)).astype(np.float32) for k in range(8)]
    want = [resize(x, (77, 33), filter="cubic") for x in xs]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda k: resize(xs[k % 8], (77, 33), filter="cubic"), range(64)))
    assert all(np.array_equal(got[k], want[k % 8]) for k in range(64))


def test_ready_calls_are_bounded():
    from halfpixel import _resize

    for m in range(1, 2200):
        resize(np.zeros(2), m, filter="nearest")
    assert len(_resize._ready) <= 2048


@pytest.mark.parametrize("shape", [(3, 600, 600), (1, 600, 600)])
def test_large_outputs_begin_on_a_cache_line_in_the_order_of_the_input(shape):
    x = np.ones(shape, np.float32)
    for view in (x, x.transpose(2, 0, 1), x[:, ::-1]):
        y = halfpixel.resize(view, scale=2, axes=(1, 2))
        assert y.__array_interface__["data"][0] % 64 == 0
        assert np.argsort(np.abs(y.strides), kind="stable")[0] == np.argsort(np.abs(view.strides), kind="stable")[0]
        assert y.flags.writeable
