# SPDX-License-Identifier: MIT
"""What cv2.resize does with each dtype: the links of its passes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from halfpixel import edges
from halfpixel._axis import Chain, Link, fold
from halfpixel._band import Band

from .line import INTEGERS, Finish, Line, Variant, Windows, by_dtype, folded
from .opencv import step_of
from .pillow import each_pass


def _quantised(windows: Windows, bits: int) -> Windows:
    weight = windows.weight.astype(np.float64) * float(1 << bits)
    return windows._replace(weight=np.rint(weight))


def _row_then_column(line: Line, windows: Windows, bits: int) -> Chain:
    (link,) = folded(line, windows)
    if line.is_last and line.count > 1:
        return (link,)
    return (Link(link.band, post=("fixed", 0, 0, bits * line.count, 0, 255)),)


def two_passes(bits: int) -> Finish:
    """Integer weights; the pass along the row keeps every bit, the last one rounds, halves upwards."""

    def finish(line: Line, windows: Windows) -> Chain:
        return _row_then_column(line, _quantised(windows, bits), bits)

    return finish


def linear_bytes(line: Line, windows: Windows) -> Chain:
    """LINEAR of uint8. The column pass shifts each product by itself, so two taps on the same border sample may not be
    added up: the column is continued by one sample at both ends instead.
    """
    windows = _quantised(windows, 11)
    if line.is_last:
        return _row_then_column(line, windows, 11)
    post = ("fixed", 4, 16, 2, 0, 255)
    start = np.clip(windows.first + 1, 0, line.n_in)
    doubled = (windows.weight != 0).all(axis=1) & ((start == 0) | (start == line.n_in))
    if not doubled.any():
        return (Link(folded(line, windows)[0].band, post=post),)
    around = np.clip(np.arange(-1, line.n_in + 1), 0, line.n_in - 1)
    continued = Band(line.n_in, around, np.ones((len(around), 1)))
    return Link(continued), Link(Band(len(around), start, windows.weight), post=post)


def block_means(*post: Any) -> Finish:
    """Sums of whole samples; the last pass divides by the number of a block's samples, a float32 factor."""

    def finish(line: Line, windows: Windows) -> Chain:
        band, _ = fold(windows.first, windows.weight, line.n_in, edges.TABLE["zero"])
        if line.position > 0:
            return (Link(band),)
        samples = math.prod(round(step_of(replace(line, position=p))) for p in range(line.count))
        weight = band.weight * float(np.float32(1.0) / np.float32(samples))
        return (Link(Band(line.n_in, band.start, weight), post=post or None),)

    return finish


def _integers(variant: Variant) -> dict[str, Variant]:
    return dict.fromkeys((*INTEGERS, "bool"), variant)


# Sums of samples that fit in float32 are float32, product by product.
_SINGLE = Variant(finish=each_pass("float32"))
_NARROW = dict.fromkeys(("float32", "float16", "bfloat16", "uint8", "int8", "uint16", "int16", "bool"), _SINGLE)
_EXACT_BYTES = Variant(compute="fixed", finish=two_passes(8), weight_rule="opencv.exact8", coord_rule="opencv.double")
_EXACT = Variant(compute="double", rounding="half_up", weight_rule="opencv.exact16", coord_rule="opencv.double")
_MEANS = Variant(finish=block_means())
_ROUNDED_MEANS = Variant(compute="double", finish=block_means("float32"))
_HALVES = Variant(compute="double", rounding="half_up", finish=block_means())

ROUNDS = {
    "opencv": by_dtype(Variant(), **_NARROW),
    "opencv.linear": by_dtype(Variant(), **{**_NARROW, "uint8": Variant(compute="fixed", finish=linear_bytes)}),
    "opencv.taps": by_dtype(Variant(), uint8=Variant(compute="fixed", finish=two_passes(11))),
    "opencv.exact": by_dtype(Variant(), **{**_NARROW, **_integers(_EXACT), "uint8": _EXACT_BYTES}),
    "opencv.blocks": by_dtype(_MEANS, **_integers(_ROUNDED_MEANS)),
    "opencv.halves": by_dtype(_MEANS, **_integers(_HALVES)),
}
