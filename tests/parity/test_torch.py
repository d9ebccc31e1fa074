# SPDX-License-Identifier: MIT
"""torch.nn.functional.interpolate: uint8 and indices to the bit, floats to rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfpixel import plan, resize
from tests.backend import NAMES
from tests.parity.compare import SIZES, assert_same, resized, rounding, samples

torch = pytest.importorskip("torch")
functional = torch.nn.functional

# preset -> arguments of interpolate
MODES = {
    "torch.nearest": {"mode": "nearest"},
    "torch.nearest-exact": {"mode": "nearest-exact"},
    "torch.bilinear": {"mode": "bilinear"},
    "torch.bilinear(align_corners=True)": {"mode": "bilinear", "align_corners": True},
    "torch.bilinear(antialias=True)": {"mode": "bilinear", "antialias": True},
    "torch.bilinear(align_corners=True, antialias=True)": {
        "mode": "bilinear", "align_corners": True, "antialias": True
    },
    "torch.bicubic": {"mode": "bicubic"},
    "torch.bicubic(align_corners=True)": {"mode": "bicubic", "align_corners": True},
    "torch.bicubic(antialias=True)": {"mode": "bicubic", "antialias": True},
    "torch.lanczos": {"mode": "lanczos", "antialias": True},
    "torch.area": {"mode": "area"},
}  # fmt: skip
DTYPES = ("float64", "float32", "uint8")
CASES = [(like, dtype) for like in MODES for dtype in DTYPES if (like, dtype) != ("torch.area", "uint8")]


def interpolated(x, **arguments):
    return functional.interpolate(torch.from_numpy(x), **arguments).numpy()


def refused_by_torch(like, x, size):
    """One-pixel uint8 pictures of three channels fail an assertion in torch; antialiased columns are wrong there."""
    antialiased = "antialias=True" in like or like == "torch.lanczos"
    return (antialiased and size[1] == 1) or (x.dtype == np.uint8 and x.shape[1] == 3 and size == (1, 1))


def check(backend, like, x, size):
    if refused_by_torch(like, x, size):
        return
    exact = x.dtype == np.uint8 or "nearest" in like
    got = resized(backend, x, size, like=like)
    assert_same(got, interpolated(x, size=size, **MODES[like]), 0.0 if exact else rounding(x, size, like=like))


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize(("like", "dtype"), CASES)
def test_images(like, dtype, backend):
    rng = np.random.default_rng(1)
    for size_in, size in SIZES:
        for channels in (1, 3, 5):
            check(backend, like, samples(rng, (2, channels, *size_in), dtype), size)


length = st.integers(1, 48)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CASES), st.tuples(length, length), st.tuples(length, length), st.sampled_from(NAMES))
def test_any_sizes(case, size_in, size, backend):
    like, dtype = case
    check(backend.values[0], like, samples(np.random.default_rng(2), (1, 1, *size_in), dtype), size)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize(("like", "dtype"), CASES)
def test_a_scale_is_kept(like, dtype, backend):
    rng = np.random.default_rng(3)
    for size_in in ((7, 9), (10, 11), (31, 47), (60, 70)):
        for scale in (1.7, 0.6, 2.0, 0.37, 1.02, (1.5, 0.6), 0.29):
            x = samples(rng, (1, 1, *size_in), dtype)
            expected = interpolated(x, scale_factor=scale, **MODES[like])
            pair = scale if isinstance(scale, tuple) else (scale, scale)
            if refused_by_torch(like, x, expected.shape[2:]):
                continue
            got = resized(backend, x, scale=pair, like=like)
            exact = dtype == "uint8" or "nearest" in like
            assert_same(got, expected, 0.0 if exact else rounding(x, scale=pair, like=like))


def test_a_scale_is_recomputed_on_demand():
    x = np.random.default_rng(4).standard_normal((1, 1, 7, 9))
    expected = interpolated(x, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True)
    like = "torch.bilinear(recompute_scale_factor=True)"
    assert_same(resize(x, scale=(1.7, 1.7), like=like), expected, 1e-13)
    assert np.abs(resize(x, scale=(1.7, 1.7), like="torch.bilinear") - expected).max() > 1e-3


def test_sizes_of_a_scale_are_single_products_rounded_down():
    assert plan((100,), scale=(0.29,), like="torch.linear").size_out == (28,)
    with pytest.raises(ValueError, match="0 long"):
        plan((49,), scale=(1 / 49,), like="torch.linear")


@pytest.mark.parametrize("dims", [1, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_signals_and_volumes(dims, dtype):
    rng = np.random.default_rng(5)
    for size_in, size in ([(7,), (12,)], [(29,), (5,)], [(1,), (4,)]) if dims == 1 else ([(3, 5, 4), (7, 2, 4)],):
        x = samples(rng, (2, 3, *size_in), dtype)
        for mode in ("nearest", "nearest-exact", "area", {1: "linear", 3: "trilinear"}[dims]):
            allowed = 0.0 if "nearest" in mode else rounding(x, size, like=f"torch.{mode}")
            assert_same(resize(x, size, like=f"torch.{mode}"), interpolated(x, size=size, mode=mode), allowed)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_nearest_takes_the_path_that_torch_takes(dtype):
    """Another kernel runs up to height + width = 128, and for more than three channels side by side in memory."""
    rng = np.random.default_rng(6)
    for channels, last, size_in, scale in (
        (1, False, (3, 4), (2.3, 1.0)),
        (1, False, (60, 70), (2.01, 1.0)),
        (4, True, (60, 70), (2.01, 1.0)),
        (1, False, (2, 100), (41.3, 1.0)),
        (1, False, (30, 30), (1.02, 1.0)),
        (1, False, (64, 32), (1.0, 2.0)),
        (1, False, (64, 33), (1.0, 2.0)),
    ):
        x = samples(rng, (1, channels, *size_in), dtype)
        tensor = torch.from_numpy(x).to(memory_format=torch.channels_last if last else torch.contiguous_format)
        expected = functional.interpolate(tensor, scale_factor=scale, mode="nearest").numpy()
        like = "torch.nearest(channels_last=True)" if last else "torch.nearest"
        assert_same(resize(x, scale=scale, like=like), expected)
    pair = [resize(np.arange(3.0), 6, like=f"torch.nearest{o}") for o in ("", "(channels_last=True)")]
    assert np.array_equal(*pair)
    kept = [resize(np.arange(3.0), scale=2.3, like=f"torch.nearest{o}") for o in ("", "(channels_last=True)")]
    assert kept[0].tolist() == [0, 0, 0, 1, 1, 2]
    assert kept[1].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32(dtype):
    kind = np.float16 if dtype == "float16" else pytest.importorskip("ml_dtypes").bfloat16
    x = np.random.default_rng(7).standard_normal((1, 2, 9, 7)).astype(np.float32).astype(kind)
    wide = torch.from_numpy(x.astype(np.float32)).to(getattr(torch, dtype))
    for mode in ("bilinear", "bicubic", "nearest", "area"):
        expected = functional.interpolate(wide, size=(13, 4), mode=mode).to(torch.float64).numpy()
        got = resize(x, (13, 4), like=f"torch.{mode}").astype(np.float64)
        # torch's bicubic weights are halves themselves: it is off its own float32 result by that much.
        unit = 2.0**-10 if dtype == "float16" else 2.0**-7
        allowed = unit * np.abs(got).max() if mode == "bicubic" else unit * np.maximum(np.abs(expected), 2.0**-14)
        assert (np.abs(got - expected) <= allowed).all()


def test_antialiased_columns_are_right_where_torch_is_not():
    """To a width of one, torch's forward pass on contiguous memory is not the adjoint of its own backward pass."""
    x = np.random.default_rng(8).standard_normal((1, 1, 6, 9))
    tensor = torch.from_numpy(x).requires_grad_()
    y = functional.interpolate(tensor, size=(4, 1), mode="bilinear", antialias=True)
    y.backward(torch.ones_like(y))
    p = plan(x.shape, (4, 1), like="torch.bilinear(antialias=True)")
    assert_same(p.T(np.ones((1, 1, 4, 1))), tensor.grad.numpy(), 1e-13)
    assert np.vdot(p(x), np.ones((1, 1, 4, 1))) == pytest.approx(np.vdot(x, tensor.grad.numpy()))
    if torch.__version__.startswith("2.13"):
        assert np.abs(p(x) - y.detach().numpy()).max() > 1e-3, "torch agrees now: compare this width too"


def test_wide_signals_keep_float32_coordinates():
    """Far out, float32 coordinates are visibly coarser than exact ones: the preset has torch's."""
    x = np.random.default_rng(9).standard_normal((1, 1, 100_003)).astype(np.float32)
    expected = interpolated(x, size=(100_401,), mode="linear")
    assert_same(resize(x, (100_401,), like="torch.linear"), expected, 3e-6)
    exact = resize(x, (100_401,), filter="linear", edge="edge", antialias=False)
    assert np.abs(exact - expected).max() > 1e-3
