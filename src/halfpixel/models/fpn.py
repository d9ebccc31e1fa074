# SPDX-License-Identifier: MIT
"""Feature pyramid: maps of a backbone become maps of equal channels, each with what the coarser ones know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelShapeError, HalfpixelTypeError, HalfpixelValueError, describe_call
from halfpixel.nn import functional
from halfpixel.upsamplers import create_upsampler
from halfpixel.upsamplers._base import conv
from halfpixel.upsamplers.blocks import FPNTopDown, convolved

from ._base import Network, check_count
from ._registry import register


@register(
    "fpn", task="pyramid",
    source="Lin et al., Feature pyramid networks (2017); the head: Kirillov et al., Panoptic FPN (2019)",
)  # fmt: skip
class FPN(Network):
    """A pyramid's decoder: 1x1 convolutions of a backbone's maps, sums from coarse to fine, and a segmentation head.

    **Convention:** features: a list of (N, in_channels[i], *spatial_i), from fine to coarse, of any sizes. Without a
    head the result is a list of (N, channels, *spatial_i); with one, (N, out_channels, *spatial_0), or at `size`:
    scores without a softmax. Methods for whole scales double; where a level is no double of the next, that one is
    first brought to half of it, rounded up, by linear interpolation.
    Arguments: in_channels: of the maps. channels: of the pyramid. out_channels: of a segmentation head, None: no head.
        upsampler: a name of `halfpixel.upsamplers`; methods with a guide get the 1x1-convolved finer map.
        head_channels, norm: of the head, where each level is doubled and convolved until all have the finest size, and
        then summed; it is doubled by `head_upsampler`, without guide. dims: spatial axes. options: the upsampler's own.
    Raises: ValueError and TypeError that say what would work.
    Source: Lin et al. (2017); Kirillov et al. (2019).
    Example:
        >>> import torch
        >>> maps = [torch.zeros(1, 4, 13, 20), torch.zeros(1, 8, 7, 10), torch.zeros(1, 16, 4, 5)]
        >>> [tuple(level.shape) for level in FPN((4, 8, 16), 6)(maps)]
        [(1, 6, 13, 20), (1, 6, 7, 10), (1, 6, 4, 5)]
        >>> FPN((4, 8, 16), 6, out_channels=3, norm="none")(maps, size=(52, 80)).shape
        torch.Size([1, 3, 52, 80])
    """

    def __init__(
        self, in_channels: Sequence[int] = (64, 128, 256, 512), channels: int = 256, out_channels: int | None = None,
        upsampler: str = "nearest", head_channels: int = 128, head_upsampler: str = "linear", norm: str = "group",
        dims: int = 2, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            dict(in_channels=tuple(in_channels), channels=channels, out_channels=out_channels, upsampler=upsampler,
                 head_channels=head_channels, head_upsampler=head_upsampler, norm=norm, dims=dims, **options)
        )  # fmt: skip
        if not in_channels:
            raise HalfpixelValueError("in_channels is empty", "the channels of each level, from fine to coarse")
        for count in in_channels:
            check_count("in_channels", count)
        check_count("channels", channels)
        self.in_channels, self.channels, self.out_channels, self.dims = tuple(in_channels), channels, out_channels, dims
        self.top = conv(dims, in_channels[-1], channels, 1)
        self.smooth = conv(dims, channels, channels, 3)
        self.steps = torch.nn.ModuleList(
            FPNTopDown(n, channels, upsampler, 2, dims, **options) for n in reversed(in_channels[:-1])
        )
        self.head: Any = None
        if out_channels is not None:
            check_count("out_channels", out_channels)
            self.head = SegmentationHead(
                len(in_channels), channels, head_channels, out_channels, head_upsampler, norm, dims
            )  # fmt: skip

    def forward(self, features: Sequence[Tensor], size: Sequence[int] | None = None) -> Any:
        """The levels, from fine to coarse; or the head's scores."""
        self._check(features, size)
        merged = self.top(features[-1])
        levels = [self.smooth(merged)]
        for step, lateral in zip(self.steps, reversed(features[:-1]), strict=True):
            merged, level = step(_half_of(merged, lateral.shape[2:], step.up), lateral)
            levels.append(level)
        levels.reverse()
        if self.head is None:
            return levels
        scores = self.head(levels)
        if size is None or tuple(size) == tuple(scores.shape[2:]):
            return scores
        return functional.resize(scores, tuple(size), filter="linear", edge="edge", antialias=False)

    def _check(self, features: Any, size: Any) -> None:
        call = describe_call("FPN.forward", [tuple(getattr(f, "shape", ())) for f in features], size=size)
        if isinstance(features, Tensor) or not all(isinstance(f, Tensor) for f in features):
            raise HalfpixelTypeError("features is no list of tensors", "a list of tensors, from fine to coarse", call)
        if size is not None and self.head is None:
            raise HalfpixelValueError("size is for the head, and there is none", "out_channels=, or no size", call)
        found = tuple(f.shape[1] if f.dim() == self.dims + 2 else None for f in features)
        if found != self.in_channels:
            works = f"{self.dims + 2} dimensions each, channels {self.in_channels} from fine to coarse"
            raise HalfpixelShapeError(f"the maps have channels {found}", works, call)


class SegmentationHead(torch.nn.Module):
    """All levels of a pyramid at the finest size: convolved and doubled step by step, summed, and made scores.

    **Convention:** levels from fine to coarse, each (N, channels, *spatial_i); the result (N, out_channels,
    *spatial_0). Level i has i steps, the finest one a convolution alone.
    Arguments: levels: how many. channels, hidden, out_channels: of the levels, the sums and the scores. upsampler: a
        name of a method without guide that keeps channels. norm, dims: as in `UNetBlock`.
    Source: Kirillov et al., Panoptic feature pyramid networks (2019).
    """

    def __init__(
        self, levels: int, channels: int, hidden: int, out_channels: int, upsampler: str, norm: str, dims: int
    ) -> None:
        super().__init__()
        self.steps, self.ups = torch.nn.ModuleList(), torch.nn.ModuleList()
        for i in range(levels):
            widths = [channels, *[hidden] * max(i, 1)]
            steps = (torch.nn.Sequential(*convolved(dims, a, hidden, norm)) for a in widths[:-1])
            self.steps.append(torch.nn.ModuleList(steps))
            ups = (create_upsampler(upsampler, hidden, hidden, 2, None, dims) for _ in range(i))
            self.ups.append(torch.nn.ModuleList(ups))
        self.score = conv(dims, hidden, out_channels, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Scores of the finest level's size."""
        sizes = [tuple(level.shape[2:]) for level in levels]
        total: Any = self.steps[0][0](levels[0])
        for i, x in enumerate(levels[1:], start=1):
            for j, (step, up) in enumerate(zip(self.steps[i], self.ups[i], strict=True)):
                size = sizes[i - 1 - j]
                x = up(_half_of(step(x), size, up), size)
            total = total + x
        return self.score(total)


def _half_of(x: Tensor, size: Any, up: Any) -> Tensor:
    """x at a size whose double `size` may be cut from, for methods of whole scales; linear interpolation."""
    if not up.integer_only or all(2 * n - 2 < m <= 2 * n for n, m in zip(x.shape[2:], size, strict=True)):
        return x
    half = tuple(-(-m // 2) for m in size)
    return functional.resize(x, half, filter="linear", edge="edge", antialias=False)
