# SPDX-License-Identifier: MIT
"""ONNX Resize and Upsample: the reference evaluator and onnxruntime, each on its own preset."""

import contextlib
import math
import os
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from halfpixel import resize as own_resize
from halfpixel._plan import clear_caches
from halfpixel.compat.onnx import resize, upsample
from tests.backend import NAMES, only
from tests.onnx_definition import is_just_above_a_sample
from tests.onnx_models import by_evaluator, by_onnxruntime, resize_inputs
from tests.parity.compare import SIZES, assert_same, samples

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx.reference")

TRANSFORMATIONS = (
    *("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"),
    "tf_crop_and_resize",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
WEIGHTED = (
    *({"mode": "linear", "antialias": a} for a in (0, 1)),
    {"mode": "linear", "antialias": 1, "exclude_outside": 1},
    *({"mode": "cubic", "antialias": a, "exclude_outside": e} for a in (0, 1) for e in (0, 1)),
    {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
)
METHODS = (*({"mode": "nearest", "nearest_mode": mode} for mode in NEAREST), *WEIGHTED)
ROI = (0.1, -0.2, 0.9, 1.3)

length = st.integers(1, 40)
scale = st.floats(0.25, 3.0, width=32)
asked = st.tuples(length, length).map(lambda v: {"sizes": v}) | st.tuples(scale, scale).map(lambda v: {"scales": v})


@contextlib.contextmanager
def forced(backend):
    """Plans that are made here take this backend."""
    clear_caches()
    with mock.patch.dict(os.environ, HALFPIXEL_BACKEND=backend), only(backend):
        yield
    clear_caches()


def call(ask, transformation):
    """The inputs after X, of four dimensions."""
    (name, values), roi = next(iter(ask.items())), None
    if transformation == "tf_crop_and_resize":
        roi = [0, 0, ROI[0], ROI[1], 1, 1, ROI[2], ROI[3]]
    return {name: [1, 1, *values], "roi": roi}


def steps(x, ask):
    """Per axis: both lengths and the scale, as the evaluator takes them."""
    for n, v in zip(x.shape[2:], next(iter(ask.values())), strict=True):
        factor = v / n if "sizes" in ask else float(np.float32(v))
        yield n, v if "sizes" in ask else math.floor(n * factor), factor


def is_spoiled(x, ask, transformation):
    """The evaluator misreads a coordinate (see the definition), or nothing is left of an axis."""
    for (n, m, factor), roi in zip(steps(x, ask), (ROI[::2], ROI[1::2]), strict=True):
        if m == 0 or is_just_above_a_sample(n, m, factor, transformation, roi):
            return True
    return False


def allowed(x, relative):
    return relative * max(1.0, float(np.abs(x.astype(np.float64)).max()))


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(METHODS), st.sampled_from(TRANSFORMATIONS), st.sampled_from(("float32", "float64", "uint8")),
    st.tuples(length, length), asked, st.sampled_from(NAMES),
)  # fmt: skip
def test_the_evaluator(method, transformation, dtype, size_in, ask, backend):
    x = samples(np.random.default_rng(1), (1, 1, *size_in), dtype)
    assume(not is_spoiled(x, ask, transformation))
    attributes = {"coordinate_transformation_mode": transformation, "extrapolation_value": 9.0, **method}
    expected = by_evaluator("Resize", resize_inputs(x, **call(ask, transformation)), 19, **attributes)
    with forced(backend.values[0]):
        got = resize(x, **call(ask, transformation), **attributes)
    # The evaluator's cubic weights are float32; where they put an integer next to a half, it is one off.
    exact = method["mode"] == "nearest"
    assert_same(got, expected, 0 if exact else 1 if dtype == "uint8" else allowed(x, 1e-5))
    assert np.count_nonzero(got != expected) <= 0.02 * got.size + 2 or dtype != "uint8"


def test_the_evaluator_misreads_coordinates_just_above_a_sample():
    """(10 + 1/2) 25 / 35 - 1/2 is 7, and 7 plus a rounding error in double."""
    if not pytest.importorskip("onnx").__version__.startswith("1.23."):
        pytest.skip("seen in ONNX 1.23; other releases may be right")
    x = np.arange(25.0)
    assert is_just_above_a_sample(25, 35, 35 / 25, "half_pixel")
    assert by_evaluator("Resize", resize_inputs(x, sizes=[35]), 19, mode="linear")[10] == pytest.approx(6)
    assert resize(x, sizes=[35], mode="linear")[10] == pytest.approx(7)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(METHODS), st.sampled_from((*TRANSFORMATIONS, "tf_half_pixel_for_nn")), st.tuples(length, length),
    asked, st.sampled_from(NAMES),
)  # fmt: skip
def test_onnxruntime(method, transformation, size_in, ask, backend):
    x = samples(np.random.default_rng(2), (1, 1, *size_in), "float32")
    inputs = call(ask, transformation)
    assume("sizes" in ask or min(math.floor(n * s) for n, s in zip(size_in, ask["scales"], strict=True)) > 0)
    attributes = {"coordinate_transformation_mode": transformation, "extrapolation_value": 9.0, **method}
    expected = by_onnxruntime("Resize", resize_inputs(x, **inputs), 19, **attributes)
    assume(not (method.get("antialias") and transformation == "tf_crop_and_resize" and _stays(size_in, expected)))
    with forced(backend.values[0]):
        got = resize(x, **inputs, **attributes, dialect="onnxruntime")
    assert_same(got, expected, 0 if method["mode"] == "nearest" else allowed(x, 4e-6))


