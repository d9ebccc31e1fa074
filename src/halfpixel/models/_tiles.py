# SPDX-License-Identifier: MIT
"""Whole images through a network, tile by tile: the same numbers as in one piece, in the memory of a tile."""

from __future__ import annotations

import math
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelRuntimeError, HalfpixelTypeError, HalfpixelValueError, describe_call

from . import _tile_size, _windows
from ._probe import reach_of
from ._reach import Reach
from ._windows import Size, Span

ReadRows = Callable[[int, int], Tensor]
OnProgress = Callable[[float], None]
BLENDS = ("linear", "cosine")
_OVERLAP = 32
_SMALL = 8  # pixels a side, beyond halo and stride: what is not larger is tried before it is promised


class BlendWarning(UserWarning):
    """A network without a finite receptive field was run in tiles: the result is not that of the whole."""


class Tiler:
    """One network, ready for pictures of any size.

    **Convention:** sizes are (height, width) in input pixels. Where the network has a finite reach, tiles are exact;
    where it has none, pictures above one tile are cut into tiles that overlap and are blended.
    Arguments: as `run_tiled`; dtype: what networks without weights compute in.
    """

    def __init__(
        self, model: Any, channels: int, *, tile: int | Size | None = None, halo: int | None = None,
        memory: int | None = None, blend: str | None = None, overlap: int | None = None,
        device: Any = None, dtype: Any = torch.float32,
    ) -> None:  # fmt: skip
        if device is not None:
            model = _moved(model, device)
        self.model, self.channels, self.memory = model, channels, memory
        self.device, self.dtype = _tile_size.home(model, dtype)
        reach = _reach(model, channels)
        if halo is not None:
            _checked("halo", halo, 0)
        if reach is not None or halo is not None:
            stride, far = (1, 0) if reach is None else (reach.stride, reach.halo)
            reach = Reach(far if halo is None else halo, stride)
        self.exact = blend is None and reach is not None
        with _evaluating(model):
            self.facts = _tile_size.facts(model, channels, None if reach is None else reach.stride)
        self.halo = 0 if blend is not None or reach is None else reach.halo
        self.multiple, self.scale = self.facts.multiple, self.facts.scale
        self.ramp = _checked_blend(blend)
        self.overlap = _windows.up_to(_OVERLAP if overlap is None else _checked("overlap", overlap), self.multiple)
        self._tile = _checked_tile(tile, self.multiple)
        self._most = math.inf
        self._sizes: dict[Size, Size] = {}
        self._lock = threading.Lock()

    def tile(self, size: Size) -> Size:
        """The largest tile for pictures of that size, without its halo."""
        if self._tile is not None:
            return self._tile
        base = _tile_size.BASE if self.device.type == "cpu" else _tile_size.BASE_ELSEWHERE
        if not self.exact:  # whole, where there is room
            base = max(size)
        memory = _tile_size.allowed(self.device, self.memory)
        tile = _tile_size.fitting(size, self.halo, self.multiple, self.facts.pixel_bytes, memory, base)
        if self.exact and self.device.type == "cpu":
            tile = _tile_size.lowered(tile, size, self.halo, self.multiple)
        return tile

    def blends(self, size: Size) -> bool:
        """Whether pictures of that size come out other than in one piece."""
        return not self.exact and any(len(spans) > 1 for spans in self._spans(self._padded(size)))

    def is_one(self, size: Size) -> bool:
        """Whether pictures of that size are a single tile, without anything around it."""
        return self._padded(size) == size and all(len(spans) == 1 for spans in self._spans(size))

    def whole(self, x: Tensor, on_progress: OnProgress | None = None) -> Tensor | None:
        """A picture in one piece; None where there is no memory for it."""
        y = self._run(x)
        if y is not None and on_progress is not None:
            on_progress(1.0)
        shares = y is not None and y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
        return y if y is None else y.to(x, copy=shares)

    def nbytes(self, size: Size) -> int:
        """About what is held while a picture of that size is worked on: a tile in the network, a strip beside it."""
        rows, columns = self._spans(self._padded(size))
        tile = max(one.length for one in rows) * max(one.length for one in columns)
        strip = max(one.length for one in rows) * size[1]
        held = self.channels + self.facts.channels_out * self.scale**2
        return int(tile * self.facts.pixel_bytes + strip * held * self.dtype.itemsize)

    def strips(
        self, read: ReadRows, size: Size, on_progress: OnProgress | None = None, into: Tensor | None = None
    ) -> Iterator[Tensor]:
        """The output in strips from top to bottom, (N, C, rows, width * scale), on the CPU or where ``read`` says.

        read: read(start, stop) gives these rows of the input, (N, C, stop - start, width).
        into: the whole output, where it is wanted; strips are then parts of it if that can be.
        """
        padded = self._padded(size)
        rows, columns = self._spans(padded)
        read = _reflecting(read, size, padded)
        told = _Progress(on_progress, len(rows) * len(columns))
        height, width = size[0] * self.scale, size[1] * self.scale
        if self.exact:
            strips = self._exact_strips(read, rows, columns, told, into if size == padded else None)
        else:
            strips = self._blended_strips(read, rows, columns, told)
        done = 0
        for strip in strips:
            strip = strip[..., : height - done, :width]
            done += strip.shape[2]
            yield strip

    def _spans(self, size: Size) -> tuple[list[Span], list[Span]]:
        tile = self.tile(size)
        if self.exact:
            a, b = (_windows.exact(n, t, self.halo, self.multiple) for n, t in zip(size, tile, strict=True))
        else:
            a, b = (_windows.overlapping(n, t, self.overlap, self.multiple) for n, t in zip(size, tile, strict=True))
        return a, b

    def _padded(self, size: Size) -> Size:
        """The size that the network is given: larger than the picture's where it does not take that."""
        if size not in self._sizes:
            enough = 2 * (self.halo + self.multiple) + _SMALL
            multiples = tuple(_windows.up_to(n, self.multiple) for n in size)
            larger = tuple(max(n, _windows.up_to(enough, self.multiple)) for n in multiples)
            tried = [one for one in (size, multiples, larger) if self._takes(one, enough)]
            self._sizes[size] = (tried or [multiples])[0]  # type: ignore[assignment]
        return self._sizes[size]

    def _takes(self, size: tuple[int, ...], enough: int) -> bool:
        """Whether the network takes such a size, or a smaller one with the same remainders."""
        enough = _windows.up_to(enough, self.multiple)
        height, width = (n if n < enough + self.multiple else enough + n % self.multiple for n in size)
        if min(height, width) >= enough and not (height % self.multiple or width % self.multiple):
            return True
        with _evaluating(self.model):
            return _tile_size.takes(self.model, self.channels, (height, width), self.scale)

    def _exact_strips(
        self, read: ReadRows, rows: list[Span], columns: list[Span], told: _Progress, into: Tensor | None
    ) -> Iterator[Tensor]:
        for row in rows:
            block = read(row.low, row.high)
            place = slice(row.start * self.scale, row.stop * self.scale)
            shape = self._out_shape(block, row.stop - row.start)
            out = block.new_empty(shape) if into is None else into[:, :, place]
            for column in columns:
                place = slice(column.start * self.scale, column.stop * self.scale)
                self._fill(block, row.low, row, column, out[..., place])
                told.one()
            yield out

    def _fill(self, block: Tensor, top: int, row: Span, column: Span, out: Tensor) -> None:
        """The own part of a tile into its place; in two halves where the memory is not enough."""
        y = self._run(block[..., row.low - top : row.high - top, column.window])
        if y is not None:
            core = (_scaled(row.core, self.scale), _scaled(column.core, self.scale))
            out.copy_(y[..., core[0], core[1]])
            return
        tall = row.length >= column.length
        for along in (tall, not tall):
            halves = _windows.halved(row if along else column, self.halo, self.multiple)
            if halves is not None:
                break
        else:
            raise _too_small(row, column)
        at = (halves[0].stop - halves[0].start) * self.scale
        for half, place in zip(halves, (slice(0, at), slice(at, None)), strict=True):
            if along:
                self._fill(block, top, half, column, out[..., place, :])
            else:
                self._fill(block, top, row, half, out[..., place])

    def _blended_strips(
        self, read: ReadRows, rows: list[Span], columns: list[Span], told: _Progress
    ) -> Iterator[Tensor]:
        held: Tensor | None = None
        for index, row in enumerate(rows):
            block = read(row.low, row.high)
            wide = block.new_zeros(self._out_shape(block, row.length))
            for column in columns:
                y = self._whole(block[..., column.window]).to(wide)
                place = slice(column.low * self.scale, column.high * self.scale)
                wide[..., place] += self._weighted(y, -1, column, columns)
                told.one()
            wide = self._weighted(wide, -2, row, rows)
            if held is not None:
                wide[..., : held.shape[2], :] += held
            finished = (rows[index + 1].low - row.low) * self.scale if index + 1 < len(rows) else wide.shape[2]
            held = wide[..., finished:, :].clone()
            yield wide[..., :finished, :]

    def _whole(self, window: Tensor) -> Tensor:
        """A window's output; in two that overlap where the memory is not enough."""
        y = self._run(window)
        if y is not None:
            return y
        dim = -2 if window.shape[-2] >= window.shape[-1] else -1
        n = window.shape[dim]
        overlap = min(self.overlap, _windows.up_to(n // 4, self.multiple))
        spans = _windows.overlapping(n, n // 2 + overlap, overlap, self.multiple)
        if len(spans) < 2 or max(one.length for one in spans) >= n:
            raise _too_small(Span(0, 0, window.shape[-2], window.shape[-2]), Span(0, 0, n, n))
        out: Tensor | None = None
        for span in spans:
            part = self._whole(window.narrow(dim, span.low, span.length))
            if out is None:
                shape = list(part.shape)
                shape[dim] = n * self.scale
                out = part.new_zeros(shape)
            place = out.narrow(dim, span.low * self.scale, span.length * self.scale)
            place += self._weighted(part, dim, span, spans)
        return out

    def _weighted(self, y: Tensor, dim: int, span: Span, spans: list[Span]) -> Tensor:
        """A tile times ramps that rise where it overlaps the one before it and fall where the next one begins."""
        at = spans.index(span)
        if len(spans) == 1:
            return y
        weight = torch.ones(y.shape[dim], dtype=y.dtype, device=y.device)
        if at > 0:
            n = (spans[at - 1].high - span.low) * self.scale
            weight[:n] *= _ramp(n, self.ramp, y)
        if at + 1 < len(spans):
            n = (span.high - spans[at + 1].low) * self.scale
            weight[-n:] *= 1 - _ramp(n, self.ramp, y)
        return y * (weight[:, None] if dim == -2 else weight)

    def _run(self, window: Tensor) -> Tensor | None:
        """The network's output; None where there is no memory for it, or was none for less."""
        area = window.shape[-2] * window.shape[-1]
        if area >= self._most:
            return None
        with self._lock, _evaluating(self.model), torch.no_grad():
            try:
                y = self.model(window.to(self.device, self.dtype).contiguous())
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                y = None
        if y is None:  # behind the handler, which keeps the failed run's tensors alive
            self._most = min(self._most, area)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            return None
        expected = (window.shape[-2] * self.scale, window.shape[-1] * self.scale)
        if tuple(y.shape[2:]) != expected:
            made = f"it makes {y.shape[3]} x {y.shape[2]} of {window.shape[3]} x {window.shape[2]} pixels"
            raise HalfpixelValueError(f"the network does not enlarge {self.scale} times: {made}")
        return y

    def _out_shape(self, block: Tensor, rows: int) -> tuple[int, ...]:
        return block.shape[0], self.facts.channels_out, rows * self.scale, block.shape[3] * self.scale


def run_tiled(
    model: Any, x: Tensor, *, tile: int | Size | None = None, halo: int | None = None, memory: int | None = None,
    blend: str | None = None, overlap: int | None = None, device: Any = None, on_progress: OnProgress | None = None,
) -> Tensor:  # fmt: skip
    """`model(x)` for pictures of any size, in the memory of a tile.

    **Convention:** x (N, C, H, W), the result (N, C_out, H * scale, W * scale), on x's device and in x's type. Tiles
    begin at multiples of the network's total stride and are computed with a halo as wide as its receptive field
    reaches, cut off at the image and never padded: the result is the network's own to rounding. Sizes that the network
    does not take are padded on the right and below by reflection to a multiple of its stride, and cut afterwards. A
    network without a finite receptive field is run whole where that fits, else in overlapping tiles that are blended;
    then a `BlendWarning` says so. No gradients; the network is run in eval mode.
    Arguments:
        model: a module with `reach` (halo, stride) or one whose layers tell it: see `reach_of`.
        tile: pixels of a tile's side, or (height, width), without its halo. None: by what the network holds for each
        pixel, measured on a small picture, and ``memory``.
        halo: input pixels around a tile, in place of the network's own.
        memory: bytes that a tile may take. None: up to 1 GiB of what is free, on a GPU 70% of that.
        Where memory runs out all the same, the tile is halved and what is finished is kept.
        blend: "linear" or "cosine": overlapping tiles with such ramps, even where exact ones are possible.
        overlap: pixels that blended tiles share. Default: 32.
        device: where the network is to run: it is moved there. on_progress: is told which share is done.
    Returns: a tensor of its own.
    Raises: ValueError and TypeError for what is no picture; RuntimeError where even the smallest tile does not fit.
    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.PixelShuffle(2))
        >>> x = torch.rand(1, 1, 37, 50)
        >>> y = run_tiled(net, x, tile=16, halo=1)
        >>> y.shape, bool((y - net(x)).abs().max() < 1e-6)
        (torch.Size([1, 1, 74, 100]), True)
    """
    call = describe_call("run_tiled", type(model).__name__, x, tile=tile, halo=halo, blend=blend)
    try:
        _check(x)
        tiler = Tiler(
            model,
            x.shape[1],
            tile=tile,
            halo=halo,
            memory=memory,
            blend=blend,
            overlap=overlap,
            device=device,
            dtype=x.dtype,
        )
        size = x.shape[2], x.shape[3]
        if blend is None and tiler.blends(size):
            warnings.warn(blended(tiler), BlendWarning, stacklevel=2)
        if tiler.is_one(size) and (y := tiler.whole(x.detach(), on_progress)) is not None:
            return y
        out = x.new_empty(x.shape[0], tiler.facts.channels_out, size[0] * tiler.scale, size[1] * tiler.scale)
        done = 0
        for strip in tiler.strips(lambda start, stop: x.detach()[:, :, start:stop], size, on_progress, out):
            place = out[:, :, done : done + strip.shape[2]]
            if place.data_ptr() != strip.data_ptr():
                place.copy_(strip)
            done += strip.shape[2]
        return out
    except (HalfpixelValueError, HalfpixelTypeError, HalfpixelRuntimeError) as error:
        raise error.in_call(call) from error.__cause__


def blended(tiler: Tiler) -> str:
    """The sentence about a network whose tiles are blended."""
    return (
        "the network has no finite receptive field: it is run in tiles that share "
        f"{tiler.overlap} pixels and are blended, which is not what the whole would give"
    )


class _Progress:
    """Counts tiles."""

    def __init__(self, told: OnProgress | None, total: int) -> None:
        self._told, self._total, self._done = told, total, 0

    def one(self) -> None:
        self._done += 1
        if self._told is not None:
            self._told(self._done / self._total)


def _scaled(part: slice, scale: int) -> slice:
    return slice(part.start * scale, part.stop * scale)


def _ramp(n: int, kind: str, like: Tensor) -> Tensor:
    """From 0 to 1; with its own mirror image it sums to 1."""
    at = (torch.arange(n, dtype=like.dtype, device=like.device) + 0.5) / n
    return at if kind == "linear" else 0.5 - 0.5 * torch.cos(math.pi * at)


def _reflecting(read: ReadRows, size: Size, padded: Size) -> ReadRows:
    """Rows of a picture that is continued on the right and below by reflection, where it is."""
    if size == padded:
        return read
    (height, width), columns = size, _reflected(0, padded[1], size[1])

    def rows(start: int, stop: int) -> Tensor:
        wanted = _reflected(start, stop, height)
        first, last = int(wanted.min()), int(wanted.max()) + 1
        block = read(first, last)
        if stop > height:
            block = block[:, :, (wanted - first).to(block.device)]
        return block[..., columns.to(block.device)] if padded[1] > width else block

    return rows


def _reflected(start: int, stop: int, n: int) -> Tensor:
    at = torch.arange(start, stop)
    return torch.where(at < n, at, (2 * n - 2 - at).clamp(min=0))


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Dropout and running means off, and as it was afterwards."""
    training = [module for module in model.modules() if module.training]
    if training:
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


_reaches: weakref.WeakKeyDictionary[Any, Reach | None] = weakref.WeakKeyDictionary()


def _reach(model: Any, channels: int) -> Reach | None:
    """A network's reach; where it has to be found out, once."""
    if hasattr(model, "reach"):
        return reach_of(model)
    if model not in _reaches:
        _reaches[model] = reach_of(model, channels)
    return _reaches[model]


def _moved(model: Any, device: Any) -> Any:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise HalfpixelValueError(f"device {str(device)!r} cannot be used: {reason}", "cpu, cuda, cuda:1") from error


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error)
    said = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or any(one in text for one in said)


def _too_small(row: Span, column: Span) -> HalfpixelRuntimeError:
    return HalfpixelRuntimeError(
        f"there is not enough memory for the network, even on {column.length} x {row.length} pixels",
        "a smaller network, or another device",
    )


def _check(x: Any) -> None:
    if not isinstance(x, Tensor) or x.is_complex() or not x.is_floating_point():
        raise HalfpixelTypeError("a picture for a network is a tensor of floats", "x.float() / 255")
    if x.dim() != 4 or 0 in x.shape:
        raise HalfpixelValueError(f"x is of shape {tuple(x.shape)}", "(N, C, H, W), none of them 0")


def _checked(name: str, value: Any, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise HalfpixelValueError(f"{name} is {value!r}", f"a whole number, {least} at least")
    return value


def _checked_tile(tile: Any, multiple: int) -> Size | None:
    if tile is None:
        return None
    sides = tile if isinstance(tile, tuple) else (tile, tile)
    if len(sides) != 2:
        raise HalfpixelValueError(f"tile is {tile!r}", "pixels of a side, or (height, width)")
    height, width = (_windows.up_to(_checked("tile", side), multiple) for side in sides)
    return height, width


def _checked_blend(blend: Any) -> str:
    if blend is not None and blend not in BLENDS:
        raise HalfpixelValueError(f"blend is {blend!r}", " or ".join(map(repr, BLENDS)))
    return blend or "cosine"
