# SPDX-License-Identifier: MIT
"""Pixel and channel shuffles: torch's values and strides, index loops, inverses, derivatives."""

from __future__ import annotations

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

import halfpixel  # noqa: E402
from halfpixel import nn  # noqa: E402
from halfpixel.nn import functional as F  # noqa: E402

# torch's own forward mode scripts its decompositions.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")

T = torch.nn.functional
DTYPES = [torch.uint8, torch.bool, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64,
          torch.complex128]  # fmt: skip


def numbers(shape, dtype=torch.float32):
    """Every element another, as far as the dtype can tell."""
    x = torch.arange(math.prod(shape)).reshape(shape)
    return (x % 3 == 0) if dtype == torch.bool else (x % 251).to(dtype)


def by_loops(x, factors, order):
    """out[c, h * r + i, ...] = x[channel of (c, i, ...), h, ...], element by element; x is (C, *spatial)."""
    block = math.prod(factors)
    channels = x.shape[0] // block
    out = np.empty((channels, *(n * f for n, f in zip(x.shape[1:], factors, strict=True))), x.dtype)
    for place in itertools.product(*map(range, out.shape)):
        inside = [p % f for p, f in zip(place[1:], factors, strict=True)]
        position = 0
        for i, f in zip(inside, factors, strict=True):
            position = position * f + i
        channel = place[0] * block + position if order == "torch" else position * channels + place[0]
        out[place] = x[(channel, *(p // f for p, f in zip(place[1:], factors, strict=True)))]
    return out


@pytest.mark.parametrize("order", ["torch", "onnx"])
@pytest.mark.parametrize("factors", [(2,), (3, 1), (2, 3), (1, 2, 2), (2, 1, 3), (5, 2)])
def test_any_axes_and_orders_against_loops(factors, order):
    shape = (2, 3 * math.prod(factors), 5, 2, 7)[: len(factors) + 2]
    x = numbers(shape)
    y = F.pixel_shuffle(x, factors, order=order)
    assert np.array_equal(y.numpy(), np.stack([by_loops(item.numpy(), factors, order) for item in x]))
    assert torch.equal(F.pixel_unshuffle(y, factors, order=order), x)


@settings(deadline=None)
@given(
    st.integers(0, 3), st.integers(1, 9), st.sampled_from([1, 2, 3, 4, 8]), st.integers(1, 23), st.integers(1, 67),
    st.sampled_from(DTYPES), st.sampled_from(["contiguous", "last", "strided", "expanded"]),
)  # fmt: skip
def test_values_and_strides_are_those_of_torch(n, c, r, h, w, dtype, layout):
    x = numbers((n, c * r * r, h, w), dtype)
    if layout == "last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "strided":
        x = numbers((n, c * r * r, 2 * h, w + 3), dtype)[:, :, ::2, 3:]
    elif layout == "expanded":
        x = x[:, :1].expand(n, c * r * r, h, w)
    want = T.pixel_shuffle(x, r)
    got = F.pixel_shuffle(x, r)
    assert torch.equal(got, want)
    assert got.stride() == want.stride() or not n
    again = F.pixel_unshuffle(want, r)
    assert torch.equal(again, x)
    assert again.stride() == T.pixel_unshuffle(want, r).stride() or not n


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_results_too_large_for_the_caches(dtype, last):
    """Whole lines are stored past them: rows that are lines, rows that are not, and a last group that overlaps."""
    for channels, r, height, width in ((3, 2, 64, 640), (3, 2, 61, 643), (1, 3, 128, 1088), (5, 4, 64, 96)):
        n = -(-9_000_000 // (channels * r * r * height * width * dtype.itemsize))
        x = numbers((n, channels * r * r, height, width), dtype)
        x = x.contiguous(memory_format=torch.channels_last) if last else x
        y = F.pixel_shuffle(x, r)
        assert torch.equal(y, T.pixel_shuffle(x, r))
        assert torch.equal(F.pixel_unshuffle(y, r), x)


def test_strides_are_not_kept_from_another_input():
    x = numbers((1, 12, 6, 10))
    for y in (
        x,
        x.contiguous(memory_format=torch.channels_last),
        x[:, :, ::2],
        x.mT,
        x.conj(),
        x.to(torch.complex64).conj(),
    ):
        assert torch.equal(F.pixel_shuffle(y, 2), T.pixel_shuffle(y.resolve_conj(), 2))


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_any_number_of_leading_axes(lead):
    x = numbers((*lead, 8, 3, 5))
    assert torch.equal(F.pixel_shuffle(x, 2), T.pixel_shuffle(x, 2))


def test_volumes_keep_channels_last():
    x = numbers((2, 16, 3, 4, 5)).contiguous(memory_format=torch.channels_last_3d)
    y = F.pixel_shuffle(x, (2, 2, 2))
    assert y.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(y, F.pixel_shuffle(x.contiguous(), (2, 2, 2)))
    assert torch.equal(F.pixel_unshuffle(y, (2, 2, 2)), x)


@settings(deadline=None)
@given(st.integers(1, 3), st.sampled_from([(1, 5), (2, 3), (4, 4), (3, 7), (8, 1)]), st.integers(1, 40), st.booleans())
def test_channel_shuffle_is_that_of_torch(n, split, length, last):
    x = numbers((n, split[0] * split[1], 3, length), torch.float32)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    got, want = F.channel_shuffle(x, split[0]), T.channel_shuffle(x, split[0])
    assert torch.equal(got, want)
    assert got.stride() == want.stride()
    assert torch.equal(F.channel_shuffle(got, split[1]), x)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.complex128])
@pytest.mark.parametrize("last", [False, True])
def test_the_number_of_threads_changes_no_bit(last, dtype):
    x = numbers((2, 3 * 36, 67, 71), dtype)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    before = halfpixel.get_num_threads()
    try:
        for threads in (1, 2, 5):
            halfpixel.set_num_threads(threads)
            for r in (2, 3, 6):
                y = F.pixel_shuffle(x, r)
                assert torch.equal(y, T.pixel_shuffle(x, r))
                assert torch.equal(F.pixel_unshuffle(y, r), x)
            assert torch.equal(F.channel_shuffle(x, 4), T.channel_shuffle(x, 4))
    finally:
        halfpixel.set_num_threads(before)


def test_a_reference_of_odd_size():
    x = numbers((1, 8, 3, 4))
    assert torch.equal(F.pixel_shuffle(x, 2, size_like=torch.empty(1, 9, 5, 8)), T.pixel_shuffle(x, 2)[..., :5, :8])
    for size in ((4, 8), (5, 9), (6,)):
        with pytest.raises(ValueError, match="size_like"):
            F.pixel_shuffle(x, 2, size_like=torch.empty(1, 1, *size))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.pixel_shuffle(x, 2),
        lambda x: F.pixel_shuffle(x, (1, 2), order="onnx"),
        lambda x: F.pixel_unshuffle(x, 2),
        lambda x: F.pixel_unshuffle(x, (4, 1), order="onnx"),
        lambda x: F.channel_shuffle(x, 2),
    ],
)
def test_derivatives_of_every_kind(function):
    x = torch.rand(2, 8, 4, 6, dtype=torch.float64, requires_grad=True)
    assert gradcheck(function, x, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, x)
    assert torch.equal(
        torch.vmap(function, in_dims=1)(torch.stack([x, -x], 1)), torch.stack([function(x), -function(x)])
    )


