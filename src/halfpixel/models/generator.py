# SPDX-License-Identifier: MIT
"""An image-to-image generator: a strided encoder, and a decoder of upsampling stages."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError
from halfpixel.upsamplers.blocks import normalisation

from ._base import Network, check_count, check_images
from ._reach import Reach, Span, through
from ._registry import register
from ._stages import ReflectConv2d, UpStage


@register(
    "generator", task="autoencoder",
    source="Johnson et al., Perceptual losses for real-time style transfer (2016); Odena et al. (2016)",
)  # fmt: skip
class Generator(Network):
    """A strided encoder with mirrored borders, as many upsampling stages, and tanh: images of the input's size.

    **Convention:** x (N, in_channels, H, W) of any size from 1x1 on, values -1 to 1; the result (N, out_channels, H,
    W), -1 to 1. Every stride halves, rounded up, by a kernel of 4 pixels, which does not shift. Borders are mirrored as
    in NumPy, so that one pixel is enough. In training batch norm needs more than one value per channel: batches, or
    sides over 2**len(widths).
    Arguments: in_channels, out_channels. widths: of the encoder's maps; each is one stride and one upsampling stage.
        upsampler: a name of `halfpixel.upsamplers`, without guide. norm: "batch", "group", "instance" or "none"; the
        second and third leave no finite reach. options: the upsampler's own.
    Raises: ValueError and TypeError that say what would work.
    Source: Johnson et al. (2016), without residual blocks.
    Example:
        >>> import torch
        >>> Generator(widths=(4, 8, 16))(torch.zeros(2, 3, 13, 30)).shape
        torch.Size([2, 3, 13, 30])
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, widths: Sequence[int] = (32, 64, 128),
        upsampler: str = "nearest", norm: str = "batch", **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            dict(in_channels=in_channels, out_channels=out_channels, widths=tuple(widths), upsampler=upsampler,
                 norm=norm, **options)
        )  # fmt: skip
        for name, count in (("in_channels", in_channels), ("out_channels", out_channels)):
            check_count(name, count)
        if not widths:
            raise HalfpixelValueError("widths is empty", "one number or more, the encoder's channels")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.encoder = torch.nn.ModuleList(
            torch.nn.Sequential(ReflectConv2d(a, b, 4, 2), normalisation(norm, 2, b), torch.nn.ReLU())
            for a, b in zip([in_channels, *widths], widths, strict=False)
        )
        back = [*widths[::-1], widths[0]]
        self.decoder = torch.nn.ModuleList(
            UpStage(a, b, upsampler, normalisation(norm, 2, b), options) for a, b in itertools.pairwise(back)
        )
        self.conv_last = ReflectConv2d(widths[0], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """An image of x's size."""
        check_images(self, x, self.in_channels)
        sizes = []
        for stage in self.encoder:
            sizes.append(x.shape[2:])
            x = stage(x)
        for stage, size in zip(self.decoder, reversed(sizes), strict=True):
            x = stage(x, size)
        return torch.tanh(self.conv_last(x))

    def needs(self, span: Span) -> Span | None:
        """The input pixels of these output pixels."""
        return through([*self.encoder, *self.decoder, self.conv_last], span)

    @property
    def reach(self) -> Reach | None:
        """How far results depend on the input in eval mode; None where there is no bound, or none is known."""
        return Reach.of_needs(self.needs, 1, 2 ** len(self.encoder))
