# SPDX-License-Identifier: MIT
"""EDSR: residual blocks without normalisation, and sub-pixel convolutions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError

from ._base import Recognised, State, SuperResolver, check_count, published
from ._reach import Span, through
from ._registry import register
from ._state import count, renamed
from ._tails import stepped

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
_LARGE = 256  # channels from which on residuals were scaled by 0.1


class ResidualBlock(torch.nn.Module):
    """x plus two 3x3 convolutions of it with a rectifier between, times `res_scale`.

    Source: Lim et al. (2017).
    """

    def __init__(self, channels: int, res_scale: float = 1.0) -> None:
        super().__init__()
        self.res_scale = res_scale
        self.conv1 = torch.nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return x + self.conv2(torch.nn.functional.relu(self.conv1(x))) * self.res_scale

    def needs(self, span: Span) -> Span | None:
        """The input pixels of these output pixels."""
        return through([self.conv1, self.conv2], span)


@register(
    "edsr", task="super-resolution",
    source="Lim et al., Enhanced deep residual networks for single image super-resolution (2017); keys of BasicSR",
)  # fmt: skip
class EDSR(SuperResolver):
    """Residual blocks without normalisation, then steps of two (or one of three) by sub-pixel convolutions.

    **Convention:** see `SuperResolver`. Keys: `conv_first`, `body.N.conv1`, `body.N.conv2`, `conv_after_body`,
    `upsample.N`, `conv_last`; `load` also knows the authors' own, `head.0` to `tail.1`. The mean is no part of them.
    Arguments:
        scale: 3 or a power of two; with `upsampler` whatever that takes. in_channels, out_channels: None: as many.
        channels, blocks: 64 and 16 are the baseline, 256 and 32, with res_scale=0.1, the large network.
        res_scale: of each residual. img_range: values are multiplied by it inside, and divided again.
        mean: subtracted before, added after; None: DIV2K's for three channels, else 0.
        upsampler: None: the published steps; or a name of `halfpixel.upsamplers`, without guide, once for the whole
            scale. options: the upsampler's own.
    Raises: ValueError and TypeError that say what would work.
    Source: Lim et al. (2017). 1369859, 1554499 and 1517571 parameters at x2, x3 and x4.
    Example:
        >>> import torch
        >>> EDSR(scale=2, channels=8, blocks=1)(torch.zeros(1, 3, 5, 7)).shape
        torch.Size([1, 3, 10, 14])
    """

    mean: Tensor

    def __init__(
        self, scale: int = 2, in_channels: int = 3, out_channels: int | None = None, channels: int = 64,
        blocks: int = 16, res_scale: float = 1.0, img_range: float = 255.0, mean: Sequence[float] | None = None,
        upsampler: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            dict(scale=scale, in_channels=in_channels, out_channels=out_channels, channels=channels, blocks=blocks,
                 res_scale=res_scale, img_range=img_range, mean=None if mean is None else tuple(mean),
                 upsampler=upsampler, **options)
        )  # fmt: skip
        check_count("channels", channels)
        check_count("blocks", blocks, 0)
        published(upsampler, options, self.entry.options)
        self.img_range = img_range
        self.register_buffer("mean", self._mean(mean), persistent=False)
        self.conv_first = torch.nn.Conv2d(in_channels, channels, 3, padding=1)
        self.body = torch.nn.Sequential(*(ResidualBlock(channels, res_scale) for _ in range(blocks)))
        self.conv_after_body = torch.nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = stepped(channels, scale, upsampler, options, "EDSR")
        self.conv_last = torch.nn.Conv2d(channels, self.out_channels, 3, padding=1)

    def upscale(self, x: Tensor) -> Tensor:
        """x, bigger."""
        mean = self.mean.to(x)
        features = self.conv_first((x - mean) * self.img_range)
        features = self.conv_after_body(self.body(features)) + features
        return self.conv_last(self.upsample(features)) / self.img_range + mean

    def needs(self, span: Span) -> Span | None:
        """The input pixels of these output pixels."""
        layers = [self.conv_first, self.body, self.conv_after_body, self.upsample, self.conv_last]
        return through(layers, span)

    def _mean(self, mean: Sequence[float] | None) -> Tensor:
        if mean is None:
            mean = DIV2K_MEAN if self.in_channels == self.out_channels == 3 else (0.0,)
        if len(mean) != 1 and not self.in_channels == self.out_channels == len(mean):
            why = f"a mean of {len(mean)} values for {self.in_channels} channels in, {self.out_channels} out"
            raise HalfpixelValueError(why, "one value, or one per channel where both numbers are equal")
        return torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1)

    @classmethod
    def recognise(cls, state: State) -> Recognised | None:
        """By BasicSR's keys or the authors'."""
        options: dict[str, Any] = {}
        if "head.0.weight" in state and any(re.match(r"body\.\d+\.body\.0\.weight", key) for key in state):
            state, options = _of_authors(state)
        first, last = (state.get(f"conv_{which}.weight") for which in ("first", "last"))
        if first is None or last is None or "conv_after_body.weight" not in state:
            return None
        channels, blocks = first.shape[0], count(state, r"body\.(\d+)\.")
        options |= {
            "scale": _scale(state, channels), "in_channels": first.shape[1], "out_channels": last.shape[0],
            "channels": channels, "blocks": blocks, "res_scale": 0.1 if channels >= _LARGE else 1.0,
        }  # fmt: skip
        return Recognised(options, state)


def _scale(state: State, channels: int) -> int:
    steps = [state[key] for key in state if re.fullmatch(r"upsample\.\d+\.weight", key)]
    return math.prod(math.isqrt(weight.shape[0] // channels) for weight in steps)


def _of_authors(state: State) -> tuple[State, dict[str, Any]]:
    blocks = count(state, r"body\.(\d+)\.body\.")
    begins = {f"body.{i}.body.{j}.": f"body.{i}.conv{1 + j // 2}." for i in range(blocks) for j in (0, 2)}
    begins |= {f"body.{blocks}.": "conv_after_body.", "head.0.": "conv_first.", "tail.0.": "upsample."}
    state = renamed(state, begins | {"tail.1.": "conv_last."})
    means = {key: state.pop(key) for key in list(state) if key.startswith(("sub_mean.", "add_mean."))}
    return state, _range_of(means)


def _range_of(means: State) -> dict[str, Any]:
    """img_range and mean of the 1x1 convolutions that shift colours: identities with biases -range * mean and back."""
    if not means:
        return {}
    if set(means) != {f"{which}_mean.{what}" for which in ("sub", "add") for what in ("weight", "bias")}:
        raise HalfpixelValueError(f"of sub_mean and add_mean there are {sorted(means)} alone", "weights and biases")
    sub, add = means["sub_mean.bias"].double(), means["add_mean.bias"].double()
    identity = torch.eye(len(sub)).view(len(sub), -1, 1, 1)
    plain = all(torch.equal(means[f"{which}_mean.weight"].float(), identity) for which in ("sub", "add"))
    mean = torch.tensor(DIV2K_MEAN[: len(sub)], dtype=torch.float64)
    found = round(float((-sub / mean).mean())) if len(sub) == 3 else 0
    if not plain or found < 1 or not all(torch.allclose(b, mean * found, rtol=1e-4) for b in (-sub, add)):
        raise HalfpixelValueError("sub_mean and add_mean are not shifts by the mean of DIV2K", "those of the authors")
    return {"img_range": float(found)}
