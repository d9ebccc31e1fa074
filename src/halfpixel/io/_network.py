# SPDX-License-Identifier: MIT
"""Pictures enlarged by a network, with what a filter keeps: transparency, depth, any size, rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from halfpixel._plan import plan
from halfpixel.io._light import Working
from halfpixel.io._picture import KINDS, Header, ImageFileError, full_scale
from halfpixel.io._rows import OnProgress, ReadRows, Resampling, untold

Size = tuple[int, int]

ALPHA = "cubic"
_KINDS = ("gray", "gray+alpha", "rgb", "rgba")
_RADII = (1, 2, 4, 8, 16)  # of windows from which the colour of transparent pixels is made, the nearest first
_BAND_BYTES = 1 << 24
_FLOAT = np.dtype(np.float32)


class Network(Protocol):
    """What enlarges pictures by a whole number, strip by strip: `halfpixel.models.Enlarger` is one."""

    name: str

    @property
    def scale(self) -> int: ...

    def notes(self, size: Size, dtype: np.dtype) -> tuple[str, ...]:
        """What is to be said of a picture of (height, width)."""
        ...

    def nbytes(self, size: Size, colour: bool) -> int:
        """What is held beside input and output."""
        ...

    def strips(self, read: ReadRows, size: Size, colour: bool, on_progress: OnProgress) -> Iterator[npt.NDArray]:
        """Floats in planes, (channels, rows, width * scale), from top to bottom."""
        ...


@dataclass(frozen=True)
class Enlarging:
    """One picture's way through a network: the interface of `Resampling`.

    **Convention:** the network sees straight colour, continued from the nearest pixels that can be seen into those that
    cannot, so that transparent surroundings leave no fringes; alpha is enlarged by `cubic`. What comes out is floats
    until ``final``, which resizes where another size was asked for, and stores.
    """

    network: Network
    size: Size
    kind: str
    dtype: np.dtype
    premultiplied: bool
    final: Resampling

    @property
    def whole_bytes(self) -> int:
        """What is held while the whole is enlarged."""
        h_out, w_out = self.final.plan.size_out[:2]
        samples = self.size[0] * self.size[1] * self.dtype.itemsize
        samples += h_out * w_out * self.final.working.dtype_out.itemsize
        return samples * self.final.channels + self.strip_bytes

    @property
    def strip_bytes(self) -> int:
        """What is held beside input and output."""
        return self.network.nbytes(self.size, self._colours == 3)

    @property
    def in_rows_why_not(self) -> str | None:
        """Why this resize needs all rows at once, or None."""
        return self.final.in_rows_why_not

    def streamed_bytes(self, most_bytes: int) -> int:
        """About what is held when the output is made in bands."""
        return self.final.streamed_bytes(most_bytes) + self.strip_bytes

    def whole(self, pixels: npt.NDArray, on_progress: OnProgress = untold) -> npt.NDArray:
        """The whole output of a whole input."""
        if self.in_rows_why_not:  # a spline, behind the network
            strips = list(self._joined(lambda a, b: pixels[a:b], on_progress))
            return self.final.whole(np.concatenate(strips))
        bands = self.streamed(lambda a, b: pixels[a:b], _BAND_BYTES, on_progress)
        out, done = None, 0
        for band in bands:
            if out is None:
                out = np.empty((self.final.plan.size_out[0], *band.shape[1:]), band.dtype)
            out[done : done + len(band)] = band
            done += len(band)
        return out  # type: ignore[return-value]

    def streamed(self, read: ReadRows, most_bytes: int, on_progress: OnProgress = untold) -> Iterator[npt.NDArray]:
        """The output in bands, from as few input rows as strips of the network's tiles need."""
        return self.final.streamed(Rolling(self._joined(read, on_progress)).rows, most_bytes)

    @property
    def _colours(self) -> int:
        return self.final.channels - KINDS[self.kind].alpha

    def _joined(self, read: ReadRows, on_progress: OnProgress) -> Iterator[npt.NDArray]:
        """Strips of (rows, columns[, channels]) in floats: the network's colour, and alpha beside it."""
        colour = self._colours == 3
        if not KINDS[self.kind].alpha:
            for strip in self.network.strips(read, self.size, colour, on_progress):
                yield np.moveaxis(strip, 0, -1) if colour else strip[0]
            return
        cover, done = self._cover(), 0
        for strip in self.network.strips(self._seen(read), self.size, colour, on_progress):
            rows = done, done + strip.shape[1]
            alpha = cover.band(*rows, lambda a, b: read(a, b)[..., -1])
            yield np.moveaxis(np.concatenate([strip, alpha[None]]), 0, -1)
            done = rows[1]

    def _cover(self) -> Resampling:
        scale = self.network.scale
        larger = plan(self.size, (self.size[0] * scale, self.size[1] * scale), filter=ALPHA)
        return Resampling(larger, Working("gray", self.dtype, _FLOAT), 1)

    def _seen(self, read: ReadRows) -> ReadRows:
        """Rows of the colour that the network is to see."""
        reach, height = max(_RADII), self.size[0]

        def rows(start: int, stop: int) -> npt.NDArray:
            low, high = max(0, start - reach), min(height, stop + reach)
            colour = continued(read(low, high), self.premultiplied)[start - low : stop - low]
            return colour if colour.shape[-1] > 1 else colour[..., 0]

        return rows


