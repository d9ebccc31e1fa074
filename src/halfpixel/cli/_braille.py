# SPDX-License-Identifier: MIT
"""A curve as text: two by four dots to a character."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


def chart(values: npt.NDArray, low: float, high: float, columns: int = 60, rows: int = 8) -> list[str]:
    """Lines of text that draw ``values``, spread evenly from left to right, between ``low`` and ``high``."""
    width, height = 2 * columns, 4 * rows
    sampled = np.interp(np.linspace(0, len(values) - 1, width), np.arange(len(values)), values)
    level = np.round((np.clip(sampled, low, high) - low) / (high - low) * (height - 1)).astype(int)
    canvas = np.zeros((height, width), bool)
    before = level[0]
    for column, now in enumerate(level):
        first, last = sorted((before + np.sign(now - before), now)) if now != before else (now, now)
        canvas[height - 1 - last : height - first, column] = True
        before = now
    cells = canvas.reshape(rows, 4, columns, 2)
    codes = 0x2800 + np.einsum("ridj,ij->rd", cells, _DOTS)
    return ["".join(map(chr, row)) for row in codes]
