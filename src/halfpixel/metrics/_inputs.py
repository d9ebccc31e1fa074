# SPDX-License-Identifier: MIT
"""Arrays and tensors as they come -> NumPy arrays that fit each other, or an error that says what would work."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfpixel import _sizes, backends
from halfpixel._labels import check_labels
from halfpixel.errors import HalfpixelShapeError, HalfpixelTypeError, HalfpixelValueError

Array = NDArray[Any]
_BRIGHTEST = 1.5  # of a float reference: overshoot stays well below, and levels 0 ... 255 go well beyond


def array(x: Any) -> Array:
    """A NumPy array of whatever was passed; tensors are detached and brought to the CPU."""
    if backends.is_tensor(x):
        x = x.detach().cpu()
        x = (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()
    return backends.as_array(x)


def images(image: Any, reference: Any) -> tuple[Array, Array]:
    """Both as (height, width, channels), of one shape.

    Raises: TypeError for complex or bool samples, ValueError for shapes that do not fit.
    """
    a, b = _image(image, "image"), _image(reference, "reference")
    if a.shape != b.shape:
        works = (
            "two of one size; in super-resolution, the reference cut at the right and bottom to a multiple of the scale"
        )
        ours, theirs = (shown(one.shape if a.shape[2] != b.shape[2] else one.shape[:2]) for one in (a, b))
        raise HalfpixelShapeError(f"the image is {ours}, the reference {theirs}", works)
    if a.size == 0:
        raise HalfpixelShapeError(f"images of {shown(a.shape)} hold no pixel", "a pixel or more")
    return a, b


def _image(x: Any, what: str) -> Array:
    a = array(x)
    if a.dtype.kind not in "iuf" and a.dtype.name != "bfloat16":
        raise HalfpixelTypeError(f"the {what} has dtype {a.dtype}", "integers, or floats in 0 ... 1")
    if a.ndim not in (2, 3):
        works = "(height, width) or (height, width, channels), one image a call; tensors: x.permute(1, 2, 0)"
        raise HalfpixelShapeError(f"the {what} has {a.ndim} dimensions", works)
    return a if a.ndim == 3 else a[..., None]


def shown(shape: tuple[int, ...]) -> str:
    """(height, width, channels) as people say it."""
    size = " x ".join(map(str, shape[1::-1]))
    return size if shape[2:] in ((), (1,)) else f"{size} with {shape[2]} channels"


def span(a: Array, b: Array, data_range: Any) -> float:
    """The distance from black to white: as given, or that of the samples' type.

    Raises: ValueError for one that is not positive, or where the types leave it open.
    """
    if data_range is not None:
        if not isinstance(data_range, (int, float, np.number)):
            raise HalfpixelTypeError(f"data_range is {data_range!r}", "a number above 0")
        if not 0 < data_range < float("inf"):
            raise HalfpixelValueError(f"data_range is {data_range!r}", "a number above 0")
        return float(data_range)
    found = {full_scale(one.dtype) for one in (a, b)}
    if len(found) > 1:
        raise HalfpixelTypeError(f"{a.dtype} is compared with {b.dtype}", "one dtype, or data_range=")
    if b.dtype.kind not in "iu":
        _check_unit(b)
    return found.pop()


def full_scale(dtype: np.dtype[Any]) -> float:
    """What white is: the largest integer, or 1.0."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def levels(a: Array, what: str) -> NDArray[np.float64]:
    """Samples of any unsigned type, or floats in 0 ... 1, as whole levels 0 ... 255; NaN stays.

    Raises: TypeError for signed integers, ValueError for a float reference that is not in 0 ... 1.
    """
    if a.dtype.kind == "i":
        raise HalfpixelTypeError(
            f"the {what} has dtype {a.dtype}, and a protocol needs to know white", "uint8, uint16, or floats in 0 ... 1"
        )
    if a.dtype == np.uint8:
        return a.astype(np.float64)
    if a.dtype.kind != "u" and what == "reference":
        _check_unit(a)
    scaled = a.astype(np.float64) * (255 / full_scale(a.dtype))
    return np.floor(np.clip(scaled, 0, 255) + 0.5)


def _check_unit(reference: Array) -> None:
    top = float(reference.max())
    if top > _BRIGHTEST:
        raise HalfpixelValueError(
            f"floats are taken as 0 ... 1, and the reference holds {top:g}", "x / 255, x.astype(uint8), or data_range="
        )


def labels(found: Any, reference: Any) -> tuple[Array, Array]:
    """Both label maps, of one shape.

    Raises: TypeError for what is not integers or bools, ValueError for shapes that differ.
    """
    a, b = array(found), array(reference)
    for one in (a, b):
        check_labels(one.dtype.kind, one.dtype)
    if a.shape != b.shape:
        raise HalfpixelShapeError(f"labels have shape {a.shape}, the reference {b.shape}", "two of one shape")
    return a, b


def class_count(classes: Any) -> int:
    """Raises: ValueError for less than one class."""
    count = _sizes.integer(classes, "classes")
    if not 1 <= count <= 4096:
        raise HalfpixelValueError(f"classes is {count}", "how many there are, 1 to 4096: labels are 0 ... classes - 1")
    return count


def check_range(found: Array, classes: int, what: str, ignored: int | None) -> None:
    """Raises: ValueError naming a label that is no class, among those that count."""
    if found.size and not 0 <= found.min() <= found.max() < classes:
        wrong = found[(found < 0) | (found >= classes)][0]
        works = f"labels 0 to {classes - 1}" + (f", or ignore_index={wrong}" if ignored is None else "")
        raise HalfpixelValueError(f"the {what} holds the label {wrong}, and classes is {classes}", works)
