# SPDX-License-Identifier: MIT
"""Transposed convolution, shuffles and pooling through torch tensors; and the rate that convolutions reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as T

from halfpixel.nn import functional as F

from .pairs import ACCELERATED, Job, Work, moved

Sizes = tuple[int, ...]
LAYOUTS = ("contiguous", "channels_last")

# kernel, stride, channels in and out, groups, size: all of batch 1, without padding, with a bias.
TRANSPOSED: tuple[tuple[int, int, int, int, int, Sizes], ...] = (
    (2, 2, 64, 32, 1, (128, 128)),
    (3, 2, 64, 32, 1, (128, 128)),
    (4, 2, 64, 32, 1, (128, 128)),
    (4, 4, 64, 32, 1, (64, 64)),
    (8, 4, 64, 32, 1, (64, 64)),
    (16, 8, 64, 32, 1, (32, 32)),
    (16, 8, 21, 21, 1, (64, 64)),  # the last layer of a fully convolutional network for 21 classes
    (4, 2, 64, 64, 64, (128, 128)),
    (2, 2, 32, 16, 1, (32, 32, 32)),
    (4, 2, 32, 16, 1, (32, 32, 32)),
)
_RATES = tuple((kernel, channels, side) for kernel in (3, 1) for channels, side in ((64, 128), (128, 64), (128, 128)))


def jobs(quick: bool = False) -> Iterator[Job]:
    """The rows of this part; `quick` ones at sizes for tests."""
    less = 8 if quick else 1
    for kernel, channels, side in _RATES:
        name = f"conv2d-{kernel}s1-{channels}to{channels}-{side}x{side}"
        yield Job(name, "rate", partial(_convolution, kernel, channels, side // less), share=0.5)
    for kernel, stride, c_in, c_out, groups, size in TRANSPOSED:
        kind = f"{c_in}to{c_out}" if groups == 1 else f"depthwise{groups}"
        head = f"conv_transpose{len(size)}d-{kernel}s{stride}-{kind}-{'x'.join(map(str, size))}"
        small = (kernel, stride, c_in, c_out, groups, tuple(n // less for n in size))
        for backward in (False, True):
            name = f"{head}-{'backward' if backward else 'forward'}"
            yield Job(name, "conv_transpose", partial(_transposed, *small, backward))
    yield from _shuffles(quick)
    side = 128 // less
    for layout in LAYOUTS:
        for kernel, padding in ((2, 0), (3, 1)):
            name = f"max_pool2d-{kernel}s2-{layout}-4x64x128x128"
            yield Job(name, "pool", partial(_pool, kernel, padding, layout, side), share=0.5)
        yield Job(f"max_unpool2d-2s2-{layout}-4x64x128x128", "pool", partial(_unpool, layout, side), share=0.5)


def _shuffles(quick: bool) -> Iterator[Job]:
    cases = product((False, True), (2, 3, 4), ((3, 1080, 1920), (16, 540, 960)), LAYOUTS, (torch.float32, torch.uint8))
    for inverse, factor, size, layout, dtype in cases:
        what = f"{layout}-{str(dtype).removeprefix('torch.')}-{'x'.join(map(str, size))}"
        name = f"pixel_{'unshuffle' if inverse else 'shuffle'}-{factor}-{what}"
        shape = (1, size[0], 12, 24) if quick else (1, *size)
        yield Job(name, "shuffle", partial(_shuffle, shape, factor, layout, dtype, inverse), share=0.25)


def _arranged(x: Tensor, layout: str) -> Tensor:
    last = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    return x.contiguous(memory_format=last if layout == "channels_last" else torch.contiguous_format)


def _convolution(kernel: int, channels: int, side: int) -> Work:
    x = _arranged(torch.rand(1, channels, side, side), "channels_last")
    weight = _arranged(torch.rand(channels, channels, kernel, kernel), "channels_last")
    flops = 2 * channels * channels * (kernel * side) ** 2
    return Work(
        {}, {"channels_last": lambda: T.conv2d(x, weight, padding=kernel // 2)}, moved(x, weight), moved(x), flops=flops
    )


def _transposed(
    kernel: int, stride: int, c_in: int, c_out: int, groups: int, size: Sizes, backward: bool
) -> Work:  # fmt: skip
    """Both layouts of the input; the weight has the input's, as in a model that was moved to channels-last."""
    dims = len(size)
    x, bias = torch.rand(1, c_in, *size), torch.rand(c_out)
    weight = torch.rand(c_in, c_out // groups, *[kernel] * dims) / (c_in * kernel)
    grad = torch.rand(1, c_out, *((n - 1) * stride + kernel for n in size))
    ours, theirs = (getattr(functional, f"conv_transpose{dims}d") for functional in (F, T))

    def calls(function: Callable[..., Tensor]) -> dict[str, Callable[[], Any]]:
        made: dict[str, Callable[[], Any]] = {}
        for layout in LAYOUTS:
            given = tuple(_arranged(t, layout).clone().requires_grad_(backward) for t in (x, weight))
            given += (bias.clone().requires_grad_(backward),)
            forward = partial(function, *given, stride=stride, groups=groups)
            made[layout] = (
                partial(torch.autograd.grad, forward(), given, _arranged(grad, layout), retain_graph=True)
                if backward
                else forward
            )
        return made

    small, large = moved(x, weight, bias), moved(grad)
    bytes_in, bytes_out = (small + large, small) if backward else (small, large)
    flops = 2 * c_in * (c_out // groups) * prod(size) * kernel**dims * (2 if backward else 1)
    return Work(calls(ours), calls(theirs), bytes_in, bytes_out, 1e-4, flops=flops)


def _shuffle(shape: Sizes, factor: int, layout: str, dtype: torch.dtype, inverse: bool) -> Work:
    """`shape` is that of the picture: before the unshuffle, after the shuffle."""
    picture = (torch.rand(shape) * 255).to(dtype)
    x = _arranged(picture if inverse else T.pixel_unshuffle(picture, factor), layout)
    name = "pixel_unshuffle" if inverse else "pixel_shuffle"
    ours, theirs = (partial(getattr(functional, name), x, factor) for functional in (F, T))
    return Work(
        {"functional": ours, ACCELERATED: theirs}, {"torch": theirs}, moved(x), moved(x), beside={"clone": x.clone}
    )


def _pool(kernel: int, padding: int, layout: str, side: int) -> Work:
    x = _arranged(torch.rand(4, 64, side, side), layout)
    ours, theirs = (partial(f.max_pool2d, x, kernel, 2, padding, return_indices=True) for f in (F, T))
    return Work({"functional": ours, ACCELERATED: theirs}, {"torch": theirs}, moved(x), moved(*theirs()))


def _unpool(layout: str, side: int) -> Work:
    x = _arranged(torch.rand(4, 64, side, side), layout)
    y, places = T.max_pool2d(x, 2, return_indices=True)
    ours, theirs = (partial(f.max_unpool2d, y, places, 2) for f in (F, T))
    return Work({"functional": ours, ACCELERATED: theirs}, {"torch": theirs}, moved(y, places), moved(x))
