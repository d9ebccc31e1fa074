# SPDX-License-Identifier: MIT
"""The case table: the tests run its rows small (``SMALL``), the benchmarks run them as they stand (``CASES``)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

LAYOUTS = ("planar", "channels_last", "interleaved")

# Small inputs, by the number of resampled axes: longer than a vector register, no multiple of one.
_PRIMES = {1: (67,), 2: (23, 37), 3: (11, 13, 17)}

# name in a case's id: filter, antialias, edge
METHODS = {
    "nearest": ("nearest", False, "edge"),
    "linear": ("linear", False, "edge"),
    "cubic": ("cubic(a=-0.75)", False, "edge"),
    "lanczos4": ("lanczos4", False, "edge"),
    "linear_aa": ("linear", True, "crop"),
    "cubic_aa": ("cubic", True, "crop"),
    "lanczos3_aa": ("lanczos3", True, "crop"),
    "area": ("area", True, "crop"),
}


@dataclass(frozen=True)
class Case:
    """One resize, with everything that a test or a measurement needs to run it.

    **Convention:** `shape` is the logical shape: (N, C, *spatial) for "planar" and "channels_last" (the same axes,
    channels innermost in memory), (H, W, C) for "interleaved". `size` follows `axes`. `peers` names the libraries
    that compute the same thing; where `like` is set, that preset replaces filter, edge and antialias.
    """

    id: str
    shape: tuple[int, ...]
    layout: str
    dtype: str
    axes: tuple[int, ...]
    size: tuple[int, ...]
    filter: str
    antialias: bool
    edge: str
    like: str | None = None
    peers: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of ``halfpixel.resize(x, case.size, **case.options)``."""
        if self.like is not None:
            return {"axes": self.axes, "like": self.like}
        return {"axes": self.axes, "filter": self.filter, "antialias": self.antialias, "edge": self.edge}

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The shape of the result."""
        sizes = dict(zip(self.axes, self.size, strict=True))
        return tuple(sizes.get(axis, n) for axis, n in enumerate(self.shape))

    def array(self, seed: int = 0) -> np.ndarray:
        """A smooth picture with some noise, values in [0, 1] or that part of an integer's range, in `layout`."""
        rng = np.random.default_rng(seed)
        x = rng.random(self.shape, dtype=np.float32)
        x *= 0.1
        for axis, n in enumerate(self.shape):
            wave = (0.45 + 0.4 * np.sin(np.arange(n) / (5 + axis))) / len(self.shape)
            x += wave.reshape([-1 if a == axis else 1 for a in range(len(self.shape))]).astype(np.float32)
        return arrange(_cast(x, self.dtype), self.layout)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Case:
        """The case whose fields went through JSON, which knows no tuples."""
        known: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        return cls(**known)

    def small(self) -> Case:
        """The same row at a size for tests: primes times the divisor, the ratios kept, few channels."""
        shape, size = list(self.shape), []
        for axis, m, prime in zip(self.axes, self.size, _PRIMES[len(self.axes)], strict=True):
            ratio = Fraction(m, self.shape[axis])
            shape[axis] = prime * (ratio.denominator if ratio.numerator == 1 else 1)
            size.append(max(1, round(shape[axis] * ratio)))
        for axis in set(range(len(shape))) - set(self.axes):
            shape[axis] = shape[axis] if shape[axis] <= 4 else 5 if self.layout == "planar" else 19
        return replace(self, shape=tuple(shape), size=tuple(size))


