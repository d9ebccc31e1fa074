# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from halfpixel import edges
from tests.brute import folded

NUMPY_MODES = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric", "wrap": "wrap"}


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("name", NUMPY_MODES)
def test_folds_agree_with_numpy_pad(name, n):
    j = np.arange(-25, n + 25)
    got = edges.get(name).fold(j, n)
    assert got.tolist() == np.pad(np.arange(n), 25, mode=NUMPY_MODES[name]).tolist()
    assert got.tolist() == [folded(name, int(i), n) for i in j]


def test_table():
    assert set(edges.TABLE) == {"edge", "reflect", "symmetric", "wrap", "crop", "zero", "constant"}
    assert all(row.summary and row.source for row in edges.TABLE.values())
    assert [row.name for row in edges.TABLE.values() if row.fold is None] == ["crop", "zero", "constant"]


def test_unknown_edge():
    with pytest.raises(ValueError, match="did you mean 'reflect'"):
        edges.get("reflected")
    with pytest.raises(TypeError, match="edge is None"):
        edges.get(None)