def enlarging(
    header: Header, network: Network, size: Size, method: dict[str, object], stored: Working
) -> tuple[Enlarging, tuple[str, ...]]:
    """The way of a picture through a network to ``size``, and what is to be said of it.

    stored: how a filter alone would work on this picture. Raises: ImageFileError for kinds that networks do not know.
    """
    if header.kind not in _KINDS or header.dtype.kind not in "uf":
        what = header.kind if header.kind not in _KINDS else f"of {header.dtype} samples"
        raise ImageFileError(f"the picture is {what}, and networks are for gray and RGB", "leave --model out")
    made = header.size[0] * network.scale, header.size[1] * network.scale
    channels = (header.channels,) if header.channels > 1 else ()
    axes = (-3, -2) if channels else (-2, -1)
    notes = network.notes(header.size, header.dtype)
    if size == made:
        method = {"filter": "nearest"}  # which copies
    else:
        by = method.get("like") or method.get("filter")
        was, now = f"{made[1]} x {made[0]}", f"{size[1]} x {size[0]}"
        notes = (*notes, f"{network.name} enlarges {network.scale} times, to {was}; {by} resizes that to {now}")
    last = plan((*made, *channels), size, axes=axes, **method)  # type: ignore[arg-type]
    working = Working(header.kind, _FLOAT, stored.dtype_out, False, False, stored.premultiplied_out, stored.background)
    final = Resampling(last, working, header.channels)
    return Enlarging(network, header.size, header.kind, header.dtype, header.premultiplied, final), notes


class Rolling:
    """Rows that come in blocks, read in windows that only move down; what lies above the last one is dropped."""

    def __init__(self, blocks: Iterator[npt.NDArray]) -> None:
        self._blocks, self._held = blocks, [np.empty((0,))][:0]
        self._first = self._last = 0

    def rows(self, start: int, stop: int) -> npt.NDArray:
        """Rows [start, stop)."""
        while self._last < stop:
            block = next(self._blocks)
            self._drop(start)
            self._held.append(block)
            self._last += len(block)
        self._drop(start)
        joined = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        self._held = [joined]
        return joined[start - self._first : stop - self._first]

    def _drop(self, start: int) -> None:
        while self._held and self._first + len(self._held[0]) <= start:
            self._first += len(self._held.pop(0))


def continued(stored: npt.NDArray, premultiplied: bool) -> npt.NDArray[np.float32]:
    """Straight colour in 0 ... 1, (rows, columns, channels): invisible pixels take that of visible ones nearby.

    **Convention:** it is their mean, weighed by alpha, over the smallest of a few windows that holds any; sums of
    integers are exact, so that a strip gives what the whole gives.
    """
    full = full_scale(stored.dtype)
    cover = stored[..., -1].astype(np.float64)
    planes = np.moveaxis(stored[..., :-1], -1, 0).astype(np.float64)
    visible = cover > 0
    if premultiplied:
        planes = np.divide(planes * full, cover, out=np.zeros_like(planes), where=visible)
    if not visible.all():
        _fill(planes, cover, visible)
    return np.moveaxis((planes / full).astype(np.float32), 0, -1)


def _fill(planes: npt.NDArray, cover: npt.NDArray, visible: npt.NDArray) -> None:
    weighed, known = planes * cover, visible.copy()
    planes[:, ~visible] = 0
    for radius in _RADII:
        total = _box(cover, radius)
        here = ~known & (total > 0)
        for plane, sums in zip(planes, weighed, strict=True):
            plane[here] = _box(sums, radius)[here] / total[here]
        known |= here
        if known.all():
            return


def _box(values: npt.NDArray, radius: int) -> npt.NDArray:
    """Sums over windows of 2 * radius + 1 pixels a side, what lies outside counting as 0."""
    for axis in (0, 1):
        n = values.shape[axis]
        total = np.cumsum(values, axis=axis)
        total = np.concatenate([np.zeros_like(total.take([0], axis)), total], axis)
        at = np.arange(n)
        high, low = np.minimum(at + radius + 1, n), np.maximum(at - radius, 0)
        values = total.take(high, axis) - total.take(low, axis)
    return values
