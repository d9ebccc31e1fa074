# SPDX-License-Identifier: MIT
"""torch.nn.functional.interpolate on the CPU.

Coordinates and weights are float32 for everything but double; with a scale that is kept the step is 1 / scale. uint8
images go through 16-bit integer weights, one precision per axis, rounded to uint8 after each pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from halfpixel._axis import Chain, Link
from halfpixel._band import Band

from .kernels import keys
from .line import Float, Line, Variant, Windows, by_dtype, by_width, folded
from .windows import selected

_LONG = 1 << 23  # from here on neighbouring samples share their float32 coordinates, and torch takes wrong ones


def _real(line: Line) -> Any:
    """The type of coordinates; where torch's cannot tell samples apart, the definition's."""
    return np.float64 if max(line.n_in, line.n_out) >= _LONG else line.real


def _single(line: Line, centre: Float) -> Float:
    return centre if max(line.n_in, line.n_out) >= _LONG else centre.astype(np.float32)


def ratio(line: Line) -> Any:
    """The step: (n - 1) / (m - 1) with align_corners, 1 / scale where it is kept, n / m otherwise."""
    real = _real(line)
    if line.row.grid == "align_corners":
        return real(line.n_in - 1) / real(line.n_out - 1) if line.n_out > 1 else real(0)
    return real(line.n_in) / real(line.n_out) if line.kept is None else real(1.0 / line.kept)


def _outputs(line: Line) -> Float:
    return np.arange(line.n_out).astype(_real(line))


def points(line: Line) -> tuple[Any, Float]:
    """Index space: step * o, or step * (o + 1/2) - 1/2 as one fused multiply-add (exact in double for float32)."""
    step, real = ratio(line), _real(line)
    if line.row.grid == "align_corners":
        return step, _outputs(line) * step
    fused = (_outputs(line) + real(0.5)).astype(np.float64) * np.float64(step) - 0.5
    return step, fused.astype(real)


def centres(line: Line) -> tuple[Any, Float]:
    """Edge space, of the antialiased filters: step * (o + 1/2), also with align_corners."""
    step = ratio(line)
    return step, ((np.arange(line.n_out) + 0.5) * np.float64(step)).astype(_real(line))


def corners(line: Line) -> tuple[Any, Float]:
    """step * o in the type of the coordinates, rounded to float32 before the floor is taken."""
    step = ratio(line)
    return step, _single(line, _outputs(line) * step)


def middles(line: Line) -> tuple[Any, Float]:
    """step * (o + 1/2), rounded to float32 before the floor is taken."""
    step = ratio(line)
    return step, _single(line, (_outputs(line) + line.real(0.5)) * step)


def vectorised(line: Line, step: Any, centre: Float) -> Windows:
    """Nearest in the kernel for small and channels-last images: equal sizes copy, twice the size halves the index."""
    o = np.arange(line.n_out)
    if line.n_out in (line.n_in, 2 * line.n_in):
        return selected(o // (line.n_out // line.n_in))
    return selected(np.clip(np.floor(centre).astype(np.int64), 0, line.n_in - 1))


def _split(line: Line, centre: Float) -> tuple[Any, Float]:
    first = np.minimum(np.floor(_single(line, centre)).astype(np.int64), line.n_in - 1)
    return first, np.clip(centre - first.astype(line.real), line.real(0), line.real(1))


def two_taps(line: Line, step: Any, centre: Float) -> Windows:
    """Linear: coordinates below 0 are moved to 0 before they are split."""
    first, part = _split(line, np.maximum(centre, line.real(0)))
    return Windows(first, np.stack([line.real(1) - part, part], axis=1))


def four_taps(line: Line, step: Any, centre: Float) -> Windows:
    """Cubic convolution, a = -0.75, at the four samples around the coordinate."""
    first, part = _split(line, centre)
    distance = part.astype(np.float64)[:, None] - np.arange(-1, 3)
    return Windows(first - 1, keys(-0.75)(distance).astype(line.real))


def adaptive(line: Line, step: Any, centre: Float) -> Windows:
    """Adaptive average pooling: the plain mean of samples floor(o n / m) to ceil((o + 1) n / m), in integers."""
    o = np.arange(line.n_out, dtype=np.int64)
    low = o * line.n_in // line.n_out
    count = -(-(o + 1) * line.n_in // line.n_out) - low
    return Windows(low, (np.arange(int(count.max())) < count[:, None]) / count[:, None].astype(np.float64))


def _precision(largest: float) -> int:
    bits = 0
    while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    return bits


def half_away(weight: Float, bits: int) -> Float:
    """Weights as integers of that many fractional bits, halves away from zero."""
    scaled = weight * float(1 << bits)
    return np.trunc(scaled + np.where(scaled < 0, -0.5, 0.5))


def _sixteen_bits(line: Line, windows: Windows) -> Chain:
    band = folded(line, windows)[0].band
    bits = _precision(float(band.weight.max()))
    weight = half_away(band.weight, bits)
    return (Link(Band(line.n_in, band.start, weight), post=("fixed", 0, 0, bits, 0, 255)),)


def small_image(lines: Sequence[Line]) -> bool:
    """A 4-D tensor whose output's height and width add up to 128 at most: another kernel runs."""
    return len(lines) == 2 and sum(line.n_out for line in lines) <= 128


_UINT8 = Variant(np.float64, "fixed", finish=_sixteen_bits, skip_rule="equal")
_NEAREST = {
    name: Variant(np.float64 if name in ("float64", "complex128") else np.float32) for name in by_dtype(Variant())
}

COORDS = {"torch": points, "torch.centres": centres, "torch.corners": corners, "torch.middles": middles}
WEIGHTS = {
    "torch.two_taps": two_taps,
    "torch.four_taps": four_taps,
    "torch.adaptive": adaptive,
    "torch.vectorised": vectorised,
}
ROUNDS = {
    "float": by_width(),
    "torch": by_width(uint8=_UINT8),
    "torch.nearest": _NEAREST,
    "torch.single": by_dtype(Variant(np.float32)),
}
ROUTES = {"small_image": small_image}
