# SPDX-License-Identifier: MIT
"""Resize and reduce on tensors, and label maps: `interpolate` and then torch's own reduction, bit for bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import halfpixel
from halfpixel.backends import cpu

torch = pytest.importorskip("torch")

from halfpixel.nn import _reduce  # noqa: E402
from halfpixel.nn import functional as F  # noqa: E402

MODES = [
    (1, {"mode": "linear"}),
    (1, {"mode": "nearest"}),
    (2, {"mode": "bilinear"}),
    (2, {"mode": "bilinear", "align_corners": True}),
    (2, {"mode": "bilinear", "antialias": True}),
    (2, {"mode": "bicubic", "antialias": True}),
    (2, {"mode": "nearest-exact"}),
    (2, {"mode": "area"}),
    (3, {"mode": "trilinear"}),
]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def logits(dims, dtype=torch.float32, seed=0, channels=7):
    """Few values, so that there are ties, and one NaN."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-3, 3, (2, channels, 11, 9, 8)[: dims + 2], generator=generator).to(dtype)
    x.view(-1)[5] = float("nan")
    return x


def layouts(x):
    yield x
    if x.dim() in (4, 5):
        yield x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
    yield torch.cat([x, x], -1)[..., ::2]


@pytest.mark.parametrize(("dims", "options"), MODES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_it_is_interpolate_and_then_the_reduction(dims, options, dtype):
    for x, told in itertools.product(
        layouts(logits(dims, dtype)), ({"size": (13, 22, 5)[:dims]}, {"scale_factor": 1.7})
    ):
        y = F.interpolate(x, **told, **options)
        assert torch.equal(F.interpolate_argmax(x, **told, **options), y.argmax(1))
        for reduction in ("max", "min"):
            got = F.interpolate_reduce(x, **told, **options, reduction=reduction)
            want = getattr(torch, reduction)(y, 1)
            assert torch.equal(got.indices, want.indices)
            assert torch.equal(got.values.nan_to_num(99), want.values.nan_to_num(99))
            assert torch.equal(got.values.isnan(), want.values.isnan())
        for threshold in (0.3, -1, float("nan")):
            assert torch.equal(F.interpolate_threshold(x, threshold, **told, **options), y > threshold)
        assert F.interpolate_threshold(x, 0, **told, **options).stride() == y.stride()


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8", "uint16", "int32", "int64", "bool"])
def test_the_packages_own_functions_take_tensors(dtype):
    x = (np.random.default_rng(0).random((5, 7, 11)) * 9).astype(dtype)
    t = torch.from_numpy(x)
    for options in ({"filter": "lanczos3"}, {"filter": "spline3"}, {"filter": "nearest"}, {"box": ((1, 6.5), (0, 4))}):
        want = halfpixel.interpolate_reduce(x, (9, 30), reduction="max", **options)
        got = halfpixel.interpolate_reduce(t, (9, 30), reduction="max", **options)
        assert np.array_equal(got.indices.numpy(), want.indices)
        assert np.array_equal(got.values.numpy(), want.values)
        labels = halfpixel.interpolate_argmax(t, (9, 30), dtype=torch.uint8, **options)
        assert labels.dtype == torch.uint8
        assert np.array_equal(labels.numpy(), want.indices)
        above = halfpixel.interpolate_threshold(t, 2.5, (9, 30), **options)
        assert np.array_equal(above.numpy(), halfpixel.interpolate_threshold(x, 2.5, (9, 30), **options))
    last = halfpixel.interpolate_argmax(t.permute(1, 2, 0), (9, 30), axes=(0, 1))
    assert np.array_equal(last.numpy(), halfpixel.interpolate_argmax(x, (9, 30)))


def test_bfloat16_without_kernels_is_the_same(monkeypatch):
    x = logits(2, torch.bfloat16)
    want = F.interpolate_reduce(x, size=(23, 31)), F.interpolate_threshold(x, 0.3, size=(23, 31))
    for options in ({"filter": "spline3"}, {"filter": "linear"}):
        y = F.resize(x, (23, 31), **options)
        got = halfpixel.interpolate_reduce(x, (23, 31), **options)
        assert torch.equal(got.indices, y.argmax(1))
        assert torch.equal(got.values.nan_to_num(9), y.max(1).values.nan_to_num(9))
        assert torch.equal(halfpixel.interpolate_threshold(x, 0.3, (23, 31), **options), y > 0.3)
    monkeypatch.setattr(cpu, "reducer", lambda *_: None)
    got = F.interpolate_reduce(x, size=(23, 31))
    assert torch.equal(got.indices, want[0].indices)
    assert torch.equal(got.values.nan_to_num(9), want[0].values.nan_to_num(9))
    assert torch.equal(F.interpolate_threshold(x, 0.3, size=(23, 31)), want[1])


def test_labels_of_any_dtype_and_any_channel_axis():
    x = logits(2, channels=3)
    y = F.interpolate(x, scale_factor=2, mode="bilinear")
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64):
        got = F.interpolate_argmax(x, scale_factor=2, dtype=dtype)
        assert got.dtype == dtype and got.is_contiguous()
        assert torch.equal(got.long(), y.argmax(1))
    assert torch.equal(F.interpolate_argmax(x, scale_factor=2, dim=0), y.argmax(0))
    assert torch.equal(F.interpolate_argmax(x, scale_factor=2, dim=-3), y.argmax(1))
    assert F.interpolate_argmax(x[:0], scale_factor=2).shape == (0, 22, 18)


