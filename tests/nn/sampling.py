# SPDX-License-Identifier: MIT
"""Samples at given positions by loops over float64, written from the formulas of `torch.nn.functional.grid_sample`."""

from __future__ import annotations

import itertools
import math

import numpy as np


def reflected(v, low, high):
    if high <= low:
        return 0.0
    rest = abs(v - low) % (2 * (high - low))
    return min(rest, 2 * (high - low) - rest) + low


def place(v, n, padding, aligned):
    """Where a position is taken to."""
    if padding == "zeros":
        return v
    if padding == "reflection":
        v = reflected(v, 0.0, n - 1.0) if aligned else reflected(v, -0.5, n - 0.5)
    return min(max(v, 0.0), n - 1.0)


def keys(d, a=-0.75):
    x = abs(d)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def axis(position, n, mode, padding, aligned):
    """(cell, weight) pairs inside the input."""
    if mode == "bicubic":
        first = math.floor(position)
        taps = [(place(first + k, n, padding, aligned), keys(position - first - k)) for k in (-1, 0, 1, 2)]
    else:
        v = place(position, n, padding, aligned)
        if mode == "nearest":
            taps = [(float(np.rint(v)), 1.0)]
        else:
            first = math.floor(v)
            taps = [(first, first + 1 - v), (first + 1, v - first)]
    return [(int(cell), weight) for cell, weight in taps if 0 <= cell < n]


def at_positions(x, positions, mode, padding, aligned):
    """x (N, C, *size) at positions (N, *out, d), in samples, slowest axis first."""
    out = positions.shape[1:-1]
    y = np.zeros((*x.shape[:2], *out))
    for b in range(x.shape[0]):
        for o in itertools.product(*map(range, out)):
            lines = [axis(p, n, mode, padding, aligned) for p, n in zip(positions[(b, *o)], x.shape[2:], strict=True)]
            for taps in itertools.product(*lines):
                cell = tuple(c for c, _ in taps)
                y[(b, slice(None), *o)] += math.prod(w for _, w in taps) * x[(b, slice(None), *cell)]
    return y


def grid_sample(x, grid, mode, padding, aligned):
    """Coordinates in [-1, 1], fastest axis first."""
    size = np.array(x.shape[2:], float)
    c = grid[..., ::-1]
    positions = (c + 1) / 2 * (size - 1) if aligned else ((c + 1) * size - 1) / 2
    return at_positions(x, positions, mode, padding, aligned)


def sample_offsets(x, offsets, scale, groups):
    """Offsets (N, 2 * groups * scale**2, H, W), as the paper has them."""
    n, channels, height, width = x.shape
    o = offsets.reshape(n, 2, groups, scale, scale, height, width)
    y = np.zeros((n, channels, height * scale, width * scale))
    each = channels // groups
    for g, i, j, h, w in itertools.product(range(groups), range(scale), range(scale), range(height), range(width)):
        part = slice(g * each, (g + 1) * each)
        for b in range(n):
            dx, dy = o[b, :, g, i, j, h, w]
            position = np.array([h + (i - (scale - 1) / 2) / scale + dy, w + (j - (scale - 1) / 2) / scale + dx])
            sample = at_positions(x[b : b + 1, part], position[None, None], "bilinear", "border", False)
            y[b, part, h * scale + i, w * scale + j] = sample[0, :, 0]
    return y
