# SPDX-License-Identifier: MIT
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfpixel._band import Band


@st.composite
def bands(draw, n_in=None, periodic=None):
    n = draw(st.integers(1, 14)) if n_in is None else n_in
    m, taps = draw(st.integers(1, 14)), draw(st.integers(1, n))
    around = draw(st.booleans()) if periodic is None else periodic
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    start = rng.integers(0, n if around else n - taps + 1, m)
    weight = rng.standard_normal((m, taps)) * (rng.random((m, taps)) < 0.7)
    return Band(n, start, weight, around)


def dense_by_loops(b):
    out = np.zeros((b.n_out, b.n_in))
    for i in range(b.n_out):
        for k in range(b.taps):
            out[i, (b.start[i] + k) % b.n_in] += b.weight[i, k]
    return out


@given(bands())
def test_dense_is_the_matrix(b):
    assert np.array_equal(b.dense(), dense_by_loops(b))


@given(bands())
def test_transpose_is_exact_and_its_own_inverse(b):
    assert np.array_equal(b.T.dense(), b.dense().T)
    assert np.array_equal(b.T.T.dense(), b.dense())


@given(bands(), st.data())
def test_product_is_the_matrix_product(first, data):
    second = data.draw(bands(n_in=first.n_out))
    np.testing.assert_allclose((second @ first).dense(), second.dense() @ first.dense(), atol=1e-12)


@given(bands(), st.data())
def test_rows_on_their_slice_are_the_rows(b, data):
    i0 = data.draw(st.integers(0, b.n_out - 1))
    i1 = data.draw(st.integers(i0 + 1, b.n_out))
    part, rows = b.rows(i0, i1)
    x = np.random.default_rng(0).standard_normal(b.n_in)
    assert np.array_equal(rows.apply(x[part]), b.apply(x)[i0:i1])


@given(bands(), st.integers(0, 2))
def test_apply_is_the_matrix_along_any_axis(b, axis):
    shape = [2, 3, 4]
    shape[axis] = b.n_in
    x = np.random.default_rng(1).standard_normal(shape)
    want = np.moveaxis(np.moveaxis(x, axis, -1) @ b.dense().T, -1, axis)
    np.testing.assert_allclose(b.apply(x, axis), want, atol=1e-13)


def test_periodic_windows_stay_narrow():
    b = Band(100, np.arange(-1, 99), np.full((100, 3), 1 / 3), periodic=True)
    assert b.start[0] == 99
    assert b.T.taps == 3 and b.T.periodic
    assert (b @ b).taps == 5


def test_zero_weights_are_not_read():
    b = Band(3, [0, 1], [[0.0, 1.0], [1.0, 0.0]])
    assert b.apply([np.nan, 2.0, np.inf]).tolist() == [2.0, 2.0]


def test_selection_and_identity():
    assert Band.identity(5).is_identity
    assert Band(3, [1, 0], [[0.0, 1.0], [1.0, 0.0]]).selected().tolist() == [2, 0]
    assert Band(3, [1, 0], [[0.0, 1.0], [1.0, 0.0]]).is_selection
    assert not Band(3, [1, 0], [[0.5, 0.5], [1.0, 0.0]]).is_selection
    assert not Band(3, [0], [[0.5]]).is_selection
    assert not Band(2, [1, 0], [[1.0], [1.0]]).is_identity
    assert Band(4, [3, 0, 1, 2], np.ones((4, 1)), periodic=True).is_selection


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 40])
def test_solve_inverts_apply(n, periodic):
    rng = np.random.default_rng(n)
    taps = min(n, 5)
    low = np.arange(n) - 2 if periodic else np.clip(np.arange(n) - 2, 0, n - taps)
    weight = rng.uniform(-0.1, 0.1, (n, taps))
    weight[np.arange(n), (np.arange(n) - low) % n if periodic else np.arange(n) - low] += 1.0
    b = Band(n, low, weight, periodic)
    x = rng.standard_normal((2, n, 3))
    np.testing.assert_allclose(b.solve(b.apply(x, 1), 1), x, atol=1e-12)
    z = x + 1j * x[::-1]
    np.testing.assert_allclose(b.solve(b.apply(z, 1), 1), z, atol=1e-12)
    np.testing.assert_allclose(
        b.T.solve(x, 1),
        np.linalg.solve(b.dense().T, x.swapaxes(0, 1).reshape(n, -1)).reshape(n, 2, 3).swapaxes(0, 1),
        atol=1e-12,
    )


def test_solve_refuses_what_it_cannot():
    with pytest.raises(ValueError, match="lstsq"):
        Band(3, [0, 1], [[0.5, 0.5], [0.5, 0.5]]).solve([1.0, 2.0])
    with pytest.raises(ValueError, match="singular"):
        Band(2, [0, 0], [[1.0, 1.0], [1.0, 1.0]]).solve([1.0, 2.0])
    with pytest.raises(ValueError, match="holds 3 samples"):
        Band.identity(2).solve([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ((0, [0], [[1.0]]), "at least one sample"),
        ((3, [2], [[1.0, 1.0]]), "leave the input"),
        ((3, [-1], [[1.0]]), "leave the input"),
        ((3, [0], [[1.0] * 4]), "4 taps on 3"),
        ((3, [0, 1], [[1.0]]), "disagree"),
        ((3, [0], [1.0]), "disagree"),
        ((3, [], np.zeros((0, 1))), "disagree"),
        ((3, [0], [[np.nan]]), "not finite"),
    ],
)
def test_bad_bands_are_refused(args, part):
    with pytest.raises(ValueError, match=part):
        Band(*args)


def test_bands_do_not_change():
    b = Band(3, [0], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="read-only"):
        b.weight[0, 0] = 1
    with pytest.raises(AttributeError, match="immutable"):
        b.n_in = 4
    start = np.array([0])
    Band(3, start, [[1.0]])
    start[0] = 1


def test_bands_compare_by_content_and_pickle():
    a, b = (Band(3, [0, 1], [[0.5, 0.5], [0.5, 0.5]]) for _ in range(2))
    assert a == b and hash(a) == hash(b) and a != Band.identity(3) and a != 3
    assert pickle.loads(pickle.dumps(a)) == a
    assert a.shape == (2, 3) and a.row_sum().tolist() == [1.0, 1.0]
    assert Band(3, [2], [[0.5, 0.5]], periodic=True) == Band(3, [-1], [[0.5, 0.5]], periodic=True)


def test_shapes_that_do_not_meet():
    with pytest.raises(ValueError, match="reads 3 samples, the first writes 2"):
        Band.identity(3) @ Band.identity(2)
    with pytest.raises(TypeError):
        Band.identity(3) @ np.eye(3)
    with pytest.raises(ValueError, match="holds 4 samples"):
        Band.identity(3).apply(np.zeros(4))
    for i0, i1 in ((0, 0), (-1, 2), (1, 9)):
        with pytest.raises(ValueError, match="0 <= i0 < i1"):
            Band.identity(3).rows(i0, i1)


def test_entries_at_one_place_add_up_and_empty_rows_are_zero():
    i, j, w = np.array([0, 0, 2]), np.array([4, 4, 1]), np.array([1.0, 2.0, 3.0])
    for periodic in (False, True):
        dense = Band.from_entries((3, 5), i, j, w, periodic).dense()
        assert dense[0, 4] == 3 and dense[2, 1] == 3 and dense.sum() == 6