def test_there_is_no_gradient_and_values_that_ask_for_one_are_refused():
    x = logits(2).nan_to_num().requires_grad_()
    assert not F.interpolate_argmax(x, scale_factor=2).requires_grad
    assert not F.interpolate_threshold(x, 0.0, scale_factor=2).requires_grad
    with pytest.raises(NotImplementedError, match=r"no gradient here(.|\n)*detach"):
        F.interpolate_reduce(x, scale_factor=2, reduction="amax")
    with torch.no_grad():
        assert F.interpolate_reduce(x, scale_factor=2, reduction="amax").shape == (2, 22, 18)


FUNCTIONS = {
    "argmax": lambda x: F.interpolate_argmax(x, scale_factor=2, dtype=torch.uint8),
    "max": lambda x: tuple(F.interpolate_reduce(x, size=(13, 8), mode="bicubic")),
    "threshold": lambda x: F.interpolate_threshold(x, 0.25, scale_factor=1.5),
    "own": lambda x: halfpixel.interpolate_argmax(x, scale=2, axes=(-2, -1), filter="cubic"),
    "labels": lambda x: halfpixel.resize_labels(
        (x > 0).long(), scale=2, axes=(-2, -1), method="linear", ignore_index=1
    ),
    "nearest": lambda x: halfpixel.resize_labels((x > 0).to(torch.uint8), (5, 9)),
}


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_functions_keep_one_operator(name, dynamic):
    torch._dynamo.reset()
    compiled = torch.compile(FUNCTIONS[name], fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for shape in ((1, 3, 6, 7), (2, 5, 9, 8)):
        x = torch.randn(shape)
        got, want = compiled(x), FUNCTIONS[name](x)
        for a, b in zip(*((v,) if isinstance(v, torch.Tensor) else v for v in (got, want)), strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_operators_pass_torchs_own_checks(layout):
    x = torch.randn(2, 5, 7, 9).contiguous(memory_format=layout)
    asked = ('{"axes": [-2, -1]}', [7, 9], [10, 4])
    ops = torch.ops.halfpixel
    labels = (x > 0).long()
    for operator, arguments in (
        (ops.argmax.default, (x, *asked, 1, False, torch.int32)),
        (ops.extreme.default, (x, *asked, 0, True, torch.int64)),
        (ops.above.default, (x, *asked, 0.5)),
        (ops.labels.default, (labels, *asked, "majority", None)),
    ):
        torch.library.opcheck(operator, arguments)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "bool"])
def test_label_maps_are_tensors_too(dtype):
    x = np.random.default_rng(1).integers(0, 4, (2, 9, 13)).astype(dtype)
    for method, ignored in itertools.product(("nearest", "majority", "linear"), (None, 1)):
        for tensor in (torch.from_numpy(x), torch.from_numpy(x.transpose(2, 0, 1).copy()).permute(1, 2, 0)):
            got = halfpixel.resize_labels(tensor, (17, 5), method=method, ignore_index=ignored)
            want = halfpixel.resize_labels(x, (17, 5), method=method, ignore_index=ignored)
            assert np.array_equal(got.numpy(), want)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda x: F.interpolate_argmax(x, scale_factor=2, dim=2), ValueError, "resampled"),
        (lambda x: F.interpolate_argmax(x, scale_factor=2, dtype=torch.float32), TypeError, "integer dtype"),
        (lambda x: F.interpolate_argmax(x, scale_factor=2, dtype="uint8"), TypeError, "dtype of torch"),
        (lambda x: F.interpolate_argmax(x.repeat(1, 50, 1, 1), scale_factor=2, dtype=torch.uint8), ValueError, "255"),
        (F.interpolate_argmax, ValueError, "neither size nor scale_factor"),
        (lambda x: F.interpolate_argmax(x[0], scale_factor=2), NotImplementedError, "4 dimensions"),
        (lambda x: F.interpolate_argmax(x.to(torch.complex64), scale_factor=2), TypeError, "no order"),
        (lambda x: _reduce._above(x.to("meta"), '{"axes": [-1]}', [9], [5], 0.5), NotImplementedError, "on meta"),
        (lambda x: F.interpolate_reduce(x, scale_factor=2, reduction="sum"), ValueError, "commutes"),
        (lambda x: F.interpolate_threshold(x, None, scale_factor=2), TypeError, "threshold is None"),
        (lambda x: halfpixel.resize_labels(x, (4, 4)), TypeError, "labels have dtype torch.float32"),
        (lambda x: halfpixel.resize_labels(x.byte(), (4, 4), ignore_index=-100), ValueError, "uint8 holds"),
    ],
)
def test_what_cannot_be_is_said(call, error, said):
    with pytest.raises(error, match=said):
        call(logits(2))
