# SPDX-License-Identifier: MIT
"""`nn.functional.resize` and `halfpixel.resize` on tensors: what NumPy arrays give, on every dtype and layout."""

from __future__ import annotations

import numpy as np
import pytest

import halfpixel

torch = pytest.importorskip("torch")

from halfpixel.nn import functional  # noqa: E402

DTYPES = ["float64", "float32", "float16", "uint8", "int8", "uint16", "int16", "int32", "int64", "bool", "complex64"]
OPTIONS = [
    {"filter": "nearest"},
    {"filter": "lanczos3", "edge": "wrap"},
    {"filter": "cubic(a=-0.6)", "edge": "constant", "fill": 2.0, "antialias": False},
    {"filter": "spline3", "edge": "reflect"},
    {"filter": "linear", "box": ((1, 6.5), (0, 4))},
    {"like": "pillow.bicubic"},
]


def samples(dtype, shape=(2, 7, 11)):
    return (np.random.default_rng(0).random(shape) * 100).astype(dtype)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_gives_what_its_array_gives(dtype, options):
    x = samples(dtype)
    if "like" in options and dtype not in ("uint8", "uint16", "int32", "float32", "bool"):
        pytest.skip("Pillow has no such mode")
    want = halfpixel.resize(x, (9, 5), **options)
    for tensor in (torch.from_numpy(x), torch.from_numpy(x.transpose(2, 0, 1).copy()).permute(1, 2, 0)):
        got = halfpixel.resize(tensor, (9, 5), **options)
        assert isinstance(got, torch.Tensor)
        assert np.array_equal(got.numpy(), want)


@pytest.mark.parametrize("name", ["nearest", "linear", "lanczos3", "spline3"])
def test_bfloat16_is_float32_rounded_once(name):
    x = torch.rand(3, 20, 30).bfloat16()
    for shape in ((41, 17), (20, 30), (5, 90)):
        got = functional.resize(x, shape, filter=name)
        assert torch.equal(got, functional.resize(x.float(), shape, filter=name).bfloat16())


def test_axes_sizes_and_scales_follow_each_other():
    x = torch.rand(4, 5, 6)
    assert functional.resize(x, (8, 3), axes=(2, 0)).shape == (3, 5, 8)
    assert functional.resize(x, scale=(2, 0.5), axes=(-1, 0)).shape == (2, 5, 12)
    assert functional.resize(x, scale=2, axes=1).shape == (4, 10, 6)
    want = halfpixel.resize(x.numpy(), (8, 3), axes=(2, 0), box=((1, 5), (0, 2)))
    assert np.array_equal(functional.resize(x, (8, 3), axes=(2, 0), box=((1, 5), (0, 2))).numpy(), want)
    kept = halfpixel.resize(x.numpy(), scale=(1.7, 2.3), axes=(2, 0), like="torch.bilinear")
    assert np.array_equal(functional.resize(x, scale=(1.7, 2.3), axes=(2, 0), like="torch.bilinear").numpy(), kept)


def test_size_like_meets_the_skip_at_odd_sizes():
    x, skip = torch.rand(1, 8, 5, 7), torch.rand(1, 3, 11, 13)
    assert functional.resize(x, size_like=skip).shape == (1, 8, 11, 13)
    assert functional.resize(x, size_like=skip, axes=-1).shape == (1, 8, 5, 13)
    with pytest.raises(ValueError, match="size_like"):
        functional.resize(x, (3, 3), size_like=skip)
    with pytest.raises(ValueError, match="3 dimensions"):
        functional.resize(x, size_like=skip[0])


def test_views_conjugates_and_gradients_are_read_right():
    x = torch.rand(6, 8, dtype=torch.complex64)
    assert torch.equal(functional.resize(x.conj(), (9, 9)), functional.resize(x.conj().resolve_conj(), (9, 9)))
    assert torch.equal(functional.resize(x.conj().imag, (9, 9)), functional.resize(x.conj().imag.clone(), (9, 9)))
    part = torch.rand(12, 24, requires_grad=True)[::2, 1::3]
    assert torch.equal(functional.resize(part, 9, axes=0), functional.resize(part.clone(), 9, axes=0))


def test_layouts_are_kept():
    for dims, layout in ((4, torch.channels_last), (5, torch.channels_last_3d)):
        x = torch.rand((2, 3, 4, 5, 6)[:dims]).contiguous(memory_format=layout)
        y = functional.resize(x, scale=2, axes=-1)
        assert y.is_contiguous(memory_format=layout)
        assert torch.equal(y, functional.resize(x.contiguous(), scale=2, axes=-1))


def test_what_tensors_cannot_do_is_said():
    x = torch.rand(4, 4)
    for options in ({"mask": np.ones((4, 4), bool)}, {"nan": "ignore"}, {"out": x}, {"spacing": 1, "new_spacing": 2}):
        with pytest.raises(TypeError, match="tensors take no"):
            halfpixel.resize(x, None if "spacing" in options else (8, 8), **options)
    with pytest.raises(ValueError, match=r"resize\(<torch.float32 \(4, 4\)>.*\n.*lanczos3"):
        functional.resize(x, (8, 8), filter="lancsoz3")
    own = halfpixel.filters.Filter("mine", 1.0, lambda t: np.maximum(1 - abs(t), 0))
    with pytest.raises(TypeError, match="by name"):
        functional.resize(x, (8, 8), filter=own)
    with pytest.raises(TypeError, match="ndarray"):
        functional.resize(x.numpy(), (8, 8))
