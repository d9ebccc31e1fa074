# SPDX-License-Identifier: MIT
"""SRVGGNetCompact: plain convolutions, a pixel shuffle, and the image itself added."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError, unknown_name
from halfpixel.nn import PixelShuffle
from halfpixel.upsamplers import Shape
from halfpixel.upsamplers.pixel_shuffle import icnr_

from ._base import Recognised, State, SuperResolver, check_count, published, upsampler_of
from ._reach import Span, through
from ._registry import register
from ._state import count, root_of

_ACTIVATIONS = ("prelu", "relu", "leakyrelu")


@register(
    "srvgg", task="super-resolution",
    source="Wang et al., Real-ESRGAN (2021), SRVGGNetCompact; keys of Real-ESRGAN",
)  # fmt: skip
class SRVGG(SuperResolver):
    """A stack of convolutions at the low resolution, a pixel shuffle, and the input by nearest neighbours added.

    **Convention:** see `SuperResolver`. Keys: `body.N`, convolutions at even N and activations at odd ones.
    Arguments:
        scale: whole. in_channels; out_channels: None: as many; it is in_channels or the input has 1.
        channels: of the hidden maps. convs: hidden convolutions behind the first; 16 and 32 are published.
        activation: "prelu", "relu" or "leakyrelu".
        upsampler: None: the last convolution of `body` makes the pixels of blocks; or a name of
            `halfpixel.upsamplers`, without guide, key `upsampler`, in its place. options: the upsampler's own.
    Raises: ValueError and TypeError that say what would work.
    Source: Wang et al. (2021). 621424 and 1213296 parameters with 16 and 32 convolutions at x4.
    Example:
        >>> import torch
        >>> SRVGG(scale=4, channels=8, convs=1)(torch.zeros(1, 3, 5, 7)).shape
        torch.Size([1, 3, 20, 28])
    """

    def __init__(
        self, scale: int = 4, in_channels: int = 3, out_channels: int | None = None, channels: int = 64,
        convs: int = 16, activation: str = "prelu", upsampler: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            dict(scale=scale, in_channels=in_channels, out_channels=out_channels, channels=channels, convs=convs,
                 activation=activation, upsampler=upsampler, **options)
        )  # fmt: skip
        check_count("channels", channels)
        check_count("convs", convs, 0)
        if self.in_channels not in (1, self.out_channels):
            why = f"{self.in_channels} channels cannot be added to {self.out_channels}"
            raise HalfpixelValueError(why, "in_channels=1, or as many as out_channels")
        layers: list[torch.nn.Module] = []
        for before in [in_channels, *[channels] * convs]:
            layers += [torch.nn.Conv2d(before, channels, 3, padding=1), _activation(activation, channels)]
        if published(upsampler, options, self.entry.options):
            last = torch.nn.Conv2d(channels, self.out_channels * scale**2, 3, padding=1)
            icnr_(last, Shape(channels, self.out_channels, (scale, scale), None, 2))
            layers.append(last)
            self.upsampler: Any = PixelShuffle(scale)
        else:
            self.upsampler = upsampler_of(str(upsampler), channels, self.out_channels, scale, options)
        self.body = torch.nn.Sequential(*layers)

    def upscale(self, x: Tensor) -> Tensor:
        """x, bigger."""
        base = torch.nn.functional.interpolate(x, scale_factor=self.scale, mode="nearest")
        return self.upsampler(self.body(x)) + base

    def needs(self, span: Span) -> Span | None:
        """The input pixels of these output pixels."""
        return through([self.body, self.upsampler], span)

    @classmethod
    def recognise(cls, state: State) -> Recognised | None:
        """By keys that are `body.N.weight` and `body.N.bias` alone."""
        first = state.get("body.0.weight")
        if first is None or first.dim() != 4 or any(not key.startswith("body.") for key in state):
            return None
        layers = count(state, r"body\.(\d+)\.(?:weight|bias)$")
        last = state.get(f"body.{layers - 1}.weight")
        if last is None or last.dim() != 4 or layers % 2 == 0:
            why = f"body.{layers - 1} is the last layer and no convolution to the pixels of blocks"
            raise HalfpixelValueError(why, "a whole checkpoint of SRVGGNetCompact")
        options = {
            "scale": root_of(last.shape[0], first.shape[1], f"body.{layers - 1}.weight"),
            "in_channels": first.shape[1], "channels": first.shape[0], "convs": (layers - 3) // 2,
        }  # fmt: skip
        return Recognised(options | ({"activation": "prelu"} if "body.1.weight" in state else {}), state)


def _activation(name: str, channels: int) -> torch.nn.Module:
    if name not in _ACTIVATIONS:
        raise unknown_name("activation", name, _ACTIVATIONS)
    if name == "prelu":
        return torch.nn.PReLU(channels)
    return torch.nn.ReLU(inplace=True) if name == "relu" else torch.nn.LeakyReLU(0.1, inplace=True)
