# SPDX-License-Identifier: MIT
"""What is measured, from where on it is a fault, and why there: one table."""

from __future__ import annotations

from dataclasses import dataclass

LEVEL = 1 / 255  # one step of an 8-bit picture: what a display can just show


@dataclass(frozen=True)
class Limit:
    """One row: a check, the kind of fault it finds, the number from which on there is one, its unit, and the reason.

    **Convention:** `fault` is what a number above the limit means, "fail" or "warning". `of_level`: the number is a
    share of the output's range, so that half precision, whose own steps are larger, widens the limit.
    """

    name: str
    kind: str
    what: str
    limit: float
    unit: str
    reason: str
    fault: str = "fail"
    of_level: bool = False


_ROWS = (
    Limit(
        "polyphase", "checkerboard", "sums of weights of each phase, std over mean, worst layer", LEVEL, "",
        "one 8-bit step on white; equal sums leave 1e-7 in float32, random ones about 1",
    ),
    Limit(
        "flat", "checkerboard", "phase means of a constant input's output, std over range", LEVEL, "",
        "one 8-bit step; interpolation leaves 1e-7", of_level=True,
    ),
    Limit(
        "ramp", "checkerboard", "how far phases have come apart at the end of a ramp, std over range", LEVEL, "",
        "one 8-bit step; equal stairs, as repetition makes them, do not count", of_level=True,
    ),
    Limit(
        "comb", "checkerboard", "spectral lines at m/scale over their surroundings, smooth input", 10.0, "dB",
        "noise alone passes 10 dB in one bin of e^10; lines under 1/16 of an 8-bit step do not count",
    ),
    Limit(
        "gradient", "checkerboard", "d sum(y) / dx inside, std over mean", 0.02, "",
        "an antialiased Lanczos filter has up to 0.01 by itself; float32 leaves 1e-6",
    ),
    Limit(
        "shift", "shift", "centroid of the impulse response against scale * x + (scale - 1) / 2", 0.1, "output px",
        "the least of the usual mistakes is a quarter pixel; finite differences in float32 leave 1e-3",
    ),
    Limit(
        "border", "border", "constant input: the border against the inside, over range", LEVEL, "",
        "one 8-bit step", of_level=True,
    ),
    Limit(
        "overshoot", "overshoot", "a step from 0 to 1: beyond its ends", LEVEL, "",
        "one 8-bit step; it is the price of sharpness, so a warning", "warning", True,
    ),
    Limit(
        "noise", "overshoot", "random inputs in 0..1: beyond the least and largest of the sample and channel", LEVEL,
        "", "one 8-bit step; it is the price of sharpness, so a warning", "warning", True,
    ),
    Limit(
        "equivariance", "shift-equivariance", "input moved by whole pixels: rms change of the inside, over its std",
        1e-3, "", "exact arithmetic has 0, float32 leaves 1e-6 to 1e-5 behind a hundred layers", of_level=True,
    ),
)  # fmt: skip
TABLE = {row.name: row for row in _ROWS}
