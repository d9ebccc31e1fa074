# SPDX-License-Identifier: MIT
"""ITU-R BT.601: luma of R, G and B, and its studio range, as MATLAB's rgb2ycbcr and super-resolution papers have it."""

from __future__ import annotations

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B."""
BLACK, SPAN = 16, 219
"""Of 8-bit levels in studio range: black is 16, white 16 + 219 = 235."""
STUDIO = (65.481, 128.553, 24.966)
"""`LUMA` times `SPAN`, as decimals: Y = 16 + 65.481 R + 128.553 G + 24.966 B for R, G, B in 0 ... 1."""
