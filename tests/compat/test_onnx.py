# SPDX-License-Identifier: MIT
"""halfpixel.compat.onnx against definitions in loops, bad inputs, and a process without onnx."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfpixel import plan, presets
from halfpixel import resize as own_resize
from halfpixel.compat import onnx
from tests.onnx_definition import matrix
from tests.process import run_python

TRANSFORMATIONS = tuple(presets.TABLE["onnx.linear"].options["coordinate_transformation_mode"])
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
length = st.integers(1, 30)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(TRANSFORMATIONS), st.sampled_from(("nearest", "linear", "cubic")), st.sampled_from(NEAREST),
    st.booleans(), st.booleans(), st.sampled_from((-0.75, -0.5, -1.25)), length,
    st.tuples(st.just("sizes"), length) | st.tuples(st.just("scales"), st.floats(0.25, 3.0, width=32)),
    st.tuples(st.floats(-0.5, 1.5, width=32), st.floats(-0.5, 1.5, width=32)),
)  # fmt: skip
def test_resize_is_its_definition(transformation, mode, nearest_mode, antialias, exclude, a, n, ask, roi):
    """Regions may reach outside, and run backwards."""
    m = ask[1] if ask[0] == "sizes" else int(n * ask[1])
    if m == 0:
        return
    weighs = {"antialias": int(antialias), "exclude_outside": int(exclude)} if mode != "nearest" else {}
    factor = m / n if ask[0] == "sizes" else ask[1]
    dense, outside = matrix(n, m, factor, mode, transformation, roi, nearest_mode, a, **weighs)
    x = np.random.default_rng(1).standard_normal((2, n))
    expected = np.where(outside, 9.0, x @ dense.T)
    got = onnx.resize(
        x, None if transformation != "tf_crop_and_resize" else [0, roi[0], 1, roi[1]], **{ask[0]: [x.shape[0], ask[1]]}
        if ask[0] == "sizes" else {ask[0]: [1, ask[1]]}, mode=mode, nearest_mode=nearest_mode, cubic_coeff_a=a,
        coordinate_transformation_mode=transformation, extrapolation_value=9.0, **weighs, opset=19,
    )  # fmt: skip
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


def test_a_preset_takes_a_region_as_a_box():
    """A box in pixel edges: the first output lies on the sample half a pixel inside its start."""
    x = np.array([0.0, 10.0, 20.0, 30.0])
    like = "onnx.linear(coordinate_transformation_mode='tf_crop_and_resize')"
    cropped = onnx.resize(
        x, [1 / 3, 1.0], sizes=[3], mode="linear", coordinate_transformation_mode="tf_crop_and_resize"
    )  # fmt: skip
    np.testing.assert_array_equal(own_resize(x, 3, box=((1, 4),), like=like), cropped)
    np.testing.assert_allclose(cropped, [10, 20, 30], rtol=1e-6)  # a third is float32 there
    assert own_resize(x, 3, box=((-2, 5),), like=like, fill=-7).tolist() == [-7.0, 10.0, -7.0]
    assert own_resize(x, 4, like=like).tolist() == x.tolist()


def test_any_number_is_a_cubic_coefficient():
    assert presets.get("onnx.cubic(cubic_coeff_a=-1)") == presets.get("onnx.cubic(cubic_coeff_a=-1.0)")
    assert presets.get("onnx.cubic(cubic_coeff_a=-0.75)").name == "onnx.cubic"
    dense, _ = matrix(7, 19, 19 / 7, "cubic", "half_pixel", a=-1.0)
    np.testing.assert_allclose(plan((7,), 19, like="onnx.cubic(cubic_coeff_a=-1)").bands[0].dense(), dense, atol=1e-12)
    for wrong in ("'a'", "True", "1e999", "None"):
        with pytest.raises(ValueError, match="cubic_coeff_a="):
            presets.get(f"onnx.cubic(cubic_coeff_a={wrong})")
    with pytest.raises(ValueError, match="from -16 to 16"):
        presets.get("onnxruntime.cubic(cubic_coeff_a=17.0)")


@pytest.mark.parametrize("dialect", ["onnx", "onnxruntime"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int16", "int64", "bool", "bfloat16"])
def test_the_dtype_stays(dtype, dialect):
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    x = np.array([[0, 1], [1, 0]]).astype(kind)
    for mode in ("nearest", "linear", "cubic"):
        y = onnx.resize(x, scales=[2, 1.5], mode=mode, dialect=dialect)
        assert (y.dtype, y.shape) == (x.dtype, (4, 3))
    for y in (onnx.upsample(x, [1, 2]), onnx.depth_to_space(x.reshape(1, 4, 1), blocksize=2)):
        assert y.dtype == x.dtype


def test_results_share_no_memory():
    x = np.zeros((1, 4, 2, 2), np.float32)
    for y in (
        onnx.resize(x, scales=[1, 1, 1, 1]),
        onnx.depth_to_space(x, blocksize=1),
        onnx.space_to_depth(x, blocksize=1),
        onnx.depth_to_space(x[:, :, :1, :1], blocksize=2),
    ):
        assert not np.shares_memory(x, y)


def test_empty_axes():
    assert onnx.resize(np.zeros((0, 3)), sizes=[0, 5]).shape == (0, 5)
    assert onnx.resize(np.zeros((2, 3)), scales=[1, 0.2]).shape == (2, 0)
    assert onnx.resize(np.zeros((0, 3), np.float32), scales=[1, 2], mode="linear").shape == (0, 6)
    with pytest.raises(ValueError, match="there is nothing to read"):
        onnx.resize(np.zeros((0, 3)), sizes=[2, 3])


@pytest.mark.parametrize("dialect", ["onnx", "onnxruntime"])
def test_expected_data_of_older_releases(dialect):
    """Of ONNX 1.5 (opset 10) and 1.6 (opset 11)."""
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 1, 2, 4)
    for mode, expected in (("nearest", [[[[1, 3]]]]), ("linear", [[[[1, 2.6666665]]]])):
        got = onnx.resize(x, scales=[1, 1, 0.6, 0.6], mode=mode, opset=10, dialect=dialect)
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    got = onnx.resize(np.array([[1, 2], [3, 4]], np.float32), scales=[2, 2], mode="linear", opset=10, dialect=dialect)
    assert got.tolist() == [[1, 1.5, 2, 2], [2, 2.5, 3, 3], [3, 3.5, 4, 4], [3, 3.5, 4, 4]]
    x, way = np.arange(1, 17, dtype=np.float32).reshape(4, 4), "tf_half_pixel_for_nn"
    got = onnx.resize(x, sizes=[3, 2], coordinate_transformation_mode=way, opset=11, dialect=dialect)
    assert got.tolist() == [[6, 8], [10, 12], [14, 16]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "exactly one of scales= and sizes="),
        ({"scales": [1, 2], "sizes": [2, 4]}, "exactly one of scales= and sizes="),
        ({"scales": [2]}, "scales has 1 values"),
        ({"scales": [1, 0]}, "a number above 0"),
        ({"scales": [1, np.nan]}, "a finite number"),
        ({"sizes": [2, 3.5]}, "a whole number"),
        ({"sizes": [2, -1]}, "sizes is"),
        ({"sizes": [3], "axes": [2]}, "axis 2 of an array of 2 dimensions"),
        ({"sizes": [3, 3], "axes": [1, -1]}, "one axis twice"),
        ({"scales": [1, 2], "mode": "bilinear"}, "unknown mode 'bilinear'"),
        ({"scales": [1, 2], "nearest_mode": "round"}, "unknown nearest_mode"),
        ({"scales": [1, 2], "coordinate_transformation_mode": "halfpixel"}, "did you mean 'half_pixel'"),
        ({"scales": [1, 2], "coordinate_transformation_mode": "tf_crop_and_resize"}, "without roi"),
        ({"scales": [1, 2], "roi": [0, 1], "coordinate_transformation_mode": "tf_crop_and_resize"}, "4 values"),
        ({"scales": [1, 2], "keep_aspect_ratio_policy": "not_larger"}, "goes with sizes"),
        ({"scales": [1, 2], "antialias": 1}, "antialias=1 with mode='nearest'"),
        ({"scales": [1, 2], "dialect": "ort"}, "unknown dialect 'ort'"),
        ({"scales": [1, 2], "opset": 9}, r"upsample\(\) for 7 to 9"),
        ({"scales": [1, 2], "opset": 10, "mode": "cubic"}, "opset 10 has no mode='cubic'"),
        ({"scales": [1, 2], "opset": 10, "nearest_mode": "ceil"}, "opset=11"),
        ({"scales": [1, 2], "opset": 13, "mode": "linear", "antialias": 1}, "opset=18"),
        ({"scales": [2], "opset": 13, "axes": [1]}, "opset=18"),
        ({"scales": [1, 2], "opset": 18, "coordinate_transformation_mode": "half_pixel_symmetric"}, "opset=19"),
    ],
)
def test_resize_says_what_would_work(options, said):
    with pytest.raises(ValueError, match=r"onnx.resize\(<float64 \(2, 3\)>[\s\S]*" + said):
        onnx.resize(np.ones((2, 3)), **options)


def test_other_refusals_of_resize():
    with pytest.raises(NotImplementedError, match="onnxruntime refuses exclude_outside=1 with mode='linear'"):
        onnx.resize(np.ones((2, 3)), scales=[1, 2], mode="linear", exclude_outside=1, dialect="onnxruntime")
    with pytest.raises(ValueError, match="0 dimensions"):
        onnx.resize(1.0, scales=[2])
    with pytest.raises(TypeError, match="array of numbers"):
        onnx.resize(["a"], scales=[2])
    for scales, said in (([1, 0.5], "factors from 1"), (None, "factors from 1"), ([2], "scales has 1 values")):
        with pytest.raises(ValueError, match=r"onnx.upsample\([\s\S]*" + said):
            onnx.upsample(np.ones((2, 3)), scales)
    with pytest.raises(ValueError, match="one of 7, 8, 9"):
        onnx.upsample(np.ones((2, 3)), [1, 2], opset=10)


def transposed_by_loops(x, w, b, strides, dilations, group, pads, output_padding):
    """The sum over every input sample, channel and kernel offset that the standard names."""
    dims, per = x.ndim - 2, x.shape[1] // group
    parts = zip(x.shape[2:], w.shape[2:], strides, dilations, output_padding, strict=True)
    full = [s * (n - 1) + d * (k - 1) + 1 + e for n, k, s, d, e in parts]
    y = np.zeros((x.shape[0], w.shape[1] * group, *full))
    for batch, c, m in np.ndindex(x.shape[0], x.shape[1], w.shape[1]):
        for at, k in itertools.product(np.ndindex(x.shape[2:]), np.ndindex(w.shape[2:])):
            place = tuple(i * s + j * d for i, j, s, d in zip(at, k, strides, dilations, strict=True))
            y[(batch, c // per * w.shape[1] + m, *place)] += x[(batch, c, *at)] * w[(c, m, *k)]
    y += b.reshape(-1, *(1,) * dims)
    return y[(..., *(slice(pads[k], full[k] - pads[dims + k]) for k in range(dims)))]


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
@pytest.mark.parametrize("group", [1, 2])
def test_conv_transpose_is_its_definition(dims, group):
    rng = np.random.default_rng(2)
    n_in, kernel = (3, 2, 1, 2)[:dims], (2, 3, 2, 1)[:dims]
    x, w = rng.standard_normal((2, 4, *n_in)), rng.standard_normal((4, 3, *kernel))
    b = rng.standard_normal(3 * group)
    options = {
        "strides": (2, 1, 3, 2)[:dims], "dilations": (1, 3, 1, 2)[:dims], "group": group,
        "pads": (1, 0, 0, 0)[:dims] + (0, 1, 1, 0)[:dims], "output_padding": (1, 2, 2, 0)[:dims],
    }  # fmt: skip
    expected = transposed_by_loops(x, w, b, **options)
    np.testing.assert_allclose(onnx.conv_transpose(x, w, b, **options), expected, atol=1e-12)
    for dtype, far in ((np.float32, 1e-5), (np.float16, 4e-2), (ml_dtypes.bfloat16, 0.3)):
        got = onnx.conv_transpose(x.astype(dtype), w.astype(dtype), b.astype(dtype), **options)
        assert got.dtype == dtype
        np.testing.assert_allclose(got.astype(np.float64), expected, atol=far)


def test_conv_transpose_does_not_change_its_inputs():
    x, w, b = np.ones((1, 1, 2)), np.ones((1, 1, 1)), np.ones(1)
    assert onnx.conv_transpose(x, w, b).tolist() == [[[2.0, 2.0]]]
    assert (x.sum(), w.sum(), b.sum()) == (2, 1, 1)
    assert onnx.conv_transpose(np.ones((0, 1, 2)), w).shape == (0, 1, 2)


X, W = np.ones((1, 2, 3, 3)), np.ones((2, 1, 2, 2))


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "said"),
    [
        ((X.astype(int), W), {}, TypeError, r"floats; integers as \.astype"),
        ((X, W.astype(np.float32)), {}, TypeError, "one dtype"),
        ((X, W[0]), {}, ValueError, "X has 4 dimensions, W 3"),
        ((X, W[:1]), {}, ValueError, r"W of shape \(C, M / group"),
        ((X, W), {"group": 3}, ValueError, "3 groups"),
        ((X, W), {"group": 0}, ValueError, "group is"),
        ((X, W, np.ones(2)), {}, ValueError, r"B has shape \(2,\)[\s\S]*\(1,\)"),
        ((X, W), {"strides": [2]}, ValueError, "strides has 1 values[\\s\\S]*2 values"),
        ((X, W), {"strides": [2, 0]}, ValueError, "values from 1"),
        ((X, W), {"pads": [1, 1]}, ValueError, "4 values"),
        ((X, W), {"pads": [-1, 0, 0, 0]}, ValueError, "values from 0"),
        ((X, W), {"pads": [4, 0, 0, 0]}, ValueError, "smaller pads"),
        ((X, W), {"kernel_shape": [3, 3]}, ValueError, "kernel_shape"),
        ((X, W), {"auto_pad": "SAME"}, ValueError, "unknown auto_pad 'SAME'"),
        ((X, W), {"output_padding": [1, 0]}, ValueError, "less than the larger of stride and dilation"),
        ((X, W), {"output_shape": [0, 3]}, ValueError, "output_shape is"),
        ((X[:, :, :0], W), {}, ValueError, "lengths from 1"),
        ((X[0, 0], W), {}, ValueError, "X has 2 dimensions"),
    ],
)
def test_conv_transpose_says_what_would_work(arguments, options, kind, said):
    with pytest.raises(kind, match=r"onnx.conv_transpose\(<[\s\S]*" + said):
        onnx.conv_transpose(*arguments, **options)


def test_the_last_of_equal_indices_wins():
    x, index = np.arange(1.0, 2001.0).reshape(1, 1, 2000), np.full((1, 1, 2000), 3)
    index[..., :500] = 2
    y = onnx.max_unpool(x, index, kernel_shape=[1])
    assert y[0, 0, :5].tolist() == [0, 0, 500, 2000, 0]


@pytest.mark.parametrize(
    ("index", "options", "kind", "said"),
    [
        ([[[4, 0]]], {"kernel_shape": [2], "strides": [2]}, ValueError, r"indices from 0 to 4[\s\S]*0 to 3"),
        ([[[-1, 0]]], {"kernel_shape": [2]}, ValueError, "indices from -1"),
        ([[[0.0, 1.0]]], {"kernel_shape": [2]}, TypeError, "MaxPool's second output"),
        ([[[0]]], {"kernel_shape": [2]}, ValueError, "one index per element"),
        ([[[0, 1]]], {"kernel_shape": [2, 2]}, ValueError, "kernel_shape has 2 values"),
        ([[[0, 1]]], {"kernel_shape": [1], "pads": [1, 1]}, ValueError, "smaller pads"),
        ([[[0, 1]]], {"kernel_shape": [2], "output_shape": [1, 1, 2]}, ValueError, "a larger one"),
        ([[[0, 1]]], {"kernel_shape": [2], "output_shape": [4]}, ValueError, "output_shape has 1 values"),
        ([[[0, 1]]], {"kernel_shape": [2], "dialect": "torch"}, ValueError, "unknown dialect"),
    ],
)
def test_max_unpool_says_what_would_work(index, options, kind, said):
    with pytest.raises(kind, match=r"onnx.max_unpool\(<[\s\S]*" + said):
        onnx.max_unpool(np.ones((1, 1, 2)), np.array(index), **options)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_depth_to_space_is_its_definition(dims, mode):
    b, depth, spatial = 2, 3, (2, 1, 3)[:dims]
    x = np.arange(2 * depth * b**dims * np.prod(spatial)).reshape(2, depth * b**dims, *spatial)
    y = onnx.depth_to_space(x, blocksize=b, mode=mode)
    for n, c, *at in np.ndindex(y.shape):
        block = np.ravel_multi_index([i % b for i in at], (b,) * dims)
        channel = block * depth + c if mode == "DCR" else c * b**dims + block
        assert y[(n, c, *at)] == x[(n, channel, *(i // b for i in at))]
    np.testing.assert_array_equal(onnx.space_to_depth(y, blocksize=b, mode=mode), x)


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (onnx.depth_to_space, {"blocksize": 2}, "a multiple of 4 channels"),
        (onnx.space_to_depth, {"blocksize": 2}, r"spatial axes \(3, 3\)"),
        (onnx.depth_to_space, {"blocksize": 0}, "a whole number from 1"),
        (onnx.space_to_depth, {"blocksize": 1.5}, "blocksize"),
        (onnx.depth_to_space, {"blocksize": 1, "mode": "RDC"}, "unknown mode 'RDC'"),
    ],
)
def test_rearranging_says_what_would_work(function, options, said):
    with pytest.raises(ValueError, match=function.__name__ + r"\(<[\s\S]*" + said):
        function(X, **options)


def test_the_functions_do_without_onnx():
    program = """
import sys
sys.modules["onnx"] = sys.modules["onnxruntime"] = None  # any import of them fails
import numpy as np
from halfpixel.compat import onnx
x = np.ones((1, 4, 2, 2), np.float32)
onnx.resize(x, sizes=[1, 4, 3, 3], mode="cubic")
onnx.upsample(x, [1, 1, 2, 2])
onnx.conv_transpose(x, np.ones((4, 1, 2, 2), np.float32))
onnx.max_unpool(x, np.arange(16).reshape(x.shape), kernel_shape=[1, 1])
onnx.space_to_depth(onnx.depth_to_space(x, blocksize=2), blocksize=2)
try:
    onnx.backend()
except ImportError:
    print("no backend")
"""
    assert run_python(program) == "no backend"
