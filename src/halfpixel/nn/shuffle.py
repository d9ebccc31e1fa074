# SPDX-License-Identifier: MIT
"""Modules that rearrange: torch's PixelShuffle, PixelUnshuffle and ChannelShuffle, along any number of axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import functional


class PixelShuffle(torch.nn.PixelShuffle):
    """`torch.nn.PixelShuffle`, and factors per axis, ONNX's order of channels, and a reference to be cut to.

    **Convention:** see `functional.pixel_shuffle`. No parameters.
    Arguments: upscale_factor: one for height and width, or one per spatial axis. order: "torch" or "onnx".
    Example:
        >>> import torch
        >>> PixelShuffle((2, 1, 2))(torch.zeros(1, 8, 3, 3, 3)).shape
        torch.Size([1, 2, 6, 3, 6])
    """

    order: str = "torch"  # of modules that were torch's

    def __init__(self, upscale_factor: int | Sequence[int], order: str = "torch") -> None:
        super().__init__(upscale_factor)
        self.order = order

    def forward(self, input: Tensor, size_like: Tensor | None = None) -> Tensor:
        """The input, bigger."""
        return functional.pixel_shuffle(input, self.upscale_factor, order=self.order, size_like=size_like)

    def extra_repr(self) -> str:
        """torch's text, and the order where it is another."""
        return super().extra_repr() + _order(self.order)


class PixelUnshuffle(torch.nn.PixelUnshuffle):
    """`torch.nn.PixelUnshuffle`, and factors per axis, and ONNX's order of channels.

    **Convention:** see `functional.pixel_unshuffle`. No parameters.
    Arguments: downscale_factor: one for height and width, or one per spatial axis. order: "torch" or "onnx".
    Example:
        >>> import torch
        >>> PixelUnshuffle(2)(torch.zeros(1, 2, 6, 4)).shape
        torch.Size([1, 8, 3, 2])
    """

    order: str = "torch"  # of modules that were torch's

    def __init__(self, downscale_factor: int | Sequence[int], order: str = "torch") -> None:
        super().__init__(downscale_factor)
        self.order = order

    def forward(self, input: Tensor) -> Tensor:
        """The input, smaller."""
        return functional.pixel_unshuffle(input, self.downscale_factor, order=self.order)

    def extra_repr(self) -> str:
        """torch's text, and the order where it is another."""
        return super().extra_repr() + _order(self.order)


class ChannelShuffle(torch.nn.ChannelShuffle):
    """`torch.nn.ChannelShuffle`: see `functional.channel_shuffle`. No parameters.

    Example:
        >>> import torch
        >>> ChannelShuffle(2)(torch.arange(4.0).reshape(1, 4, 1)).flatten()
        tensor([0., 2., 1., 3.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The input, its channels in another order."""
        return functional.channel_shuffle(input, self.groups)


def _order(order: str) -> str:
    return "" if order == "torch" else f", order={order!r}"
