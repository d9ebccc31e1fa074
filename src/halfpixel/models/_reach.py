# SPDX-License-Identifier: MIT
"""How far a network's results depend on its input: intervals, carried through the layers from the end to the begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.nn.modules import activation, batchnorm, conv, dropout, padding

from halfpixel.nn import PixelShuffle, PixelUnshuffle
from halfpixel.upsamplers import Upsampler

_ACROSS = ("MultiheadAttention", "GLU", "Softmax", "Softmin", "LogSoftmax")
# Layers whose results depend on their own place alone; normalisation by stored means, in eval mode.
_POINTWISE: tuple[type, ...] = (
    *(getattr(activation, n) for n in activation.__all__ if n not in _ACROSS),
    *(getattr(dropout, n) for n in dropout.__all__), batchnorm._BatchNorm, torch.nn.Identity,
)  # fmt: skip
_SHUFFLES = (PixelShuffle, torch.nn.PixelShuffle)
_UNSHUFFLES = (PixelUnshuffle, torch.nn.PixelUnshuffle)
_PADS = tuple(getattr(padding, n) for n in padding.__all__ if "Circular" not in n)


@dataclass(frozen=True)
class Reach:
    """How far a network's results depend on its input, per axis.

    **Convention:** `stride`: input pixels after which the network repeats itself: tiles and crops begin at multiples of
    it. `halo`: the least multiple of `stride` such that outputs [a * scale, b * scale), where a and b are multiples of
    `stride` or ends of the image, depend on the inputs [a - halo, b + halo) alone.
    """

    halo: int
    stride: int

    @classmethod
    def of_needs(cls, needs: Callable[[Span], Span | None], scale: int, stride: int) -> Reach | None:
        """Of a function that tells the inputs that an interval of outputs needs."""
        span = needs(Span(0, scale * stride - 1))
        return None if span is None else cls(span.halo(stride), stride)


class Span(NamedTuple):
    """Places from `first` to `last`, both included, along an axis of a map."""

    first: int
    last: int

    def halo(self, stride: int) -> int:
        """What an interval needed for the block [0, stride) has beyond it, up to a multiple of stride."""
        return -(-max(-self.first, self.last - stride + 1, 0) // stride) * stride

    def __or__(self, other: Any) -> Span:
        return Span(min(self.first, other.first), max(self.last, other.last))

    def convolved(self, kernel: int, stride: int = 1, pad: int | None = None, dilation: int = 1) -> Span:
        """What a convolution needs for these outputs; pad: kernel // 2."""
        before = kernel // 2 if pad is None else pad
        return Span(self.first * stride - before, self.last * stride - before + (kernel - 1) * dilation)

    def transposed(self, kernel: int, stride: int, pad: int, dilation: int = 1) -> Span:
        """What a transposed convolution needs: input i makes i * stride - pad + t * dilation, t < kernel."""
        taps = range(0, kernel * dilation, dilation)

        def places(out: int) -> list[int]:
            return [(out + pad - t) // stride for t in taps if (out + pad - t) % stride == 0]

        # Neighbouring outputs have other phases: a block at either end has all of them.
        ends = [*range(self.first, min(self.first + stride, self.last + 1))]
        ends += [*range(max(self.last - stride + 1, self.first), self.last + 1)]
        found = [i for out in ends for i in places(out)]
        return Span(min(found), max(found)) if found else Span(self.first // stride, self.last // stride)

    def shuffled(self, scale: int, halo: int = 0) -> Span:
        """What blocks of `scale` outputs need that each look `halo` inputs to either side."""
        return Span(self.first // scale - halo, self.last // scale + halo)

    def unshuffled(self, scale: int) -> Span:
        """What blocks of `scale` inputs are made of."""
        return Span(self.first * scale, self.last * scale + scale - 1)


def through(layers: Iterable[Any], span: Span | None) -> Span | None:
    """The inputs that the outputs `span` of these layers, one behind the other, need; None where one is unknown."""
    for layer in reversed(list(layers)):
        if span is None:
            return None
        span = _through(layer, span)
    return span


def _through(layer: Any, span: Span) -> Span | None:
    if isinstance(layer, torch.nn.Sequential):
        return through(layer, span)
    if callable(getattr(layer, "needs", None)):
        return layer.needs(span)
    if isinstance(layer, conv._ConvTransposeNd):
        return _same([span.transposed(*hyper) for hyper in _axes(layer)])
    if isinstance(layer, conv._ConvNd):
        return _convolved(layer, span)
    if isinstance(layer, _SHUFFLES):
        return _same([span.shuffled(s) for s in _each(layer.upscale_factor)])
    if isinstance(layer, _UNSHUFFLES):
        return _same([span.unshuffled(s) for s in _each(layer.downscale_factor)])
    if isinstance(layer, Upsampler):
        from ._probe import upsampler_halo

        halo = upsampler_halo(layer)
        scales = set(layer.scale)
        return span.shuffled(int(scales.pop()), halo) if halo is not None and len(scales) == 1 else None
    if isinstance(layer, _PADS):
        pads = set(layer.padding) if isinstance(layer.padding, (tuple, list)) else {layer.padding}
        return Span(span.first - max(pads), span.last - min(pads)) if len(pads) == 1 else None
    return span if isinstance(layer, _POINTWISE) and not _normalises_by_input(layer) else None


def _convolved(layer: Any, span: Span) -> Span | None:
    if layer.padding_mode == "circular":
        return None
    pads = layer.padding if not isinstance(layer.padding, str) else None
    if layer.padding == "same":
        pads = tuple(d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True))
    hypers = zip(layer.kernel_size, layer.stride, pads or (0,) * len(layer.stride), layer.dilation, strict=True)
    return _same([span.convolved(*hyper) for hyper in hypers])


def _axes(layer: Any) -> Iterable[tuple[int, int, int, int]]:
    return zip(layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True)


def _each(factor: Any) -> tuple[int, ...]:
    return tuple(factor) if isinstance(factor, (tuple, list)) else (factor,)


def _same(spans: list[Span]) -> Span | None:
    """One interval for all axes, where they agree: tiles are told by one number."""
    return spans[0] if len(set(spans)) == 1 else None


def _normalises_by_input(layer: Any) -> bool:
    return isinstance(layer, batchnorm._BatchNorm) and not layer.track_running_stats