@pytest.mark.filterwarnings("ignore")
def test_compiled_and_exported_graphs_hold_no_operator_of_ours():
    class Both(torch.nn.Module):
        def forward(self, x):
            return F.channel_shuffle(F.pixel_unshuffle(F.pixel_shuffle(x, (2, 1), order="onnx"), 2), 4)

    x = numbers((1, 8, 6, 4))
    assert torch.equal(torch.compile(Both(), fullgraph=True, backend="aot_eager")(x), Both()(x))
    program = torch.export.export(Both(), (x,))
    assert not [node for node in program.graph.nodes if "halfpixel" in str(node.target)]
    assert torch.equal(program.module()(x), Both()(x))


PAIRS = [("PixelShuffle", 2), ("PixelUnshuffle", 3), ("ChannelShuffle", 2)]


@pytest.mark.parametrize(("name", "factor"), PAIRS)
def test_a_module_is_that_of_torch(name, factor):
    mine, theirs = getattr(nn, name)(factor), getattr(torch.nn, name)(factor)
    assert repr(mine) == repr(theirs)
    x = numbers((1, 36, 6, 6))
    assert torch.equal(mine(x), theirs(x))
    assert torch.equal(pickle.loads(pickle.dumps(mine))(x), theirs(x))


def test_modules_say_what_they_have_beyond_torch():
    assert repr(nn.PixelShuffle((2, 1), order="onnx")) == "PixelShuffle(upscale_factor=(2, 1), order='onnx')"


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: F.pixel_shuffle(torch.rand(1, 3, 4, 4), 2),
            RuntimeError,
            r"pixel_shuffle\(.*3 channels are",
        ),
        (lambda: F.pixel_shuffle(torch.rand(4, 4), 2), RuntimeError, "2 dimensions"),
        (lambda: F.pixel_shuffle(torch.rand(1, 4, 4, 4), 0), RuntimeError, "at least 1"),
        (lambda: F.pixel_shuffle(torch.rand(1, 4, 4, 4), 2.0), TypeError, "2.0"),
        (lambda: F.pixel_shuffle(torch.rand(1, 4, 4, 4), True), TypeError, "True"),
        (lambda: F.pixel_shuffle(torch.rand(1, 4, 4, 4), 2, order="tf"), ValueError, "order"),
        (lambda: F.pixel_unshuffle(torch.rand(1, 3, 5, 4), 2), RuntimeError, r"\(6, 4\)"),
        (lambda: F.channel_shuffle(torch.rand(1, 4, 4), 3), RuntimeError, "divisor"),
        (lambda: F.channel_shuffle(torch.rand(1, 4, 4), 0), RuntimeError, "divisor"),
        (lambda: F.channel_shuffle(torch.rand(4, 4), 2), RuntimeError, "2 dimensions"),
    ],
)
def test_bad_input(call, error, says):
    with pytest.raises(error, match=says):
        call()
