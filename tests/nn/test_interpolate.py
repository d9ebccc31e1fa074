# SPDX-License-Identifier: MIT
"""`nn.functional.interpolate` beside torch's: results, strides, gradients, classes of errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from halfpixel.nn import functional  # noqa: E402

TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2, torch.uint8: 0.0}
HALVES = {torch.float16, torch.bfloat16}
# (mode, spatial dimensions, align_corners, antialias)
MODES = [
    *((mode, dims, None, False) for mode in ("nearest", "nearest-exact", "area") for dims in (1, 2, 3)),
    *(
        (mode, dims, aligned, False)
        for mode, dims in (("linear", 1), ("bilinear", 2), ("trilinear", 3))
        for aligned in (False, True)
    ),
    *(("bicubic", 2, al, aa) for al in (False, True) for aa in (False, True)),
    ("bilinear", 2, False, True),
    ("lanczos", 2, None, True),
]  # fmt: skip
# size, scale_factor, recompute_scale_factor
ASKED = [((13, 9, 17), None, None), ((5, 30, 70), None, None), (None, 2.3, None), (None, 0.6, True), (None, 2, None)]
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def samples(shape, dtype):
    x = torch.from_numpy(np.random.default_rng(0).uniform(0, 1, shape))
    return (x * 255).to(dtype) if dtype == torch.uint8 else x.to(dtype)


def refused_by_torch(call):
    try:
        return None, call()
    except (RuntimeError, NotImplementedError) as error:
        return error, None


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("mode", "dims", "aligned", "antialias"), MODES)
def test_results_and_strides_are_those_of_torch(mode, dims, aligned, antialias, dtype):
    compared = 0
    for channels in (3, 5):
        for last in (False, True) if dims in LAST else (False,):
            x = samples((2, channels, 11, 23, 7)[: dims + 2], dtype)
            if last:
                x = x.contiguous(memory_format=LAST[dims])
            for size, factor, again in ASKED:
                how = {
                    "size": size and size[:dims], "scale_factor": factor, "mode": mode, "align_corners": aligned,
                    "recompute_scale_factor": again, "antialias": antialias,
                }  # fmt: skip
                refused, want = refused_by_torch(lambda x=x, how=how: torch.nn.functional.interpolate(x, **how))
                if refused is not None:
                    continue
                got = functional.interpolate(x, **how)
                compared += 1
                assert (got.shape, got.dtype) == (want.shape, want.dtype)
                if not (mode == "area" and dims == 3):  # there torch leaves channels_last_3d, and we do not
                    assert got.stride() == want.stride()
                allowed = 0.0 if "nearest" in mode else TOLERANCE[dtype]
                assert (got.double() - want.double()).abs().max() <= allowed
    lacks = {"lanczos": HALVES, "area": {torch.uint8}, "linear": {torch.uint8}, "trilinear": {torch.uint8}}
    assert compared or dtype in (HALVES if antialias else lacks.get(mode, ()))


@pytest.mark.parametrize(("mode", "dims", "aligned", "antialias"), MODES)
def test_gradients_are_those_of_torch(mode, dims, aligned, antialias):
    how = {"size": (7, 30, 5)[:dims], "mode": mode, "align_corners": aligned, "antialias": antialias}
    for dtype in (torch.float64, torch.float32):
        for last in (False, True) if dims in LAST else (False,):
            x = samples((2, 5, 11, 9, 6)[: dims + 2], dtype)
            x = (x.contiguous(memory_format=LAST[dims]) if last else x).requires_grad_()
            want, got = torch.nn.functional.interpolate(x, **how), functional.interpolate(x, **how)
            towards = samples(want.shape, dtype)
            (mine,), (theirs,) = torch.autograd.grad(got, x, towards), torch.autograd.grad(want, x, towards)
            torch.testing.assert_close(mine, theirs, rtol=0, atol=5 * TOLERANCE[dtype])


def test_antialiasing_to_one_column_is_that_to_one_row():
    """torch's is not: its own two results differ, and the picture lying on its side shows which is right."""
    x = samples((1, 1, 8, 12), torch.float64)
    how = {"mode": "bilinear", "antialias": True}
    side_by_side = functional.interpolate(x, (5, 1), **how)
    lying = functional.interpolate(x.mT, (1, 5), **how).mT
    assert (side_by_side - lying).abs().max() <= 1e-13
    assert (torch.nn.functional.interpolate(x.mT, (1, 5), **how).mT - lying).abs().max() <= 1e-13
    assert (torch.nn.functional.interpolate(x, (5, 1), **how) - lying).abs().max() > 1e-3


