# SPDX-License-Identifier: MIT
"""One file resized into another: everything is decided from the header, then done whole or in rows."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy.typing as npt

from halfpixel._plan import Plan, plan
from halfpixel.io import _tiff_write, formats
from halfpixel.io._atomic import atomic_write
from halfpixel.io._files import Source, check_side, coding, decoded, encode, naming, open_image
from halfpixel.io._light import Working
from halfpixel.io._limits import Limits, MemoryBudget, readable_bytes
from halfpixel.io._network import Enlarging, Network, enlarging
from halfpixel.io._picture import KINDS, Header, ImageFileError, NeedsMemory, Picture, promoted
from halfpixel.io._rows import OnProgress, Resampling, untold
from halfpixel.io._size import SizeRule

_STREAM_BYTES = 1 << 26


@dataclass(frozen=True)
class Settings:
    """What is to be done to a file, the same for any number of them.

    ``method`` holds the arguments of `halfpixel.plan` that choose the arithmetic: filter, grid, edge, antialias, like.
    ``background`` is a colour in 0 ... 1; ``shrinks`` False refuses outputs smaller than their inputs. ``network``
    enlarges, in place of ``method``, which then only resizes what comes out where ``size`` asks for another size.
    """

    size: SizeRule
    method: Mapping[str, Any] = field(default_factory=dict)
    format: str | None = None
    quality: int | None = None
    lossless: bool = False
    depth: str | None = None
    background: tuple[float, float, float] | None = None
    linear_light: bool = False
    limits: Limits = field(default_factory=Limits)
    overwrite: bool = False
    shrinks: bool = True
    network: Network | None = None


@dataclass(frozen=True)
class Job:
    """One file's resize, decided from its header: nothing has been decoded yet.

    ``header_out`` describes the output, ``nbytes`` what is held at once, ``in_rows`` whether it is streamed.
    """

    header: Header
    header_out: Header
    resampling: Resampling | Enlarging
    settings: Settings
    nbytes: int
    in_rows: bool
    notes: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the output."""
        return self.header_out.size


def planned(header: Header, format_out: str, settings: Settings) -> Job:
    """The job for an input with this header.

    Raises: ImageFileError where the output cannot hold the picture, NeedsMemory where the picture is too large.
    """
    settings.limits.check_pixels(header)
    height, width = size = _size_out(header, settings)
    if not settings.shrinks and any(n < m for n, m in zip(size, header.size, strict=True)):
        raise ImageFileError(f"it would shrink from {_wxh(header.size)} to {_wxh(size)}", "halfpixel resize")
    check_side(format_out, size)
    _check_encoding(format_out, settings)
    kind, dtype, notes = formats.output_type(
        format_out, header.kind, header.dtype, depth=settings.depth, background=settings.background is not None
    )
    linear, said = _linear(header, settings.linear_light)
    premultiplied = header.premultiplied and KINDS[kind].alpha and format_out == "tiff"
    paper = settings.background if KINDS[header.kind].alpha else None
    working = Working(
        header.kind,
        header.dtype,
        dtype,
        linear,
        header.premultiplied,
        premultiplied,
        paper and _paper(header.kind, paper),
    )
    resampling, told = _resampling(header, size, working, settings)
    meta, lost = formats.kept(format_out, header.meta, kind, size)
    channels = KINDS[kind].channels or header.channels
    header_out = Header(format_out, height, width, kind, dtype, channels, premultiplied=premultiplied, meta=meta)
    nbytes, in_rows = _memory(header, header_out, resampling, settings.limits)
    return Job(header, header_out, resampling, settings, nbytes, in_rows, (*header.notes, *notes, *said, *told, *lost))


def _plan(header: Header, settings: Settings) -> Plan:
    axes = (-2, -1) if header.channels == 1 else (-3, -2)
    shape = (*header.size, *((header.channels,) if header.channels > 1 else ()))
    return plan(shape, axes=axes, **settings.size.arguments(header.size), **settings.method)