def arrange(x: np.ndarray, layout: str) -> np.ndarray:
    """`x` with the same logical shape and the memory order that `layout` names."""
    if layout != "channels_last":
        return np.ascontiguousarray(x)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def _cast(x: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        import ml_dtypes

        return x.astype(ml_dtypes.bfloat16)
    kind = np.dtype(dtype)
    return (x * np.iinfo(kind).max).astype(kind) if kind.kind in "iu" else x.astype(kind)


def _case(
    method: str, ratio: str, layout: str, dtype: str, shape: str, peers: str = "", like: str | None = None
) -> Case:
    """`ratio` is "x2", "/4", or the size itself, "720x1000"; one word, so that a row of the table is one line."""
    n = tuple(map(int, shape.split("x")))
    axes = (0, 1) if layout == "interleaved" else tuple(range(2, len(n)))
    if ratio[0] == "x":
        size = tuple(n[a] * int(ratio[1:]) for a in axes)
    elif ratio[0] == "/":
        size = tuple(n[a] // int(ratio[1:]) for a in axes)
    else:
        size = tuple(map(int, ratio.split("x")))
    name = f"{like or method}-{ratio.replace('/', 'by')}-{layout}-{dtype}-{shape}"
    return Case(name, n, layout, dtype, axes, size, *METHODS[method], like, tuple(peers.split()))


_PHOTO = "1080x1920x3"
_ENLARGE = "opencv torch kornia"
_SHRINK = "torch pyvips kornia pillow"

# What torch's interpolate computes too, and what nobody else here does (no peer).
FLOAT_CASES = (
    _case("nearest", "x2", "planar", "float32", "4x64x128x128", "torch"),
    _case("linear", "x2", "planar", "float32", "4x64x128x128", "torch"),
    _case("cubic", "x2", "planar", "float32", "4x64x128x128", "torch"),
    _case("nearest", "x2", "channels_last", "float32", "4x64x128x128", "torch"),
    _case("linear", "x2", "channels_last", "float32", "4x64x128x128", "torch"),
    _case("cubic", "x2", "channels_last", "float32", "4x64x128x128", "torch"),
    _case("linear_aa", "/2", "planar", "float32", "4x64x256x256", "torch"),
    _case("cubic_aa", "/2", "planar", "float32", "4x64x256x256", "torch"),
    _case("linear_aa", "/2", "channels_last", "float32", "4x64x256x256", "torch"),
    _case("cubic_aa", "/4", "planar", "float32", "1x3x2048x2048", "torch"),
    _case("lanczos3_aa", "/4", "planar", "float32", "1x3x2048x2048", "torch"),
    _case("lanczos3_aa", "x2", "planar", "float32", "1x3x1024x1024", "torch"),
    _case("linear", "x4", "planar", "float32", "1x3x512x512", "torch"),
    _case("cubic", "x4", "planar", "float32", "1x3x512x512", "torch"),
    _case("cubic", "x4", "channels_last", "float32", "1x3x512x512", "torch"),
    _case("nearest", "x4", "planar", "float32", "1x3x512x512", "torch"),
    _case("linear", "x8", "planar", "float32", "1x19x128x256", "torch"),
    _case("cubic", "x8", "planar", "float32", "1x19x128x256", "torch"),
    _case("linear", "720x1000", "planar", "float32", "1x16x481x641", "torch"),
    _case("cubic", "720x1000", "planar", "float32", "1x16x481x641", "torch"),
    _case("cubic_aa", "224x224", "planar", "float32", "8x3x481x641", "torch"),
    _case("area", "/2", "planar", "float32", "4x64x256x256", "torch"),
    _case("area", "/4", "planar", "float32", "1x3x2048x2048", "torch"),
    _case("linear", "x2", "planar", "float32", "16x64x8192", "torch"),
    _case("nearest", "x2", "planar", "float32", "16x64x8192", "torch"),
    _case("linear", "x2", "planar", "float32", "1x16x64x64x64", "torch"),
    _case("linear", "x2", "channels_last", "float32", "1x16x64x64x64", "torch"),
    _case("nearest", "x2", "planar", "float32", "1x16x64x64x64", "torch"),
    _case("cubic", "x2", "planar", "float64", "1x64x128x128", "torch"),
    _case("linear", "x2", "planar", "float16", "4x64x128x128", "torch"),
    _case("linear", "x2", "planar", "bfloat16", "4x64x128x128", "torch"),
    _case("cubic", "x2", "planar", "bfloat16", "4x64x128x128", "torch"),
    _case("linear", "x2", "channels_last", "bfloat16", "4x64x128x128", "torch"),
    _case("cubic", "x2", "channels_last", "float16", "4x64x128x128", "torch"),
    _case("area", "/2", "planar", "bfloat16", "4x64x256x256", "torch"),
    _case("cubic", "x2", "planar", "float32", "1x16x64x64x64"),
    _case("cubic_aa", "/2", "planar", "float32", "16x64x8192"),
    _case("cubic_aa", "/2", "planar", "bfloat16", "4x64x256x256"),
)

PHOTO_CASES = (
    *(_case("linear", r, "interleaved", "uint8", _PHOTO, _ENLARGE) for r in ("x2", "1440x2560")),
    *(_case("cubic", r, "interleaved", "uint8", _PHOTO, "opencv torch") for r in ("x2", "1440x2560")),
    *(_case("cubic_aa", r, "interleaved", "uint8", _PHOTO, "torch kornia pillow") for r in ("x2", "1440x2560")),
    *(_case("lanczos3_aa", r, "interleaved", "uint8", _PHOTO, "torch kornia pillow") for r in ("x2", "1440x2560")),
    _case("nearest", "x2", "interleaved", "uint8", _PHOTO, "opencv torch kornia pillow"),
    _case("lanczos4", "x2", "interleaved", "uint8", _PHOTO, "opencv"),
    _case("linear", "x4", "interleaved", "uint8", "480x640x3", _ENLARGE),
    *(_case("area", r, "interleaved", "uint8", _PHOTO, "opencv") for r in ("/2", "/3", "224x224")),
    *(_case("linear_aa", r, "interleaved", "uint8", _PHOTO, "torch pyvips pillow") for r in ("/2", "/3", "224x224")),
    *(_case("cubic_aa", r, "interleaved", "uint8", _PHOTO, _SHRINK) for r in ("/2", "/3", "224x224")),
    *(_case("lanczos3_aa", r, "interleaved", "uint8", _PHOTO, _SHRINK) for r in ("/2", "/3", "224x224")),
    _case("linear", "224x224", "interleaved", "uint8", _PHOTO, _ENLARGE),
    _case("cubic_aa", "/2", "interleaved", "uint8", "1080x1920x1", "torch pyvips pillow"),
    _case("linear", "x2", "interleaved", "uint8", "1080x1920x4", "opencv torch"),
    _case("cubic_aa", "/2", "interleaved", "uint8", "1080x1920x4", "torch pyvips"),
    _case("linear_aa", "/2", "planar", "uint8", "8x3x512x512", "torch"),
    _case("cubic", "x2", "interleaved", "uint16", _PHOTO, "opencv"),
    _case("lanczos3_aa", "/2", "interleaved", "uint16", _PHOTO, "pyvips"),
    _case("cubic", "x2", "interleaved", "float32", _PHOTO, "opencv torch"),
    _case("linear", "x2", "interleaved", "float16", _PHOTO),
    _case("cubic_aa", "/2", "interleaved", "uint8", _PHOTO, "pillow", like="pillow.bicubic"),
    _case("lanczos3_aa", "x2", "interleaved", "uint8", _PHOTO, "pillow", like="pillow.lanczos"),
    _case("linear", "x2", "interleaved", "uint8", _PHOTO, "torch", like="torch.bilinear"),
)

CASES = FLOAT_CASES + PHOTO_CASES

# Sizes that large rows never have: one sample, one result, primes, an axis that stays.
EDGE_CASES = tuple(
    _case(method, ratio, layout, dtype, shape)
    for method in METHODS
    for layout, dtype, shape, ratio in (
        ("planar", "float32", "1x1x1x1", "1x1"),
        ("planar", "float32", "2x3x1x7", "5x1"),
        ("planar", "float64", "1x2x7x11", "11x7"),
        ("channels_last", "float32", "1x17x5x13", "7x13"),
        ("interleaved", "uint8", "11x7x3", "1x23"),
        ("interleaved", "uint16", "2x3x4", "5x2"),
        ("planar", "float16", "3x2x17", "5"),
        ("planar", "float32", "1x2x3x5x7", "5x5x2"),
    )
)

SMALL = tuple({case.id: case.small() for case in CASES}.values()) + EDGE_CASES


def find(case_id: str) -> Case:
    """The row of ``CASES`` with this id.

    Raises:
        KeyError: no row has it.
    """
    for case in CASES:
        if case.id == case_id:
            return case
    raise KeyError(f"no case {case_id!r}; ids look like {CASES[0].id!r}")


def bytes_moved(case: Case) -> tuple[int, int]:
    """Bytes that a resize must read and write at least: its input and its output, once."""
    item = 2 if case.dtype == "bfloat16" else np.dtype(case.dtype).itemsize
    return prod(case.shape) * item, prod(case.out_shape) * item