side = st.integers(1, 40)
IMAGES = [row for row in MODES if row[1] == 2]


@settings(max_examples=80, deadline=None)
@given(st.tuples(side, side), st.tuples(side, side), st.sampled_from(IMAGES), st.integers(1, 5))
def test_any_sizes(size_in, size, mode, channels):
    name, _, aligned, antialias = mode
    if antialias and size[1] == 1:
        return  # torch is wrong there: docs/torch.md
    x = samples((1, channels, *size_in), torch.float64)
    how = {"size": size, "mode": name, "align_corners": aligned, "antialias": antialias}
    want, got = torch.nn.functional.interpolate(x, **how), functional.interpolate(x, **how)
    assert (got - want).abs().max() <= (0.0 if "nearest" in name else 1e-12)


@pytest.mark.parametrize(
    ("shape", "arguments", "says"),
    [
        ((1, 1, 4, 4), {}, "neither size nor scale_factor"),
        ((1, 1, 4, 4), {"size": 8, "scale_factor": 2}, "both given"),
        ((1, 1, 4, 4), {"size": (8,)}, "a size of 1 for 2"),
        ((1, 1, 4, 4), {"size": (8.0, 8)}, "8.0"),
        ((1, 1, 4, 4), {"scale_factor": (2, 2, 2)}, "3 factors for 2"),
        ((1, 1, 4, 4), {"size": 8, "recompute_scale_factor": True}, "recompute_scale_factor"),
        ((1, 1, 4, 4), {"size": 8, "align_corners": True}, "align_corners"),
        ((1, 1, 4, 4), {"size": 8, "mode": "cubic"}, "'cubic'"),
        ((1, 1, 4), {"size": 8, "mode": "bilinear"}, "needs 4 dimensions"),
        ((1, 1, 4, 4), {"size": 8, "mode": "trilinear"}, "needs 5 dimensions"),
        ((1, 1, 4, 4), {"size": 8, "mode": "nearest", "antialias": True}, "antialias=True"),
        ((1, 1, 4, 4), {"size": 8, "mode": "lanczos"}, "lanczos"),
        ((4, 4), {"size": 8}, "2"),
    ],
)  # fmt: skip
def test_errors_have_the_classes_of_torch(shape, arguments, says):
    x = torch.zeros(shape)
    with pytest.raises((ValueError, TypeError, NotImplementedError)) as theirs:
        torch.nn.functional.interpolate(x, **arguments)
    with pytest.raises(theirs.type, match=says) as mine:
        functional.interpolate(x, **arguments)
    assert str(mine.value).startswith("interpolate(")
    assert "What would work" in str(mine.value)


def test_sizes_of_nothing_are_refused():
    for arguments in ({"size": 0}, {"size": (-1, 4)}, {"scale_factor": 0.1}):
        with pytest.raises(ValueError, match="interpolate"):
            functional.interpolate(torch.zeros(1, 1, 4, 4), **arguments)
    assert functional.interpolate(torch.zeros(0, 3, 4, 4), size=8).shape == (0, 3, 8, 8)


def test_a_subclass_that_overrides_functions_is_asked():
    class Counting(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            return function.__name__

    assert functional.interpolate(torch.zeros(1, 1, 2, 2).as_subclass(Counting), size=4) == "interpolate"


SLOW = [pytest.param(mode, marks=pytest.mark.slow) for mode in ("nearest", "nearest-exact")]


@pytest.mark.parametrize("mode", ["linear", *SLOW])
def test_axes_too_long_for_float32_coordinates_follow_the_definition(mode):
    """torch takes samples of other places from 2**23 on: it does not even repeat a sample twice at twice the size."""
    n = 2**23 + 3
    x = (torch.arange(n) % 97).float().reshape(1, 1, n)
    got = functional.interpolate(x, scale_factor=2, mode=mode)[0, 0, -64:]
    last = x[0, 0, -34:].double()
    want = torch.nn.functional.interpolate(last.reshape(1, 1, -1), scale_factor=2, mode=mode)[0, 0, -64:].float()
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


def test_a_nan_reaches_what_its_weight_reaches():
    """torch multiplies it by weights of 0 as well."""
    x = torch.tensor([[[1.0, float("nan"), 3.0, 4.0]]])
    got = functional.interpolate(x, size=7, mode="linear", align_corners=True)
    assert torch.isnan(got[0, 0]).tolist() == [False, True, True, True, False, False, False]