def _size_out(header: Header, settings: Settings) -> tuple[int, int]:
    if settings.network is not None:
        return settings.size.of(header.size)
    height, width = _plan(header, settings).size_out[:2]
    return height, width


def _resampling(
    header: Header, size: tuple[int, int], working: Working, settings: Settings
) -> tuple[Resampling | Enlarging, tuple[str, ...]]:
    if settings.network is None:
        return Resampling(_plan(header, settings), working, header.channels), ()
    if settings.linear_light:
        raise ImageFileError("--linear-light is for filters: networks learned sRGB code values", "leave it out")
    return enlarging(header, settings.network, size, dict(settings.method), working)


def resize_file(
    source: Source,
    target: str | os.PathLike[str],
    settings: Settings,
    *,
    budget: MemoryBudget | None = None,
    on_progress: OnProgress = untold,
) -> Job:
    """Resize an image file into another, which appears whole or not at all.

    **Convention:** the output's format is ``settings.format``, else that of ``target``'s suffix, else the input's.
    source: a path, ``"-"`` for standard input, or bytes. target: a path, or ``"-"`` for standard output.
    budget: memory shared with other files that are resized at the same time.
    on_progress: is told now and then which share is done, and stops the work by raising.
    Returns: what was done. Raises: ImageFileError that names the file and says what would work.

    >>> import numpy as np, pathlib, tempfile
    >>> from fractions import Fraction
    >>> from halfpixel.io import Picture, read, write
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = write(Picture(np.zeros((4, 6), np.uint8), "gray"), folder / "a.png")
    >>> job = resize_file(folder / "a.png", folder / "b.tif", Settings(SizeRule(scale=Fraction(2))))
    >>> job.size, read(folder / "b.tif").pixels.shape
    ((8, 12), (8, 12))
    """
    with open_image(source) as reader:
        job = planned(reader.header, format_for(target, settings, reader.header), settings)
        with (
            budget.taken(job.nbytes) if budget else nullcontext(),
            naming(target),
            _destination(target, settings) as file,
        ):
            if job.in_rows:
                _stream(reader, job, file, on_progress)
            else:
                _whole(reader, job, file, on_progress)
        return job


def plan_file(source: Source, target: str | os.PathLike[str], settings: Settings) -> Job:
    """What `resize_file` would do, from the header alone. Raises: as `resize_file`, where the header tells."""
    with open_image(source) as reader:
        return planned(reader.header, format_for(target, settings, reader.header), settings)


def format_for(target: str | os.PathLike[str], settings: Settings, header: Header) -> str:
    """The output's format."""
    if settings.format is not None:
        return formats.get(settings.format)[0]
    return formats.of_suffix(Path(target).suffix) or header.format


def _whole(reader: formats.Reader, job: Job, file: BinaryIO, on_progress: OnProgress) -> None:
    picture = decoded(reader)
    on_progress(0.3)
    pixels = job.resampling.whole(picture.pixels, lambda share: on_progress(0.3 + 0.3 * share))
    del picture  # the encoder makes a copy of its own; the input need not be held beside it
    on_progress(0.6)
    out = job.header_out
    ready = Picture(_promoted(pixels, job), out.kind, out.premultiplied, out.meta)
    encode(ready, out.format, file, job.settings.quality, job.settings.lossless)
    on_progress(1.0)


def _stream(reader: Any, job: Job, file: BinaryIO, on_progress: OnProgress) -> None:
    _tiff_write.encode_rows(file, job.header_out, _bands(reader, job, on_progress))


def _bands(reader: Any, job: Job, on_progress: OnProgress) -> Iterator[npt.NDArray]:
    for band in job.resampling.streamed(_upright_rows(reader), _band_bytes(job.settings.limits), on_progress):
        yield _promoted(band, job)


