# SPDX-License-Identifier: MIT
"""CARAFE: every output pixel has a window of weights, predicted from the features; and the same for downsampling."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.nn import functional

from ._attending import adds_of, channels_last, check_groups, check_window
from ._base import Downsampler, Upsampler, conv
from ._interpolating import projected, projected_adds
from ._registry import Shape, Sizes, register


def _predicted(
    shape: Shape, block: int, up_kernel: int, up_group: int, encoder_kernel: int, compressed_channels: int
) -> int:
    c, taps = shape.out_channels, block * up_kernel**2 * up_group
    return (c + 1) * compressed_channels + (compressed_channels * encoder_kernel**2 + 1) * taps


def _parameters(
    shape: Shape, up_kernel: int = 5, up_group: int = 1, encoder_kernel: int = 3, compressed_channels: int = 64,
    **options: Any,
) -> int:  # fmt: skip
    return projected(shape) + _predicted(shape, shape.block, up_kernel, up_group, encoder_kernel, compressed_channels)


def _multiply_adds(
    shape: Shape, size: Sizes, up_kernel: int = 5, up_group: int = 1, encoder_kernel: int = 3,
    compressed_channels: int = 64, **options: Any,
) -> int:  # fmt: skip
    c, taps = shape.out_channels, shape.block * up_kernel**2 * up_group
    each = c * compressed_channels + compressed_channels * encoder_kernel**2 * taps
    return projected_adds(shape, size) + each * math.prod(size) + adds_of(c, up_kernel, shape.grown(size))


@register(
    "carafe", source="Wang et al., CARAFE: content-aware reassembly of features (2019); mmcv's CARAFEPack",
    parameters=_parameters, multiply_adds=_multiply_adds, integer_only=True,
)  # fmt: skip
class Carafe(Upsampler):
    """Weights of a window for every output pixel, predicted from compressed features, and their weighted sums.

    **Convention:** parameters `channel_compressor`, `content_encoder`, as mmcv's CARAFEPack, whose checkpoints load and
    whose numbers these are. With zeros outside (as published) borders lose light; "renorm" and "replicate" keep every
    output between its inputs.
    Options: up_kernel: the window, odd. up_group: groups of channels with weights of their own. encoder_kernel,
        encoder_dilation: of the content encoder. compressed_channels: between the two. padding: "zeros", "renorm",
        "replicate".
    """

    def __init__(
        self, shape: Shape, *, up_kernel: int = 5, up_group: int = 1, encoder_kernel: int = 3,
        encoder_dilation: int = 1, compressed_channels: int = 64, padding: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(shape, project=True)
        check_window("up_kernel", up_kernel, padding)
        check_window("encoder_kernel", encoder_kernel, padding)
        check_groups(shape.out_channels, up_group)
        self.up_kernel, self.up_group, self.padding = up_kernel, up_group, padding
        self.channel_compressor = conv(2, shape.out_channels, compressed_channels, 1)
        self.content_encoder = conv(
            2, compressed_channels, up_kernel**2 * up_group * shape.block, encoder_kernel,
            padding=(encoder_kernel - 1) * encoder_dilation // 2, dilation=encoder_dilation,
        )  # fmt: skip
        start_(self.channel_compressor, self.content_encoder)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        scores = self.content_encoder(channels_last(self.channel_compressor(x)))
        return functional.reassemble(
            x, scores, self.up_kernel, self.scale, self.up_group, self.padding, softmax=True
        )  # fmt: skip


def _down_parameters(
    shape: Shape, down_kernel: int = 5, down_group: int = 1, encoder_kernel: int = 3, compressed_channels: int = 64,
    **options: Any,
) -> int:  # fmt: skip
    return projected(shape) + _predicted(shape, 1, down_kernel, down_group, encoder_kernel, compressed_channels)


def _down_adds(
    shape: Shape, size: Sizes, down_kernel: int = 5, down_group: int = 1, encoder_kernel: int = 3,
    compressed_channels: int = 64, **options: Any,
) -> int:  # fmt: skip
    c, small = shape.out_channels, shape.shrunk(size)
    encoder = compressed_channels * encoder_kernel**2 * down_kernel**2 * down_group * math.prod(small)
    compressor = c * compressed_channels * math.prod(size)
    return projected_adds(shape, size) + compressor + encoder + adds_of(c, down_kernel, small)


@register(
    "carafe", kind="downsampler", source="Wang et al., CARAFE++ (2021)", parameters=_down_parameters,
    multiply_adds=_down_adds, integer_only=True,
)  # fmt: skip
class CarafeDown(Downsampler):
    """CARAFE++'s downsampling: a window of the large map for every small pixel, weighted by predicted weights.

    **Convention:** parameters `channel_compressor`, `content_encoder`, the latter with stride `scale`. The window lies
    around sample floor((q + 1/2) n_in / n_out): an odd window cannot be centred on an even block.
    Options: down_kernel: the window, odd. down_group: groups of channels. encoder_kernel, compressed_channels,
        padding: as in the upsampler.
    """

    def __init__(
        self, shape: Shape, *, down_kernel: int = 5, down_group: int = 1, encoder_kernel: int = 3,
        compressed_channels: int = 64, padding: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(shape, project=True)
        check_window("down_kernel", down_kernel, padding)
        check_window("encoder_kernel", encoder_kernel, padding)
        check_groups(shape.out_channels, down_group)
        self.down_kernel, self.down_group, self.padding = down_kernel, down_group, padding
        self.channel_compressor = conv(2, shape.out_channels, compressed_channels, 1)
        self.content_encoder = conv(
            2, compressed_channels, down_kernel**2 * down_group, encoder_kernel, stride=shape.scale
        )
        start_(self.channel_compressor, self.content_encoder)

    def downsample(self, x: Tensor, size: Sizes) -> Tensor:
        """x at size."""
        scores = self.content_encoder(self.channel_compressor(x))
        return functional.reassemble(
            x, scores, self.down_kernel, groups=self.down_group, padding=self.padding, softmax=True
        )  # fmt: skip


def start_(compressor: Any, encoder: Any) -> None:
    """First weights as published: all weights of a window nearly equal."""
    torch.nn.init.xavier_uniform_(compressor.weight)
    torch.nn.init.normal_(encoder.weight, std=0.001)
    torch.nn.init.zeros_(compressor.bias)
    torch.nn.init.zeros_(encoder.bias)
