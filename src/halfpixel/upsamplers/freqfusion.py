# SPDX-License-Identifier: MIT
"""FreqFusion's low-pass resampler: windows that smooth within objects, from the guide and the features."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.nn import functional

from ._attending import adds_of, check_window, hamming
from ._base import Upsampler, conv
from ._interpolating import nearest, projected, projected_adds
from ._registry import Shape, Sizes, register


def _guide(shape: Shape) -> int:
    return shape.guide_channels or 0


def _parameters(
    shape: Shape, up_kernel: int = 5, encoder_kernel: int = 3, compressed_channels: int = 64, **options: Any
) -> int:
    encoder = (compressed_channels * encoder_kernel**2 + 1) * up_kernel**2
    return projected(shape) + (_guide(shape) + shape.out_channels + 2) * compressed_channels + encoder


def _multiply_adds(
    shape: Shape, size: Sizes, up_kernel: int = 5, encoder_kernel: int = 3, compressed_channels: int = 64,
    **options: Any,
) -> int:  # fmt: skip
    c, small, large = shape.out_channels, math.prod(size), math.prod(shape.grown(size))
    compressed = (_guide(shape) * large + c * small) * compressed_channels
    encoded = compressed_channels * encoder_kernel**2 * up_kernel**2 * (small + large)
    return projected_adds(shape, size) + compressed + encoded + adds_of(c, up_kernel, shape.grown(size))


@register(
    "freqfusion", source="Chen et al., Frequency-aware feature fusion for dense image prediction (2024)",
    parameters=_parameters, multiply_adds=_multiply_adds, guide=True, integer_only=True,
)  # fmt: skip
class FreqFusion(Upsampler):
    """The adaptive low-pass filter of FreqFusion: softmax windows under a Hamming window, from guide and features.

    **Convention:** scores = E(hr(guide)) + up(E(lr(x))), E one 3x3 convolution for both, up nearest; weights
    softmax(scores) times the two-dimensional Hamming window, over their sum; then window sums of x. It is the part of
    the published block that upsamples, in its plain form. Not in it: the high-pass filter that sharpens the guide
    first, the weights' own resampling between the two resolutions, and the offset generator. So published checkpoints
    and figures are not this module's.
    Options: up_kernel: the window, odd. encoder_kernel: of E. compressed_channels: of both inputs. padding: "zeros" as
        published, "renorm", "replicate".
    """

    takes_guide = True

    def __init__(
        self, shape: Shape, *, up_kernel: int = 5, encoder_kernel: int = 3, compressed_channels: int = 64,
        padding: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(shape, project=True)
        check_window("up_kernel", up_kernel, padding)
        check_window("encoder_kernel", encoder_kernel, padding)
        self.up_kernel, self.padding = up_kernel, padding
        self.hr_channel_compressor = conv(2, _guide(shape), compressed_channels, 1)
        self.lr_channel_compressor = conv(2, shape.out_channels, compressed_channels, 1)
        self.content_encoder = conv(2, compressed_channels, up_kernel**2, encoder_kernel)
        for layer in (self.hr_channel_compressor, self.lr_channel_compressor):
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        torch.nn.init.normal_(self.content_encoder.weight, std=0.001)
        torch.nn.init.zeros_(self.content_encoder.bias)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        fine = self.content_encoder(self.hr_channel_compressor(guide))
        coarse = self.content_encoder(self.lr_channel_compressor(x))
        # A softmax times the window over its sum is the softmax of scores with the window's logarithm.
        coarse = coarse + hamming(self.up_kernel, coarse).log().view(1, -1, 1, 1)
        scores = fine + nearest(coarse, size)
        return functional.reassemble(x, scores, self.up_kernel, padding=self.padding, softmax=True)
