# SPDX-License-Identifier: MIT
"""RRDBNet: ESRGAN's generator of dense blocks within residual blocks."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, leaky_relu

from halfpixel.errors import HalfpixelValueError
from halfpixel.nn import functional

from ._base import Recognised, State, SuperResolver, check_count, published, upsampler_of
from ._reach import Span, through
from ._registry import register
from ._state import count, renamed

_SLOPE = 0.2
_RESIDUAL = 0.2
_EARLY = {
    "RRDB_trunk.": "body.", "trunk_conv.": "conv_body.", "HRconv.": "conv_hr.",
    **{f"upconv{i}.": f"conv_up{i}." for i in (1, 2, 3)},
}  # fmt: skip


class DenseBlock(torch.nn.Module):
    """Five 3x3 convolutions, each of all maps before; a fifth of the last is added to the input.

    Source: Wang et al. (2018).
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for i in range(1, 6):
            made = growth if i < 5 else channels
            conv = torch.nn.Conv2d(channels + (i - 1) * growth, made, 3, padding=1)
            # Small first weights: 3 * 23 such blocks follow each other.
            torch.nn.init.kaiming_normal_(conv.weight)
            with torch.no_grad():
                conv.weight.mul_(0.1)
            torch.nn.init.zeros_(conv.bias)
            self.add_module(f"conv{i}", conv)

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        maps = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            maps = torch.cat([maps, leaky_relu(conv(maps), _SLOPE)], 1)
        return x + self.conv5(maps) * _RESIDUAL

    def needs(self, span: Span) -> Span | None:
        """The input pixels of these output pixels."""
        return through([self.conv1, self.conv2, self.conv3, self.conv4, self.conv5], span)


