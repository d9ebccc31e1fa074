# SPDX-License-Identifier: MIT
"""SegNet: the encoder remembers where maxima were, and the decoder puts values back there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError
from halfpixel.upsamplers._base import conv
from halfpixel.upsamplers._registry import entry_of
from halfpixel.upsamplers.blocks import SegNetDecoder, SegNetEncoder

from ._base import Network, check_count, check_images
from ._registry import register


@register(
    "segnet", task="segmentation",
    source="Badrinarayanan et al., SegNet: a deep convolutional encoder-decoder architecture (2017)",
)  # fmt: skip
class SegNet(Network):
    """VGG's convolutions with max pooling whose indices the mirrored decoder unpools by; no maps are passed on.

    **Convention:** x (N, in_channels, *spatial) of any size; the result (N, out_channels, *spatial), scores without a
    softmax. Levels halve, rounded up.
    Arguments: in_channels, out_channels: classes. widths: channels of the levels. depths: convolutions of the levels.
        upsampler: "max_unpool", or another name of `halfpixel.upsamplers` in its place; methods with a guide get the
        encoder's map that was pooled. norm: "batch", "group", "instance" or "none". dims: spatial axes, 1 to 3 where
        the method has them. options: the upsampler's own.
    Raises: ValueError and TypeError that say what would work.
    Source: Badrinarayanan et al. (2017), VGG-16's 13 convolutions.
    Example:
        >>> import torch
        >>> SegNet(3, 5, widths=(4, 8), depths=(2, 2))(torch.zeros(1, 3, 11, 30)).shape
        torch.Size([1, 5, 11, 30])
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 2, widths: Sequence[int] = (64, 128, 256, 512, 512),
        depths: Sequence[int] = (2, 2, 3, 3, 3), upsampler: str = "max_unpool", norm: str = "batch", dims: int = 2,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            dict(in_channels=in_channels, out_channels=out_channels, widths=tuple(widths), depths=tuple(depths),
                 upsampler=upsampler, norm=norm, dims=dims, **options)
        )  # fmt: skip
        check_count("in_channels", in_channels)
        check_count("out_channels", out_channels)
        if not widths or len(widths) != len(depths):
            why = f"{len(widths)} widths and {len(depths)} depths"
            raise HalfpixelValueError(why, "as many, one or more: the channels and the convolutions of each level")
        for depth in depths:
            check_count("a depth", depth)
        self.in_channels, self.out_channels, self.dims = in_channels, out_channels, dims
        indices = upsampler == "max_unpool"
        needs_guide = entry_of("upsampler", upsampler).guide and not indices
        before = [in_channels, *widths]
        self.encoder = torch.nn.ModuleList(
            SegNetEncoder(a, b, depth, 2, dims, norm) for a, b, depth in zip(before, widths, depths, strict=False)
        )
        levels = list(zip([widths[0], *widths], widths, depths, strict=False))
        self.decoder = torch.nn.ModuleList(
            SegNetDecoder(
                b, a, depth - (i == 0), upsampler, 2, dims, norm, guide_channels=b if needs_guide else None, **options
            )
            for i, (a, b, depth) in reversed([*enumerate(levels)])
        )
        self.guided = not indices and any(stage.up.guide_channels is not None for stage in self.decoder)
        self.head = conv(dims, widths[0], out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of x's size."""
        check_images(self, x, self.in_channels, self.dims)
        pooled = []
        for stage in self.encoder:
            features = stage.convs(x)
            x, indices, size = stage.pool(features)
            pooled.append((indices, size, features if self.guided else None))
        for stage, (indices, size, guide) in zip(self.decoder, reversed(pooled), strict=True):
            x = stage(x, indices, size, guide)
        return self.head(x)
