# SPDX-License-Identifier: MIT
"""Pictures through a network: samples of any depth, gray and colour, in strips of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import halfpixel
from halfpixel._bt601 import BLACK, LUMA, SPAN
from halfpixel.errors import HalfpixelError, HalfpixelTypeError, HalfpixelValueError, describe_call

from ._probe import channels_of
from ._tiles import OnProgress, Tiler, blended
from ._windows import Size

ReadRows = Callable[[int, int], npt.NDArray]

CHROMA = "cubic"
_ROWS = (16, 64)  # of the input, at least and at most, whose colour is worked on at a time: of wide pictures fewer
_BAND = 1 << 17  # input pixels of these rows
_MARGIN = 4  # rows beside a strip that the chroma's filter reads, with room
_BLUE, _RED = 2 * (1 - LUMA[2]), 2 * (1 - LUMA[0])
_BLACK, _SPAN = BLACK / 255, SPAN / 255


class Enlarger:
    """A super-resolution network as a way of enlarging pictures, strip by strip.

    **Convention:** a network of one channel sees luma, BT.601 in studio range (16 / 255 is black and 235 / 255 white),
    as published networks were trained and `halfpixel train` does; the chroma of colour pictures is enlarged by `cubic`,
    all in floats. A network of three channels sees gray three times and is averaged. Samples are the network's input as
    they are, over their full scale: transfer curves are left alone.
    Arguments: model: with one or three input channels. name: what messages call it. The others: as `run_tiled`.
    Raises: ValueError for networks that do not enlarge gray or RGB pictures by a whole number.
    """

    def __init__(self, model: Any, name: str | None = None, **options: Any) -> None:
        self.name = type(model).__name__ if name is None else name
        channels = channels_of(model)
        if channels is None:
            works = "an attribute in_channels: 1, which is gray, or 3, which is RGB"
            raise HalfpixelValueError(f"{self.name} does not tell how many channels it takes", works)
        if channels not in (1, 3):
            raise HalfpixelValueError(f"{self.name} takes {channels} channels", "a network of gray (1) or RGB (3)")
        self.tiler = Tiler(model, channels, **options)
        if self.tiler.facts.channels_out != channels:
            made = f"{self.name} makes {self.tiler.facts.channels_out} channels of {channels}"
            raise HalfpixelValueError(made, "a network that makes pictures of pictures")
        self.channels = channels

    @property
    def scale(self) -> int:
        """Output pixels per input pixel and axis."""
        return self.tiler.scale

    def notes(self, size: Size, dtype: np.dtype) -> tuple[str, ...]:
        """What is to be said of pictures of (height, width) and a sample type."""
        said = (blended(self.tiler),) if self.tiler.blends(size) else ()
        bits = torch.finfo(self.tiler.dtype).bits
        if dtype.itemsize * 8 > bits or (dtype.kind == "u" and dtype.itemsize * 8 == bits > 16):
            said = (*said, f"the network computes in float{bits}, which holds less than the picture's {dtype}")
        return said

    def nbytes(self, size: Size, colour: bool) -> int:
        """About what is held beside input and output while a picture of (height, width) is enlarged."""
        tall = min(self.tiler.tile(size)[0] + 2 * max(self.tiler.halo, _MARGIN), size[0])
        band = min(tall, _rows(size[1]) + 2 * _MARGIN) * (3 + 10 * self.scale**2) if colour else 0
        return self.tiler.nbytes(size) + 4 * size[1] * (band + tall * (4 if colour else 1))

    def strips(
        self, read: ReadRows, size: Size, colour: bool, on_progress: OnProgress | None = None
    ) -> Iterator[npt.NDArray]:
        """The output in strips from top to bottom: floats in planes, (channels, rows, width * scale), in 0 ... 1.

        read: read(start, stop) gives these rows of the input, (rows, width) or with ``colour`` (rows, width, 3), in
        unsigned integers or floats.
        """
        if not colour:
            yield from self._plain(lambda a, b: self._gray(read(a, b)), size, on_progress, True)
        elif self.channels == 3:
            yield from self._plain(lambda a, b: _planes(read(a, b), self.tiler.dtype)[None], size, on_progress)
        else:
            yield from self._by_luma(read, size, on_progress)

    def _gray(self, rows: npt.NDArray) -> Tensor:
        plane = _planes(rows[..., None], self.tiler.dtype)
        return (plane * _SPAN + _BLACK if self.channels == 1 else plane.expand(3, -1, -1))[None]

    def _plain(
        self, read: Callable[[int, int], Tensor], size: Size, told: OnProgress | None, gray: bool = False
    ) -> Iterator[npt.NDArray]:
        for band in self._bands(read, size, told):
            if gray:
                band = (band - _BLACK) / _SPAN if self.channels == 1 else band.mean(0, keepdim=True)
            yield band.float().numpy()

    def _bands(self, read: Callable[[int, int], Tensor], size: Size, told: OnProgress | None) -> Iterator[Tensor]:
        """Strips in bands of fewer rows, as what is made of them would take more memory than they do."""
        for strip in self.tiler.strips(read, size, told):
            yield from strip[0].split(_rows(size[1]) * self.scale, dim=1)

    def _by_luma(self, read: ReadRows, size: Size, told: OnProgress | None) -> Iterator[npt.NDArray]:
        """Luma through the network, blue and red differences by the filter."""
        scale, done = self.scale, 0
        seen = _Seen(read, size[0], self.tiler.dtype)
        for band in self._bands(seen.luma, size, told):
            chroma = seen.chroma(done // scale, (done + band.shape[1]) // scale, scale)
            yield _rgb((band[0].float() - _BLACK) / _SPAN, chroma).numpy()
            done += band.shape[1]


def enlarge(
    model: Any, image: npt.NDArray, *, tile: int | Size | None = None, memory: int | None = None, **options: Any
) -> npt.NDArray:
    """A picture enlarged by a super-resolution network, of any size, in the memory of a strip of tiles beside it.

    **Convention:** image (H, W) or (H, W, 1 or 3), unsigned integers of which the largest is white, or floats of which
    1 is; the result has the same type and is `model.scale` times as high and wide. Integers round half up and
    saturate; floats are not clipped. See `Enlarger` for colour; transparency is `halfpixel.io.resize_file`'s.
    Arguments: model: with one or three input channels. tile, memory and ``options`` (halo, blend, overlap, device,
    on_progress): as `run_tiled`.
    Returns: an array of its own.
    Raises: ValueError and TypeError for what is no such picture or no such network.
    Example:
        >>> import numpy as np, torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.PixelShuffle(2))
        >>> enlarge(net, np.zeros((5, 7, 3), np.uint16)).shape
        (10, 14, 3)
    """
    try:
        colour = _checked(image)
        on_progress = options.pop("on_progress", None)
        enlarger = Enlarger(model, tile=tile, memory=memory, **options)
        size = image.shape[0], image.shape[1]
        out = np.empty((size[0] * enlarger.scale, size[1] * enlarger.scale, *image.shape[2:]), image.dtype)
        flat = image[..., 0] if image.ndim == 3 and not colour else image
        done = 0
        for strip in enlarger.strips(lambda a, b: flat[a:b], size, colour, on_progress):
            place = out[done : done + strip.shape[1]].reshape(strip.shape[1], strip.shape[2], -1)
            _store(strip, place)
            done += strip.shape[1]
        return out
    except HalfpixelError as error:
        raise error.in_call(describe_call("enlarge", type(model).__name__, image, tile=tile)) from error.__cause__


class _Seen:
    """The strip that was read last: its luma goes to the network, its chroma is enlarged beside it."""

    def __init__(self, read: ReadRows, height: int, dtype: torch.dtype) -> None:
        self._read, self._height, self._dtype = read, height, dtype
        self._start, self._planes = 0, torch.empty(3, 0, 0)

    def luma(self, start: int, stop: int) -> Tensor:
        """Y of these rows; a few more are read, for the chroma."""
        self._start = max(0, start - _MARGIN)
        self._planes = _planes(self._read(self._start, min(self._height, stop + _MARGIN)), self._dtype)
        return (_luma(self._planes[:, start - self._start : stop - self._start]) * _SPAN + _BLACK)[None, None]

    def chroma(self, start: int, stop: int, scale: int) -> npt.NDArray:
        """Cb and Cr that input rows [start, stop) become, (2, rows, columns)."""
        low, high = max(0, start - _MARGIN), min(self._height, stop + _MARGIN)
        planes = self._planes[:, low - self._start : high - self._start].float()
        luma = _luma(planes)
        both = torch.stack([(planes[2] - luma) / _BLUE, (planes[0] - luma) / _RED]).numpy()
        larger = halfpixel.resize(both, scale=(scale, scale), axes=(1, 2), filter=CHROMA)
        return larger[:, (start - low) * scale : (stop - low) * scale]


def _rows(width: int) -> int:
    """How many rows' colour is worked on at a time."""
    least, most = _ROWS
    return max(least, min(most, _BAND // width))


def _planes(rows: npt.NDArray, dtype: torch.dtype) -> Tensor:
    """Samples (rows, columns, channels) as planes of floats, 1 being full scale."""
    full = 1.0 if rows.dtype.kind == "f" else float(np.iinfo(rows.dtype).max)
    wide = torch.float64 if rows.dtype.itemsize > 4 or dtype == torch.float64 else torch.float32
    planes = np.empty((rows.shape[2], *rows.shape[:2]), np.float64 if wide == torch.float64 else np.float32)
    np.divide(np.moveaxis(rows, -1, 0), planes.dtype.type(full), out=planes, casting="unsafe")
    return torch.from_numpy(planes).to(dtype)


def _luma(planes: Tensor) -> Tensor:
    return LUMA[0] * planes[0] + LUMA[1] * planes[1] + LUMA[2] * planes[2]


def _rgb(luma: Tensor, chroma: npt.NDArray) -> Tensor:
    blue, red = torch.from_numpy(np.ascontiguousarray(chroma))
    out = torch.empty(3, *luma.shape)
    torch.add(luma, red, alpha=_RED, out=out[0])
    torch.add(luma, blue, alpha=_BLUE, out=out[2])
    torch.sub(luma, red, alpha=_RED * LUMA[0] / LUMA[1], out=out[1])
    out[1].sub_(blue, alpha=_BLUE * LUMA[2] / LUMA[1])
    return out


def _store(planes: npt.NDArray, out: npt.NDArray) -> None:
    """Planes of floats as samples, into place."""
    values = torch.from_numpy(planes)
    if out.dtype.kind == "f":
        out[...] = np.moveaxis(planes, 0, -1)
        return
    full = float(np.iinfo(out.dtype).max)
    if out.dtype.itemsize > 2:
        values = values.double()
    rounded = values.mul(full).add_(0.5).floor_().clamp_(0, full).numpy()
    for channel, plane in enumerate(rounded):
        out[..., channel] = plane


def _checked(image: Any) -> bool:
    """Whether a picture has colour. Raises: where it is none."""
    if not isinstance(image, np.ndarray) or image.dtype.kind not in "uf" or image.dtype == np.uint64:
        what = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise HalfpixelTypeError(f"the picture's samples are {what}", "an array of uint8, uint16, uint32 or floats")
    if image.ndim not in (2, 3) or 0 in image.shape or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        alpha = image.ndim == 3 and image.shape[2] in (2, 4)
        works = "(H, W), (H, W, 1) or (H, W, 3)"
        works += "; transparency is treated by halfpixel.io.resize_file and by `upscale --model`" if alpha else ""
        raise HalfpixelValueError(f"the picture is of shape {image.shape}", works)
    return image.ndim == 3 and image.shape[2] == 3
