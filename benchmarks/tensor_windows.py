# SPDX-License-Identifier: MIT
"""Sums over windows through torch tensors, against the unfold form that copies of CARAFE and RAFT have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as T

from halfpixel.nn import functional as F

from .pairs import Job, Work, moved

# channels, side of the input, window, scale
REASSEMBLED = ((256, 64, 5, 2), (64, 64, 5, 2), (256, 32, 5, 2), (64, 64, 3, 4))
CONVEX = ((64, 64), (55, 128))  # of flow fields, scale 8
_DIRECTIONS = ("forward", "both")  # both: forward and backward


def jobs(quick: bool = False) -> Iterator[Job]:
    """The rows of this part; `quick` ones at sizes for tests."""
    for layout in (torch.contiguous_format, torch.channels_last):
        name = "channels_last" if layout == torch.channels_last else "contiguous"
        for channels, side, k, scale in REASSEMBLED:
            small = (channels // 16, side // 4) if quick else (channels, side)
            for way in _DIRECTIONS:
                row = f"reassemble-{k}s{scale}-{name}-{channels}x{side}x{side}-{way}"
                yield Job(row, "window", partial(_reassemble, *small, k, scale, layout, way == "both"), share=0.5)
    for height, width in CONVEX:
        size = (height // 8, width // 8) if quick else (height, width)
        for way in _DIRECTIONS:
            yield Job(
                f"convex-3s8-2x{height}x{width}-{way}", "window", partial(_convex, *size, way == "both"), share=0.5
            )


def unfolded(x: Tensor, weights: Tensor, k: int, scale: int) -> Tensor:
    """k * k copies of the input, enlarged, multiplied and summed."""
    n, c, h, w = x.shape
    windows = T.unfold(x, k, padding=k // 2).view(n, c * k * k, h, w)
    windows = T.interpolate(windows, scale_factor=scale).view(n, c, k * k, h * scale, w * scale)
    return (windows * weights.unsqueeze(1)).sum(2)


def rafts(x: Tensor, logits: Tensor, scale: int) -> Tensor:
    """RAFT's convex upsampling of flow, by unfolding."""
    n, c, h, w = x.shape
    weights = logits.view(n, 1, 9, scale, scale, h, w).softmax(2)
    windows = T.unfold(scale * x, [3, 3], padding=1).view(n, c, 9, 1, 1, h, w)
    return (weights * windows).sum(2).permute(0, 1, 4, 2, 5, 3).reshape(n, c, scale * h, scale * w)


def _reassemble(channels: int, side: int, k: int, scale: int, layout: torch.memory_format, both: bool) -> Work:
    x = torch.rand(1, channels, side, side).contiguous(memory_format=layout)
    weights = torch.rand(1, k * k, side * scale, side * scale).softmax(1).contiguous(memory_format=layout)
    flops = 2 * channels * (side * scale * k) ** 2
    return _work(F.reassemble, unfolded, (x, weights), (k, scale), both, flops)


def _convex(height: int, width: int, both: bool) -> Work:
    x, logits = torch.rand(1, 2, height, width), torch.randn(1, 576, height, width)
    return _work(partial(F.convex_upsample, flow=True), rafts, (x, logits), (8,), both, 2 * 2 * 9 * 64 * height * width)


def _work(
    ours: Callable[..., Tensor], theirs: Callable[..., Tensor], given: tuple[Tensor, Tensor], rest: tuple[Any, ...],
    both: bool, flops: int,
) -> Work:  # fmt: skip
    """Forward reads both tensors and writes the result; with the gradients all three are read and two written."""
    y = ours(*given, *rest)
    grad = torch.rand_like(y)
    inputs = tuple(t.requires_grad_(both) for t in given)

    def call(function: Callable[..., Tensor]) -> Any:
        made = function(*inputs, *rest)
        return (made, *torch.autograd.grad(made, inputs, grad)) if both else made

    read, written = moved(*given), moved(y)
    if both:
        read, written = 2 * read + 2 * written, read + written
    return Work(
        {"functional": partial(call, ours)}, {"torch": partial(call, theirs)}, read, written, 1e-4,
        flops=flops * (3 if both else 1),
    )  # fmt: skip
