# SPDX-License-Identifier: MIT
"""What networks share: their options, which files keep; and the call of super-resolution, its checks and its reach."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelShapeError, HalfpixelTypeError, HalfpixelValueError, describe_call, unknown_name
from halfpixel.upsamplers import create_upsampler

from ._reach import Reach, Span
from ._registry import Entry

State = dict[str, Tensor]


class Recognised(NamedTuple):
    """What a checkpoint's keys and shapes tell: the options that make its network, and the weights by our keys."""

    options: dict[str, Any]
    state: State


class Network(torch.nn.Module):
    """The common base: `entry`, the row of the table, and `options`, the arguments that make the same network again."""

    entry: ClassVar[Entry]

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        self.options = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}

    @classmethod
    def recognise(cls, state: State) -> Recognised | None:
        """What a state dict with the published keys tells of the network; None where it is another one's.

        Raises: ValueError where it is this one's and a shape in it makes no sense.
        """
        return None


class SuperResolver(Network):
    """Super-resolution: attributes `scale`, `in_channels`, `out_channels`; subclasses write `upscale` and `needs`.

    **Convention:** x (N, in_channels, H, W), values 0 to 1, of any size; the result (N, out_channels, H * scale,
    W * scale), not clipped. One channel is luma alone, three are RGB.
    """

    stride: int = 1  # input pixels after which the network repeats itself

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        for name in ("scale", "in_channels"):
            check_count(name, options[name])
        if options.get("out_channels") is not None:
            check_count("out_channels", options["out_channels"])
        self.scale: int = options["scale"]
        self.in_channels: int = options["in_channels"]
        self.out_channels: int = options.get("out_channels") or self.in_channels

    def forward(self, x: Tensor) -> Tensor:
        """x, bigger."""
        check_images(self, x, self.in_channels)
        return self.upscale(x)

    def upscale(self, x: Tensor) -> Tensor:
        """x, bigger; it has been checked."""
        raise NotImplementedError

    def needs(self, span: Span) -> Span | None:
        """The input pixels that these output pixels depend on, along an axis; None where no bound is known."""
        raise NotImplementedError

    @property
    def reach(self) -> Reach | None:
        """How far results depend on the input, from the layers; None where there is no bound, or none is known."""
        return Reach.of_needs(self.needs, self.scale, self.stride)

    def extra_repr(self) -> str:
        """Channels and scale."""
        return f"{self.in_channels}, {self.out_channels}, scale={self.scale}"


def check_images(model: Network, x: Any, channels: int, dims: int = 2) -> None:
    """Raises: TypeError for what is no tensor of floats, ValueError for shapes that are not (N, channels, *spatial)."""
    axes = {1: "L", 2: "H, W", 3: "D, H, W"}[dims]
    call, works = f"{type(model).__name__}.forward", f"(N, {channels}, {axes}), sides of at least 1, of floats"
    if not isinstance(x, Tensor):
        raise HalfpixelTypeError(f"x is a {type(x).__name__}", f"a torch tensor {works}", describe_call(call, x))
    if x.dim() != dims + 2 or x.shape[1] != channels:
        why = f"x has shape {tuple(x.shape)}, the network is for {channels} channels"
        raise HalfpixelShapeError(why, works, describe_call(call, x))
    if any(n < 1 for n in x.shape[2:]):
        raise HalfpixelShapeError(f"x has shape {tuple(x.shape)}", works, describe_call(call, x))
    if not x.is_floating_point():
        raise HalfpixelTypeError(f"x has dtype {x.dtype}", works, describe_call(call, x))


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raises: TypeError for what is no integer, ValueError for what is too small."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise HalfpixelTypeError(f"{name} is {value!r}", "an integer")
    if value < least:
        raise HalfpixelValueError(f"{name} is {value}", f"at least {least}")


def published(upsampler: str | None, options: dict[str, Any], known: Any = ()) -> bool:
    """Whether the tail is the published one, which takes no options.

    Raises: ValueError for options without an upsampler to take them.
    """
    if upsampler is None:
        for option in options:
            raise unknown_name("option", option, [*known, "upsampler"])
    return upsampler is None


def upsampler_of(name: str, in_channels: int, out_channels: int, scale: int, options: dict[str, Any]) -> Any:
    """The upsampler of a name, without guide.

    Raises: ValueError for methods with one: there is none here.
    """
    from halfpixel.upsamplers import list_upsamplers

    if any(entry.name == name and entry.guide for entry in list_upsamplers()):
        fits = ", ".join(entry.name for entry in list_upsamplers() if not entry.guide)
        raise HalfpixelValueError(f"upsampler {name!r} needs a guide, and this network has none for it", fits)
    return create_upsampler(name, in_channels, out_channels, scale, **options)
