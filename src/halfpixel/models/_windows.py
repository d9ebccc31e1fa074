# SPDX-License-Identifier: MIT
"""Where tiles lie along one axis: which input each is computed from, and which part of the output is its own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

Size = tuple[int, int]


@dataclass(frozen=True)
class Span:
    """One axis of a tile, in input pixels: computed from [low, high), its own output that of [start, stop)."""

    low: int
    start: int
    stop: int
    high: int

    @property
    def window(self) -> slice:
        """The input."""
        return slice(self.low, self.high)

    @property
    def core(self) -> slice:
        """The own part, within the window."""
        return slice(self.start - self.low, self.stop - self.low)

    @property
    def length(self) -> int:
        """How much input is read."""
        return self.high - self.low


def up_to(n: int, multiple: int) -> int:
    """The smallest multiple that is not below n."""
    return -(-n // multiple) * multiple


def exact(n: int, tile: int, halo: int, stride: int) -> list[Span]:
    """[0, n) as tiles of equal size, ``tile`` at most, each with its halo.

    Tiles and windows begin at multiples of ``stride``, so that strided layers meet the same phase as in the whole;
    windows end inside the image, so that a network's own padding stands at the image's border alone.
    """
    units, most = -(-n // stride), max(1, tile // stride)
    count = -(-units // most)
    edges = [min(n, stride * (units * i // count)) for i in range(count + 1)]
    return [_with_halo(start, stop, n, halo, stride) for start, stop in itertools.pairwise(edges)]


def _with_halo(start: int, stop: int, n: int, halo: int, stride: int) -> Span:
    reach = up_to(halo, stride)
    return Span(max(0, start - reach), start, stop, min(n, stop + reach))


def halved(span: Span, halo: int, stride: int) -> tuple[Span, Span] | None:
    """A tile as two, computed from parts of its own window; None where it is a single stride wide."""
    middle = span.start + up_to((span.stop - span.start) // 2, stride)
    if not span.start < middle < span.stop:
        return None
    reach = up_to(halo, stride)
    return (
        Span(span.low, span.start, middle, min(span.high, middle + reach)),
        Span(max(span.low, middle - reach), middle, span.stop, span.high),
    )


def overlapping(n: int, tile: int, overlap: int, multiple: int) -> list[Span]:
    """[0, n) as tiles that share ``overlap`` pixels with each neighbour, none with more than two others.

    Tiles begin at multiples of ``multiple``; `start` and `stop` are the whole of the window.
    """
    if n <= max(tile, overlap + multiple):
        return [Span(0, 0, n, n)]
    count = -(-(n - overlap) // max(multiple, tile - overlap))
    step = max(up_to(-(-(n - overlap) // count), multiple), up_to(overlap, multiple))
    lows = range(0, n - overlap, step)
    return [Span(low, low, high, high) for low in lows for high in [min(n, low + step + overlap)]]
