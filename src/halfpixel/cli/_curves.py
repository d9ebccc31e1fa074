# SPDX-License-Identifier: MIT
"""What a filter or preset is, measured: kernel, frequency response, weights near an edge.

All of it is read off the engine's own answer to unit impulses, so that prefilters, edges and presets are in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

import halfpixel

_FINE = 64  # kernel samples per pixel
_REACH = 12  # pixels to either side that are looked at
_SMALL = 1e-4
_MOST_COLUMNS = 8


@dataclass(frozen=True)
class Curves:
    """A filter, measured.

    **Convention:** ``x`` is in input pixels, ``frequency`` in cycles per input pixel (0.5 is the finest detail that an
    input can hold), ``gain`` relative to that of a constant. ``weight[o, j]`` is what output o takes of input j, at the
    start of an axis enlarged by ``scale``.
    """

    x: npt.NDArray[np.float64]
    kernel: npt.NDArray[np.float64]
    frequency: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    scale: Fraction

    @property
    def reach(self) -> float:
        """How far from its centre the kernel is more than next to nothing, in pixels."""
        seen = np.abs(self.x[np.abs(self.kernel) > _SMALL])
        return float(np.ceil(seen.max() * 2) / 2)

    @property
    def overshoot(self) -> float:
        """How far a step from 0 to 1 goes above 1."""
        return max(0.0, float(np.max(np.cumsum(self.kernel)) / _FINE - 1))

    def at(self, frequency: float) -> float:
        """The gain at a frequency, in dB."""
        return float(decibels(np.interp(frequency, self.frequency, self.gain)))

    @property
    def images(self) -> float:
        """The strongest image of coarse detail (from 0.6 cycles per pixel up) that is left, in dB."""
        return float(decibels(self.gain[self.frequency >= 0.6].max()))

    def to_dict(self) -> dict[str, Any]:
        """The measures and the curves as plain values."""
        return {
            "reach": self.reach,
            "overshoot": round(self.overshoot, 6),
            "gain_db": {str(f): round(self.at(f), 3) for f in (0.125, 0.25, 0.375, 0.5)},
            "images_db": round(self.images, 3),
            "scale": str(self.scale),
            "kernel": {"x": self.x.tolist(), "value": [round(value, 9) for value in self.kernel.tolist()]},
            "edge_weights": [[round(value, 9) for value in row] for row in self.weight.tolist()],
        }


def curves(method: dict[str, Any], scale: Fraction, rows: int = 6) -> Curves:
    """Measure a filter or preset. Raises: ValueError as `halfpixel.plan`."""
    n = 2 * _REACH + 1
    impulse = np.zeros(n)
    impulse[_REACH] = 1
    kernel = halfpixel.resize(impulse, scale=_FINE, **method)
    x = (np.arange(len(kernel)) + 0.5) / _FINE - _REACH - 0.5
    frequency = np.linspace(0, 2, 401)
    gain = np.abs(np.exp(-2j * np.pi * np.outer(frequency, x)) @ kernel) / _FINE
    weight = halfpixel.resize(np.eye(n), scale=scale, axes=0, **method)[:rows]
    used = np.flatnonzero(np.abs(weight).max(axis=0) > 5 * _SMALL).max(initial=0) + 1
    return Curves(x, kernel, frequency, gain / gain[0], weight[:, : min(used, _MOST_COLUMNS)], scale)


def decibels(gain: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """20 log10, not below -120."""
    return 20 * np.log10(np.maximum(gain, 1e-6))
