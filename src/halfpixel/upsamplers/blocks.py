# SPDX-License-Identifier: MIT
"""Decoder blocks as papers and tutorials build them; each takes the name of its upsampler.

Example:
    >>> import torch
    >>> block = UNetBlock(16, 8, 12, upsampler="pixel_shuffle")
    >>> block(torch.zeros(1, 16, 5, 6), torch.zeros(1, 8, 9, 12)).shape
    torch.Size([1, 12, 9, 12])
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelShapeError, HalfpixelValueError, describe_call, unknown_name
from halfpixel.nn import functional

from ._base import conv
from ._registry import create, entry_of

_NORMS = ("batch", "group", "instance", "none")
_POOL = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}


class UNetBlock(torch.nn.Module):
    """U-Net's decoder step: upsample, concatenate the skip connection, two convolutions.

    **Convention:** x (N, in_channels, *spatial), skip (N, skip_channels, *size); the result has the skip's size, odd
    ones too. Methods with a guide get the skip connection as theirs. The upsampler makes in_channels / 2 channels as
    in the paper where it is a learned layer that may, else it keeps them.
    Arguments: in_channels, skip_channels (0: no skip connection), out_channels: of x, of skip, of the result.
        upsampler: a name. scale, dims: as in `create_upsampler`. norm: "batch", "group", "instance" or "none".
        up_channels: what the upsampler makes. options: the upsampler's own.
    Source: Ronneberger et al., U-Net (2015).
    """

    def __init__(
        self, in_channels: int, skip_channels: int, out_channels: int, upsampler: str = "upconv", scale: Any = 2,
        dims: int = 2, norm: str = "batch", up_channels: int | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        entry = entry_of("upsampler", upsampler)
        if up_channels is None and entry.guide and entry.module.guide_matches:
            up_channels = skip_channels
        elif up_channels is None and not _keeps_channels(entry, in_channels, dims):
            up_channels = max(in_channels // 2, 1)
        self.up = _upsampler(upsampler, in_channels, up_channels, scale, skip_channels, dims, options)
        up_channels, self.skip_channels = self.up.out_channels, skip_channels
        self.convs = torch.nn.Sequential(
            *convolved(dims, up_channels + skip_channels, out_channels, norm),
            *convolved(dims, out_channels, out_channels, norm),
        )

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """The decoder's map at the skip connection's size."""
        if (skip is None) != (self.skip_channels == 0):
            why = "no skip connection was given" if skip is None else "a skip connection was given to a block without"
            works = f"a tensor of {self.skip_channels} channels" if skip is None else "skip=None, or skip_channels="
            raise HalfpixelValueError(why, works, describe_call("UNetBlock", x, skip=skip))
        if skip is None:
            return self.convs(self.up(x))
        return self.convs(torch.cat([_with_guide(self.up, x, skip), skip], 1))


class ESRGANUpsample(torch.nn.Module):
    """The end of ESRGAN's generator before its last convolutions: steps of two, each convolved and rectified.

    **Convention:** x (N, channels, H, W), the result (N, channels, H * scale, W * scale). With "resize_conv" a step is
    nearest interpolation and its 3x3 convolution, computed at the low resolution; upsamplers without weights of their
    own get a 3x3 convolution behind them.
    Arguments: channels: of the features. scale: a power of two, or three. upsampler: a name of a method without guide.
        slope: of the leaky rectifier. options: the upsampler's own.
    Source: Wang et al., ESRGAN (2018).
    """

    def __init__(
        self, channels: int, scale: int = 4, upsampler: str = "resize_conv", slope: float = 0.2, **options: Any
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4, 8, 16):
            why = f"the scale is {scale!r}"
            raise HalfpixelValueError(why, "2, 3, 4, 8 or 16", describe_call("ESRGANUpsample", channels, scale))
        steps = [3] if scale == 3 else [2] * int(math.log2(scale))
        layers: list[torch.nn.Module] = []
        for step in steps:
            up = create("upsampler", upsampler, channels, None, step, None, 2, options)
            plain = [] if any(True for _ in up.parameters()) else [torch.nn.Conv2d(channels, channels, 3, padding=1)]
            layers += [up, *plain, torch.nn.LeakyReLU(slope)]
        self.steps = torch.nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """x, bigger."""
        return self.steps(x)


class SegNetEncoder(torch.nn.Module):
    """SegNet's encoder stage: convolutions, then max pooling that remembers where.

    **Convention:** returns (pooled, indices, size): the decoder stage needs the last two. Odd sizes round up.
    Arguments: in_channels, out_channels; depth: convolutions. scale, dims, norm: as in `UNetBlock`.
    Source: Badrinarayanan et al., SegNet (2017).
    """

    def __init__(
        self, in_channels: int, out_channels: int, depth: int = 2, scale: int = 2, dims: int = 2, norm: str = "batch"
    ) -> None:
        super().__init__()
        self.scale, self.dims = scale, dims
        widths = [in_channels, *[out_channels] * depth]
        self.convs = torch.nn.Sequential(
            *(layer for a, b in itertools.pairwise(widths) for layer in convolved(dims, a, b, norm))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """The pooled map, its indices, and the size before."""
        return self.pool(self.convs(x))

    def pool(self, y: Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """The map of the convolutions pooled, the indices, and its size."""
        pooled, indices = _POOL[self.dims](y, self.scale, ceil_mode=True, return_indices=True)
        return pooled, indices, tuple(y.shape[2:])


class SegNetDecoder(torch.nn.Module):
    """SegNet's decoder stage: values back to where the encoder's maxima were, then convolutions that fill in.

    **Convention:** x (N, in_channels, *spatial) with the encoder's indices and size. Another upsampler takes the size
    alone; as a guide, one that needs it gets the `guide` of the call.
    Arguments: in_channels, out_channels; depth: convolutions. upsampler: a name. scale, dims, norm: as in `UNetBlock`.
        guide_channels: of the guide of other methods. options: the upsampler's own.
    Source: Badrinarayanan et al., SegNet (2017).
    """

    def __init__(
        self, in_channels: int, out_channels: int, depth: int = 2, upsampler: str = "max_unpool", scale: int = 2,
        dims: int = 2, norm: str = "batch", guide_channels: int | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        if guide_channels is None and entry_of("upsampler", upsampler).module.guide_matches:
            guide_channels = in_channels
        self.up = create("upsampler", upsampler, in_channels, in_channels, scale, guide_channels, dims, options)
        widths = [*[in_channels] * depth, out_channels]
        self.convs = torch.nn.Sequential(
            *(layer for a, b in itertools.pairwise(widths) for layer in convolved(dims, a, b, norm))
        )

    def forward(
        self, x: Tensor, indices: Tensor | None = None, size: Any = None, guide: Tensor | None = None
    ) -> Tensor:
        """The map at the size that was pooled."""
        places = indices if self.up.entry.name == "max_unpool" else guide
        return self.convs(self.up(x, size, places))


class FPNTopDown(torch.nn.Module):
    """A feature pyramid's top-down step: upsample the coarser level, add the lateral one, smooth.

    **Convention:** top (N, channels, *spatial), lateral (N, in_channels, *size); returns (merged, output), both
    (N, channels, *size): merged is the next step's top. Methods with a guide get the 1x1-convolved lateral map.
    Arguments: in_channels: of the lateral map. channels: of the pyramid. upsampler: a name; scale, dims: as in
        `create_upsampler`. options: the upsampler's own.
    Source: Lin et al., Feature pyramid networks (2017).
    """

    def __init__(
        self, in_channels: int, channels: int = 256, upsampler: str = "nearest", scale: Any = 2, dims: int = 2,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.lateral = conv(dims, in_channels, channels, 1)
        self.up = _upsampler(upsampler, channels, channels, scale, channels, dims, options)
        self.smooth = conv(dims, channels, channels, 3)

    def forward(self, top: Tensor, lateral: Tensor) -> tuple[Tensor, Tensor]:
        """The merged map, and the level's output."""
        inner = self.lateral(lateral)
        merged = inner + _with_guide(self.up, top, inner)
        return merged, self.smooth(merged)


