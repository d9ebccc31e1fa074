# SPDX-License-Identifier: MIT
"""From stored samples to numbers that may be averaged, and back: alpha, transfer curve, depth."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from halfpixel.io._picture import KINDS, full_scale

# Cover this near to full counts as full: a row of weights sums to 1 only to rounding, and opaque regions then come out
# bit for bit as they do without alpha.
_UNITY = 2.0**-20


@dataclass(frozen=True)
class Working:
    """How one picture's samples become floats that may be averaged, and what the averages become.

    **Convention:** floats are float32, float64 where the samples have more than 24 bits. Colour is multiplied by alpha
    before it is averaged and divided afterwards; where alpha comes out as 0, so does colour. ``linear`` undoes the sRGB
    curve first (IEC 61966-2-1) and applies it last; alpha has no curve. Integers round half up and saturate.
    ``background``: colour in 0 ... 1 that the result is laid on, in place of keeping alpha.
    Floats stand in planes, viewed as (rows, columns, channels): every step is then a pass over contiguous memory.
    """

    kind: str
    dtype_in: np.dtype
    dtype_out: np.dtype
    linear: bool = False
    premultiplied_in: bool = False
    premultiplied_out: bool = False
    background: tuple[float, ...] | None = None

    @property
    def is_plain(self) -> bool:
        """The engine may work on the stored samples themselves."""
        return not (self.linear or KINDS[self.kind].alpha or self.dtype_in != self.dtype_out)

    @property
    def dtype(self) -> np.dtype:
        """The float type that is averaged."""
        exact = self.dtype_in.itemsize <= 2 or self.dtype_in == np.float32
        return np.dtype(np.float32 if exact else np.float64)

    @property
    def white(self) -> float:
        """Full intensity among the averaged numbers: integers keep their own units unless they are made linear."""
        return 1.0 if self.linear else full_scale(self.dtype_in)

    def load(self, stored: npt.NDArray) -> npt.NDArray:
        """Stored samples to averageable floats, in memory of their own."""
        if stored.ndim == 2:
            return self._decoded(stored)
        planes = np.empty((stored.shape[2], *stored.shape[:2]), self.dtype)
        for plane, samples in zip(planes, np.moveaxis(stored, -1, 0), strict=True):
            plane[...] = self._decoded(samples)
        if KINDS[self.kind].alpha:
            self._cover(planes, stored)
        return np.moveaxis(planes, 0, -1)

    def store(self, averaged: npt.NDArray) -> npt.NDArray:
        """Averages to stored samples; the averages are used up."""
        if averaged.ndim == 2:
            return self._quantised(self._encoded(averaged))
        planes = np.moveaxis(averaged, -1, 0)
        if KINDS[self.kind].alpha:
            planes = self._uncovered(planes)
        elif self.linear:
            planes = self._encoded(planes)
        out = np.empty((*planes.shape[1:], len(planes)), self.dtype_out)
        for channel, plane in enumerate(planes):
            out[..., channel] = self._quantised(plane)
        return out[..., 0] if len(planes) == 1 else out

    def _cover(self, planes: npt.NDArray, stored: npt.NDArray) -> None:
        """Multiply colour by alpha, in place."""
        full = self.dtype.type(full_scale(self.dtype_in))
        cover = stored[..., -1].astype(self.dtype) / full
        if self.premultiplied_in and self.linear:
            planes[:-1] = _from_srgb(np.moveaxis(stored[..., :-1], -1, 0) * _inverse(cover, 0.0) / full)
        if self.linear or not self.premultiplied_in:
            planes[:-1] *= cover
        planes[-1] = cover * self.dtype.type(self.white)

    def _uncovered(self, planes: npt.NDArray) -> npt.NDArray:
        """Divide colour by alpha, or lay it on the background; encoded, in units of full scale."""
        colour, cover = planes[:-1], planes[-1]
        cover /= self.dtype.type(self.white)
        cover[np.abs(cover - 1) < _UNITY] = 1
        undone = _inverse(
            cover, self._faintest
        )  # before clipping: where a filter overshoots, colour and alpha do alike
        np.clip(cover, 0, 1, out=cover)
        if self.background is not None:
            for plane, paper in zip(colour, self._paper(), strict=True):
                plane += (1 - cover) * paper
            return self._encoded(colour)
        if self.linear or not self.premultiplied_out:
            colour *= undone
            colour[...] = self._encoded(colour)
            if self.premultiplied_out:
                colour *= cover
        cover *= self.dtype.type(1.0 if self.linear else full_scale(self.dtype_in))
        return planes

    def _paper(self) -> npt.NDArray:
        """The background among the averaged numbers."""
        value = np.asarray(self.background, self.dtype)
        return _from_srgb(value) if self.linear else value * self.dtype.type(self.white)

    @property
    def _faintest(self) -> float:
        """Cover below which alpha is stored as 0."""
        return _UNITY if self.dtype_out.kind == "f" else 0.5 / full_scale(self.dtype_out)

    def _decoded(self, stored: npt.NDArray) -> npt.NDArray:
        if not self.linear:
            return stored.astype(self.dtype)
        if self.dtype_in.kind == "u" and self.dtype_in.itemsize <= 2:
            return np.take(_srgb_table(self.dtype_in), stored)
        return _from_srgb(stored.astype(self.dtype) / self.dtype.type(full_scale(self.dtype_in)))

    def _encoded(self, averaged: npt.NDArray) -> npt.NDArray:
        return _to_srgb(averaged) if self.linear else averaged

    def _quantised(self, values: npt.NDArray) -> npt.NDArray:
        scale = full_scale(self.dtype_out) / (1.0 if self.linear else full_scale(self.dtype_in))
        if scale != 1:
            values = values * self.dtype.type(scale)
        if self.dtype_out.kind == "f":
            return values.astype(self.dtype_out)
        if self.dtype_in.kind == "f":
            values = np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf)
        return _rounded(values, self.dtype_out)


def _rounded(values: npt.NDArray, dtype: np.dtype) -> npt.NDArray:
    """Round half up and saturate, as the engine stores integers."""
    bounds = np.iinfo(dtype)
    values = np.floor(values + values.dtype.type(0.5))
    if dtype.itemsize <= 2:
        return np.clip(values, bounds.min, bounds.max, out=values).astype(dtype)
    top = values >= bounds.max  # the largest integers of 32 and 64 bits are no floats: compare before casting
    stored = np.where(top, 0, np.maximum(values, bounds.min)).astype(dtype)
    stored[top] = bounds.max
    return stored


def _inverse(cover: npt.NDArray, faintest: float) -> npt.NDArray:
    """1 / cover; 0 where there is nothing to divide by."""
    return np.divide(1, cover, out=np.zeros_like(cover), where=cover > faintest)


@functools.cache
def _srgb_table(dtype: np.dtype) -> npt.NDArray[np.float32]:
    top = np.iinfo(dtype).max
    return _from_srgb(np.arange(top + 1) / top).astype(np.float32)


def _from_srgb(value: npt.NDArray) -> npt.NDArray:
    value = np.clip(value, 0, 1)
    bent = np.power((value + 0.055) / 1.055, 2.4)
    np.copyto(bent, value / 12.92, where=value <= 0.04045)
    return bent


def _to_srgb(value: npt.NDArray) -> npt.NDArray:
    value = np.clip(value, 0, 1)
    bent = np.power(value, 1 / 2.4)
    bent *= 1.055
    bent -= 0.055
    np.copyto(bent, value * 12.92, where=value <= 0.0031308)
    return bent
