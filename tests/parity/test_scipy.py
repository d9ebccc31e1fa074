# SPDX-License-Identifier: MIT
"""scipy.ndimage.zoom: the preset, the function in SciPy's own signature, and SciPy's own tests on it."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfpixel.compat.scipy import MODES, zoom
from tests.backend import NAMES
from tests.parity.compare import SIZES, assert_same, resized

ndimage = pytest.importorskip("scipy.ndimage")
pytestmark = pytest.mark.filterwarnings("ignore:It is recommended to use mode")

SHAPES = [*SIZES[:7], ((31,), (97,)), ((6, 7, 5), (9, 4, 5)), ((2, 3), (7, 1)), ((4, 6), (1, 1))]


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("grid_mode", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_the_preset(mode, grid_mode, backend):
    rng = np.random.default_rng(1)
    for size_in, size in SHAPES:
        x = rng.standard_normal(size_in)
        factors = [m / n for n, m in zip(size_in, size, strict=True)]
        for order in range(6):
            expected = ndimage.zoom(x, factors, order=order, mode=mode, grid_mode=grid_mode, cval=2.5)
            like = f"scipy.zoom(order={order}, mode={mode!r}, grid_mode={grid_mode})"
            assert_same(resized(backend, x, size, like=like, fill=2.5), expected, 2e-12)


@pytest.mark.parametrize("mode", MODES)
def test_four_axes(mode):
    x = np.random.default_rng(6).standard_normal((2, 3, 4, 3))
    for order in (1, 5):
        expected = ndimage.zoom(x, (1.5, 1.7, 0.5, 1.4), order=order, mode=mode)
        assert_same(zoom(x, (1.5, 1.7, 0.5, 1.4), order=order, mode=mode), expected, 2e-12)


@pytest.mark.parametrize("mode", MODES)
def test_without_the_prefilter(mode):
    x = np.random.default_rng(2).standard_normal((7, 5))
    for order in range(6):
        for factors in ((1.4, 2.0), (1, 1), (0.6, 1)):
            expected = ndimage.zoom(x, factors, order=order, mode=mode, prefilter=False, cval=-1.0)
            assert_same(zoom(x, factors, order=order, mode=mode, prefilter=False, cval=-1.0), expected, 1e-13)


DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64")


def slack(dtype, largest):
    """Floats to rounding; integers exactly."""
    kind = np.dtype(dtype)
    return 32.0 * float(np.finfo(kind).eps) * max(largest, 1.0) if kind.kind == "f" else 0.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_in_and_out(dtype):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 127, (9, 7)).astype(dtype)
    for order in (0, 1, 3):
        for factors in (1.7, (0.5, 2.2)):
            assert_same(zoom(x, factors, order=order), ndimage.zoom(x, factors, order=order), slack(dtype, 127))
            for output in (np.float64, "float32", np.int16, np.uint8):
                expected = ndimage.zoom(x * 3.1, factors, output, order=order)
                assert_same(zoom(x * 3.1, factors, output, order=order), expected, slack(expected.dtype, 500))


def test_bool_is_cut_off_to_whole_numbers():
    x = np.random.default_rng(4).random((9, 7)) > 0.5
    for order in (0, 1):
        for factors in (1.7, (0.5, 2.2)):
            assert_same(zoom(x, factors, order=order), ndimage.zoom(x, factors, order=order))
    assert zoom([0.0, 0.9, 1.1, -1.1], 1, np.dtype(bool), order=1).tolist() == [False, True, True, True]
    assert zoom([0.0, 0.8], 1.5, np.dtype(bool), order=1).tolist() == [False, False, False]


def test_complex_arrays_are_zoomed_by_their_parts():
    x = np.random.default_rng(4).standard_normal((5, 6)) * (1 + 2j)
    assert_same_complex(zoom(x, 1.7, cval=1 + 2j), ndimage.zoom(x, 1.7, cval=1 + 2j))
    parts = [ndimage.zoom(part, 1.7, mode="mirror", grid_mode=True) for part in (x.real, x.imag)]
    assert_same_complex(zoom(x, 1.7, mode="mirror", grid_mode=True), parts[0] + 1j * parts[1])
    assert zoom(x.astype(np.complex64), 2).dtype == np.complex64


def assert_same_complex(got, expected):
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_output_arrays():
    x = np.arange(12.0).reshape(3, 4)
    for out in (
        np.full((6, 8), np.nan),
        np.full((8, 6), np.nan).T,
        np.full((6, 16), np.nan)[:, ::2],
        np.zeros((6, 8), ">f4"),
    ):
        assert zoom(x, 2, output=out) is out
        np.testing.assert_allclose(out, ndimage.zoom(x, 2), atol=1e-5)
    assert zoom(x, 1, output=np.float32).dtype == np.float32
    assert zoom(np.zeros((3, 0)), 2).shape == (6, 0)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 24), min_size=1, max_size=3), st.data(), st.integers(0, 5), st.sampled_from(MODES),
    st.booleans(),
)  # fmt: skip
def test_any_sizes(shape, data, order, mode, grid_mode):
    factors = [data.draw(st.floats(0.3, 3.0)) for _ in shape]
    x = np.random.default_rng(5).standard_normal(shape)
    if 0 in [round(n * z) for n, z in zip(shape, factors, strict=True)]:
        return
    expected = ndimage.zoom(x, factors, order=order, mode=mode, grid_mode=grid_mode)
    assert_same(zoom(x, factors, order=order, mode=mode, grid_mode=grid_mode), expected, 2e-11)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (([1.0, 2.0], 2), {"order": 6}),
        (([1.0, 2.0], 2), {"order": -1}),
        ((3.0, 2), {}),
        (([1.0, 2.0], [2, 2]), {}),
        (([1.0, 2.0], 2), {"mode": "edge"}),
        (([1.0, 2.0], 2), {"output": np.zeros(5)}),
        (([1j, 2.0], 2), {"output": np.zeros(4)}),
        (([1j, 2.0], 2), {"output": "float64"}),
        (([1.0, 2.0], 2), {"output": "S4"}),
        ((np.ones(3, np.float16), 2), {}),
    ],
)
def test_what_scipy_refuses_is_refused(arguments, options):
    with pytest.raises(RuntimeError) as theirs:
        ndimage.zoom(*arguments, **options)
    with pytest.raises(RuntimeError) as ours:
        zoom(*arguments, **options)
    assert str(theirs.value) in str(ours.value)


@pytest.mark.parametrize("mode", ["constant", "wrap"])
def test_grid_mode_warns_as_scipy_does(mode):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        zoom(np.ones(3), 2, mode=mode, grid_mode=True)
        ndimage.zoom(np.ones(3), 2, mode=mode, grid_mode=True)
    assert len({str(w.message) for w in said}) == 1
    assert len(said) == 2


def test_scipys_own_tests_of_zoom_pass(tmp_path):
    """The tests in SciPy's wheel, with its zoom exchanged; none is left out."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "zoom_plugin", "-p", "no:cacheprovider", "-k", "zoom"]
    command += ["-c", "pytest.ini", "--pyargs", "scipy.ndimage.tests.test_interpolation"]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    called = re.search(r"zoom was called (\d+) times", done.stdout)
    assert passed, done.stdout
    assert called, done.stdout
    assert int(passed[1]) >= 95
    assert int(called[1]) >= 95