class ResidualDenseBlocks(torch.nn.Module):
    """Three dense blocks; a fifth of what they make is added to the input.

    Source: Wang et al. (2018).
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(channels, growth)
        self.rdb2 = DenseBlock(channels, growth)
        self.rdb3 = DenseBlock(channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return x + self.rdb3(self.rdb2(self.rdb1(x))) * _RESIDUAL

    def needs(self, span: Span) -> Span | None:
        """The input pixels of these output pixels."""
        return through([self.rdb1, self.rdb2, self.rdb3], span)


@register(
    "rrdbnet", task="super-resolution",
    source="Wang et al., ESRGAN (2018) and Real-ESRGAN (2021); keys of BasicSR",
)  # fmt: skip
class RRDBNet(SuperResolver):
    """Dense blocks within residual blocks, then steps of two, each nearest neighbours and a convolution.

    **Convention:** see `SuperResolver`. Keys: `conv_first`, `body.N.rdbM.convK`, `conv_body`, `conv_up1`, `conv_up2`,
    `conv_hr`, `conv_last`; `load` also knows ESRGAN's two older sets. Where the steps make more than the scale, as at
    x2 and x1, the input's blocks of pixels are channels of the first convolution; sides that are no multiple of these
    blocks repeat their last pixel, and what that makes is cut off.
    Arguments:
        scale: a power of two. in_channels, out_channels: None: as many.
        channels, growth: of the maps, and of what each convolution of a dense block adds. blocks: 23, anime 6.
        steps: of two, behind the blocks; None: at least two, as published. ESRGAN's oldest x2 has one, x1 none.
        upsampler: None: nearest neighbours; or a name of `halfpixel.upsamplers`, without guide, keys `up1`, `up2`, in
            their place, before the same convolutions. options: the upsampler's own.
    Raises: ValueError and TypeError that say what would work.
    Source: Wang et al. (2018). 16697987 parameters with 23 blocks, 4467779 with 6.
    Example:
        >>> import torch
        >>> RRDBNet(scale=2, channels=8, growth=4, blocks=1)(torch.zeros(1, 3, 5, 7)).shape
        torch.Size([1, 3, 10, 14])
    """

    def __init__(
        self, scale: int = 4, in_channels: int = 3, out_channels: int | None = None, channels: int = 64,
        growth: int = 32, blocks: int = 23, steps: int | None = None, upsampler: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            dict(scale=scale, in_channels=in_channels, out_channels=out_channels, channels=channels, growth=growth,
                 blocks=blocks, steps=steps, upsampler=upsampler, **options)
        )  # fmt: skip
        check_count("channels", channels)
        check_count("growth", growth)
        check_count("blocks", blocks, 0)
        self.steps = _steps(scale, steps)
        self.stride = 2**self.steps // scale
        plain = published(upsampler, options, self.entry.options)
        self.conv_first = torch.nn.Conv2d(in_channels * self.stride**2, channels, 3, padding=1)
        self.body = torch.nn.Sequential(*(ResidualDenseBlocks(channels, growth) for _ in range(blocks)))
        self.conv_body = torch.nn.Conv2d(channels, channels, 3, padding=1)
        for i in range(1, self.steps + 1):
            if not plain:
                self.add_module(f"up{i}", upsampler_of(str(upsampler), channels, channels, 2, options))
            self.add_module(f"conv_up{i}", torch.nn.Conv2d(channels, channels, 3, padding=1))
        self.conv_hr = torch.nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_last = torch.nn.Conv2d(channels, self.out_channels, 3, padding=1)

    def upscale(self, x: Tensor) -> Tensor:
        """x, bigger."""
        height, width = x.shape[2:]
        features = self.conv_first(self._blocks(x))
        features = self.conv_body(self.body(features)) + features
        for i in range(1, self.steps + 1):
            features = leaky_relu(getattr(self, f"conv_up{i}")(self._doubled(i, features)), _SLOPE)
        y = self.conv_last(leaky_relu(self.conv_hr(features), _SLOPE))
        whole = (height * self.scale, width * self.scale)
        return y if y.shape[2:] == whole else y[:, :, : whole[0], : whole[1]]

    def needs(self, span: Span) -> Span | None:
        """The input pixels of these output pixels."""
        found = through([self.conv_hr, self.conv_last], span)
        for i in range(self.steps, 0, -1):
            found = through([getattr(self, f"conv_up{i}")], found)
            up = getattr(self, f"up{i}", None)
            found = found if found is None else through([up], found) if up is not None else found.shuffled(2)
        found = through([self.conv_first, self.body, self.conv_body], found)
        return found if found is None else found.unshuffled(self.stride)

    def _blocks(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return x
        more = [-n % self.stride for n in x.shape[2:]]
        if any(more):
            x = torch.nn.functional.pad(x, (0, more[1], 0, more[0]), mode="replicate")
        return functional.pixel_unshuffle(x, self.stride)

    def _doubled(self, i: int, x: Tensor) -> Tensor:
        up = getattr(self, f"up{i}", None)
        return interpolate(x, scale_factor=2.0, mode="nearest") if up is None else up(x)

    @classmethod
    def recognise(cls, state: State) -> Recognised | None:
        """By BasicSR's keys or ESRGAN's."""
        if "model.0.weight" in state and "model.1.sub.0.RDB1.conv1.0.weight" in state:
            state = _of_oldest(state)
        elif any(key.startswith("RRDB_trunk.") for key in state):
            state = _lower(renamed(state, _EARLY))
        first, last = (state.get(f"conv_{which}.weight") for which in ("first", "last"))
        growth = state.get("body.0.rdb1.conv1.weight")
        if first is None or last is None or growth is None:
            return None
        steps = count(state, r"conv_up(\d+)\.") - 1 if "conv_up1.weight" in state else 0
        block = math.isqrt(first.shape[1] // last.shape[0])
        if block < 1 or block * block * last.shape[0] != first.shape[1] or 2**steps % block:
            why = f"{first.shape[1]} channels in and {last.shape[0]} out, with {steps} steps, make no scale"
            raise HalfpixelValueError(why, "as many channels in as out, times 1, 4 or 16")
        options = {
            "scale": 2**steps // block, "in_channels": last.shape[0],
            "channels": first.shape[0], "growth": growth.shape[0],
            "blocks": count(state, r"body\.(\d+)\."), "steps": steps,
        }  # fmt: skip
        return Recognised(options, state)


def _steps(scale: int, steps: int | None) -> int:
    if scale & (scale - 1):
        raise HalfpixelValueError(f"RRDBNet has no tail for scale={scale}", "a power of two: 1, 2, 4, 8")
    least = int(math.log2(scale))
    if steps is None:
        return max(2, least)
    check_count("steps", steps, least)
    return steps


def _lower(state: State) -> State:
    """`RDB1` becomes `rdb1`."""
    return {re.sub(r"\.RDB(\d)\.", r".rdb\1.", key): value for key, value in state.items()}


def _of_oldest(state: State) -> State:
    """model.0, model.1.sub.N, then steps of an interpolation, a convolution and a rectifier, then two convolutions."""
    blocks = count(state, r"model\.1\.sub\.(\d+)\.")
    tail = sorted({int(m[1]) for m in (re.match(r"model\.(\d+)\.(?:weight|bias)$", k) for k in state) if m} - {0})
    names = [f"conv_up{i + 1}." for i in range(len(tail) - 2)] + ["conv_hr.", "conv_last."]
    begins = {"model.0.": "conv_first.", f"model.1.sub.{blocks - 1}.": "conv_body.", "model.1.sub.": "body."}
    begins |= {f"model.{n}.": name for n, name in zip(tail, names, strict=False)}
    new = renamed(state, begins)
    return {re.sub(r"\.conv(\d)\.0\.(\w+)$", r".conv\1.\2", key): v for key, v in _lower(new).items()}