def _stays(size_in, expected):
    """An axis that onnxruntime copies and fills after that: not reproduced."""
    return any(n == m for n, m in zip(size_in, expected.shape[2:], strict=True))


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("transformation", TRANSFORMATIONS[:5])
@pytest.mark.parametrize("mode", NEAREST)
def test_ties_of_onnxruntime(mode, transformation, backend):
    """Sizes whose coordinates are whole or half, over all small ones: the float32 rule decides."""
    attributes = {"mode": "nearest", "nearest_mode": mode, "coordinate_transformation_mode": transformation}
    for n in (1, 2, 3, 5, 8, 9):
        x = np.arange(n, dtype=np.float32)
        for m in range(1, 28):
            expected = by_onnxruntime("Resize", resize_inputs(x, sizes=[m]), 19, **attributes)
            with forced(backend):
                assert_same(resize(x, sizes=[m], **attributes, dialect="onnxruntime"), expected)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("method", WEIGHTED[1:3] + WEIGHTED[5:7], ids=str)
def test_antialiased_bytes_of_onnxruntime(method, backend):
    """22-bit weights and a rounded pass each way: to the bit."""
    rng = np.random.default_rng(3)
    for size_in, size in SIZES:
        x = samples(rng, (1, 2, *size_in), "uint8")
        inputs = {"sizes": [1, 2, *size]}
        expected = by_onnxruntime("Resize", resize_inputs(x, **inputs), 19, **method)
        with forced(backend):
            assert_same(resize(x, **inputs, **method, dialect="onnxruntime"), expected)


def test_antialiased_bytes_outside_the_region():
    x = samples(np.random.default_rng(3), (1, 1, 9, 7), "uint8")
    inputs = {"roi": [0, 0, -0.2, 0.1, 1, 1, 0.8, 1.4], "sizes": [1, 1, 5, 11]}
    for mode in ("linear", "cubic"):
        attributes = {
            "mode": mode, "antialias": 1, "extrapolation_value": 9.0,
            "coordinate_transformation_mode": "tf_crop_and_resize",
        }  # fmt: skip
        expected = by_onnxruntime("Resize", resize_inputs(x, **inputs), 19, **attributes)
        assert_same(resize(x, **inputs, **attributes, dialect="onnxruntime"), expected)
        assert 9 in expected


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_linear_integers_of_onnxruntime(dtype):
    """Cut off to whole numbers. onnxruntime's own noise may put 100 at 99.99999: one level, in few samples."""
    rng, apart, count = np.random.default_rng(4), 0, 0
    for size_in, size in SIZES:
        x = samples(rng, (1, 2, *size_in), "int8").astype(dtype)
        inputs = {"sizes": [1, 2, *size]}
        expected = by_onnxruntime("Resize", resize_inputs(x, **inputs), 19, mode="linear")
        got = resize(x, **inputs, mode="linear", dialect="onnxruntime")
        assert_same(got, expected, 1)
        apart, count = apart + np.count_nonzero(got != expected), count + got.size
    assert apart <= 0.01 * count


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_channels_last_of_onnxruntime(dtype):
    """Bytes have ten bits of coordinate there, exactly."""
    rng = np.random.default_rng(5)
    for size_in, size in SIZES[:7]:
        x = samples(rng, (2, *size_in, 3), dtype)
        inputs = {"sizes": [2, *size, 3]}
        expected = by_onnxruntime("Resize", resize_inputs(x, **inputs), 19, mode="linear")
        got = resize(x, **inputs, mode="linear", dialect="onnxruntime")
        assert_same(got, expected, 0 if dtype != "float32" else allowed(x, 4e-6))


