# SPDX-License-Identifier: MIT
"""What is audited, as a function of one probe: its channels, axes, guide and scale found by calling it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelError, HalfpixelShapeError, HalfpixelTypeError, HalfpixelValueError
from halfpixel.upsamplers import Upsampler
from halfpixel.upsamplers._base import Resampler

_CHANNELS = (3, 1, 4, 8, 2, 9, 12, 16, 27, 32, 36, 48, 64)
_SIZES = {1: (64, 512), 2: (32, 128), 3: (12, 48)}  # the first probe, and the largest that is tried
_MOST = 8  # samples at once
_LARGEST = 8  # the largest denominator of a scale that is looked for
_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)  # what calls of a wrong shape raise


@contextmanager
def kept(module: Any) -> Iterator[None]:
    """In eval mode, with gradients, with seeds of its own; mode, buffers and random state are put back afterwards."""
    modules = list(module.modules()) if isinstance(module, torch.nn.Module) else []
    for part in modules:
        if any(
            torch.nn.parameter.is_lazy(p) for p in itertools.chain(part._parameters.values(), part._buffers.values())
        ):
            why = f"{type(part).__name__} has no weights yet"
            raise HalfpixelValueError(why, "one call of the module before, which makes them")
    modes = [part.training for part in modules]
    buffers = [(part, dict(part._buffers)) for part in modules]
    values = {id(b): (b, b.detach().clone()) for _, own in buffers for b in own.values() if b is not None}
    devices = sorted({p.device.index or 0 for part in modules for p in part.parameters(False) if p.is_cuda})
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng(devices))
        torch.manual_seed(0)
        try:
            for part in modules:
                part.training = False
            yield
        finally:
            for part, mode in zip(modules, modes, strict=True):
                part.training = mode
            with torch.no_grad():
                for part, own in buffers:
                    part._buffers.clear()
                    part._buffers.update(own)
                for buffer, value in values.values():
                    buffer.copy_(value)


class Subject:
    """A module or function with the probe that it takes: `call(x)` for x (N, channels, *size) in float32 or its dtype.

    **Convention:** attributes `channels`, `out_channels`, `size_in`, `size_out`, `scale` (Fraction per axis), `crop`
    (how many samples the result has beyond size_in * scale), `halo` (None where there is none), `margin` (output
    samples to leave out at the border).
    """

    def __init__(
        self, module: Any, in_channels: int | None, shape: Sequence[int] | None, scale: Any, device: Any
    ) -> None:
        if not callable(module):
            raise HalfpixelTypeError(f"{module!r} cannot be called", "a torch.nn.Module, or a function of a tensor")
        self.module, self.name = module, name_of(module)
        own = list(module.parameters()) + list(module.buffers()) if isinstance(module, torch.nn.Module) else []
        real = [p for p in own if p.is_floating_point()]
        self.dtype = real[0].dtype if real else torch.float32
        self.device = torch.device(device) if device is not None else own[0].device if own else torch.device("cpu")
        self.rounding = float(torch.finfo(self.dtype).eps)
        self.guide_structured = False
        self.size_in: tuple[int, ...] = ()
        self.size_out: tuple[int, ...] = ()
        self.crop: tuple[int, ...] = ()
        self.margin: tuple[int, ...] = ()
        self.halo: tuple[int, ...] | None = None
        guided = isinstance(module, Resampler) and module.takes_guide and module.guide_channels
        self.guided, self.fixed = bool(guided), shape is not None
        self._find(in_channels, tuple(shape) if shape is not None else None)
        self._find_scale(scale)
        self._find_reach()

    # -- calling

    def call(self, x: Tensor) -> Tensor:
        """The result, (N, C, *size); of several the first."""
        x = x.to(device=self.device, dtype=self.dtype)
        y = self.module(x, guide=self.guide(x)) if self.guided else self.module(x)
        while isinstance(y, (tuple, list, dict)) and y:
            y = next(iter(y.values())) if isinstance(y, dict) else y[0]
        if not isinstance(y, Tensor) or y.dim() != x.dim() or y.shape[0] != x.shape[0]:
            got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            why = f"of an input {tuple(x.shape)} came {got}"
            raise HalfpixelShapeError(why, "a result (N, C, *spatial) with as many axes as the input")
        return y

    def answer(self, x: Tensor) -> Tensor:
        """The result in float64 on the CPU, without gradients, a few samples at a time."""
        with torch.no_grad():
            return torch.cat([self.call(part).double().cpu() for part in x.split(_MOST)])

    def guide(self, x: Tensor) -> Tensor:
        """A flat guide, or one with a step in its middle along the last axis, where a block begins."""
        shape = self.module.shape
        inside = getattr(self.module, "guide_at_input", False)
        size = tuple(x.shape[2:]) if inside else shape.grown(x.shape[2:])
        guide = torch.full((x.shape[0], self.module.guide_channels, *size), 0.5, dtype=self.dtype, device=self.device)
        if self.guide_structured:
            middle = self.cells // 2 * (1 if inside else shape.scale[-1])
            guide[..., : int(middle)], guide[..., int(middle) :] = 0.25, 0.75
        return guide

    @contextmanager
    def doubled(self) -> Iterator[None]:
        """With a probe of twice the size while the block runs, where it may be and is taken."""
        before = self.size_in, self.size_out, self.crop, self.margin
        if not self.fixed and self._try(tuple(2 * n for n in self.size_in)) and self.halo is None:
            self.margin = tuple(m // 4 for m in self.size_out)
        try:
            yield
        finally:
            self.size_in, self.size_out, self.crop, self.margin = before

    # -- what it takes

    def constant(self, level: float | Tensor, count: int = 1) -> Tensor:
        """A probe of one level, or of one level for every channel."""
        levels = torch.as_tensor(level, dtype=torch.float64).reshape(1, -1, *(1,) * self.dims)
        return levels.expand(count, self.channels, *self.size_in).clone()

    @property
    def cells(self) -> int:
        """Samples of the probe's last axis."""
        return self.size_in[-1]

    def inside(self, y: Tensor) -> Tensor:
        """The part of a result that no border has a share in; of subjects without a halo the middle."""
        return y[(..., *(slice(m, n - m) for m, n in zip(self.margin, y.shape[-self.dims :], strict=True)))]

    def _find(self, in_channels: int | None, shape: tuple[int, ...] | None) -> None:
        first: Exception | None = None
        for dims, channels in self._candidates(in_channels, shape):
            for size in [shape] if shape else [(n,) * dims for n in (_SIZES[dims][0], 2 * _SIZES[dims][0])]:
                self.dims, self.channels, self.size_in = dims, channels, size
                try:
                    y = self.answer(self.constant(0.5))
                except _REFUSALS as error:
                    first = first or error
                    continue
                self.out_channels, self.size_out = y.shape[1], tuple(y.shape[2:])
                return
        said = first.why if isinstance(first, HalfpixelError) else first
        why = f"no probe could be made; the first refusal was {type(first).__name__}: {said}"
        raise HalfpixelShapeError(why, "in_channels= and shape=, the spatial sizes of an input") from first

    def _candidates(self, in_channels: int | None, shape: tuple[int, ...] | None) -> Iterator[tuple[int, int]]:
        told = list(_told(self.module))
        dims = [d for _, d in told if d] + [2, 1, 3]
        channels = [c for c, _ in told] + list(_CHANNELS)
        seen_dims = [len(shape)] if shape else list(dict.fromkeys(dims))
        seen = [in_channels] if in_channels else list(dict.fromkeys(channels))
        if told:  # a layer names both
            seen_dims = seen_dims[:1]
        yield from ((d, c) for d in seen_dims for c in seen)

    def _find_scale(self, scale: Any) -> None:
        self.scale = self._scale_given(scale) if scale is not None else self._scale_by_calling()
        # Sizes that are whole at both ends: what was cut off elsewhere would be taken for a shift.
        whole = tuple(-(-n // s.denominator) * s.denominator for n, s in zip(self.size_in, self.scale, strict=True))
        if self.fixed or max(s.denominator for s in self.scale) > _LARGEST or not self._try(whole):
            self._try(self.size_in)

    def _scale_given(self, scale: Any) -> tuple[Fraction, ...]:
        each = tuple(scale) if isinstance(scale, (tuple, list)) else (scale,) * self.dims
        if len(each) != self.dims or any(s <= 0 for s in each):
            raise HalfpixelValueError(f"scale is {scale!r}", f"one above 0, or {self.dims}, one for each axis")
        return tuple(_fraction(s) for s in each)

    def _scale_by_calling(self) -> tuple[Fraction, ...]:
        if isinstance(self.module, Upsampler):
            return tuple(_fraction(s) for s in self.module.scale)
        before, first = self.size_in, self.size_out
        try:
            self.size_in = tuple(2 * n for n in before)
            larger = tuple(self.answer(self.constant(0.5)).shape[2:])
        except _REFUSALS:
            larger = tuple(2 * m for m in first)
        finally:
            self.size_in = before
        return tuple(_scale(n, m, k) for n, m, k in zip(before, first, larger, strict=True))

    # -- how far it reaches

    def _find_reach(self) -> None:
        while True:
            halo = self._halo()
            self.halo = halo
            margins = [-(-(h + 1) * s.numerator // s.denominator) for h, s in zip(halo or (), self.scale, strict=False)]
            enough = all(
                m - 2 * p >= self._need(m, s) for m, p, s in zip(self.size_out, margins, self.scale, strict=False)
            )
            if halo is not None and enough:
                self.margin = tuple(margins)
                return
            larger = tuple(2 * n for n in self.size_in)
            if halo == self.size_in:  # everywhere: a larger probe has no inside either
                break
            if self.fixed or max(larger) > _SIZES[self.dims][1] or not self._try(larger):
                break
        self.halo = None
        self.margin = tuple(m // 4 for m in self.size_out)

    def _need(self, length: int, scale: Fraction) -> int:
        return max(min(8, length // 4), min(2 * scale.numerator, 16))

    def _try(self, size: tuple[int, ...]) -> bool:
        before = self.size_in
        self.size_in = size
        try:
            out = tuple(self.answer(self.constant(0.5)).shape[2:])
        except _REFUSALS:
            self.size_in = before
            return False
        self.size_out = out
        more = [m - n * s for n, m, s in zip(size, out, self.scale, strict=True)]
        self.crop = tuple(int(c) if c.denominator == 1 else 0 for c in more)  # parts of a pixel are cut at the end
        return True

    def _halo(self) -> tuple[int, ...] | None:
        """Of the outputs in the middle, from where their gradient is not 0; None without a gradient, `size_in` where it
        is about the same everywhere.
        """
        x = noise((1, self.channels, *self.size_in), 11).to(device=self.device, dtype=self.dtype).requires_grad_()
        y = self.call(x)
        if not y.requires_grad:
            return None
        middle = [n // 2 for n in self.size_in]
        spans = []
        for k, s, n, m in zip(middle, self.scale, self.size_in, self.size_out, strict=True):
            at = int((2 * k + 1 - n) * s / 2 + Fraction(m, 2))
            spans.append(slice(max(at - int(s), 0), at + int(s) + 1))
        block = y[(..., *spans)]
        (g,) = torch.autograd.grad((block * noise(tuple(block.shape), 12).to(block)).sum(), x, allow_unused=True)
        if g is None:
            return None
        g = g.detach().abs().amax((0, 1)).double().cpu()
        ring = torch.ones_like(g, dtype=torch.bool)
        ring[tuple(slice(1, -1) for _ in g.shape)] = False
        least, most = float(g[ring].min()), float(g[ring].max())
        if least > max(0.1 * most, 1e-9 * float(g.max())) and most > 0.5 * float(g.median()):
            return self.size_in  # a plateau up to the corners: a mean over everything
        there = (g > 1e-5 * g.max()).nonzero()
        if not len(there):
            return None
        return tuple(
            max(k - int(there[:, a].min()), int(there[:, a].max()) - k) for a, k in enumerate(middle)
        )  # fmt: skip


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Uniform in 0..1, float64, the same everywhere."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _scale(n: int, m: int, larger: int) -> Fraction:
    """The scale that makes m of n and `larger` of 2 n."""
    ratio, step = Fraction(m, n), Fraction(larger - m, n)
    if step == ratio or step <= 0:
        return ratio
    if step.denominator == 1 or step.numerator == 1:  # transposed convolutions may make 2 n - 1: cut at both ends
        return step
    for below in range(1, _LARGEST + 1):  # the simplest that makes both sizes by one rule of rounding
        for above in range(1, 8 * below):
            s = Fraction(above, below)
            if any(rule(n * s) == m and rule(2 * n * s) == larger for rule in (math.floor, round, math.ceil)):
                return s
    return ratio


def _fraction(value: Any) -> Fraction:
    exact = Fraction(value)
    near = exact.limit_denominator(10**6)
    return near if float(near) == float(value) else exact


def is_module(value: Any) -> bool:
    """Whether it is a module, and no factory of one."""
    return isinstance(value, torch.nn.Module)


def built(factory: Any, options: dict[str, Any]) -> Any:
    """What a factory makes, its random weights the same every time."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return factory(**options)


def name_of(module: Any) -> str:
    if isinstance(module, Resampler):
        return str(module.entry.name)
    return type(module).__name__ if isinstance(module, torch.nn.Module) else getattr(module, "__name__", repr(module))


def _told(module: Any) -> Iterator[tuple[int, int | None]]:
    """Channels and spatial axes that layers name, in the order in which they stand."""
    if not isinstance(module, torch.nn.Module):
        return
    for part in module.modules():
        channels = getattr(part, "in_channels", None) or getattr(part, "num_features", None)
        if isinstance(part, Resampler):
            yield part.in_channels, part.dims
        elif isinstance(channels, int):
            kernel = getattr(part, "kernel_size", None)
            yield channels, len(kernel) if isinstance(kernel, tuple) else None
