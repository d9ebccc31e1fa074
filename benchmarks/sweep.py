# SPDX-License-Identifier: MIT
"""The same resize from 1 to 256 megapixels of output: does the time over the floor stay the same?"""

from __future__ import annotations

from collections.abc import Iterator

from halfpixel.testing.cases import METHODS, Case

MEGAPIXELS = (1, 4, 16, 64, 256)


def cases(megapixels: tuple[int, ...] = MEGAPIXELS) -> Iterator[Case]:
    """Square images, output given in 2^20 pixels: float32 planes enlarged, uint8 photos shrunk."""
    for mega in megapixels:
        side = round((mega << 20) ** 0.5)
        for method, dtype, shape, axes, size in (
            ("cubic", "float32", (1, 1, side // 2, side // 2), (2, 3), (side, side)),
            ("cubic_aa", "uint8", (side, side, 3), (0, 1), (side // 2, side // 2)),
        ):
            layout = "planar" if dtype == "float32" else "interleaved"
            yield Case(f"{method}-{dtype}-{mega}mp", shape, layout, dtype, axes, size, *METHODS[method])