class SubPixelBlock(torch.nn.Module):
    """A decoder step for phones: a depthwise-separable convolution, then a 1x1 expansion and a pixel shuffle.

    **Convention:** x (N, in_channels, *spatial), skip (N, out_channels, *size) is added if given.
    Arguments: in_channels, out_channels. upsampler: a name of a method without guide; scale, dims: as in
        `create_upsampler`. options: the upsampler's own.
    Source: Howard et al., MobileNetV3 (2019); Shi et al. (2016).
    """

    def __init__(
        self, in_channels: int, out_channels: int, upsampler: str = "lightweight", scale: Any = 2, dims: int = 2,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.depthwise = conv(dims, in_channels, in_channels, 3, groups=in_channels, bias=False)
        self.norm = normalisation("batch", dims, in_channels)
        self.act = torch.nn.Hardswish()
        self.up = create("upsampler", upsampler, in_channels, out_channels, scale, None, dims, options)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """x, bigger; at the skip connection's size, and added to it, where there is one."""
        y = self.act(self.norm(self.depthwise(x)))
        if skip is None:
            return self.up(y)
        z = self.up(y, tuple(skip.shape[2:]))
        if z.shape[1] != skip.shape[1]:
            why = f"the block makes {z.shape[1]} channels, skip has {skip.shape[1]}"
            raise HalfpixelShapeError(why, "as many", describe_call("SubPixelBlock", x, skip=skip))
        return z + skip


def _keeps_channels(entry: Any, channels: int, dims: int) -> bool:
    """Without weights of its own, but for a projection."""
    return entry.guide or entry.parameters(channels, None, 2, None, dims) == 0


def _upsampler(
    name: str, in_channels: int, out_channels: int | None, scale: Any, skip_channels: int, dims: int, options: Any
) -> Any:
    guide = skip_channels if entry_of("upsampler", name).guide else None
    return create("upsampler", name, in_channels, out_channels, scale, guide, dims, options)


def _with_guide(up: Any, x: Tensor, skip: Tensor) -> Tensor:
    return up(x, tuple(skip.shape[2:]), skip if up.guide_channels is not None else None)


def convolved(dims: int, in_channels: int, out_channels: int, norm: str) -> list[torch.nn.Module]:
    """A convolution of three samples per axis, a normalisation by name, and a rectifier: the step of decoders."""
    return [
        conv(dims, in_channels, out_channels, 3, bias=norm == "none"),
        normalisation(norm, dims, out_channels),
        torch.nn.ReLU(inplace=True),
    ]


def normalisation(name: str, dims: int, channels: int) -> torch.nn.Module:
    """A normalisation by name: "batch", "group", "instance" or "none".

    Raises: ValueError for other names.
    """
    if name not in _NORMS:
        raise unknown_name("norm", name, _NORMS)
    if name == "none":
        return torch.nn.Identity()
    if name == "group":
        return torch.nn.GroupNorm(math.gcd(32, channels), channels)
    kind = "BatchNorm" if name == "batch" else "InstanceNorm"
    return getattr(torch.nn, f"{kind}{dims}d")(channels)
