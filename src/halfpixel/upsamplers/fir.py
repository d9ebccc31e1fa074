# SPDX-License-Identifier: MIT
"""Zeros between the samples and a fixed filter, with borders that keep their level; and the transpose, blur pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelShapeError, HalfpixelValueError, unknown_name

from ._base import Downsampler, Upsampler, shrunk
from ._interpolating import projected, projected_adds
from ._registry import Shape, Sizes, register

_EDGES = {"replicate": "replicate", "reflect": "reflect", "wrap": "circular", "zeros": "constant"}
Taps = tuple[float, ...]


def three_boxes(scale: int) -> Taps:
    """The default filter: a box of `scale` samples, three times convolved; (1, 3, 3, 1) / 4 for 2, up to its sum."""
    line = [1.0]
    for _ in range(3):
        wide = [0.0] * (len(line) + scale - 1)
        for i, value in enumerate(line):
            for j in range(scale):
                wide[i + j] += value / scale
        line = wide
    return tuple(line)


def checked_taps(taps: Any, scale: Sizes, edge: str, phases: bool) -> tuple[Taps, ...]:
    """The filter of every axis, with sum 1.

    Raises: ValueError for filters that shift by half a pixel, or whose phases differ.
    """
    if edge not in _EDGES:
        raise unknown_name("edge", edge, _EDGES)
    if taps is None:
        return tuple(three_boxes(s) for s in scale)
    line = tuple(float(t) for t in taps)
    for s in scale:
        if len(line) < s or (len(line) - s) % 2:
            why = f"a filter of {len(line)} taps at scale {s} " + (
                "leaves holes" if len(line) < s else "shifts by half"
            )
            raise HalfpixelValueError(why, f"{s} taps, or {s} and an even number more")
        sums = [sum(line[p::s]) for p in range(s)]
        if not sum(line) or (phases and max(sums) - min(sums) > 1e-6 * abs(sum(line))):
            why = f"the phases of {line} at scale {s} sum to {sums}: a checkerboard"
            raise HalfpixelValueError(why, f"phases of equal sums, such as those of {three_boxes(s)}, the default")
    return tuple(tuple(t / sum(line) for t in line) for _ in scale)


@register(
    "fir", source="Zhang, Making convolutional networks shift-invariant again (2019); Karras et al., StyleGAN2 (2020)",
    parameters=projected, multiply_adds=projected_adds, convex=True, integer_only=True, dims=(1, 2, 3),
)  # fmt: skip
class Fir(Upsampler):
    """Zeros between the samples, then a fixed filter ("upfirdn").

    **Convention:** per axis out[o] = scale * sum of x[n] taps[o - scale * n + (len(taps) - scale) / 2], the taps' sum
    being 1; the edge rule speaks of x, so that borders are as bright as the rest.
    Options: taps: None: a box of `scale` samples convolved with itself twice, (1, 3, 3, 1) for 2, which is linear
        interpolation; all phases have to have equal sums. edge: "replicate", "reflect", "wrap", or "zeros", which
        darkens borders as in StyleGAN2.
    """

    def __init__(self, shape: Shape, *, taps: Sequence[float] | None = None, edge: str = "replicate") -> None:
        super().__init__(shape, project=True)
        self.taps = checked_taps(taps, tuple(int(s) for s in shape.scale), edge, True)
        self.edge = edge

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        for axis, (s, line) in enumerate(zip(self.scale, self.taps, strict=True)):
            if s > 1:
                x = _grown(x, axis, int(s), line, self.edge)
        return x

    def start(self, mode: str) -> str | None:
        """The default filter of scale 2 is linear interpolation."""
        same = all(line == three_boxes(2) for s, line in zip(self.scale, self.taps, strict=True) if s > 1)
        return None if mode == "linear" and same and self.edge == "replicate" else super().start(mode)


@register(
    "blur_pool", kind="downsampler", source="Zhang, Making convolutional networks shift-invariant again (2019)",
    parameters=projected, multiply_adds=projected_adds, convex=True, integer_only=True, dims=(1, 2, 3),
)  # fmt: skip
class BlurPool(Downsampler):
    """A fixed low-pass filter and every scale-th sample.

    **Convention:** the transpose of `fir`: taps of sum 1 around the middle of `scale` samples, no half-pixel shift.
    Options: taps: as in `fir`, (1, 3, 3, 1) for 2. edge: "replicate", "reflect", "wrap", "zeros".
    """

    def __init__(self, shape: Shape, *, taps: Sequence[float] | None = None, edge: str = "reflect") -> None:
        super().__init__(shape, project=True)
        self.taps = checked_taps(taps, tuple(int(s) for s in shape.scale), edge, False)
        self.edge = edge

    def downsample(self, x: Tensor, size: Sizes) -> Tensor:
        """x at size."""
        for axis, (s, line) in enumerate(zip(self.scale, self.taps, strict=True)):
            if s > 1:
                x = _shrunk(x, axis, int(s), line, self.edge)
        return x


def padded(x: Tensor, axis: int, before: int, after: int, edge: str) -> Tensor:
    """x with samples outside of one spatial axis, by the edge rule; replicated further where x is too short for it."""
    n, dims = x.shape[axis + 2], x.dim() - 2
    least = {"reflect": n - 1, "wrap": n}.get(edge)
    if least is not None and max(before, after) > least:
        if edge == "wrap":
            raise HalfpixelShapeError(f"{n} samples do not wrap {max(before, after)} around", "a longer axis")
        inner = padded(x, axis, min(before, least), min(after, least), edge)
        return padded(inner, axis, max(before - least, 0), max(after - least, 0), "replicate")
    pads = [0] * (2 * dims)
    pads[2 * (dims - 1 - axis) : 2 * (dims - axis)] = before, after
    return torch.nn.functional.pad(x, pads, mode=_EDGES[edge])


def _grown(x: Tensor, axis: int, s: int, line: Taps, edge: str) -> Tensor:
    half, n = (len(line) - s) // 2, x.shape[axis + 2]
    # Output s * q + r takes tap t from sample q + (r + half - t) / s.
    parts = [
        [((r + half - t) // s, s * tap) for t, tap in enumerate(line) if (r + half - t) % s == 0] for r in range(s)
    ]
    before = max(0, *(-at for part in parts for at, _ in part))
    after = max(0, *(at for part in parts for at, _ in part))
    wide = padded(x, axis, before, after, edge)
    phases = [_summed(wide, axis, [(at + before, tap) for at, tap in part], n, 1) for part in parts]
    return torch.stack(phases, axis + 3).flatten(axis + 2, axis + 3)


def _shrunk(x: Tensor, axis: int, s: int, line: Taps, edge: str) -> Tensor:
    half, n = (len(line) - s) // 2, x.shape[axis + 2]
    m = shrunk(n, s)
    wide = padded(x, axis, half, s * m + half - n, edge)
    return _summed(wide, axis, list(enumerate(line)), m, s)


def _summed(x: Tensor, axis: int, taps: list[tuple[int, float]], count: int, step: int) -> Tensor:
    """The sum of shifted views, each times its tap."""
    views = [x[(slice(None),) * (axis + 2) + (slice(at, at + step * (count - 1) + 1, step),)] * tap for at, tap in taps]
    total = views[0]
    for view in views[1:]:
        total = total + view
    return total
