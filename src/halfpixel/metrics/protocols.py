# SPDX-License-Identifier: MIT
"""Protocols: what a paper did to both images before it measured. A new protocol is one row of `TABLE`.

**Convention:** both images are brought to whole levels 0 ... 255 (clipped, rounded half up), then `channels` are taken
from them in float64, then a border of `scale` + `margin` pixels is left out on every side; the peak is 255.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfpixel._bt601 import BLACK, SPAN, STUDIO
from halfpixel.errors import HalfpixelValueError, unknown_name

Array = NDArray[np.float64]
PEAK = 255.0


@dataclass(frozen=True)
class Protocol:
    """A named way of comparing a super-resolved image with its original.

    **Convention:** `channels` names a row of `CHANNELS`; `margin` is cut off beyond the scale, in pixels.
    """

    name: str
    channels: str
    margin: int = 0
    summary: str = ""
    source: str = ""


def _y(levels: Array) -> Array:
    """BT.601 luma in studio range, 16 ... 235, not rounded; a gray image counts as R = G = B."""
    if levels.shape[-1] == 1:
        return BLACK + levels * (SPAN / PEAK)
    return BLACK + levels @ (np.array(STUDIO)[:, None] / PEAK)


CHANNELS: Mapping[str, Callable[[Array], Array]] = {"y": _y, "all": lambda levels: levels}
"""Levels (height, width, 1 or 3) -> what is compared (height, width, channels)."""

_ROWS = [
    Protocol(
        "sr-y",
        "y",
        0,
        "luma, a border of the scale cut off: the tables of Set5, Set14, B100, Urban100",
        "BasicSR",
    ),
    Protocol("sr-rgb", "all", 0, "red, green and blue, a border of the scale cut off", "BasicSR"),
    Protocol("div2k-rgb", "all", 6, "red, green and blue, a border of the scale + 6 cut off", "EDSR-PyTorch, LIIF"),
]
TABLE: dict[str, Protocol] = {row.name: row for row in _ROWS}


def get(name: str | Protocol) -> Protocol:
    """A protocol by name, or the one that was passed.

    Raises: ValueError, with the nearest known names.
    """
    if isinstance(name, Protocol):
        if name.channels not in CHANNELS:
            raise unknown_name("choice of channels", name.channels, CHANNELS)
        if name.margin < 0:
            raise HalfpixelValueError(f"protocol {name.name!r} has a margin of {name.margin}", "a margin of 0 or more")
        return name
    if name not in TABLE:
        raise unknown_name("protocol", name, TABLE)
    return TABLE[name]
