# SPDX-License-Identifier: MIT
"""FSRCNN: narrow convolutions at the low resolution and a transposed convolution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError

from ._base import Recognised, State, SuperResolver, check_count, published, upsampler_of
from ._reach import Span, through
from ._registry import register
from ._state import count, renamed

_KERNEL = 9


@register(
    "fsrcnn", task="super-resolution",
    source="Dong et al., Accelerating the super-resolution convolutional neural network (2016); keys of "
    "yjn870/FSRCNN-pytorch",
)  # fmt: skip
class FSRCNN(SuperResolver):
    """Wide features are shrunk, mapped by narrow convolutions, expanded, and made big by a transposed convolution.

    **Convention:** see `SuperResolver`. Keys: `first_part`, `mid_part`, `last_part`; `load` also knows
    `feature_extraction`, `shrink`, `map`, `expand`, `deconv`. The keys do not tell the scale.
    Arguments:
        scale: 1 to 9, the published kernel's size. in_channels: 1 is luma alone. out_channels: None: as many.
        features, shrunk, mappings: d, s and m of the paper, FSRCNN(56, 12, 4).
        upsampler: None: the published transposed convolution of 9 pixels; or a name of `halfpixel.upsamplers`, without
            guide, from `features` channels. options: the upsampler's own.
    Raises: ValueError and TypeError that say what would work.
    Source: Dong et al. (2016). 12464 weights, 12809 parameters with biases and slopes.
    Example:
        >>> import torch
        >>> FSRCNN(scale=4)(torch.zeros(1, 1, 5, 7)).shape
        torch.Size([1, 1, 20, 28])
    """

    def __init__(
        self, scale: int = 2, in_channels: int = 1, out_channels: int | None = None, features: int = 56,
        shrunk: int = 12, mappings: int = 4, upsampler: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            dict(scale=scale, in_channels=in_channels, out_channels=out_channels, features=features, shrunk=shrunk,
                 mappings=mappings, upsampler=upsampler, **options)
        )  # fmt: skip
        check_count("features", features)
        check_count("shrunk", shrunk)
        check_count("mappings", mappings, 0)
        self.first_part = torch.nn.Sequential(*_convolved(in_channels, features, 5))
        self.mid_part = torch.nn.Sequential(
            *_convolved(features, shrunk, 1),
            *(layer for _ in range(mappings) for layer in _convolved(shrunk, shrunk, 3)),
            *_convolved(shrunk, features, 1),
        )
        if published(upsampler, options, self.entry.options):
            if scale > _KERNEL:
                why = f"the published kernel of {_KERNEL} pixels leaves holes at scale={scale}"
                raise HalfpixelValueError(why, f"a scale up to {_KERNEL}, or upsampler=")
            self.last_part: Any = torch.nn.ConvTranspose2d(
                features, self.out_channels, _KERNEL, scale, _KERNEL // 2, output_padding=scale - 1
            )
            torch.nn.init.normal_(self.last_part.weight, std=0.001)
            torch.nn.init.zeros_(self.last_part.bias)
        else:
            self.last_part = upsampler_of(str(upsampler), features, self.out_channels, scale, options)

    def upscale(self, x: Tensor) -> Tensor:
        """x, bigger."""
        return self.last_part(self.mid_part(self.first_part(x)))

    def needs(self, span: Span) -> Span | None:
        """The input pixels of these output pixels."""
        return through([self.first_part, self.mid_part, self.last_part], span)

    @classmethod
    def recognise(cls, state: State) -> Recognised | None:
        """By the keys of either implementation; the scale is not in them."""
        if "feature_extraction.0.weight" in state:
            end = 2 + count(state, r"map\.(\d+)\.")
            ours = {f"expand.{i}.": f"mid_part.{end + i}." for i in (0, 1)}
            ours |= {f"map.{i}.": f"mid_part.{i + 2}." for i in range(end - 2)}
            begins = {"feature_extraction.": "first_part.", "shrink.": "mid_part.", "deconv.": "last_part."}
            state = renamed(state, ours | begins)
        if not {"first_part.0.weight", "mid_part.0.weight"} <= set(state):
            return None
        first, mid = state["first_part.0.weight"], state["mid_part.0.weight"]
        mappings = max(count(state, r"mid_part\.(\d+)\.") // 2 - 2, 0)
        options = {
            "in_channels": first.shape[1], "features": first.shape[0], "shrunk": mid.shape[0], "mappings": mappings,
        }  # fmt: skip
        return Recognised(options, state)


def _convolved(in_channels: int, out_channels: int, kernel: int) -> list[torch.nn.Module]:
    conv = torch.nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
    torch.nn.init.normal_(conv.weight, std=math.sqrt(2 / (out_channels * kernel**2)))
    torch.nn.init.zeros_(conv.bias)
    return [conv, torch.nn.PReLU(out_channels)]
