# SPDX-License-Identifier: MIT
"""Samples at given positions through torch tensors: grids, and DySample's offsets beside plain bilinear upsampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as T

from halfpixel.nn import functional as F

from .pairs import ACCELERATED, Job, Work, moved

Sizes = tuple[int, ...]
_MODES = ("bilinear", "nearest", "bicubic")
_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def jobs(quick: bool = False) -> Iterator[Job]:
    """The rows of this part; `quick` ones at sizes for tests."""
    less = 8 if quick else 1
    for layout in _FORMATS:
        for shape in ((4, 64, 128, 128), (1, 3, 512, 512)):
            small = (*shape[:2], *(n // less for n in shape[2:]))
            for mode in _MODES:
                for backward in (False, True):
                    way = "backward" if backward else "forward"
                    name = f"grid_sample-{mode}-{layout}-{'x'.join(map(str, shape))}-{way}"
                    yield Job(name, f"sample_{way}", partial(_grid, mode, layout, small, backward), share=0.5)
        for channels, side in ((64, 128), (128, 64), (256, 64)):
            name = f"dysample-x2-{layout}-{channels}x{side}x{side}"
            yield Job(name, "dysample", partial(_offsets, layout, channels, side // less), share=0.5)
    for backward in (False, True):
        way = "backward" if backward else "forward"
        name, side = f"grid_sample-trilinear-contiguous-1x16x64x64x64-{way}", 64 // less
        volume = (1, 16, side, side, side)
        yield Job(name, f"sample_{way}", partial(_grid, "bilinear", "contiguous", volume, backward), share=0.5)


def _grid(mode: str, layout: str, shape: Sizes, backward: bool) -> Work:
    """A smooth field of positions with noise of a pixel, to twice the size (volumes keep theirs)."""
    n, channels, *size = shape
    x = torch.rand(shape).contiguous(memory_format=_FORMATS[layout]).requires_grad_(backward)
    grid = T.affine_grid(
        torch.eye(len(size), len(size) + 1).expand(n, -1, -1),
        [n, channels, *(m * 2 if len(size) == 2 else m for m in size)], align_corners=False,
    )  # fmt: skip
    grid = (grid + torch.randn_like(grid) * (2 / size[-1])).requires_grad_(backward)
    options: dict[str, Any] = {"mode": mode, "padding_mode": "border", "align_corners": False}
    ours, theirs = (partial(function, x, grid, **options) for function in (F.grid_sample, T.grid_sample))
    result = theirs().detach()
    if backward:
        towards, wanted = torch.rand_like(result), (x, grid) if mode != "nearest" else (x,)
        ours, theirs = (partial(_gradients, call(), wanted, towards) for call in (ours, theirs))
    small, large = moved(x, grid), moved(result)
    bytes_in, bytes_out = (small + large, small) if backward else (small, large)
    return Work({"functional": ours, ACCELERATED: theirs}, {"torch": theirs}, bytes_in, bytes_out, 1e-3)


def _gradients(y: Tensor, wanted: tuple[Tensor, ...], towards: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(y, wanted, towards, retain_graph=True)


def _offsets(layout: str, channels: int, side: int) -> Work:
    """DySample as it is before training, offsets of 0 from its convolution, and what it stands for."""
    x = torch.rand(1, channels, side, side).contiguous(memory_format=_FORMATS[layout])
    convolution = torch.nn.Conv2d(channels, 32, 1).to(memory_format=_FORMATS[layout]).requires_grad_(False)
    torch.nn.init.zeros_(convolution.weight)
    torch.nn.init.zeros_(convolution.bias)

    def ours() -> Tensor:
        return F.sample_offsets(x, convolution(x), 2, 4)

    def theirs() -> Tensor:
        convolution(x)
        return T.interpolate(x, scale_factor=2.0, mode="bilinear")

    beside: dict[str, Callable[[], Any]] = {"convolution": lambda: convolution(x)}
    return Work({"functional": ours}, {"bilinear and convolution": theirs}, moved(x), 4 * moved(x), 1e-5, beside)
