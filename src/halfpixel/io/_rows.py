# SPDX-License-Identifier: MIT
"""A resize done in bands of output rows: the same passes on the input rows that a band needs, hence the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from halfpixel import backends
from halfpixel._axis import Link
from halfpixel._plan import Plan
from halfpixel._recipe import Program, Stage
from halfpixel.backends._dtypes import code_of
from halfpixel.io._light import Working
from halfpixel.io._picture import ImageFileError

ReadRows = Callable[[int, int], npt.NDArray]
OnProgress = Callable[[float], None]

_BAND_BYTES = 1 << 24  # of floats in one band: large enough to keep the kernels busy, small beside any picture
_WORKERS = 2


def untold(share: float) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Resampling:
    """One picture's resize: which rows it reads, and what it makes of them.

    **Convention:** ``plan`` resizes the first two axes of pictures with ``channels`` channels (one: no such axis).
    """

    plan: Plan
    working: Working
    channels: int

    @property
    def copies(self) -> bool:
        """Pixels are only selected, so that neither alpha nor the transfer curve has a part in it."""
        keeps_type = self.working.dtype_in == self.working.dtype_out and self.working.background is None
        same_alpha = self.working.premultiplied_in == self.working.premultiplied_out
        return keeps_type and same_alpha and self.plan.program(self.working.dtype_in).copies

    @property
    def is_plain(self) -> bool:
        """The engine works on the stored samples themselves."""
        return self.copies or self.working.is_plain

    @property
    def dtype(self) -> np.dtype:
        """The type of the samples that the engine sees."""
        return self.working.dtype_in if self.is_plain else self.working.dtype

    @property
    def whole_bytes(self) -> int:
        """What is held while the whole is resampled: input and output, where a spline solves as floats too."""
        (h_in, w_in), (h_out, w_out) = self.plan.size_in, self.plan.size_out
        each = [self.working.dtype_in.itemsize, self.working.dtype_out.itemsize]
        if any(stage.link.solve for stage in self.plan.program(self.dtype).stages):
            each = [size + self.working.dtype.itemsize for size in each]
        return (h_in * w_in * each[0] + h_out * w_out * each[1]) * self.channels

    @property
    def in_rows_why_not(self) -> str | None:
        """Why this resize needs all rows at once, or None."""
        if any(stage.link.solve and stage.axis == self.plan.axes[0] for stage in self.plan.program(self.dtype).stages):
            return "an interpolating spline solves whole columns and cannot work in rows"
        return None

    def rows_needed(self, i0: int, i1: int) -> tuple[slice, Program]:
        """The input rows that output rows [i0, i1) read, and the passes that make them from these."""
        program = self.plan.program(self.dtype)
        stages: list[Stage] = []
        for stage in reversed(program.stages):
            if stage.axis != self.plan.axes[0]:
                stages.append(stage)
                continue
            link = stage.link
            part, band = link.band.rows(i0, i1)
            bias = None if link.bias is None else link.bias[i0:i1]
            stages.append(Stage(stage.axis, Link(band, bias, link.solve, link.post)))
            i0, i1 = part.start, part.stop
        return slice(i0, i1), Program(tuple(reversed(stages)), program.compute, program.rounding)

    def band(self, i0: int, i1: int, read: ReadRows) -> npt.NDArray:
        """Output rows [i0, i1), from a function that gives input rows."""
        part, program = self.rows_needed(i0, i1)
        stored = read(part.start, part.stop)
        if self.is_plain:
            return _run(program, stored, np.empty(self._shape(i1 - i0), stored.dtype))
        planes = np.empty((self.channels, i1 - i0, self.plan.size_out[1]), self.working.dtype)
        averaged = np.moveaxis(planes, 0, -1) if self.channels > 1 else planes[0]
        return self.working.store(_run(program, self.working.load(stored), averaged))

    def bands(self, most_bytes: int = _BAND_BYTES) -> list[tuple[int, int]]:
        """Output rows divided so that a band's input, output and floats stay under ``most_bytes``, one row at least."""
        rows = max(1, most_bytes // self.band_bytes(1))
        while rows > 1 and self.band_bytes(rows) > most_bytes:
            rows = max(1, rows // 2)
        height = self.plan.size_out[0]
        return [(start, min(start + rows, height)) for start in range(0, height, rows)]

    def band_bytes(self, rows: int) -> int:
        """About how much is held while a band of that many output rows is made."""
        w_in, (h_out, w_out) = self.plan.size_in[1], self.plan.size_out
        rows = min(rows, h_out)
        middle = (h_out - rows) // 2
        part, _ = self.rows_needed(middle, middle + rows)
        stored = self.working.dtype_in.itemsize + self.dtype.itemsize * (0 if self.is_plain else 3)
        pixels = (part.stop - part.start) * w_in + rows * w_out
        return pixels * self.channels * stored

    def streamed_bytes(self, most_bytes: int) -> int:
        """About how much is held when the output is made in bands."""
        return self.band_bytes(max(stop - start for start, stop in self.bands(most_bytes)))

    def whole(self, pixels: npt.NDArray, on_progress: OnProgress = untold) -> npt.NDArray:
        """The whole output of a whole input; floats exist for a few bands at a time."""
        if self.is_plain:
            return self.plan(pixels)
        out = np.empty(self._shape(self.plan.size_out[0], self.channels_out), self.working.dtype_out)

        def fill(rows: tuple[int, int]) -> None:
            out[slice(*rows)] = self.band(*rows, lambda start, stop: pixels[start:stop])

        if self.in_rows_why_not:
            out[...] = self.working.store(self.plan(self.working.load(pixels)))
            return out
        with ThreadPoolExecutor(_WORKERS) as pool:
            list(pool.map(fill, self.bands()))
        return out

    def streamed(self, read: ReadRows, most_bytes: int, on_progress: OnProgress = untold) -> Iterator[npt.NDArray]:
        """The output in bands, each made from as few input rows as it needs.

        Raises: ImageFileError where the filter does not work in rows.
        """
        if self.in_rows_why_not:
            raise ImageFileError(self.in_rows_why_not, "another --filter, or a higher --max-memory")
        for start, stop in self.bands(most_bytes):
            yield self.band(start, stop, read)
            on_progress(stop / self.plan.size_out[0])

    @property
    def channels_out(self) -> int:
        """Channels of the output: alpha is gone where there is a background."""
        return self.channels - (self.working.background is not None)

    def _shape(self, rows: int, channels: int | None = None) -> tuple[int, ...]:
        channels = self.channels if channels is None else channels
        return (rows, self.plan.size_out[1], *((channels,) if channels > 1 else ()))


def _run(program: Program, x: npt.NDArray, out: npt.NDArray) -> npt.NDArray:
    if not program.stages:
        return x
    run = backends.BACKENDS[backends.choose(program, x.dtype)].bind(program, x.dtype)
    backends.execute(run, code_of(x.dtype), x, out)
    return out
