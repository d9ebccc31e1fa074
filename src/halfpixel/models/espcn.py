# SPDX-License-Identifier: MIT
"""ESPCN: three convolutions at the low resolution and a pixel shuffle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError, unknown_name

from ._base import Recognised, State, SuperResolver, published, upsampler_of
from ._reach import Span, through
from ._registry import register
from ._state import prelu_or, renamed, root_of
from ._tails import sub_pixel

_ACTIVATIONS = ("tanh", "relu", "prelu", "leaky_relu", "gelu")
_OTHER_KEYS = {"feature_maps.": "first_part.", "sub_pixel.": "last_part."}


@register(
    "espcn", task="super-resolution",
    source="Shi et al., Real-time single image and video super-resolution (2016); keys of yjn870/ESPCN-pytorch",
)  # fmt: skip
class ESPCN(SuperResolver):
    """Three convolutions of 5, 3 and 3 pixels at the low resolution, and a pixel shuffle: small and quick.

    **Convention:** see `SuperResolver`. Keys: `first_part.0`, `first_part.2`, `last_part.0`; `load` also knows
    `feature_maps.0`, `feature_maps.2`, `sub_pixel.0`.
    Arguments:
        scale: whole. in_channels: 1 is luma alone. out_channels: None: as many.
        widths: of the two hidden maps. activation: "tanh" as published, "relu", "prelu", "leaky_relu" or "gelu".
        upsampler: None: a 3x3 convolution to the pixels of a block and a pixel shuffle; or a name of
            `halfpixel.upsamplers`, without guide, from widths[1] channels. options: the upsampler's own.
    Raises: ValueError and TypeError that say what would work.
    Source: Shi et al. (2016). With one channel 21284, 22729 and 24752 parameters at x2, x3 and x4.
    Example:
        >>> import torch
        >>> ESPCN(scale=3)(torch.zeros(1, 1, 5, 7)).shape
        torch.Size([1, 1, 15, 21])
    """

    def __init__(
        self, scale: int = 2, in_channels: int = 1, out_channels: int | None = None, widths: Sequence[int] = (64, 32),
        activation: str = "tanh", upsampler: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            dict(scale=scale, in_channels=in_channels, out_channels=out_channels, widths=tuple(widths),
                 activation=activation, upsampler=upsampler, **options)
        )  # fmt: skip
        if activation not in _ACTIVATIONS:
            raise unknown_name("activation", activation, _ACTIVATIONS)
        if len(widths) != 2:
            raise HalfpixelValueError(f"widths is {tuple(widths)}", "two numbers, of the hidden maps")
        first, second = widths
        self.first_part = torch.nn.Sequential(
            torch.nn.Conv2d(in_channels, first, 5, padding=2), _activation(activation, first),
            torch.nn.Conv2d(first, second, 3, padding=1), _activation(activation, second),
        )  # fmt: skip
        if published(upsampler, options, self.entry.options):
            self.last_part: Any = sub_pixel(second, self.out_channels, scale)
        else:
            self.last_part = upsampler_of(str(upsampler), second, self.out_channels, scale, options)

    def upscale(self, x: Tensor) -> Tensor:
        """x, bigger."""
        return self.last_part(self.first_part(x))

    def needs(self, span: Span) -> Span | None:
        """The input pixels of these output pixels."""
        return through([self.first_part, self.last_part], span)

    @classmethod
    def recognise(cls, state: State) -> Recognised | None:
        """By the keys of either implementation."""
        state = renamed(state, _OTHER_KEYS)
        if not {"first_part.0.weight", "last_part.0.weight"} <= set(state) or any("mid_part" in k for k in state):
            return None
        first, last = state["first_part.0.weight"], state["last_part.0.weight"]
        channels = first.shape[1]
        scale = root_of(last.shape[0], channels, "last_part.0.weight")
        widths = (first.shape[0], last.shape[1])
        activation = prelu_or("tanh", state, "first_part.1.weight")
        return Recognised({"scale": scale, "in_channels": channels, "widths": widths, "activation": activation}, state)


def _activation(name: str, channels: int) -> torch.nn.Module:
    return {
        "tanh": torch.nn.Tanh,
        "relu": torch.nn.ReLU,
        "prelu": lambda: torch.nn.PReLU(channels),
        "leaky_relu": lambda: torch.nn.LeakyReLU(0.1),
        "gelu": torch.nn.GELU,
    }[name]()
