# SPDX-License-Identifier: MIT
"""Attributes and small inputs of the operators, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfpixel._sizes import integer, sorted_axes
from halfpixel.errors import HalfpixelTypeError, HalfpixelValueError, unknown_name

Array = NDArray[Any]
DIALECTS = ("onnx", "onnxruntime")


def tensor(x: Any, name: str, least: int) -> Array:
    """An array of at least that many dimensions."""
    a = np.asarray(x)
    if a.dtype.kind in "OUS":
        raise HalfpixelTypeError(f"{name} has dtype {a.dtype}", "an array of numbers")
    if a.ndim < least:
        raise HalfpixelValueError(f"{name} has {a.ndim} dimensions", f"at least {least}")
    return a


def one_of(value: Any, name: str, known: Sequence[Any]) -> Any:
    """The value, if it is known."""
    if value in known:
        return value
    if isinstance(value, str):
        raise unknown_name(name, value, known)
    raise HalfpixelValueError(f"{name} is {value!r}", f"one of {', '.join(map(repr, known))}")


def present(values: Any) -> bool:
    """An optional input that is there: not None, and not an empty tensor, which older models have in its place."""
    return values is not None and np.size(values) > 0


def integers(values: Any, name: str, count: int, least: int, default: int) -> tuple[int, ...]:
    """One whole number per axis; None stands for the default."""
    if values is None:
        return (default,) * count
    found = tuple(integer(v, f"one of {name}") for v in np.ravel(np.asarray(values)).tolist())
    if len(found) != count:
        raise HalfpixelValueError(f"{name} has {len(found)} values", f"{count} values")
    if min(found, default=least) < least:
        raise HalfpixelValueError(f"{name} is {found}", f"values from {least}")
    return found


def floats(values: Any, name: str, count: int) -> list[float]:
    """A number per place."""
    found = [float(v) for v in np.ravel(np.asarray(values)).tolist()]
    if len(found) != count:
        raise HalfpixelValueError(f"{name} has {len(found)} values", f"{count} values")
    return found


def axes_of(axes: Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Axes counted from the first; None stands for all."""
    if axes is None:
        return tuple(range(ndim))
    sorted_axes(axes, None, ndim)
    return tuple(int(a) % ndim for a in axes)
