# SPDX-License-Identifier: MIT
"""Steps of encoders and decoders whose results have no seams: borders are mirrored, sizes stay whole multiples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halfpixel import edges
from halfpixel.errors import HalfpixelValueError
from halfpixel.upsamplers import create_upsampler, list_upsamplers

from ._reach import Span, through


class ReflectConv2d(torch.nn.Conv2d):
    """A convolution whose border is mirrored about the outermost pixel, of any size: one pixel alone is repeated.

    **Convention:** keys of torch's convolution; results have ceil(n / stride) pixels per axis, each in the middle of
    the `stride` pixels that it stands for. torch's own reflection needs more pixels than it adds; here mirrors repeat,
    as in NumPy.
    Arguments: in_channels, out_channels; stride; kernel_size: stride and an even number more.
    Source: numpy.pad, mode="reflect".
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> None:
        if kernel_size < stride or (kernel_size - stride) % 2:
            why = f"a kernel of {kernel_size} pixels shifts at stride {stride}"
            raise HalfpixelValueError(why, f"{stride} pixels, or an even number more")
        pad = (kernel_size - stride) // 2
        super().__init__(in_channels, out_channels, kernel_size, stride, pad, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of the mirrored map."""
        before, step, kernel = self.padding[0], self.stride[0], self.kernel_size[0]
        behind = [(-(-n // step) - 1) * step + kernel - n - before for n in x.shape[2:]]
        if min(x.shape[2:]) > max(before, *behind):
            padded = torch.nn.functional.pad(x, (before, behind[1], before, behind[0]), mode="reflect")
        else:
            padded = _folded(_folded(x, 2, before, behind[0]), 3, before, behind[1])
        return torch.nn.functional.conv2d(padded, self.weight, self.bias, self.stride)


class UpStage(torch.nn.Module):
    """An upsampler by name, twice the size, then a mirrored 3x3 convolution, a normalisation and a rectifier.

    **Convention:** results are twice as big, or up to a pixel less where `size` says so. Methods with weights of their
    own make out_channels, the others leave that to the convolution. Keys `up` and `conv`.
    Arguments: in_channels, out_channels. upsampler: a name of a method without guide. norm: a module or None.
        options: the upsampler's own.
    """

    def __init__(
        self, in_channels: int, out_channels: int, upsampler: str, norm: torch.nn.Module | None, options: dict[str, Any]
    ) -> None:
        super().__init__()
        made = out_channels if has_weights(upsampler, in_channels) else None
        self.up = create_upsampler(upsampler, in_channels, made, 2, **options)
        self.conv = ReflectConv2d(self.up.out_channels, out_channels)
        self.norm = torch.nn.Identity() if norm is None else norm

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """x, twice as big, cut to `size`."""
        # No size= for the upsampler: those of any ratio would change it, and with it every place.
        y = self.up(x)
        y = y if tuple(y.shape[2:]) == tuple(size) else y[:, :, : size[0], : size[1]]
        return torch.nn.functional.relu(self.norm(self.conv(y)))

    def needs(self, span: Span) -> Span | None:
        """The input places of these output places."""
        return through([self.up, self.conv, self.norm], span)


def has_weights(name: str, channels: int) -> bool:
    """Whether the upsampler of a name, which keeps channels, has parameters.

    Raises: ValueError for methods with a guide: these networks have none for it.
    """
    entries = {entry.name: entry for entry in list_upsamplers()}
    entry = entries.get(name)
    if entry is None:
        return True  # create_upsampler says what is wrong
    if entry.guide:
        fits = ", ".join(entry.name for entry in entries.values() if not entry.guide)
        raise HalfpixelValueError(f"upsampler {name!r} needs a guide, and this network has none for it", fits)
    return entry.parameters(channels, None, 2, None, 2) > 0


def _folded(x: Tensor, axis: int, before: int, behind: int) -> Tensor:
    n = x.shape[axis]
    fold: Any = edges.TABLE["reflect"].fold
    return x.index_select(axis, torch.as_tensor(fold(np.arange(-before, n + behind), n), device=x.device))
