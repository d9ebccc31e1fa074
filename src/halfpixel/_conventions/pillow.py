# SPDX-License-Identifier: MIT
"""PIL.Image.Image.resize. 8-bit bands have 22-bit integer weights; every pass is rounded to the image's own type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from halfpixel._axis import Chain, Link
from halfpixel._band import Band

from .line import INTEGERS, Finish, Float, Line, Variant, Windows, by_dtype, folded, limits
from .torch import half_away

BITS = 22


def _interval(line: Line) -> tuple[np.float32, np.float32]:
    low, high = line.box or (0.0, float(line.n_in))
    return np.float32(low), np.float32(high)


def centres(line: Line) -> tuple[Any, Float]:
    """Edge space: the box in float32, its length subtracted in float32, the rest in double."""
    low, high = _interval(line)
    step = np.float64(high - low) / line.n_out
    return step, np.float64(low) + (np.arange(line.n_out) + 0.5) * step


def accumulated(line: Line) -> tuple[Any, Float]:
    """Edge space: half a step, and then one step more per output, added up in double."""
    low, high = _interval(line)
    step = np.float64(high - low) / line.n_out
    return step, np.cumsum(np.concatenate([[np.float64(low) + step * 0.5], np.full(line.n_out - 1, step)]))


def _integer_weights(line: Line, windows: Windows) -> Chain:
    band = folded(line, windows)[0].band
    weight = half_away(band.weight, BITS)
    return (Link(Band(line.n_in, band.start, weight), post=("fixed", 0, 0, BITS, 0, 255)),)


def each_pass(*post: Any) -> Finish:
    """The band, and what is done to its result before the next pass."""

    def finish(line: Line, windows: Windows) -> Chain:
        return (Link(folded(line, windows)[0].band, post=post),)

    return finish


def shrinks_height_most(lines: Sequence[Line]) -> tuple[int, ...]:
    """Pillow 13: the height first where it loses more than twice the samples that the width does."""
    if len(lines) == 2:
        height, width = (line.n_in - line.n_out for line in lines)
        if height > 0 and height > 2 * width:
            return 0, 1
    return tuple(reversed(range(len(lines))))


def cropped(line: Line) -> int | None:
    """An axis whose size stays is copied; so is a box of whole pixels whose size stays along every axis."""
    if line.n_in == line.n_out and line.is_whole:
        return 0
    if line.boxes is None:
        return None
    box = np.array(line.boxes, np.float32)
    crops = (box[:, 0] == np.floor(box[:, 0])) & (box[:, 1] - box[:, 0] == line.sizes_out)
    return int(box[line.position, 0]) if crops.all() else None


def rounded(dtype: str) -> Variant:
    """Double, and halves away from zero after each pass, within the dtype's range."""
    return Variant(compute="double", rounding="half_away", finish=each_pass("round_away", *limits(dtype)))


_SINGLE = Variant(compute="double", finish=each_pass("float32"))
_FLOATS = dict.fromkeys(("float32", "float16", "bfloat16", "complex64"), _SINGLE)
_COPIES = Variant(weight_rule="floor", coord_rule="accumulated")
_BYTES = Variant(compute="fixed", finish=_integer_weights)
_WIDER = {name: replace(rounded(name), weight_rule="with_noise") for name in INTEGERS if name != "uint8"}

COORDS = {"pillow": centres, "accumulated": accumulated}
ROUNDS = {"pillow": by_dtype(Variant(), uint8=_BYTES, bool=_COPIES, **_FLOATS, **_WIDER)}
# 16-bit images go through another transform, which multiplies where the others add up.
ROUNDS["pillow.nearest"] = by_dtype(Variant(), uint16=Variant(coord_rule="pillow"))
SKIPS = {"cropped": cropped}
ORDERS = {"pillow13": shrinks_height_most}
