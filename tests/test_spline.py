# SPDX-License-Identifier: MIT
"""Interpolating splines against SciPy, and against the definition: they go through the samples."""

import numpy as np
import pytest

from halfpixel import edges, plan, resize
from halfpixel._axis import Axis
from halfpixel._recipe import axes_of, chain_of
from halfpixel.testing import laws
from tests.backend import NAMES, only

ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")

# SciPy cuts the start of its recursion short for mode="reflect".
MODES = {
    "reflect": ("mirror", 2e-12),
    "symmetric": ("reflect", 4e-5),
    "wrap": ("grid-wrap", 2e-12),
    "edge": ("nearest", 2e-12),
}
MODES["constant"] = ("grid-constant", 2e-12)


@pytest.mark.parametrize("degree", range(6))
@pytest.mark.parametrize("edge", MODES)
def test_agrees_with_scipy_zoom(edge, degree):
    mode, atol = MODES[edge]
    rng = np.random.default_rng(degree)
    for n, m in ((7, 16), (16, 7), (13, 40), (24, 25), (3, 5), (1, 4), (2, 9)):
        if edge == "symmetric" and n < 7:
            continue
        x = rng.standard_normal(n)
        want = ndimage.zoom(x, m / n, order=degree, mode=mode, cval=1.5, grid_mode=True)
        got = resize(x, m, filter=f"spline{degree}", edge=edge, antialias=False, fill=1.5)
        if degree == 0:
            # Sample points that fall between two pixels: SciPy's floating-point coordinate decides there.
            c = (2 * np.arange(m) + 1) * n % (2 * m) == 0
            got[c] = want[c]
        np.testing.assert_allclose(got, want, atol=atol, rtol=0, err_msg=f"{n} -> {m}")


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_agrees_with_scipy_zoom_on_corners_and_in_more_dimensions(degree):
    x = np.random.default_rng(0).standard_normal((6, 9, 5))
    want = ndimage.zoom(x, (2.5, 2, 3), order=degree, mode="mirror")
    got = resize(x, want.shape, filter=f"spline{degree}", edge="reflect", grid="align_corners", antialias=False)
    np.testing.assert_allclose(got, want, atol=1e-11)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("degree", [2, 3, 4, 5])
@pytest.mark.parametrize("edge", edges.TABLE)
def test_goes_through_the_samples(edge, degree, backend):
    # An odd factor puts an output sample on every input sample.
    for n in (1, 2, 3, 11, 40):
        for dtype, atol in (("float64", 1e-12), ("float32", 3e-5), ("uint8", 0), ("complex64", 3e-5)):
            x = (np.random.default_rng(n).random((2, n)) * 200).astype(dtype)
            y = laws.run(plan((n,), 3 * n, filter=f"spline{degree}", edge=edge), x, backend)
            np.testing.assert_allclose(y[:, 1::3], x, atol=atol * 200)


@pytest.mark.parametrize("degree", [2, 3, 5])
def test_reproduces_polynomials_away_from_the_edges(degree):
    t = np.arange(200.0) / 200
    p = plan((200,), 300, filter=f"spline{degree}", edge="reflect", antialias=False)
    c = np.array([float(axes_of(p.request)[0].step * o + axes_of(p.request)[0].offset) for o in range(300)]) / 200
    np.testing.assert_allclose(p(t**degree)[100:200], c[100:200] ** degree, atol=1e-12)


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_antialiased_shrinking_is_the_stretched_cardinal_spline(degree):
    """By an integer factor, on a periodic signal: a sum over the stretched cardinal spline itself."""
    n, factor = 48, 4
    m = n // factor
    x = np.random.default_rng(degree).standard_normal(n)
    # The cardinal spline, sampled finely: the response of enlarging a unit impulse, on a long axis.
    long = np.zeros(801)
    long[400] = 1
    fine = 2 * factor
    cardinal = resize(long, 801 * fine, filter=f"spline{degree}", edge="reflect", grid="asymmetric")
    want = np.zeros(m)
    for o in range(m):
        c = (o + 0.5) * factor - 0.5
        for j in range(int(c) - 300, int(c) + 300):
            # The fine samples lie at half steps, as the distances do.
            k = (400 + (j - c) / factor) * fine
            assert k == int(k)
            want[o] += x[j % n] * cardinal[int(k)] / factor
    np.testing.assert_allclose(resize(x, m, filter=f"spline{degree}", edge="wrap"), want, atol=1e-9)


def test_kinds_of_chains():
    def kinds(edge, m, antialias=True):
        axis = axes_of(plan((20,), m, filter="spline3", edge=edge, antialias=antialias).request)[0]
        assert isinstance(axis, Axis)
        return ["solve" if link.solve else "band" for link in chain_of(axis)]

    assert kinds("reflect", 40) == ["solve", "band"]
    assert kinds("edge", 40) == ["band", "solve", "band"]
    assert kinds("edge", 10) == ["band", "solve"]
    assert kinds("edge", 10, antialias=False) == ["band", "solve", "band"]
    assert kinds("edge", 20) == ["band"]


@pytest.mark.parametrize("backend", NAMES)
def test_adjoint_through_the_solve(backend):
    rng = np.random.default_rng(5)
    for edge in edges.TABLE:
        for size in ((14, 6), (5, 5)):
            p = plan((7, 9), size, filter="spline4", edge=edge)
            with only(backend):
                laws.adjoint(p, rng.standard_normal((2, 7, 9)), rng.standard_normal((2, *size)), backend)


def test_non_contiguous_axes_and_small_memory():
    x = np.random.default_rng(2).standard_normal((5, 6, 4)).astype(np.float32)
    want = resize(np.ascontiguousarray(x.transpose(2, 0, 1)), (9, 13), filter="spline3")
    got = resize(x, (9, 13), axes=(0, 1), filter="spline3")
    np.testing.assert_allclose(got.transpose(2, 0, 1), want, atol=1e-6)