def _upright_rows(reader: Any) -> Callable[[int, int], npt.NDArray]:
    """Rows as they are meant to be seen, for the four orientations that do not exchange rows and columns."""
    height, orientation = reader.header.height, reader.header.orientation
    step = -1 if orientation in (2, 3) else 1

    def read(start: int, stop: int) -> npt.NDArray:
        with coding():
            if orientation in (3, 4):
                return reader.rows(height - stop, height - start)[::-1, ::step]
            return reader.rows(start, stop)[:, ::step]

    return read


def _promoted(pixels: npt.NDArray, job: Job) -> npt.NDArray:
    kind = job.header.kind
    if job.settings.background is not None:
        kind = formats.WITHOUT_ALPHA.get(kind, kind)
    return promoted(pixels, kind, job.header_out.kind)


@contextmanager
def _destination(target: str | os.PathLike[str], settings: Settings) -> Iterator[BinaryIO]:
    if os.fspath(target) != "-":
        with atomic_write(target, overwrite=settings.overwrite) as file:
            yield file
        return
    with tempfile.NamedTemporaryFile() as named:
        yield cast("BinaryIO", named.file)
        named.seek(0)
        shutil.copyfileobj(named, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _check_encoding(format_out: str, settings: Settings) -> None:
    row = formats.TABLE[format_out]
    if settings.quality is not None and not row.quality and settings.format is not None:
        raise ImageFileError(f"{format_out.upper()} has no quality", "--quality with jpeg, webp or avif")
    if settings.lossless and not row.lossless:
        raise ImageFileError(f"{format_out.upper()} is never lossless here", "--format png, tiff or webp")


def _linear(header: Header, wanted: bool) -> tuple[bool, tuple[str, ...]]:
    if not wanted:
        return False, ()
    if KINDS[header.kind].icc_space == b"CMYK" or header.kind.endswith("bands"):
        raise ImageFileError(f"--linear-light is for gray and RGB, and the picture is {header.kind}", "leave it out")
    if header.dtype.kind == "f":
        return False, ("float samples count as linear light already",)
    if header.meta.icc and b"sRGB" not in header.meta.icc:
        return True, ("linear light is by the sRGB curve; the ICC profile may name another one",)
    return True, ()


def _paper(kind: str, colour: tuple[float, float, float]) -> tuple[float, ...]:
    """A background as the colour channels of a kind; gray by Rec. 709 luma."""
    red, green, blue = colour
    if kind == "gray+alpha":
        return (0.2126 * red + 0.7152 * green + 0.0722 * blue,)
    return colour if kind == "rgba" else (1 - red, 1 - green, 1 - blue, 0.0)


def _memory(header: Header, out: Header, resampling: Resampling | Enlarging, limits: Limits) -> tuple[int, bool]:
    """(bytes held at once, whether the picture is streamed)."""
    limit, whole = limits.bytes, resampling.whole_bytes
    if whole <= limit:
        return whole, False
    works = f"--max-memory {-(-whole // (1 << 20))}MiB"
    for reason in _streaming_why_not(header, out, resampling):
        raise NeedsMemory(
            f"input and output need {readable_bytes(whole)} of {readable_bytes(limit)}, and {reason}", works
        )
    in_rows = 2 * header.scratch + resampling.streamed_bytes(_band_bytes(limits))
    if in_rows > limit:
        need = f"even in rows it needs {readable_bytes(in_rows)} of {readable_bytes(limit)}"
        strip = f": one row of its strips or tiles holds {readable_bytes(header.scratch)}" if header.scratch else ""
        raise NeedsMemory(need + strip, works)
    return in_rows, True


def _streaming_why_not(header: Header, out: Header, resampling: Resampling | Enlarging) -> Iterator[str]:
    for which, name in (("read", header.format), ("written", out.format)):
        if not formats.TABLE[name].in_rows:
            yield f"{name.upper()} is not {which} in rows: only TIFF is"
    if header.orientation >= 5:
        yield "its EXIF orientation exchanges rows and columns, which needs all of it"
    if resampling.in_rows_why_not:
        yield resampling.in_rows_why_not


def _band_bytes(limits: Limits) -> int:
    return min(limits.bytes // 4, _STREAM_BYTES)


def _wxh(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
