# SPDX-License-Identifier: MIT
"""What the kernels for copies, pooling and its maps refuse: sizes that do not fit, layouts, elements, places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from halfpixel import backends

if backends.why_not("cpu") is not None:
    pytest.skip(str(backends.why_not("cpu")), allow_module_level=True)
native = pytest.importorskip("halfpixel._native")

F32, I64 = np.float32, np.int64
SIZES = [[1, 4, 6], [1, 2, 3], [1, 2, 2], [1, 2, 2], [0, 0, 0], [1, 1, 1]]  # in, out, kernel, stride, padding, dilation


def changed(row: int, at: int, value: int) -> list[list[int]]:
    sizes = [list(r) for r in SIZES]
    sizes[row][at] = value
    return sizes


def pool(x: Any = 48, out: Any = 12, place: Any = 12, code: str = "f32", planes: int = 2, channels: int = 1,
         last: bool = False, sizes: Any = SIZES) -> tuple[Any, Any]:  # fmt: skip
    """Numbers stand for arrays of so many elements."""
    x, out = (np.zeros(a, F32) if isinstance(a, int) else a for a in (x, out))
    place = np.zeros(place, I64) if isinstance(place, int) else place
    native.max_pool(x, out, place, code, planes, channels, last, sizes)
    return out, place


FIT = "arrays' sizes do not fit"


def test_what_pooling_takes() -> None:
    x = np.arange(48, dtype=F32)
    out, place = pool(x)
    assert place.tolist() == [7, 9, 11, 19, 21, 23] * 2
    assert out.tolist() == x.reshape(2, 24)[:, place[:6]].ravel().tolist()
    out, _ = pool(x, place=None)
    assert out[0] == 7
    out, _ = pool(x.astype(np.uint16), np.zeros(12, np.uint16), code="bf16")
    assert out[0] == 7


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"x": 47}, FIT),
        ({"x": 49}, FIT),
        ({"out": 11}, FIT),
        ({"out": 13}, FIT),
        ({"place": 11}, FIT),
        ({"planes": 3}, FIT),
        ({"planes": -2, "channels": -1}, "negative"),
        ({"planes": 2**32, "channels": 2**32}, "2\\^63"),
        ({"planes": 0}, FIT),
        ({"planes": 1, "channels": 2}, "one channel"),
        ({"sizes": changed(0, 2, -6)}, "negative"),
        ({"sizes": changed(1, 0, -1)}, "negative"),
        ({"sizes": changed(2, 1, 0)}, "positive"),
        ({"sizes": changed(3, 1, 0)}, "positive"),
        ({"sizes": changed(4, 1, -1)}, "positive"),
        ({"sizes": changed(5, 0, 0)}, "positive"),
        ({"sizes": SIZES[:5]}, "sizes are in, out"),
        ({"sizes": [*SIZES[:5], [1, 1]]}, "three of each"),
        ({"x": np.zeros(96, F32)[::2]}, "contiguous"),
        ({"out": np.zeros(12, F32)[::-1]}, "contiguous"),
        ({"code": "f64"}, "element code"),
        ({"code": "f31"}, "unknown element code"),
        ({"code": "u32"}, "no element type"),
        ({"x": np.zeros(48, np.uint32), "out": np.zeros(12, np.uint16), "code": "u32"}, "element code"),
    ],
)
def test_pooling_refuses(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pool(**arguments)


@pytest.mark.parametrize("place", [np.zeros(12, np.int32), np.zeros(24, I64)[::2]])
def test_places_are_never_written_to_a_copy(place: np.ndarray) -> None:
    with pytest.raises(TypeError, match="incompatible"):
        pool(place=place)


def frozen(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


def test_results_must_be_writable() -> None:
    with pytest.raises(TypeError, match="incompatible"):
        pool(out=frozen(np.zeros(12, F32)))
    with pytest.raises(TypeError, match="incompatible"):
        native.rearrange(np.zeros(3, F32), frozen(np.zeros(3, F32)))


CALLS: dict[str, Any] = {
    "unpool": native.unpool,
    "pool_back": lambda x, place, out, *sizes: native.pool_back(x, place, out, "f32", *sizes),
    "gather": lambda x, place, out, *sizes: native.gather(out, place, x, False, *sizes),
    "winners": lambda x, place, out, *sizes: native.gather(out, place, x, True, *sizes),
}


def mapped(name: str, x: Any = 24, place: Any = 24, out: Any = 42, sizes: Any = (2, 3, 4, 7)) -> Any:
    """x: what lies at windows, out: what lies at places, whichever is the result. sizes: planes, channels, in, out."""
    x, out = (np.ones(a, F32) if isinstance(a, int) else a for a in (x, out))
    place = np.zeros(place, I64) if isinstance(place, int) else place
    return CALLS[name](x, place, out, *sizes)


@pytest.mark.parametrize("name", CALLS)
def test_what_maps_take(name: str) -> None:
    assert mapped(name) == -1
    assert mapped(name, 0, 0, 42, (2, 3, 0, 7)) == -1
    assert mapped(name, 0, 0, 0, (0, 3, 4, 7)) == -1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"x": 23}, FIT),
        ({"x": 25}, FIT),
        ({"place": 23}, FIT),
        ({"place": 48}, FIT),
        ({"out": 41}, FIT),
        ({"out": 49}, FIT),
        ({"sizes": (2, 3, 7, 4)}, FIT),
        ({"sizes": (-2, -3, 4, 7)}, "negative"),
        ({"x": 0, "place": 0, "out": 0, "sizes": (2**32, 2**32, 4, 7)}, "2\\^63"),
        ({"x": np.ones(48, F32)[::2]}, "contiguous"),
        ({"out": np.ones(42, F32)[::-1]}, "contiguous"),
        ({"x": np.ones(24, np.float64)}, "element size"),
    ],
)
@pytest.mark.parametrize("name", CALLS)
def test_maps_refuse(name: str, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        mapped(name, **arguments)


def test_maps_refuse_elements() -> None:
    wide = {"x": np.ones(24, np.complex128), "out": np.ones(42, np.complex128)}
    for name in ("unpool", "gather", "winners"):
        with pytest.raises(ValueError, match="1, 2, 4 or 8 bytes"):
            mapped(name, **wide)
    with pytest.raises(ValueError, match="element code"):
        mapped("pool_back", **wide)
    with pytest.raises(ValueError, match="float32 or float64"):
        native.pool_back(np.ones(4, np.int32), np.zeros(4, I64), np.ones(4, np.int32), "i32", 1, 1, 4, 4)


@pytest.mark.parametrize("value", [-1, 7, 2**32, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("at", [0, 11, 23])
@pytest.mark.parametrize("name", CALLS)
def test_a_place_that_is_none_is_told(name: str, at: int, value: int) -> None:
    place = np.zeros(24, I64)
    place[at] = value
    assert mapped(name, place=place) == at


@pytest.mark.parametrize(
    ("x", "out", "says"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "differ in shape"),
        (np.zeros((2, 3)), np.zeros((2, 3, 1)), "differ in shape"),
        (np.zeros(6), np.zeros(5), "differ in shape"),
        (np.zeros(6), np.zeros(6, F32), "element size"),
    ],
)
def test_copies_refuse(x: np.ndarray, out: np.ndarray, says: str) -> None:
    before = out.copy()
    with pytest.raises(ValueError, match=says):
        native.rearrange(x, out)
    assert np.array_equal(out, before)


def test_copies_of_nothing_and_of_one() -> None:
    native.rearrange(np.zeros((3, 0)), np.zeros((3, 0)))
    out = np.zeros(())
    native.rearrange(np.full((), 5.0), out)
    assert out == 5
