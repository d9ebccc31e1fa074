# SPDX-License-Identifier: MIT
"""Downsamplers that need no file of their own: convolution, pooling, pixel unshuffle, antialiased resize."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from halfpixel.errors import HalfpixelValueError
from halfpixel.nn import functional

from ._base import Downsampler, conv, extended
from ._interpolating import projected, projected_adds
from ._means import window_means
from ._registry import Shape, Sizes, register

_MAX = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}


def _kernel(shape: Shape, kernel_size: int | None) -> Sizes:
    return tuple(2 * int(s) - 1 if kernel_size is None else kernel_size for s in shape.scale)


def _conv_parameters(shape: Shape, kernel_size: int | None = None) -> int:
    return (shape.in_channels * math.prod(_kernel(shape, kernel_size)) + 1) * shape.out_channels


def _conv_adds(shape: Shape, size: Sizes, kernel_size: int | None = None) -> int:
    places = math.prod(shape.shrunk(size))
    return shape.in_channels * shape.out_channels * math.prod(_kernel(shape, kernel_size)) * places


@register(
    "strided_conv", kind="downsampler", source="Springenberg et al., Striving for simplicity (2015)",
    parameters=_conv_parameters, multiply_adds=_conv_adds, integer_only=True, dims=(1, 2, 3),
)  # fmt: skip
class StridedConv(Downsampler):
    """A convolution with stride `scale`.

    **Convention:** parameter `conv`, padding (kernel - 1) / 2 as in ResNets: output q lies at sample scale * q, which
    is (scale - 1) / 2 samples before the middle of its block.
    Options: kernel_size: odd; None: 2 * scale - 1.
    """

    def __init__(self, shape: Shape, *, kernel_size: int | None = None) -> None:
        super().__init__(shape)
        kernel = _kernel(shape, kernel_size)
        if any(k < 1 or k % 2 == 0 for k in kernel):
            raise HalfpixelValueError(f"kernel_size is {kernel_size}", "an odd one")
        self.conv = conv(
            shape.dims, shape.in_channels, shape.out_channels, kernel, stride=shape.scale,
            padding=tuple(k // 2 for k in kernel),
        )  # fmt: skip

    def downsample(self, x: Tensor, size: Sizes) -> Tensor:
        """x at size."""
        return self.conv(x)


@register(
    "max_pool", kind="downsampler", source="torch.nn.MaxPool2d", parameters=projected, multiply_adds=projected_adds,
    convex=True, integer_only=True, dims=(1, 2, 3),
)  # fmt: skip
class MaxPool(Downsampler):
    """The largest sample of every block; of fewer where the last block is not full."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, project=True)

    def downsample(self, x: Tensor, size: Sizes) -> Tensor:
        """x at size."""
        return _MAX[self.dims](x, self.scale, ceil_mode=True)


@register(
    "avg_pool", kind="downsampler", source="torch.nn.AvgPool2d", parameters=projected, multiply_adds=projected_adds,
    convex=True, integer_only=True, dims=(1, 2, 3),
)  # fmt: skip
class AvgPool(Downsampler):
    """The mean of every block; of fewer samples where the last block is not full."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, project=True)

    def downsample(self, x: Tensor, size: Sizes) -> Tensor:
        """x at size."""
        return window_means(x, self.scale, self.scale, (0,) * self.dims)


def _unshuffled(shape: Shape, **options: Any) -> int:
    packed = shape.in_channels * shape.block
    return (packed + 1) * shape.out_channels if shape.out_channels != packed else 0


def _unshuffled_adds(shape: Shape, size: Sizes, **options: Any) -> int:
    packed = shape.in_channels * shape.block
    return packed * shape.out_channels * math.prod(shape.shrunk(size)) if shape.out_channels != packed else 0


@register(
    "pixel_unshuffle", kind="downsampler", source="Shi et al. (2016)", parameters=_unshuffled,
    multiply_adds=_unshuffled_adds, integer_only=True, dims=(1, 2, 3),
    out_channels=lambda in_channels, block: in_channels * block,
)  # fmt: skip
class PixelUnshuffle(Downsampler):
    """The pixels of a block become channels; a 1x1 convolution follows where out_channels is another number.

    **Convention:** torch's order of pixel_unshuffle; odd sizes repeat their last samples. Parameter `conv`, if any.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        packed = shape.in_channels * shape.block
        self.conv: Any = None
        if shape.out_channels != packed:
            self.conv = conv(shape.dims, packed, shape.out_channels, 1)

    def downsample(self, x: Tensor, size: Sizes) -> Tensor:
        """x at size."""
        full = extended(x, [m * int(s) for m, s in zip(size, self.scale, strict=True)])
        y = functional.pixel_unshuffle(full, self.scale)
        return y if self.conv is None else self.conv(y)


@register(
    "resize", kind="downsampler", source="halfpixel.resize", parameters=projected, multiply_adds=projected_adds,
    dims=(1, 2, 3),
)  # fmt: skip
class Resize(Downsampler):
    """An antialiased resize, at any scale and size.

    Options: filter, edge: as in `halfpixel.resize`.
    """

    def __init__(self, shape: Shape, *, filter: str = "cubic", edge: str = "crop") -> None:
        super().__init__(shape, project=True)
        self.filter, self.edge = filter, edge

    def downsample(self, x: Tensor, size: Sizes) -> Tensor:
        """x at size."""
        return functional.resize(x, size, filter=self.filter, edge=self.edge)
