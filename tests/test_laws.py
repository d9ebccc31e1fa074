# SPDX-License-Identifier: MIT
"""Every filter with every edge, over dtypes, by every backend that runs here."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halfpixel import edges, filters, plan
from halfpixel._axis import RULES
from halfpixel._recipe import axes_of
from halfpixel.testing import laws, strategies
from halfpixel.testing.strategies import samples
from tests.backend import NAMES, only

DTYPES = (*strategies.DTYPES, "bfloat16")
FLOATS = ("float32", "float64", "complex64", "float16")
SIZES = [((5, 7), (9, 4)), ((1, 13), (3, 13)), ((11, 2), (4, 7)), ((6,), (1,)), ((3, 2, 5), (2, 5, 7))]
INTERPOLATING = [
    *("nearest", "box", "area", "linear", "hermite", "hamming", "cubic", "catmull-rom", "kaiser"),
    *("lanczos2", "lanczos3", "lanczos4", "lanczos5", *(f"spline{k}" for k in range(6))),
]
# These keep a constant at the borders too.
CONSTANT = [name for name, edge in edges.TABLE.items() if edge.fold is not None or edge.renormalise]


def rng(*seed):
    return np.random.default_rng([len(str(s)) + ord(str(s)[0]) for s in seed])


def as_dtype(name):
    return pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else np.dtype(name)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("edge", edges.TABLE)
@pytest.mark.parametrize("name", filters.TABLE)
def test_definition_and_adjoint(name, edge, backend):
    r = rng(name, edge)
    for size_in, size_out in SIZES:
        p = plan(size_in, size_out, filter=name, edge=edge, fill=2.0)
        with only(backend):
            for dtype in ("float32", "float64", "uint8"):
                laws.matches_definition(p, samples(r, (2, *size_in), dtype), backend)
            linear = plan(size_in, size_out, filter=name, edge=edge)
            for dtype in ("float32", "complex128"):
                laws.adjoint(linear, samples(r, (2, *size_in), dtype), samples(r, (2, *size_out), dtype), backend)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["nearest", "linear", "cubic", "lanczos3", "area", "spline3"])
def test_every_dtype_in_every_layout(name, dtype, backend):
    kind, r = as_dtype(dtype), rng(name, dtype)
    for (size_in, size_out), edge in zip(SIZES, ["crop", "wrap", "edge", "constant", "symmetric"], strict=True):
        p = plan(size_in, size_out, filter=name, edge=edge, fill=1.0)
        x = samples(r, (2, *size_in), kind)
        with only(backend):
            laws.matches_definition(p, x, backend)
            laws.layout_invariance(p, x, backend)
            laws.layout_invariance(
                plan((*size_in, 3), size_out, axes=range(len(size_in)), filter=name),
                samples(r, (*size_in, 3), kind),
                backend,
            )


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("edge", CONSTANT)
@pytest.mark.parametrize("name", filters.TABLE)
def test_constants_stay(name, edge, backend):
    for size_in, size_out in SIZES:
        p = plan(size_in, size_out, filter=name, edge=edge)
        with only(backend):
            for dtype, value in (("float64", 1.0), ("float32", 1e4), ("uint8", 255), ("int16", -32768), ("bool", 1)):
                laws.constants(p, dtype, value, backend)


@pytest.mark.parametrize("name", [*INTERPOLATING, "mitchell", "bspline", "gaussian", "mks2013", "mks2021"])
def test_constant_edge_with_the_same_fill_keeps_a_constant(name):
    laws.constants(plan((5, 6), (9, 4), filter=name, edge="constant", fill=3.0), "float64", 3.0)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_identity_gives_back_every_bit(dtype, backend):
    x = samples(rng(dtype), (2, 5, 6), dtype)
    if x.dtype.kind in "fc":
        x[0, 0, 0] = np.nan
    if x.dtype.itemsize == 8 and x.dtype.kind in "iu":
        x[0, 0, :2] = np.iinfo(dtype).max, np.iinfo(dtype).min
    for name in INTERPOLATING:
        for edge in edges.TABLE:
            with only(backend):
                laws.identity(plan((5, 6), (5, 6), filter=name, edge=edge), x, backend)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize(
    "name", ["linear", "cubic", "mitchell", "bspline", "spline2", "spline3", "lanczos3", "gaussian"]
)
def test_flip(name, backend):
    # Nearest and box break ties upwards, and are not symmetric there.
    for edge in edges.TABLE:
        for size_in, size_out in SIZES:
            p = plan(size_in, size_out, filter=name, edge=edge)
            for dtype in ("float32", "float64"):
                with only(backend):
                    laws.flip(p, samples(rng(name, edge), size_in, dtype), backend)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("name", ["linear", "cubic", "mitchell", "bspline", "spline1"])
def test_linear_ramps(name, backend):
    for size_in, size_out, antialias in (((12, 15), (31, 20), True), ((30,), (7,), False), ((24,), (8,), True)):
        p = plan(size_in, size_out, filter=name, antialias=antialias)
        coordinates, inside = [], []
        for axis in axes_of(p.request):
            first, weight = RULES["sample"](axis, 0, axis.n_out)
            coordinates.append([float(axis.step * o + axis.offset) for o in range(axis.n_out)])
            inside.append((first >= 0) & (first + weight.shape[1] <= axis.n_in))
        for dtype in ("float32", "float64", "uint8"):
            with only(backend):
                laws.linear_ramp(p, coordinates, inside, dtype, backend)


@pytest.mark.parametrize("name", ["nearest", "box", "area", "linear", "cubic", "lanczos3"])
@pytest.mark.parametrize("edge", ["crop", "edge", "reflect", "symmetric", "wrap", "zero"])
def test_composition(name, edge):
    x = samples(rng(name, edge), (7, 10), "float64")
    first = plan((7, 10), (13, 4), filter=name, edge=edge)
    laws.composition(first, plan((13, 4), (5, 9), filter=name, edge=edge), x)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("edge", edges.TABLE)
@pytest.mark.parametrize("name", ["nearest", "linear", "lanczos3", "area"])
def test_tiles_make_the_whole(name, edge, backend):
    for size_in, size_out in (((23, 37), (51, 30)), ((11, 64), (5, 129)), ((5, 1), (12, 3))):
        p = plan(size_in, size_out, filter=name, edge=edge)
        for dtype in ("float32", "uint8", "float64"):
            with only(backend):
                laws.tiles(p, samples(rng(name), (2, *size_in), dtype), backend=backend)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["nearest", "linear", "cubic", "lanczos3", "area", "box"])
def test_a_nan_reaches_no_further_than_its_weights(name, dtype, backend):
    for size_in, size_out in (((9, 14), (9, 28)), ((9, 14), (18, 7)), ((9, 14), (27, 14)), ((10,), (15,))):
        for edge in ("crop", "edge", "wrap"):
            x = samples(rng(name), (2, *size_in), dtype)
            with only(backend):
                laws.nan_stays_local(plan(size_in, size_out, filter=name, edge=edge), x, backend)


@pytest.mark.parametrize("backend", NAMES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_plan_on_any_array(backend, data):
    p = data.draw(strategies.plans())
    x = data.draw(strategies.arrays(p, data.draw(strategies.dtype_names)))
    with only(backend):
        laws.matches_definition(p, x, backend)


def test_broken_kernels_are_caught():
    p, x = plan((5, 6), (9, 4)), samples(rng("x"), (5, 6), "float32")
    good = laws.definition(p, x)
    bad = good.astype(np.float32)
    bad[3, 2] += 1e-5
    with pytest.raises(laws.LawBroken, match=r"at \(3, 2\)"):
        laws.require_close(bad, good, laws.slack(p, x), "bad")
    with pytest.raises(laws.LawBroken):
        laws.require_close(np.full((2,), np.nan, np.float32), np.zeros(2), 1.0, "NaN for a number")
    with pytest.raises(laws.LawBroken):
        laws.require_close(np.array([3], np.uint8), np.array([3.6]), 1e-6, "rounded down")
    with pytest.raises(laws.LawBroken):
        laws.require_close(np.array([0], np.uint8), np.array([300.0]), 1e-6, "wrapped around")
    with pytest.raises(laws.LawBroken):
        laws.require_equal(np.zeros(2, np.float32), np.zeros(2), "dtype")
    with pytest.raises(laws.LawBroken):
        laws.require_equal(np.zeros(2), np.array([0, np.nan]), "NaN")
    assert np.isnan(laws.poisoned((2,), "float16")).all() and laws.poisoned((2,), "uint16").tolist() == [0xA5A5] * 2