def test_half_precision_and_volumes_of_onnxruntime():
    rng = np.random.default_rng(6)
    x = rng.standard_normal((1, 2, 5, 7)).astype(np.float16)
    for method in WEIGHTED:
        expected = by_onnxruntime("Resize", resize_inputs(x, sizes=[1, 2, 9, 4]), 19, **method)
        assert_same(resize(x, sizes=[1, 2, 9, 4], **method, dialect="onnxruntime"), expected, allowed(x, 1e-3))
    for shape, sizes in (((1, 2, 4, 5, 6), [1, 2, 7, 3, 9]), ((4, 5, 6), [7, 3, 9])):
        x = rng.standard_normal(shape).astype(np.float32)
        for antialias in (0, 1):
            attributes = {"mode": "linear", "antialias": antialias}
            expected = by_onnxruntime("Resize", resize_inputs(x, sizes=sizes), 19, **attributes)
            assert_same(resize(x, sizes=sizes, **attributes, dialect="onnxruntime"), expected, allowed(x, 4e-6))


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(length, length), st.tuples(length, length), st.sampled_from(("not_larger", "not_smaller")),
    st.sampled_from(("nearest", "linear")), st.permutations((2, 3)),
)  # fmt: skip
def test_the_aspect_ratio(size_in, size, policy, mode, axes):
    x = samples(np.random.default_rng(7), (1, 2, *size_in), "float32")
    attributes = {"mode": mode, "keep_aspect_ratio_policy": policy, "axes": list(axes)}
    factors = [size[k] / size_in[axis - 2] for k, axis in enumerate(axes)]
    factor = min(factors) if policy == "not_larger" else max(factors)
    assume(min(factor * n for n in size_in) >= 0.5)
    inputs = resize_inputs(x, sizes=size)
    for dialect, theirs in (("onnx", by_evaluator), ("onnxruntime", by_onnxruntime)):
        lengths = [int(factor * n + 0.5) for n in size_in]
        if dialect == "onnx" and any(
            is_just_above_a_sample(n, m, factor, "half_pixel") for n, m in zip(size_in, lengths, strict=True)
        ):
            continue
        got = resize(x, sizes=size, **attributes, dialect=dialect)
        assert_same(got, theirs("Resize", inputs, 19, **attributes), 0 if mode == "nearest" else allowed(x, 4e-6))


def test_axes_in_any_order():
    x = samples(np.random.default_rng(8), (2, 3, 4, 5), "float32")
    for axes in ([2, 3], [3, 2], [1, 3], [-1, 0]):
        got = resize(x, scales=[1.5, 0.6], axes=axes, mode="linear", antialias=1)
        expected = by_evaluator("Resize", resize_inputs(x, scales=[1.5, 0.6]), 19, mode="linear", antialias=1,
                                axes=[a % 4 for a in axes])  # fmt: skip
        assert_same(got, expected, allowed(x, 1e-6))


def test_the_length_of_a_scale():
    """0.7 is a little less than 7/10 in float32: the evaluator multiplies in double, onnxruntime in float32."""
    x = np.arange(10, dtype=np.float32)[None]
    for dialect, theirs, count in (("onnx", by_evaluator, 6), ("onnxruntime", by_onnxruntime, 7)):
        expected = theirs("Resize", resize_inputs(x, scales=[1, 0.7]), 19, mode="linear")
        got = resize(x, scales=[1, 0.7], mode="linear", dialect=dialect)
        assert_same(got, expected, 1e-5)
        assert got.shape == (1, count)
        assert_same(own_resize(x, scale=(1, 0.7), like=f"{dialect}.linear"), expected, 1e-5)


@pytest.mark.parametrize("opset", [10, 11, 13, 18])
def test_older_operator_sets(opset):
    """Opset 10 has neither roi nor attributes: asymmetric, and nearest takes the upper sample where it shrinks."""
    x = samples(np.random.default_rng(9), (1, 1, 7, 9), "float32")
    for mode in ("nearest", "linear"):
        for scales in ([1, 1, 0.6, 0.5], [1, 1, 2, 2], [1, 1, 1.7, 2.3], [1, 1, 0.4, 1.9]):
            inputs = resize_inputs(x, [], scales)
            if opset == 10:
                inputs = [x, inputs[2]]
            expected = by_onnxruntime("Resize", inputs, opset, mode=mode)
            got = resize(x, scales=scales, mode=mode, opset=opset, dialect="onnxruntime")
            assert_same(got, expected, 0 if mode == "nearest" else allowed(x, 4e-6))


@pytest.mark.parametrize("opset", [7, 9])
def test_upsample(opset):
    x = samples(np.random.default_rng(10), (1, 2, 5, 3), "float32")
    for mode in ("nearest", "linear"):
        for scales in ([1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 1.7, 3.0], [1.0, 1.0, 1.0, 2.5]):
            inputs, attributes = [x, np.array(scales, np.float32)], {"mode": mode}
            if opset == 7:
                inputs, attributes = [x], {"mode": mode, "scales": scales}
            expected = by_onnxruntime("Upsample", inputs, opset, **attributes)
            for dialect in ("onnx", "onnxruntime"):
                got = upsample(x, scales, mode=mode, opset=opset, dialect=dialect)
                assert_same(got, expected, 0 if mode == "nearest" else allowed(x, 4e-6))
