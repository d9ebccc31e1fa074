# SPDX-License-Identifier: MIT
"""jax.image.resize: kernels sampled at every input sample, normalised; float32 unless the input is float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kernels import kernel
from .line import Float, Line, Variant, Windows, by_width
from .windows import in_order, overlapping

# Rows whose weights add up to less than this are zero.
_LEAST = 1000.0 * float(np.finfo(np.float32).eps)


def _inverse(line: Line) -> Any:
    return line.real(1.0 / (line.n_out / line.n_in))


def points(line: Line) -> tuple[Any, Float]:
    """Index space: (o + 1/2) / scale - 1/2, which XLA mostly fuses into one rounding."""
    step = _inverse(line)
    return step, ((np.arange(line.n_out) + 0.5) * np.float64(step) - 0.5).astype(line.real)


def starts(line: Line) -> tuple[Any, Float]:
    """Edge space: where the output sample begins."""
    step = _inverse(line)
    return step, np.arange(line.n_out).astype(line.real) * step


def products(line: Line) -> tuple[Any, Float]:
    """Nearest: (o + 1/2) n / m in float32, as XLA compiles it: one factor, n times the reciprocal of m."""
    step = np.float32(line.n_in) * (np.float32(1) / np.float32(line.n_out))
    return step, (np.arange(line.n_out, dtype=np.float32) + np.float32(0.5)) * step


def sampled(line: Line, step: Any, centre: Float) -> Windows:
    """The kernel at every sample within reach; Lanczos is 1 up to a distance of 1e-3."""
    real = line.real
    support, function = kernel(line.row.filter)
    stretch = max(step, real(1)) if line.row.antialias else real(1)
    low = np.floor(centre - real(support) * stretch).astype(np.int64)
    tap = low[:, None] + np.arange(int(np.ceil(2 * support * float(stretch))) + 2)
    x = np.abs(centre[:, None] - tap.astype(real)) / stretch
    weight = function(x.astype(np.float64)).astype(real)
    if line.row.filter.startswith("lanczos"):
        weight = np.where(x > real(1e-3), weight, real(1))
    return _rows(line, low, tap, weight)


def areas(line: Line, step: Any, centre: Float) -> Windows:
    """Overlap of pixels with the output sample, enlarging too."""
    first, weight = overlapping(centre, centre + step)
    return _rows(line, first, first[:, None] + np.arange(weight.shape[1]), weight)


def _rows(line: Line, first: Any, tap: Any, weight: Float) -> Windows:
    if line.row.edge == "crop":
        weight = np.where((tap >= 0) & (tap < line.n_in), weight, line.real(0))
    total = in_order(weight)
    kept = np.abs(total) > _LEAST
    return Windows(first, np.where(kept, weight / np.where(kept, total, line.real(1)), line.real(0)))


COORDS = {"jax": points, "jax.starts": starts, "jax.products": products}
WEIGHTS = {"jax.sampled": sampled, "jax.areas": areas}
ROUNDS = {"jax": by_width(), "jax.nearest": dict.fromkeys(by_width(), Variant(np.float32))}
