# SPDX-License-Identifier: MIT
"""U-Net: an encoder, a decoder, and skip connections between them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError
from halfpixel.upsamplers import create_downsampler
from halfpixel.upsamplers._base import conv
from halfpixel.upsamplers.blocks import UNetBlock, convolved

from ._base import Network, check_count, check_images
from ._registry import register


@register(
    "unet", task="segmentation",
    source="Ronneberger et al., U-Net: convolutional networks for biomedical image segmentation (2015)",
)  # fmt: skip
class UNet(Network):
    """An encoder of two convolutions per level, and a decoder that gets the encoder's maps by skip connections.

    **Convention:** x (N, in_channels, *spatial) of any size; the result (N, out_channels, *spatial), scores without a
    softmax. Levels halve, rounded up; decoder maps have the skip connection's size. Convolutions keep the size, unlike
    the paper's.
    Arguments: in_channels, out_channels: classes. width: channels of the first level, each next one has twice as many.
        depth: how often the size is halved. widths: all of them, depth + 1 numbers, in place of width and depth.
        upsampler: a name of `halfpixel.upsamplers`; methods with a guide get the skip connection. downsampler: a name
        of `list_downsamplers()`. norm: "batch", "group", "instance" or "none". dims: spatial axes, 1 to 3 where the
        methods have them. options: the upsampler's own.
    Raises: ValueError and TypeError that say what would work.
    Source: Ronneberger et al. (2015); batch normalisation as is usual since.
    Example:
        >>> import torch
        >>> UNet(1, 2, width=4, depth=2, upsampler="carafe")(torch.zeros(1, 1, 11, 30)).shape
        torch.Size([1, 2, 11, 30])
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 1, width: int = 64, depth: int = 4,
        widths: Sequence[int] | None = None, upsampler: str = "upconv", downsampler: str = "max_pool",
        norm: str = "batch", dims: int = 2, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            dict(in_channels=in_channels, out_channels=out_channels, width=width, depth=depth,
                 widths=None if widths is None else tuple(widths), upsampler=upsampler, downsampler=downsampler,
                 norm=norm, dims=dims, **options)
        )  # fmt: skip
        check_count("in_channels", in_channels)
        check_count("out_channels", out_channels)
        check_count("width", width)
        check_count("depth", depth, 0)
        if dims not in (1, 2, 3):
            raise HalfpixelValueError(f"dims is {dims!r}", "1, 2 or 3")
        each = [width * 2**i for i in range(depth + 1)] if widths is None else list(widths)
        if not each:
            raise HalfpixelValueError("widths is empty", "one number per level")
        for count in each:
            check_count("a width", count)
        self.in_channels, self.out_channels, self.dims = in_channels, out_channels, dims
        self.encoder = torch.nn.ModuleList(
            torch.nn.Sequential(*convolved(dims, a, b, norm), *convolved(dims, b, b, norm))
            for a, b in itertools.pairwise([in_channels, *each])
        )
        self.down = torch.nn.ModuleList(create_downsampler(downsampler, n, n, 2, None, dims) for n in each[:-1])
        self.decoder = torch.nn.ModuleList(
            UNetBlock(b, a, a, upsampler, 2, dims, norm, **options) for a, b in reversed([*itertools.pairwise(each)])
        )
        self.head = conv(dims, each[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of x's size."""
        check_images(self, x, self.in_channels, self.dims)
        x, skips = self.encoder[0](x), []
        for down, stage in zip(self.down, list(self.encoder)[1:], strict=True):
            skips.append(x)
            x = stage(down(x))
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            x = block(x, skip)
        return self.head(x)
