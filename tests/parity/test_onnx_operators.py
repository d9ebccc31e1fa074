# SPDX-License-Identifier: MIT
"""ConvTranspose, MaxUnpool, DepthToSpace and SpaceToDepth: onnxruntime, and the evaluator where it differs."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from halfpixel.compat.onnx import conv_transpose, depth_to_space, max_unpool, space_to_depth
from tests.onnx_models import by_evaluator, by_onnxruntime
from tests.parity.compare import assert_same

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx.reference")


@st.composite
def convolutions(draw):
    """X's shape, W's shape, and attributes that go together."""
    dims = draw(st.integers(1, 3))

    def each(low, high, count=dims):
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    group = draw(st.integers(1, 3))
    n_in, kernel = each(1, 5), each(1, 4)
    attributes = {"strides": each(1, 4), "dilations": each(1, 3), "group": group}
    full = [
        s * (n - 1) + d * (k - 1) + 1
        for n, k, s, d in zip(n_in, kernel, attributes["strides"], attributes["dilations"], strict=True)
    ]
    way = draw(st.sampled_from(("pads", "SAME_UPPER", "SAME_LOWER", "VALID", "output_shape")))
    if way == "pads":
        attributes["pads"] = each(0, 2, 2 * dims)
        # The standard goes up to the dilation as well; onnxruntime does not.
        extra = [draw(st.integers(0, stride - 1)) for stride in attributes["strides"]]
        attributes["output_padding"] = extra
        assume(all(f + extra[k] > sum(attributes["pads"][k::dims]) for k, f in enumerate(full)))
    elif way == "output_shape":
        attributes["output_shape"] = [draw(st.integers(max(f - 3, 1), f)) for f in full]
        attributes["auto_pad"] = draw(st.sampled_from(("NOTSET", "SAME_UPPER", "SAME_LOWER")))
    else:
        attributes["auto_pad"] = way
        # Where the kernel is shorter than the stride onnxruntime falls short of n * stride: a test of its own.
        assume(all(f >= n * s for f, n, s in zip(full, n_in, attributes["strides"], strict=True)) or way == "VALID")
    batch, channels, out_channels = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    return (batch, channels * group, *n_in), (channels * group, out_channels, *kernel), attributes


@settings(max_examples=150, deadline=None)
@given(convolutions(), st.booleans())
def test_conv_transpose(case, with_bias):
    x_shape, w_shape, attributes = case
    rng = np.random.default_rng(1)
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in (x_shape, w_shape))
    b = rng.standard_normal(w_shape[1] * attributes["group"]).astype(np.float32) if with_bias else None
    expected = by_onnxruntime("ConvTranspose", [x, w, b], 11, **attributes)
    assert_same(conv_transpose(x, w, b, **attributes), expected, 2e-5)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
def test_same_is_n_times_stride_also_with_a_short_kernel(auto_pad):
    """The standard's length. onnxruntime gives the 11 samples that the kernel reaches."""
    x, w = np.array([[[1, 10, 100]]], np.float32), np.array([[[1, 2, 3]]], np.float32)
    attributes = {"strides": [4], "auto_pad": auto_pad}
    got = conv_transpose(x, w, **attributes)
    assert got.tolist() == [[[1, 2, 3, 0, 10, 20, 30, 0, 100, 200, 300, 0]]]
    assert_same(got[..., :11], by_onnxruntime("ConvTranspose", [x, w], 11, **attributes))


def test_a_longer_output_shape_is_filled_up_at_the_end():
    x, w = np.array([[[1, 10, 100]]], np.float32), np.array([[[1, 2, 3]]], np.float32)
    attributes = {"strides": [2], "output_shape": [8]}
    got = conv_transpose(x, w, **attributes)
    assert_same(got, by_onnxruntime("ConvTranspose", [x, w], 11, **attributes))
    assert got.tolist() == [[[1, 2, 13, 20, 130, 200, 300, 0]]]


@st.composite
def pools(draw):
    dims = draw(st.integers(1, 3))
    n_in = draw(st.lists(st.integers(1, 4), min_size=dims, max_size=dims))
    stride = draw(st.lists(st.integers(1, 3), min_size=dims, max_size=dims))
    kernel = draw(st.lists(st.integers(1, 3), min_size=dims, max_size=dims))
    shape = draw(st.integers(1, 2)), draw(st.integers(1, 3)), *n_in
    return shape, {"kernel_shape": kernel, "strides": stride}


@settings(max_examples=80, deadline=None)
@given(pools(), st.integers(0, 2), st.randoms(use_true_random=False))
def test_max_unpool(case, more, random):
    shape, attributes = case
    steps = zip(shape[2:], attributes["kernel_shape"], attributes["strides"], strict=True)
    inferred = shape[:2] + tuple((n - 1) * s + k for n, k, s in steps)
    x = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    index = np.array([random.randrange(int(np.prod(inferred))) for _ in range(x.size)], np.int64).reshape(shape)
    asked = None if more == 2 else np.array([*inferred[:2], *(n + more for n in inferred[2:])], np.int64)
    for dialect, theirs in (("onnx", by_evaluator), ("onnxruntime", by_onnxruntime)):
        expected = theirs("MaxUnpool", [x, index, asked], 11, **attributes)
        assert_same(max_unpool(x, index, asked, **attributes, dialect=dialect), expected)


def test_max_unpool_undoes_max_pool():
    """onnxruntime counts indices in output_shape, the evaluator in the shape that the kernel implies."""
    import onnxruntime  # noqa: F401

    x = np.random.default_rng(2).permutation(35).astype(np.float32).reshape(1, 1, 5, 7)
    blocks = x[:, :, :4, :6].reshape(1, 1, 2, 2, 3, 2).transpose(0, 1, 2, 4, 3, 5).reshape(1, 1, 2, 3, 4)
    pooled = blocks.max(axis=-1)
    index = np.array([int(np.flatnonzero(x == value)[0]) for value in pooled.ravel()], np.int64).reshape(pooled.shape)
    got = max_unpool(pooled, index, x.shape, kernel_shape=[2, 2], strides=[2, 2], dialect="onnxruntime")
    np.testing.assert_array_equal(got, np.where(np.isin(x, pooled), x, 0))
    as_standard = max_unpool(pooled, np.minimum(index, 23), x.shape, kernel_shape=[2, 2], strides=[2, 2])
    assert (as_standard != got).any()


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_depth_to_space(block, mode):
    x = np.arange(2 * 5 * block**2 * 3 * 4, dtype=np.float32).reshape(2, 5 * block**2, 3, 4)
    expected = by_onnxruntime("DepthToSpace", [x], 13, blocksize=block, mode=mode)
    got = depth_to_space(x, blocksize=block, mode=mode)
    assert_same(got, expected)
    assert_same(space_to_depth(got, blocksize=block, mode=mode), x)
    if mode == "DCR":
        assert_same(space_to_depth(got, blocksize=block), by_onnxruntime("SpaceToDepth", [got], 13, blocksize=block))
